"""The indexes of all days for one question: opened when they are needed, closed when it is answered.

An index that cannot be read is as one that is not there: its chunks are read instead.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from hub.index.files import index_path, open_for_read
from hub.index.log_reader import LogIndex
from hub.index.metric_reader import MetricDay
from hub.index.trace_reader import TraceIndex
from hub.query.histogram import Bin
from hub.query.needs import Needs
from hub.query.picks import EVERYTHING, Picks, PicksByDay
from hub.query.scan import Held
from hub.store.days import DAY_MS, DayKey, day_span_ms, place_of
from hub.store.reader import StoreReader
from shared.errors import BadInput
from shared.records import Signal

log = logging.getLogger(__name__)

Index = TypeVar("Index", LogIndex, MetricDay, TraceIndex)


class Indexes:
    """What a question may ask of indexes. For one thread; leave its block when it is answered."""

    def __init__(self, folder: Path, identity: str, reader: StoreReader) -> None:
        self._folder = folder
        self._identity = identity
        self._reader = reader
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    def logs(self, needs: Needs) -> "LogLookup | None":
        """Tells which chunks may hold what a question about logs needs; None when all may."""
        return None if needs.prune_nothing else LogLookup(needs, self._opened_log)

    def bins(self, signal: Signal, start_ns: int, end_ns: int) -> "BinLookup":
        """The sums of records by time."""
        days: dict[DayKey, tuple[LogIndex, Picks]] = {}
        for key in self._reader.days(signal, start_ns, end_ns):
            index = self._opened_log(key)
            if index is not None and (missed := _missed(index)) is not None:
                days[key] = index, missed
        return BinLookup(days)

    def metrics(self) -> "MetricLookup":
        """The rollups of metrics."""
        return MetricLookup(self._reader, self._opened_metrics)

    def traces(self) -> "TraceLookup":
        """What is known of traces."""
        keys = self._reader.days(Signal.TRACES, 0, 2**63 - 1)
        opened = ((key, self._opened(key, TraceIndex)) for key in keys)
        return TraceLookup(self._reader, {key: day for key, day in opened if day is not None})

    def _opened_log(self, key: DayKey) -> LogIndex | None:
        return self._opened(key, LogIndex)

    def _opened_metrics(self, key: DayKey) -> MetricDay | None:
        return self._opened(key, partial(MetricDay, day=_day_number(key)))

    def _opened(self, key: DayKey, make: Callable[..., Index]) -> Index | None:
        path = index_path(self._folder, key.day, key.signal)
        connection = open_for_read(path, self._identity)
        if connection is None:
            return None
        try:
            index = make(connection)
        except BadInput as error:
            log.warning("%s", error)
            connection.close()
            return None
        self._open.callback(index.close)
        return index


def _missed(index: LogIndex) -> Picks | None:
    """The chunks that are in no sum; None when the index cannot be read."""
    try:
        return Picks(index.through, index.unbinned())
    except BadInput as error:
        log.warning("%s", error)
        return None


def _day_number(key: DayKey) -> int:
    return day_span_ms(key.day)[0] // DAY_MS


class LogLookup:
    """Which chunks may hold what is needed, looked up once for each day."""

    def __init__(self, needs: Needs, opened: Callable[[DayKey], LogIndex | None]) -> None:
        self._needs = needs
        self._opened = opened
        self._picks = PicksByDay(self._look_up)

    @property
    def may_hold(self) -> PicksByDay:
        """No only for chunks that surely have no hit."""
        return self._picks

    def _look_up(self, day: int, signal: Signal) -> Picks:
        index = self._opened(place_of(day * DAY_MS, signal))
        if index is None:
            return EVERYTHING
        try:
            candidates = index.candidates(self._needs)
        except BadInput as error:
            log.warning("%s", error)
            return EVERYTHING
        return EVERYTHING if candidates is None else Picks(index.through, candidates)


class BinLookup:
    """The sums of all indexed chunks of one signal."""

    def __init__(self, days: dict[DayKey, tuple[LogIndex, Picks]]) -> None:
        """Of each day its index, and which chunks that index has in no sum."""
        self._days = [index for index, _ in days.values()]
        self._missed = {(_day_number(key), key.signal): each for key, (_, each) in days.items()}
        self.uncovered = PicksByDay(lambda *day: self._missed.get(day, EVERYTHING))
        """The chunks whose records are not in the sums."""

    def covers(self, arrival: int, received_ms: int, signal: Signal) -> bool:
        """Whether the records of this chunk are in the sums."""
        missed = self._missed.get((received_ms // DAY_MS, signal))
        return missed is not None and arrival <= missed.through and arrival not in missed.among

    def bins(
        self,
        start_s: int,
        end_s: int,
        nodes: Collection[str] | None = None,
        severity_min: int = 0,
        service: str | None = None,
    ) -> Iterator[Bin]:
        """The bins that begin in [start_s, end_s); raises BadInput."""
        for index in self._days:
            yield from index.bins(start_s, end_s, nodes, severity_min, service)

    def sums(
        self,
        start_s: int,
        end_s: int,
        step_s: int,
        nodes: Collection[str] | None = None,
        severity_min: int = 0,
        service: str | None = None,
    ) -> Iterator[tuple[int, int, int]]:
        """(start of the step, severity number, records) of the same bins; raises BadInput."""
        for index in self._days:
            yield from index.sums(start_s, end_s, step_s, nodes, severity_min, service)


class MetricLookup:
    """The metric indexes of the days that a range meets."""

    def __init__(self, reader: StoreReader, opened: Callable[[DayKey], MetricDay | None]) -> None:
        self._reader = reader
        self._opened = opened

    def files(self, start_ns: int, end_ns: int) -> Iterable[MetricDay]:
        """Those of all day files that may hold chunks of the time range; each day once."""
        keys = self._reader.days(Signal.METRICS, start_ns, end_ns)
        return [day for key in keys if (day := self._opened(key)) is not None]


class TraceLookup:
    """The trace indexes of all days."""

    def __init__(self, reader: StoreReader, days: dict[DayKey, TraceIndex]) -> None:
        self._reader = reader
        self._days = days

    def days(self) -> Sequence[TraceIndex]:
        """Those that can be read."""
        return list(self._days.values())

    def chunks(self, arrivals: Collection[int]) -> Iterator[Held]:
        """The chunks with these numbers, as far as they are still here, in any order."""
        return self._reader.chunks(arrivals)

    def rest(self, *, nodes: Collection[str] | None, start_ns: int, end_ns: int) -> Iterator[Held]:
        """The chunks of traces that no day covers, latest first, lazily."""
        return self._reader.find(
            signals={Signal.TRACES},
            nodes=nodes,
            start_ns=start_ns,
            end_ns=end_ns,
            may_hold=PicksByDay(self._not_covered),
        )

    def _not_covered(self, day: int, signal: Signal) -> Picks:
        index = self._days.get(place_of(day * DAY_MS, signal))
        return EVERYTHING if index is None else Picks(index.through, index.opaque)
