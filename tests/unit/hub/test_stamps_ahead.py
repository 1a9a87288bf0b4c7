"""A stamp leaves this hub only when what is written down is ahead of it, however long a write takes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from hub.stamps import AHEAD_MS, Stamps
from shared.runtime import Runtime
from shared.sqlite import Database
from shared.stamp import HybridClock


@dataclass
class Stalled:
    """A disk and a clock: writes take so many seconds, one after the other, and then none."""

    stalls_ms: list[int]
    now_ms: int = 1_000_000
    writes: int = 0
    through: list[str] = field(default_factory=list)

    def wall_ms(self) -> int:
        return self.now_ms

    async def write(self, job: Callable[[Any], None]) -> None:
        self.writes += 1
        job(self)
        self.now_ms += self.stalls_ms.pop(0) if self.stalls_ms else 0

    def execute(self, statement: str, values: tuple[str, bytes]) -> None:
        """What a job does with its connection."""
        self.through.append(values[1].decode())


async def test_a_write_that_takes_longer_than_it_is_ahead_is_made_again() -> None:
    """Else a push to peers would overtake the mark: after a crash the same stamp could be made again."""
    disk, clock = Stalled([3 * AHEAD_MS, 2 * AHEAD_MS]), HybridClock("hub-1")
    stamps = Stamps(clock, cast(Database, disk), cast(Runtime, disk))
    await stamps.ahead()
    made = clock.next(disk.wall_ms())
    assert disk.writes == 3
    assert made.wall_ms < int(disk.through[-1])
    await stamps.ahead()
    assert disk.writes == 3
