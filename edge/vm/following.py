"""Shows a console by its log: each byte has a number, so that a viewer who comes back misses nothing.

The live console only says that there is news, and takes what is typed. What is shown comes from the
log, however slow the viewer is: what the log dropped meanwhile is told of, never passed over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from edge.vm.console_log import ConsolePage
from edge.vm.driver import Console
from shared.errors import RpcError
from shared.streams import PAYLOAD_BYTES_MAX

LOOKS_SECONDS = (0.02, 0.05, 0.1, 0.25, 0.5)
"""News may be heard a little before it is in the log."""

REOPEN_SECONDS = 0.1

Log = Callable[[int | None, int], Awaitable[ConsolePage]]
Tell = Callable[[dict[str, Any]], Awaitable[None]]


async def _nobody(word: dict[str, Any]) -> None:
    """Nobody listens for words beside the bytes."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where to begin: at an offset, or so many bytes before the end."""

    since: int | None = None
    tail_bytes: int = 0

    def offset_in(self, page: ConsolePage) -> int:
        """The offset in a log that ends with this page. One past its end belongs to a log that is
        gone: a new one is shown from its first byte."""
        if self.since is None:
            return max(page.first, page.size - self.tail_bytes)
        return self.since if self.since <= page.size else page.first


class Following:
    """One viewer of a console; see edge.link_streams.Source. `open` it, and `close` it in the end.

    Words beside the bytes: `{"at": offset}` before the first byte; `{"lost": bytes, "at": offset}`
    when the log has dropped bytes before that offset; `{"ended": why}` when the machine's console is
    over, and the stream with it.
    """

    def __init__(self, dial: Callable[[], Awaitable[Console]], log: Log) -> None:
        self.tell: Tell = _nobody
        self._dial, self._log = dial, log
        self._news = asyncio.Event()
        self._ended: str | None = None
        self._is_begun = False

    async def open(self, beginning: Beginning) -> None:
        """Reach the console; raises RpcError when there is none."""
        self._console = await self._dial()
        self._offset = beginning.offset_in(await self._log(None, 1))
        self._listening = asyncio.create_task(self._listen())

    async def read(self) -> bytes:
        """The next bytes of the log; empty once the console is over and all was read."""
        if not self._is_begun:
            self._is_begun = True
            await self.tell({"at": self._offset})
        looks = 0
        while True:
            ended = self._ended
            self._news.clear()
            page = await self._log(self._offset, PAYLOAD_BYTES_MAX)
            if page.offset > self._offset:
                await self.tell({"lost": page.offset - self._offset, "at": page.offset})
            self._offset = page.offset + len(page.data)
            if page.data:
                return page.data
            if ended is not None:
                await self.tell({"ended": ended})
                return b""
            looks = await self._wait(looks)

    async def _wait(self, looks: int) -> int:
        """Wait for news; returns how often to no avail since they came."""
        if looks == len(LOOKS_SECONDS):
            await self._news.wait()
            return 0
        try:
            async with asyncio.timeout(LOOKS_SECONDS[looks]):
                await self._news.wait()
        except TimeoutError:
            return looks + 1
        return 0

    async def _listen(self) -> None:
        """Hear of news until the console is over. Who listens too slowly is cut off and comes again."""
        while self._ended is None:
            try:
                while await self._console.read():
                    self._news.set()
                    await asyncio.sleep(0)
                await self._console.close()
                await asyncio.sleep(REOPEN_SECONDS)
                self._console = await self._dial()
            except RpcError as error:
                self._ended = str(error)
            self._news.set()

    async def write(self, data: bytes) -> None:
        """Type; raises RpcError."""
        await self._console.write(data)

    async def resize(self, columns: int, rows: int) -> None:
        """Say how large the window is; raises RpcError."""
        await self._console.resize(columns, rows)

    async def close(self) -> None:
        """Let go of the console; a read that waits ends."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        self._ended = self._ended or ""
        self._news.set()
        await self._console.close()
