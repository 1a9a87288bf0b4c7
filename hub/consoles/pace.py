"""How much a viewer may be sent that it has not taken in yet. A browser's socket has no brake of its
own: without this, a machine that prints without end would fill the browser's memory."""

import asyncio
from dataclasses import dataclass, field

from shared.errors import BadInput
from shared.streams import WINDOW_BYTES


@dataclass(slots=True)
class Pace:
    """Bytes sent to one viewer, and taken in by it. Who never says what it takes in is not held back."""

    sent_bytes: int = 0
    _taken_bytes: int | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def taken(self, total: object) -> None:
        """The viewer says how many bytes it has taken in since the beginning; raises BadInput."""
        least = self._taken_bytes or 0
        if type(total) is not int or not least <= total <= self.sent_bytes:
            raise BadInput("taken must be the number of bytes that were taken in so far")
        self._taken_bytes = total
        self._news.set()

    async def room(self) -> None:
        """Wait until something may be sent."""
        while self._taken_bytes is not None and self.sent_bytes - self._taken_bytes >= WINDOW_BYTES:
            self._news.clear()
            await self._news.wait()
