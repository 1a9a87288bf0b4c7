"""Answers of any length, page after page, in the forms that have lines."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.rest_pages import Answer, Pages
from hub.rest_problem import problem_of
from shared.errors import RpcError
from shared.records import KIB

PIECE_BYTES = 64 * KIB  # Enough to make few writes, far less than a page can have.
BYE_SECONDS_MAX = 0.5  # A reader that takes nothing any more must not hold up a stop.


class Form(Protocol):
    """How pages are written."""

    @property
    def media_type(self) -> str: ...

    def page(self, answer: Answer) -> Iterator[bytes]:
        """The items of a page, in pieces of whole lines."""
        ...

    def end(self, pages: Pages, answer: Answer) -> bytes:
        """What follows the last page, which is `answer` without its items."""
        ...

    def error(self, error: RpcError, pages: Pages | None) -> bytes | None:
        """What tells that it ends too early; None cuts the answer off, which HTTP tells. Without
        `pages` the reader may have any part of the last page."""
        ...


class NdjsonForm:
    """One item a line, and a last line that says how it ended.

    The last line is `{"end": true, ...}` when all is told that was asked for, and `{"error": ...}`
    when a page failed; an answer without a last line was cut off. Both tell the `cursor` to go on
    from, unless the hub stops within a page.
    """

    media_type = "application/x-ndjson"

    def __init__(self, rows: str) -> None:
        self._rows = rows

    def page(self, answer: Answer) -> Iterator[bytes]:
        """The items, one a line."""
        piece = bytearray()
        for item in answer[self._rows]:
            piece += orjson.dumps(item, default=str) + b"\n"
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)

    def end(self, pages: Pages, answer: Answer) -> bytes:
        """The sums, and as `answer` what the last page says beside its items."""
        whole = {**pages.whole.to_wire(), "cursor": pages.cursor}
        rest = {k: v for k, v in answer.items() if k not in whole and k != self._rows}
        end = {"end": True, **whole, **({"answer": rest} if rest else {})}
        return orjson.dumps(end, default=str) + b"\n"

    def error(self, error: RpcError, pages: Pages | None) -> bytes | None:
        """What went wrong, and where to go on."""
        told: dict[str, Any] = {"error": problem_of(error)}
        if pages is not None:
            told |= {**pages.whole.to_wire(), "cursor": pages.cursor}
        return orjson.dumps(told, default=str) + b"\n"


class ItemStream(Response):
    """One reader's stream. It is read only as fast as the reader takes it, a page at a time.

    `page` is the first page of `following`; `close` is called once, when the stream has ended.
    """

    def __init__(
        self,
        form: Form,
        page: Answer,
        pages: Pages,
        following: AsyncGenerator[Answer, None],
        headers: Mapping[str, str],
        stopping: asyncio.Event,
        close: Callable[[], None],
    ) -> None:
        self.media_type = form.media_type
        super().__init__(headers={**headers, "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._form = form
        self._page, self._pages, self._following = page, pages, following
        self._stopping, self._close = stopping, close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell until the last page, or until the reader leaves or the hub stops."""
        try:
            async with aclosing(self._following):
                start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                await send(start)
                if scope["method"] != "HEAD":
                    await self._run(receive, send)
                else:
                    await _say(send, b"", more=False)
        except OSError:
            return  # The reader left while we spoke.
        finally:
            self._close()

    async def _run(self, receive: Receive, send: Send) -> None:
        """Until the first of the three has ended."""
        talk = asyncio.ensure_future(self._talk(send))
        leave = asyncio.ensure_future(_wait_for_leave(receive))
        stop = asyncio.ensure_future(self._stopping.wait())
        parts: list[asyncio.Future[Any]] = [talk, leave, stop]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            ended, left = talk.done(), leave.done()
        finally:
            for part in parts:
                part.cancel()
            outcomes = await asyncio.gather(*parts, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        if not ended and not left:
            await self._say_goodbye(send)

    async def _talk(self, send: Send) -> None:
        page = self._page
        try:
            await self._say_items(send, page)
            async for page in self._following:
                await self._say_items(send, page)
        except RpcError as error:
            await self._say_last(send, self._form.error(error, self._pages))
            return
        await self._say_last(send, self._form.end(self._pages, page))

    async def _say_items(self, send: Send, page: Answer) -> None:
        for piece in self._form.page(page):
            await _say(send, piece)
        page[self._pages.rows] = ()  # Told; the rest of the page may be told at the end.

    async def _say_goodbye(self, send: Send) -> None:
        error = RpcError("busy", "this hub stops: ask again, here or at another hub")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BYE_SECONDS_MAX):
                await self._say_last(send, self._form.error(error, None))

    async def _say_last(self, send: Send, words: bytes | None) -> None:
        if words is not None:
            await _say(send, words, more=False)


async def _wait_for_leave(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # The body was read before.


async def _say(send: Send, words: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": words, "more_body": more})
