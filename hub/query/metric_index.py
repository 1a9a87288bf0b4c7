"""What queries need of the metric index: the series and rollups of day files that are indexed.

A chunk that an index covers need not be read. All others are: those that came later, and those of
days without an index.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hub.index.rollup import Rollup
from hub.query.picks import EVERYTHING, Picks, PicksByDay
from shared.records import Signal


@dataclass(frozen=True, slots=True)
class IndexedSeries:
    """One series of one day; a counter that began again makes another one. `start_ns` is 0 for
    all that is not cumulative."""

    id: int
    name: str
    unit: str
    kind: str
    temporality: int
    monotonic: bool
    node: str
    start_ns: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


class DayIndex(Protocol):
    """The index of one day file, as it was when it was opened. Every call may raise BadInput."""

    @property
    def day(self) -> int:
        """Days since 1970: chunks whose received_ms falls into it belong here."""
        ...

    @property
    def through(self) -> int:
        """The last chunk of the day that was looked at."""
        ...

    @property
    def opaque(self) -> Collection[int]:
        """The chunks up to there of which nothing is known."""
        ...

    def covers(self, arrival: int) -> bool:
        """Whether all that this chunk of the day tells is in the index."""
        ...

    def candidates(self, name: str) -> set[int]:
        """The covered chunks that name the metric."""
        ...

    def series(
        self, name: str | None, nodes: frozenset[str] | None, start_ns: int, end_ns: int
    ) -> Iterator[IndexedSeries]:
        """The series of a metric, or of all, that have readings in an hour which the range meets."""
        ...

    def names(
        self, nodes: frozenset[str] | None, start_ns: int, end_ns: int
    ) -> Iterator[tuple[str, str, str, str]]:
        """Name, unit, kind and node of all metrics with readings in such an hour."""
        ...

    def rollups(
        self, series_id: int, width_ns: int, start_ns: int, end_ns: int
    ) -> Sequence[Rollup]:
        """The rows of the buckets that meet [start_ns, end_ns), in order of time."""
        ...


class MetricIndexes(Protocol):
    """The indexes that there are."""

    def files(self, start_ns: int, end_ns: int) -> Iterable[DayIndex]:
        """Those of all day files that may hold chunks of the time range; each day once. They stay
        open until the answer is made."""
        ...


def fresh_chunks(days: Mapping[int, DayIndex]) -> PicksByDay:
    """Which chunks must be read although there is an index."""
    return PicksByDay(lambda number, _: _beyond(days.get(number), set()))


def chunks_with(days: Mapping[int, DayIndex], name: str) -> PicksByDay:
    """Which chunks may hold points of the metric."""

    def look_up(number: int, signal: Signal) -> Picks:
        day = days.get(number)
        return EVERYTHING if day is None else _beyond(day, day.candidates(name))

    return PicksByDay(look_up)


def _beyond(day: DayIndex | None, among: set[int]) -> Picks:
    """These chunks of a day, and those that its index does not cover."""
    return EVERYTHING if day is None else Picks(day.through, among | set(day.opaque))
