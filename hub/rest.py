"""The REST doors under /api/v1: the questions about stored data, for programs and for curl.

GET takes the parameters of the RPC methods in the query string, POST as a JSON body. Answers are those
of the methods; errors are problem+json (RFC 9457). With `Accept: application/x-ndjson` or
`format=ndjson` the items come as lines, as many as there are; `text/csv` and `format=csv` are the
same as a table.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hub.bodies import json_object, read_body
from hub.encoding import encoded
from hub.rest_csv import SHEETS, CsvForm
from hub.rest_doors import ALL_DOORS, ROOT, Door, index_of_doors
from hub.rest_pages import Answer, Pages, read_items_max
from hub.rest_params import read_query
from hub.rest_problem import problem_answer
from hub.rest_stream import Form, ItemStream, NdjsonForm
from hub.web.context import RpcCall
from hub.web.routes import RouteSpec
from shared import __version__
from shared.errors import BadInput, RpcError, TooLarge
from shared.records import KIB

BODY_BYTES_MAX = 256 * KIB
STREAMS_MAX = 16  # Each holds a page, and asks for the next one as soon as it can.
RETRY_SECONDS = 5.0

JSON, NDJSON, CSV = "json", "ndjson", "csv"
_FORMATS: Mapping[str, str] = {
    "application/json": JSON,
    "application/x-ndjson": NDJSON,
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "text/csv": CSV,
}
_NO = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})


def rest_routes(
    call: RpcCall, hub_id: str, stopping: asyncio.Event | None = None
) -> list[RouteSpec]:
    """The doors of a hub, answered by its methods; streams end when `stopping` is set."""
    rest = Rest(call, hub_id, stopping or asyncio.Event())
    ways = ("GET", "POST")
    doors = [RouteSpec(door.path, ways, "admin", rest.handler(door)) for door in ALL_DOORS]
    return [RouteSpec(ROOT, ("GET",), "admin", rest.index), *doors]


@dataclass(slots=True)
class Rest:
    """Answers at the doors."""

    call: RpcCall
    hub_id: str
    stopping: asyncio.Event
    _open: set[object] = field(default_factory=set)

    async def index(self, request: Request) -> Response:
        """GET /api/v1: the doors and their parameters."""
        told = {"hub": self.hub_id, "version": __version__, "formats": _FORMATS}
        return _json(await encoded({**told, **index_of_doors()}), self._headers())

    def handler(self, door: Door) -> Callable[[Request], Awaitable[Response]]:
        """What answers at a door; raises TooLarge."""
        return partial(self.answer, door)

    async def answer(self, door: Door, request: Request) -> Response:
        """The answer to one request; raises TooLarge."""
        try:
            form = _form(door, request)
            params = await _params(door, request)
            if form is not None:
                return await self._stream(door, params, form)
            answer = await self.call(door.method, params)
        except TooLarge:
            raise
        except BadInput as error:
            return problem_answer(RpcError("parse_error", str(error)), self._headers())
        except RpcError as error:
            return problem_answer(error, self._headers())
        return _json(await encoded(answer), self._headers(answer))

    async def _stream(self, door: Door, params: dict[str, Any], form: Form) -> Response:
        if len(self._open) >= STREAMS_MAX:
            reason = f"{STREAMS_MAX} streams are open at this hub already"
            raise RpcError("busy", reason, {"retry_after_s": RETRY_SECONDS})
        pages = _pages(self.call, door, params)
        place, following = object(), pages.read()
        self._open.add(place)
        try:
            first = await _first(following)  # A wrong question gets its status.
        except BaseException:
            self._open.discard(place)
            raise
        headers = self._headers(first)
        close = partial(self._open.discard, place)
        return ItemStream(form, first, pages, following, headers, self.stopping, close)

    def _headers(self, answer: Mapping[str, Any] | None = None) -> dict[str, str]:
        """What every answer says. A stream says of its first page whether it is partial, and of all
        of them in its last line."""
        headers = {
            "x-headwater-hub": self.hub_id,
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "vary": "accept",
        }
        coverage = (answer or {}).get("coverage")
        if coverage is not None:
            headers["x-headwater-partial"] = "true" if coverage.get("partial") else "false"
        return headers


async def _first(following: AsyncGenerator[Answer, None]) -> Answer:
    try:
        return await anext(following)
    except BaseException:
        await following.aclose()
        raise


def _pages(call: RpcCall, door: Door, params: dict[str, Any]) -> Pages:
    page_items_max = door.page_items_for(params)
    if page_items_max is None:
        return Pages(call, door.method, params, door.rows, None)
    asked = {name: value for name, value in params.items() if name != "limit"}
    items_max = read_items_max(params.get("limit"))
    return Pages(call, door.method, asked, door.rows, page_items_max, items_max)


async def _params(door: Door, request: Request) -> dict[str, Any]:
    pairs = [pair for pair in request.query_params.multi_items() if pair[0] != "format"]
    if request.method == "POST":
        if pairs:
            raise _wrong(pairs[0][0][:100], "the parameters of a POST are in its body")
        body = await read_body(request, BODY_BYTES_MAX)
        params = json_object(body) if body.strip() else {}
    else:
        params = read_query(pairs, door.question.params, door.manner_for(dict(pairs)))
    if not door.in_path:
        return params
    if door.in_path in params:
        raise _wrong(door.in_path, "the path says it already")
    return {**params, door.in_path: request.path_params[door.in_path]}


def _form(door: Door, request: Request) -> Form | None:
    """The form with lines that is asked for, None for plain JSON."""
    lines = (NDJSON,) if door.rows else ()
    known = {JSON, *lines, *((CSV,) if door.method in SHEETS else ())}
    named = request.query_params.getlist("format")
    if named and named[-1] not in known:
        reason = f"{named[-1][:60]!r} is not one of {', '.join(sorted(known))}"
        raise _wrong("format", reason)
    chosen = named[-1] if named else _accepted(request.headers.get("accept", ""), known)
    if chosen == CSV:
        return CsvForm(door.rows, SHEETS[door.method])
    return NdjsonForm(door.rows) if chosen == NDJSON else None


def _accepted(accept: str, known: Collection[str]) -> str:
    """The first of the forms that is named, but for those with `q=0` (RFC 9110, 12.5.1)."""
    for part in accept.lower().split(","):
        name, *words = (word.strip() for word in part.split(";"))
        form = _FORMATS.get(name)
        if form in known and _NO.isdisjoint(words):
            return str(form)
    return JSON


def _wrong(name: str, why: str) -> RpcError:
    return RpcError("invalid_params", f"{name}: {why}", {"parameter": name})


def _json(body: bytes, headers: Mapping[str, str]) -> Response:
    return Response(body, 200, dict(headers), media_type="application/json")
