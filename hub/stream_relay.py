"""Joins two streams: bytes and words go both ways as fast as the slower side takes them."""

import asyncio
from collections import deque
from typing import Any

from shared.errors import Unreachable
from shared.stream_end import StreamEnd

WORDS_MAX = 64
"""Which wait for one side; the oldest are left out beyond that."""


class Words:
    """Words beside the bytes of one stream, in their order, for whoever passes them on."""

    def __init__(self, end: StreamEnd) -> None:
        self._waiting: deque[dict[str, Any]] = deque(maxlen=WORDS_MAX)
        self._is_over = False
        self._news = asyncio.Event()
        end.on_control = self._take

    def _take(self, word: dict[str, Any]) -> None:
        self._waiting.append(word)
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self._is_over = True
        self._news.set()

    async def next(self) -> dict[str, Any] | None:
        """The next word; waits for it. None when no more will come."""
        while not self._waiting and not self._is_over:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft() if self._waiting else None


async def relay(one: StreamEnd, other: StreamEnd) -> None:
    """Pass on until either is over, which then ends the other for the same reason."""
    ways = [asyncio.create_task(way) for way in (_way(one, other), _way(other, one))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _way(source: StreamEnd, sink: StreamEnd) -> None:
    words = Words(source)
    telling = asyncio.create_task(_tell(words, sink))
    try:
        while data := await source.read():
            await sink.write(data)
        words.end()
        await telling
        await sink.close(source.why)
    except Unreachable:
        await source.close(sink.why)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(words: Words, sink: StreamEnd) -> None:
    while (word := await words.next()) is not None:
        await sink.control(word)
