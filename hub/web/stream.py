"""GET /stream: server-sent events that tell a page when it is worth looking again.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html. Events are `changed`, with
the names of what changed, and `bye` when this hub stops.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.web.context import WebContext
from shared.errors import Unavailable

HEARTBEAT_SECONDS = 15.0  # Keeps proxies from taking a quiet stream for a dead one.
PAUSE_SECONDS = 1.0  # What changes within it is told together.
NAMES_MAX = 32  # A slow reader is owed no more names than that, whatever has changed.
NAME_CHARS_MAX = 100
BYE_SECONDS_MAX = 0.5  # A reader that takes nothing any more must not hold up a stop.
RETRY_MS = 2000
STREAMS_MAX = 512

Changes = Callable[[], AsyncIterator[str]]


class EventStream(Response):
    """One reader's stream of changes. Keeps at most NAMES_MAX names for a reader that is slow."""

    media_type = "text/event-stream"

    def __init__(
        self, changes: Changes, stopping: asyncio.Event, open_streams: "set[EventStream]"
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._changes, self._stopping, self._open = changes, stopping, open_streams
        self._pending: set[str] = set()
        self._arrived = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Talk until the reader leaves or the hub stops."""
        self._open.add(self)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._run(receive, send)
            await self._say_goodbye(send)
        except OSError:
            return  # The reader left while we spoke.
        finally:
            self._open.discard(self)

    async def _run(self, receive: Receive, send: Send) -> None:
        """Until the first of the four has ended: the reader has left, or the hub stops."""
        # Not a TaskGroup: in Python 3.11.2 one that a child ends leaves this task marked as cancelled,
        # and the next time-out in it would then be a cancellation.
        whole = (
            self._collect(),
            self._talk(send),
            self._wait_for_leave(receive),
            self._stopping.wait(),
        )
        parts = [asyncio.ensure_future(part) for part in whole]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            outcomes = await asyncio.gather(*parts, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _collect(self) -> None:
        async for name in self._changes():
            if len(self._pending) < NAMES_MAX:
                self._pending.add("".join(name.split())[:NAME_CHARS_MAX])
            self._arrived.set()

    async def _talk(self, send: Send) -> None:
        await _say(send, f"retry: {RETRY_MS}\n\n")
        while True:
            await _say(send, await self._next_words())

    async def _next_words(self) -> str:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._arrived.wait()
        except TimeoutError:
            return ": still here\n\n"
        await asyncio.sleep(PAUSE_SECONDS)
        names = " ".join(sorted(self._pending))
        self._pending.clear()
        self._arrived.clear()
        return f"event: changed\ndata: {names}\n\n"

    async def _wait_for_leave(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass  # The request has no body worth reading.

    async def _say_goodbye(self, send: Send) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BYE_SECONDS_MAX):
                if self._stopping.is_set():
                    await _say(send, "event: bye\ndata: this hub stops\n\n")
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _say(send: Send, words: str) -> None:
    await send({"type": "http.response.body", "body": words.encode(), "more_body": True})


class Streams:
    """The door for streams; there is room for STREAMS_MAX readers."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._open: set[EventStream] = set()

    async def endpoint(self, request: Request) -> Response:
        """GET /stream; raises Unavailable when there are too many readers."""
        if len(self._open) >= STREAMS_MAX:
            raise Unavailable(f"{STREAMS_MAX} pages follow this hub already", 30.0)
        return EventStream(self._context.changes, self._context.stopping, self._open)
