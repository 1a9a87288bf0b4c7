"""POST /tail: a live tail as server-sent events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html. Events are `rows`, `gap`,
`position`, `unreadable`, `gone`, `lag`, and `bye` when this hub stops; all data is JSON.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.bodies import json_object, read_body
from hub.tail import Offload, Tail, TailSource
from hub.tail_query import read_tail_query
from hub.tail_telling import Message
from shared.errors import HeadwaterError, Refused, Unavailable
from shared.records import MIB

log = logging.getLogger(__name__)

TAILS_MAX = 64
RETRY_SECONDS = 10.0
BODY_BYTES_MAX = 8 * MIB  # The position of the largest fleet, twice.
BYE_SECONDS_MAX = 0.5  # A reader that takes nothing any more must not hold up a stop.
CSRF_HEADER = "x-csrf-token"


class TailStream(Response):
    """One reader's tail. It is read only as fast as the reader takes it."""

    media_type = "text/event-stream"

    def __init__(self, tail: Tail, stopping: asyncio.Event, close: Callable[[], None]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._tail, self._stopping, self._close = tail, stopping, close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Talk until the reader leaves, the hub stops, or the log cannot be read any more."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            reason = await self._run(receive, send)
            await _say_goodbye(send, reason)
        except OSError:
            return  # The reader left while we spoke.
        finally:
            self._close()

    async def _run(self, receive: Receive, send: Send) -> str:
        """Until the first of the three has ended; returns why, for the reader."""
        whole = (self._talk(send), _wait_for_leave(receive), self._stopping.wait())
        parts = [asyncio.ensure_future(part) for part in whole]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            outcomes = await asyncio.gather(*parts, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, HeadwaterError | sqlite3.Error):
                log.warning("a tail ends: %s", outcome)
                return str(outcome)
            if isinstance(outcome, Exception):
                raise outcome
        return "this hub stops"

    async def _talk(self, send: Send) -> None:
        async for message in self._tail.messages():
            await _say(send, wire_of(message))


def wire_of(message: Message) -> bytes:
    """A message as it goes over the wire; a ping is a comment."""
    if message.event == "ping":
        return b": still here\n\n"
    return b"event: %b\ndata: %b\n\n" % (message.event.encode(), orjson.dumps(message.data))


async def _wait_for_leave(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # The body was read before.


async def _say(send: Send, words: bytes) -> None:
    await send({"type": "http.response.body", "body": words, "more_body": True})


async def _say_goodbye(send: Send, reason: str) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BYE_SECONDS_MAX):
            await _say(send, wire_of(Message("bye", {"reason": reason})))
            await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass(slots=True)
class TailDoor:
    """The door for live tails; there is room for TAILS_MAX readers."""

    source: TailSource
    offload: Offload
    wall_ms: Callable[[], int]
    stopping: asyncio.Event
    csrf_ok: Callable[[Request, str], bool]
    counters: Counter[str]
    _open: set[object] = field(default_factory=set)

    @property
    def open_tails(self) -> int:
        """How many readers there are."""
        return len(self._open)

    async def endpoint(self, request: Request) -> Response:
        """POST /tail; raises BadInput, Refused, or Unavailable when there are too many readers."""
        self._check_origin(request)
        params = json_object(await read_body(request, BODY_BYTES_MAX))
        if len(self._open) >= TAILS_MAX:
            raise Unavailable(f"{TAILS_MAX} tails are open at this hub already", RETRY_SECONDS)
        place = object()
        self._open.add(place)
        try:
            tail = await self._begin(params)
        except BaseException:
            self._open.discard(place)
            raise
        self.counters["tails_opened"] += 1
        return TailStream(tail, self.stopping, lambda: self._open.discard(place))

    async def _begin(self, params: dict[str, object]) -> Tail:
        now_ms = self.wall_ms()
        query = await self.offload(lambda: read_tail_query(params, now_ms))
        tail = Tail(self.source, self.offload, query, now_ms)
        await tail.begin()
        return tail

    def _check_origin(self, request: Request) -> None:
        """A page shows that it is one of this session's; a token shows enough by itself."""
        if "authorization" in request.headers:
            return
        if not self.csrf_ok(request, request.headers.get(CSRF_HEADER, "")):
            raise Refused("this page does not belong to your session: load it anew")
