"""Answers pages and their twins: makes the calls, lays out the answers, says in words what failed."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from hub.encoding import encoded
from hub.web import formats
from hub.web.address import Asked, around
from hub.web.context import RpcCall, WebContext
from hub.web.page import Answer, Call, Page
from hub.web.show_as import forms
from hub.web.static_files import address_of
from shared.errors import RpcError
from shared.jsonrpc import error_answer

HUB_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/?")
"""Hubs name themselves: only what is an origin goes into a policy."""

SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    # Not no-referrer: browsers would then send our own forms with "Origin: null", and the guard
    # turns those away. Other sites learn nothing with this one either.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",  # Pages hold what only their reader may see.
}

STATUS_OF_KIND: Mapping[str, int] = {
    "invalid_params": 400,
    "invalid_request": 400,
    "method_not_found": 404,
    "not_found": 404,
    "conflict": 409,
    "invalid_state": 409,
    "busy": 409,
    "not_supported": 400,
    "driver_unavailable": 409,
    "insufficient": 409,
    "quota": 409,
    "unauthorized": 403,
    "protected": 403,
    "driver_error": 502,
    "node_unreachable": 502,
    "no_path": 502,
    "stale_only": 502,
    "outcome_unknown": 504,
    "stop_timeout": 504,
}

ADVICE: Mapping[str, str] = {
    "no_path": "The hubs cannot reach this machine now. See under Nodes when it was last heard, "
    "and look whether its edge is running.",
    "node_unreachable": "This hub cannot reach the machine now. Another hub may have a link to it.",
    "outcome_unknown": "The order was sent, but no answer came back. Trying again repeats the same "
    "request, so it cannot happen twice.",
    "stop_timeout": "It is still running. A forced stop ends it without asking.",
    "busy": "Something else is being done there. Try again in a moment.",
    "quota": "Ask for less at once: by a filter, fewer nodes, or a shorter time range.",
    "driver_unavailable": "Choose an image that this node can run.",
    "internal": "The fault is on this hub; its log says more.",
}

MAY_TRY_AGAIN = frozenset({"no_path", "node_unreachable", "outcome_unknown", "busy"})


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong with an order, and the form that would repeat it with the same request id."""

    error: RpcError
    action: str = ""
    fields: Mapping[str, str] | None = None

    @property
    def advice(self) -> str:
        """What the person may do now."""
        return ADVICE.get(self.error.kind, "")

    @property
    def may_try_again(self) -> bool:
        """Whether repeating the same order can help."""
        return bool(self.action) and self.error.kind in MAY_TRY_AGAIN

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS_OF_KIND.get(self.error.kind, 500)


@cache
def environment() -> Environment:
    """The templates, compiled once. A value that a node did not send is shown as nothing."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(formats.FILTERS)
    made.globals.update(asset=address_of, around=around)
    return made


@dataclass(frozen=True, slots=True)
class Desk:
    """Where pages are answered."""

    call: RpcCall
    context: WebContext
    templates: Environment

    async def page(self, page: Page, request: Request) -> Response:
        """The page for the address of a request."""
        return await self.show(page, asked_of(request), request)

    async def twin(self, page: Page, request: Request) -> Response:
        """The answer to the main call of a page, as JSON."""
        asked = asked_of(request)
        try:
            call = page.main(asked)
            answer = page.narrow(asked, await self.call(call.method, call.params))
        except RpcError as error:
            told = {"error": error_answer(None, error)["error"]}
            return _json(orjson.dumps(told), STATUS_OF_KIND.get(error.kind, 500))
        return _json(await encoded(answer))

    async def show(
        self,
        page: Page,
        asked: Asked,
        request: Request,
        problem: Problem | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> Response:
        """A page for an address, after an order with what came of it: a problem, or `more`."""
        answer: Answer = {}
        extras: Mapping[str, Answer] = {}
        call: Call | None = None
        failure: Problem | None = None
        try:
            call = page.main(asked)
            answer, extras = await self._ask(page, asked, call)
        except RpcError as error:
            failure = Problem(error)
        worst = problem or failure
        variables = {
            **page.shape(asked, answer, extras),
            **self._frame(page, asked, request, call),
            "answer": answer,
            "failure": failure,
            "problem": problem,
            "is_live": page.is_live and worst is None and request.method == "GET",
            **(more or {}),
        }
        csp = self._policy_with_hubs() if page.reaches_hubs else ""
        return self.html(page.template, variables, worst.status if worst else 200, csp)

    def _policy_with_hubs(self) -> str:
        """The policy of all pages, and besides this hub the page may connect to the others."""
        hubs = " ".join(url.rstrip("/") for _, url in self.context.hubs() if HUB_URL.fullmatch(url))
        policy = SECURITY_HEADERS["content-security-policy"]
        return policy.replace("connect-src 'self'", f"connect-src 'self' {hubs}".rstrip())

    async def _ask(
        self, page: Page, asked: Asked, call: Call
    ) -> tuple[Answer, Mapping[str, Answer]]:
        others = page.extras(asked)
        answer, *found = await asyncio.gather(
            self.call(call.method, call.params), *map(self._ask_extra, others.values())
        )
        return page.narrow(asked, answer), dict(zip(others, found, strict=True))

    async def _ask_extra(self, call: Call) -> Answer:
        try:
            return await self.call(call.method, call.params)
        except RpcError as error:
            return {"error": {"kind": error.kind, "message": str(error)}}

    def _frame(
        self, page: Page, asked: Asked, request: Request, call: Call | None
    ) -> dict[str, Any]:
        """What every page shows around its own contents."""
        context = self.context
        others = [(hub, url) for hub, url in context.hubs() if hub != context.hub_id]
        return {
            "hub_id": context.hub_id,
            "other_hubs": [(hub, url.rstrip("/") + asked.whole()) for hub, url in others],
            "section": page.section,
            "asked": asked,
            "address": request.url.netloc,
            "twin": asked.whole(_twin_path(page, asked)),
            "shown_as": forms(call, _origin(request)) if call else None,
            "csrf": context.csrf_token(request),
            "new_id": context.new_id,
        }

    def html(
        self, template: str, variables: Mapping[str, Any], status: int = 200, csp: str = ""
    ) -> Response:
        """A page with the headers that all pages have."""
        body = self.templates.get_template(template).render(variables)
        headers = dict(SECURITY_HEADERS)
        if csp:
            headers["content-security-policy"] = csp
        return Response(body, status, headers, media_type="text/html; charset=utf-8")


def asked_of(request: Request) -> Asked:
    """The address of a request."""
    return Asked(request.url.path, request.path_params, request.query_params)


def asked_at(path: str, parts: Mapping[str, str], **query: str) -> Asked:
    """An address that is shown without having been asked for, as after an order."""
    return Asked(path, parts, QueryParams({key: value for key, value in query.items() if value}))


def _twin_path(page: Page, asked: Asked) -> str:
    return page.twin.format_map({name: quote(part, safe="") for name, part in asked.parts.items()})


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _json(body: bytes, status: int = 200) -> Response:
    headers = {name: SECURITY_HEADERS[name] for name in ("x-content-type-options", "cache-control")}
    return Response(body, status, headers, media_type="application/json")
