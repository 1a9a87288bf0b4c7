"""Which chunks of each day may hold what is wanted, told without asking about one after the other.

A store that keeps a million chunks finds a handful of them by their numbers in no time, but asking
about each of the million takes seconds.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from shared.records import Signal

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Picks:
    """Of one day and signal: the chunks with these arrival numbers, and all that came after `through`.

    `among` may name chunks of other days, or such as are gone.
    """

    through: int = 0
    among: Collection[int] = ()

    def __contains__(self, arrival: object) -> bool:
        return isinstance(arrival, int) and (arrival > self.through or arrival in self.among)


EVERYTHING = Picks()


class PicksByDay:
    """A `MayHold` that also answers for whole days; `look_up` is asked once about each of them.

    Days count from 1970; a chunk belongs to that of its received_ms.
    """

    def __init__(self, look_up: Callable[[int, Signal], Picks]) -> None:
        self._look_up = look_up
        self._known: dict[tuple[int, Signal], Picks] = {}

    def __call__(self, arrival: int, received_ms: int, signal: Signal) -> bool:
        picks = self.of_day(received_ms // DAY_MS, signal)
        return arrival > picks.through or arrival in picks.among

    def of_day(self, day: int, signal: Signal) -> Picks:
        """What of a day may hold what is wanted."""
        picks = self._known.get((day, signal))
        if picks is None:
            picks = self._known[day, signal] = self._look_up(day, signal)
        return picks
