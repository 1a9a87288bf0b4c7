"""Stamps: a hybrid logical clock that only hubs make.

Source: Kulkarni, Demirbas et al., "Logical Physical Clocks" (2014). A stamp is totally ordered by
`(wall_ms, counter, hub_id)`; merging compares stamps and never reads a clock.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

Storable = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What SQLite and JSON can hold: a stamp may be ahead of its time, but it must be written down."""


class Stamp(msgspec.Struct, frozen=True, order=True, array_like=True):
    """When an intent was written, and by which hub."""

    wall_ms: Storable
    counter: Storable
    hub_id: str


ZERO = Stamp(0, 0, "")
"""Older than everything that was ever stamped."""


@dataclass(slots=True)
class HybridClock:
    """Makes stamps that only grow, whatever the wall clock does.

    `high_water_ms` is persisted ahead of use by the owner: after a restart no stamp is issued below it.
    """

    hub_id: str
    high_water_ms: int = 0
    _last: tuple[int, int] = (0, 0)

    def next(self, wall_ms: int) -> Stamp:
        """A stamp later than every one made or witnessed before."""
        last_ms, counter = max(self._last, (self.high_water_ms, 0))
        self._last = (wall_ms, 0) if wall_ms > last_ms else (last_ms, counter + 1)
        return Stamp(*self._last, self.hub_id)

    def witness(self, stamp: Stamp) -> None:
        """Make the next stamp later than one that came from another hub."""
        self._last = max(self._last, (stamp.wall_ms, stamp.counter))

    @property
    def reached_ms(self) -> int:
        """The largest wall part given out or seen; what must be persisted."""
        return self._last[0]
