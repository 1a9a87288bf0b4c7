"""Stamps of this hub that no restart and no clock set back can make again."""

from dataclasses import dataclass

from hub.store import hub_table
from shared.runtime import Runtime
from shared.sqlite import Database
from shared.stamp import HybridClock, Stamp

AHEAD_MS = 10_000
_KEY = "stamp_ms"


@dataclass(slots=True)
class Stamps:
    """Writes down how far the clock may go before it goes there."""

    clock: HybridClock
    database: Database
    runtime: Runtime
    _through_ms: int = 0

    async def load(self) -> None:
        """Go on where the last run may have been."""
        stored = await self.database.write(lambda db: hub_table.meta(db, _KEY, "0"))
        self._through_ms = self.clock.high_water_ms = int(stored)

    async def next(self) -> Stamp:
        """A new stamp, later than all that this hub made or follows."""
        stamp = self.clock.next(self.runtime.wall_ms())
        await self.settle()
        return stamp

    async def settle(self) -> None:
        """Return once the last stamp that was made may be used."""
        if self.clock.reached_ms < self._through_ms:
            return
        through_ms = self.clock.reached_ms + AHEAD_MS
        ahead = str(through_ms)
        await self.database.write(lambda db: hub_table.set_meta(db, _KEY, ahead))
        self._through_ms = max(self._through_ms, through_ms)
