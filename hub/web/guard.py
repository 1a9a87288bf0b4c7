"""Stands at every door of a hub: who may pass, and what the answer is when something is wrong."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from hub.caller import ADMIN, ADMIN_IN_BROWSER, caller
from hub.otlp_doors import ingest_token, without_token
from hub.web.routes import Role, RouteSpec
from hub.web.sockets import SocketSpec
from shared.beat import OUTRANK_HEADER
from shared.errors import (
    BadInput,
    Cloned,
    Refused,
    Removed,
    TooLarge,
    TooSlow,
    Unavailable,
    UnsupportedType,
)
from shared.security import derive, same_secret
from shared.sqlite import is_disk_full

log = logging.getLogger(__name__)

SESSION_SECONDS = 12 * 3600
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
Handler = Callable[[Request], Awaitable[Response]]
Stranger = Callable[[RouteSpec, Request], None]


def _untold(spec: RouteSpec, request: Request) -> None:
    """Nobody is told of strangers."""


@dataclass(slots=True)
class Guard:
    """Checks credentials: the cluster key for edges and peers, the admin token or a session for people."""

    hub_id: str
    admin_token: str
    cluster_key: str
    wall_seconds: Callable[[], float]
    counters: Counter[str] = field(default_factory=Counter)
    tell_of_stranger: Stranger = _untold
    """Hears of each request without the right credentials."""

    @property
    def cookie_name(self) -> str:
        """Cookies know no ports, so hubs that share a host need cookies with different names."""
        return f"headwater-{self.hub_id}"

    def allows(self, role: Role, request: HTTPConnection) -> bool:
        """Whether the request carries what the role asks for."""
        if role == "open":
            return True
        bearer = _bearer(request.headers)
        if role in ("edge", "peer"):
            return bearer is not None and same_secret(bearer, self.cluster_key)
        if role == "otlp":
            return bearer is not None and same_secret(bearer, ingest_token(self.cluster_key))
        if bearer is not None:
            return same_secret(bearer, self.admin_token)
        return self._session_holds(request) and _from_own_page(request)

    def check_login(self, token: str) -> str | None:
        """The value of a session cookie for the right admin token; None for a wrong one."""
        if not same_secret(token, self.admin_token):
            self.counters["logins_refused"] += 1
            return None
        return self._session(int(self.wall_seconds()) + SESSION_SECONDS)

    def _session(self, expires: int) -> str:
        return f"{expires}.{derive(self.admin_token, f'session {self.hub_id} {expires}')}"

    def _session_holds(self, request: HTTPConnection) -> bool:
        value = request.cookies.get(self.cookie_name, "")
        expires, _, _ = value.partition(".")
        if not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            return False
        fresh = int(expires) > self.wall_seconds()
        return same_secret(value, self._session(int(expires))) and fresh

    def csrf_token(self, request: HTTPConnection) -> str:
        """The token that forms of this session carry."""
        return derive(self.admin_token, f"csrf {request.cookies.get(self.cookie_name, '')}")

    def csrf_ok(self, request: HTTPConnection, token: str) -> bool:
        """Whether a form was made by a page of this session."""
        return same_secret(token, self.csrf_token(request))

    def routes(self, specs: Iterable[RouteSpec]) -> list[Route]:
        """The route table with this guard at every door."""
        return [Route(spec.path, self._guarded(spec), methods=list(spec.methods)) for spec in specs]

    def _guarded(self, spec: RouteSpec) -> Handler:
        async def endpoint(request: Request) -> Response:
            if not self.allows(spec.role, request):
                self.counters["requests_refused"] += 1
                self.tell_of_stranger(spec, request)
                return _who_are_you(spec, request)
            if spec.role == "admin":
                caller.set(_who(request))
            return await self._answer(spec.handler, request)

        return endpoint

    async def _answer(self, handler: Handler, request: Request) -> Response:
        try:
            return await handler(request)
        except (BadInput, Refused, Unavailable, sqlite3.Error) as error:
            status, headers = status_of(error)
            self.counters[f"answers_{status}"] += 1
            if status >= 500:
                log.warning("%s: %s", request.url.path, error)
            return problem(status, str(error), headers)

    def sockets(self, specs: Iterable[SocketSpec]) -> list[WebSocketRoute]:
        """The table of WebSockets with this guard at every door."""
        return [WebSocketRoute(spec.path, self._guarded_socket(spec)) for spec in specs]

    def _guarded_socket(self, spec: SocketSpec) -> Callable[[WebSocket], Awaitable[None]]:
        async def endpoint(socket: WebSocket) -> None:
            if not await self.refuse_socket(spec.role, socket):
                if spec.role == "admin":
                    caller.set(_who(socket))
                await spec.handler(socket)

        return endpoint

    async def refuse_socket(self, role: Role, socket: WebSocket) -> bool:
        """Turn a WebSocket away when its credentials are wrong; returns whether it did."""
        if self.allows(role, socket):
            return False
        self.counters["requests_refused"] += 1
        await socket.close(4401, "credentials are missing or wrong")
        return True


def _who(request: HTTPConnection) -> str:
    """Who an administrator is, for audits: with the token, or logged in with a browser."""
    return ADMIN if _bearer(request.headers) is not None else ADMIN_IN_BROWSER


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in the form of RFC 9457."""
    body = orjson.dumps({"status": status, "detail": detail})
    return Response(body, status, dict(headers or {}), media_type="application/problem+json")


def status_of(error: Exception) -> tuple[int, dict[str, str]]:
    """The HTTP status and headers that answer an error."""
    match error:
        case TooLarge():
            return 413, {"connection": "close"}  # What is left of the body is not read.
        case TooSlow():
            return 408, {"connection": "close"}
        case UnsupportedType():
            return 415, {}
        case BadInput():
            return 400, {}
        case Removed():
            return 410, {}
        case Cloned():
            over = error.outrank
            return 409, {} if over is None else {OUTRANK_HEADER: str(over)}
        case Refused():
            return 403, {}
        case Unavailable():
            return 503, {"retry-after": str(max(1, round(error.retry_after_seconds)))}
        case sqlite3.Error() if is_disk_full(error):
            return 503, {"retry-after": "10"}
    return 500, {}


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def _from_own_page(request: HTTPConnection) -> bool:
    """A browser names the page that sends a form; another site's form must not act for the user."""
    if request.scope.get("method", "GET") in SAFE_METHODS:
        return True
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _who_are_you(spec: RouteSpec, request: Request) -> Response:
    if spec.role == "otlp":
        return without_token(request)
    wants_page = "text/html" in request.headers.get("accept", "")
    if spec.role == "admin" and request.method == "GET" and wants_page:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(here, safe='')}", 303)
    wanted = "the cluster key" if spec.role in ("edge", "peer") else "the admin token of this hub"
    return problem(
        401,
        f"this needs {wanted}, as 'Authorization: Bearer ...'",
        {"www-authenticate": "Bearer"},
    )
