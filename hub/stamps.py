"""Stamps of this hub that no restart and no clock set back can make again."""

from dataclasses import dataclass

from hub.store import hub_table
from shared.runtime import Runtime
from shared.sqlite import Database
from shared.stamp import HybridClock, Stamp

AHEAD_MS = 10_000
MARGIN_MS = 1_000  # A commit or two, between the look at the clock and the stamp.
_KEY = "stamp_ms"


@dataclass(slots=True)
class Stamps:
    """Writes down how far the clock may go before it goes there."""

    clock: HybridClock
    database: Database
    runtime: Runtime
    _through_ms: int = 0
    _asked_ms: int = 0

    async def load(self) -> None:
        """Go on where the last run may have been."""
        stored = await self.database.write(lambda db: hub_table.meta(db, _KEY, "0"))
        self._through_ms = self.clock.high_water_ms = int(stored)

    async def next(self) -> Stamp:
        """A new stamp, later than all that this hub made or follows."""
        await self.ahead()  # Nor is a stamp made again that a power cut kept from being used.
        stamp = self.clock.next(self.runtime.wall_ms())
        await self.settle()
        return stamp

    async def ahead(self) -> None:
        """Return once stamps that are made now may be used at once: nothing that leaves with one, as
        pushes to peers do by themselves, may overtake what is written down of it."""
        # A disk that stalls may take longer than what was written is ahead.
        while (soon_ms := self._soon_ms()) >= self._through_ms:
            await self._write(soon_ms + AHEAD_MS)

    def _soon_ms(self) -> int:
        clock = self.clock
        return MARGIN_MS + max(clock.reached_ms, clock.high_water_ms, self.runtime.wall_ms())

    async def settle(self) -> None:
        """Return once the last stamp that was made may be used."""
        if self.clock.reached_ms < self._through_ms:
            return
        await self._write(self.clock.reached_ms + AHEAD_MS)

    async def _write(self, through_ms: int) -> None:
        # Jobs are run in the order in which they were handed in, so what is on disk only grows.
        self._asked_ms = ahead_ms = max(self._asked_ms, through_ms)
        await self.database.write(lambda db: hub_table.set_meta(db, _KEY, str(ahead_ms)))
        self._through_ms = max(self._through_ms, ahead_ms)
