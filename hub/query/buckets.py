"""Points into buckets of equal width: levels, and increases of counters with their resets.

An increase belongs to the time between two readings and is spread over the buckets which that time
touches. So the increases of all buckets add up to the increase of the counter, whatever the step,
and a rate is the increase divided by the time that was really watched.

Source for resets, start times and temporality: the OpenTelemetry metrics data model, "Sums" and
"Resets and gaps", https://opentelemetry.io/docs/specs/otel/metrics/data-model/.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from hub.index.rollup import Rollup
from hub.query.times import NS_PER_S

STREAMS_MAX = 64
"""Counters with different start times that feed one series at a time; a broken sender has more."""

_DELTAS = -1
"""Stands for the start time of the stream that deltas make together."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Buckets [first + i * step, first + (i + 1) * step), cut to the asked range [start, end)."""

    start_ns: int
    end_ns: int
    step_ns: int
    first_ns: int = field(init=False)
    """The start of the first bucket, a multiple of the step since 1970."""

    def __post_init__(self) -> None:
        first_ns = self.start_ns // self.step_ns * self.step_ns
        object.__setattr__(self, "first_ns", first_ns)  # Once: every point asks for it.

    @property
    def count(self) -> int:
        """How many buckets there are."""
        return -(-(self.end_ns - self.first_ns) // self.step_ns)

    def index(self, time_ns: int) -> int:
        """The bucket that a time falls into."""
        return (time_ns - self.first_ns) // self.step_ns

    def cuts(self, since_ns: int, until_ns: int) -> Iterator[tuple[int, int, int]]:
        """The parts of a span that lie in the range: bucket, and where in it they begin and end."""
        first_ns, step_ns = self.first_ns, self.step_ns
        low_ns, end_ns = max(since_ns, self.start_ns), min(until_ns, self.end_ns)
        while low_ns < end_ns:
            index = (low_ns - first_ns) // step_ns
            high_ns = min(first_ns + (index + 1) * step_ns, end_ns)
            yield index, low_ns, high_ns
            low_ns = high_ns


@dataclass(slots=True)
class Bucket:
    """What is known of one series in one bucket.

    `events` and `amount` are increases: of a counter (events only), or of a histogram's count and
    sum. `values` are the readings one by one, where somebody asked for them.
    """

    count: int = 0
    total: float = 0.0
    low: float = 0.0
    high: float = 0.0
    last: float = 0.0
    last_ns: int = -1
    events: float = 0.0
    amount: float = 0.0
    spans: list[list[int]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add_level(self, time_ns: int, value: float) -> None:
        """Take one reading. Of two at the same time the larger is the last one, whoever comes
        first."""
        self.low = min(self.low, value) if self.count else value
        self.high = max(self.high, value) if self.count else value
        self.count += 1
        self.total += value
        if (time_ns, value) > (self.last_ns, self.last):
            self.last_ns, self.last = time_ns, value

    def add_levels(self, row: Rollup) -> None:
        """Take many readings at once."""
        self.low = min(self.low, row.low) if self.count else row.low
        self.high = max(self.high, row.high) if self.count else row.high
        self.count += row.readings
        self.total += row.total
        if (row.last_ns, row.last) > (self.last_ns, self.last):
            self.last_ns, self.last = row.last_ns, row.last


@dataclass(slots=True)
class Stream:
    """One life of one counter: its last reading, and the span that it is watching now."""

    time_ns: int
    events: float
    amount: float
    span: list[int] = field(default_factory=list)
    bucket: int = -1


@dataclass(slots=True)
class Series:
    """One line of a chart. Points and rollups must come in order of time.

    The readings of a rollup must lie in one bucket, or all outside of the range on one side.
    """

    grid: Grid
    gap_ns_max: int
    read_from_ns: int
    buckets: dict[int, Bucket] = field(default_factory=dict)
    streams: dict[int, Stream] = field(default_factory=dict)

    def add_level(self, time_ns: int, value: float) -> None:
        """A reading of something that goes up and down."""
        if self.grid.start_ns <= time_ns < self.grid.end_ns:
            self._bucket(self.grid.index(time_ns)).add_level(time_ns, value)

    def add_value(self, time_ns: int, value: float) -> None:
        """A reading that must be known by itself, for quantiles."""
        if self.grid.start_ns <= time_ns < self.grid.end_ns:
            self._bucket(self.grid.index(time_ns)).values.append(value)

    def add_levels(self, row: Rollup) -> None:
        """Readings of something that goes up and down."""
        if self.grid.start_ns <= row.first_ns < self.grid.end_ns:
            self._bucket(self.grid.index(row.first_ns)).add_levels(row)

    def add_cumulative_row(self, start_ns: int, row: Rollup) -> None:
        """Readings of a counter that began at zero at start_ns."""
        self.add_cumulative(row.first_ns, start_ns, row.first, row.first_amount)
        stream = self.streams[start_ns]
        if row.last_ns > stream.time_ns:
            self._spread(stream, row.last_ns, row.rise, row.rise_amount)
            stream.time_ns = row.last_ns
            stream.events, stream.amount = row.last, row.last_amount

    def add_delta_row(self, row: Rollup) -> None:
        """Amounts that came one after the other, the first of them since `since_ns`."""
        self.add_delta(row.first_ns, row.since_ns, row.first, row.first_amount)
        if row.readings == 1:
            return
        if row.since_ns:
            stream = self.streams.setdefault(_DELTAS, Stream(row.first_ns, 0, 0))
            stream.time_ns = row.first_ns
            self._spread(stream, row.last_ns, row.rise, row.rise_amount)
        else:
            self.add_delta(row.first_ns, 0, row.rise, row.rise_amount)

    def add_cumulative(self, time_ns: int, start_ns: int, events: float, amount: float) -> None:
        """A reading of a counter that began at zero at start_ns, where that is known.

        Another start time is another life of the counter, or another process that counts beside it:
        either way a stream of its own. Without start times, a smaller reading means it began again.
        """
        stream = self.streams.get(start_ns)
        if stream is None:
            stream = self._open(start_ns, time_ns, events, amount)
        elif time_ns > stream.time_ns:
            self._grow(stream, time_ns, events, amount)

    def add_delta(self, time_ns: int, start_ns: int, events: float, amount: float) -> None:
        """An amount that came together between start_ns and time_ns."""
        if 0 < start_ns < time_ns and time_ns - start_ns <= self.gap_ns_max:
            stream = self.streams.setdefault(_DELTAS, Stream(start_ns, 0, 0))
            stream.time_ns = start_ns
            self._spread(stream, time_ns, events, amount)
        elif self.grid.start_ns <= time_ns < self.grid.end_ns:
            bucket = self._bucket(self.grid.index(time_ns))
            bucket.events += events
            bucket.amount += amount

    def _open(self, start_ns: int, time_ns: int, events: float, amount: float) -> Stream:
        stream = Stream(time_ns, events, amount)
        # A sender that does not know when its counter began says that it began with its first
        # reading. So a reading counts from zero only where that first one would have been read.
        if self.read_from_ns <= start_ns < time_ns and time_ns - start_ns <= self.gap_ns_max:
            stream.time_ns = start_ns
            self._spread(stream, time_ns, events, amount)
            stream.time_ns = time_ns
        if len(self.streams) >= STREAMS_MAX:
            del self.streams[min(self.streams, key=lambda key: self.streams[key].time_ns)]
        self.streams[start_ns] = stream
        return stream

    def _grow(self, stream: Stream, time_ns: int, events: float, amount: float) -> None:
        began_again = events < stream.events
        more_events = events if began_again else events - stream.events
        more_amount = amount if began_again else amount - stream.amount
        if time_ns - stream.time_ns <= self.gap_ns_max:
            self._spread(stream, time_ns, more_events, more_amount)
        stream.time_ns, stream.events, stream.amount = time_ns, events, amount

    def _spread(self, stream: Stream, until_ns: int, events: float, amount: float) -> None:
        span_ns = until_ns - stream.time_ns
        if until_ns <= self.grid.start_ns:
            return
        for index, low_ns, high_ns in self.grid.cuts(stream.time_ns, until_ns):
            bucket = self._bucket(index)
            share = (high_ns - low_ns) / span_ns
            bucket.events += events * share
            bucket.amount += amount * share
            _watch(stream, bucket, index, low_ns, high_ns)

    def _bucket(self, index: int) -> Bucket:
        bucket = self.buckets.get(index)
        if bucket is None:
            bucket = self.buckets[index] = Bucket()
        return bucket


def _watch(stream: Stream, bucket: Bucket, index: int, low_ns: int, high_ns: int) -> None:
    if stream.bucket == index and stream.span[1] == low_ns:
        stream.span[1] = high_ns
        return
    stream.bucket, stream.span = index, [low_ns, high_ns]
    bucket.spans.append(stream.span)


def watched_ns(spans: list[list[int]]) -> int:
    """How much time the spans cover together; where they overlap it counts once."""
    if len(spans) < 2:
        return sum(high - low for low, high in spans)
    covered, reached = 0, 0
    for low, high in sorted(spans):
        covered += max(0, high - max(low, reached))
        reached = max(reached, high)
    return covered


def _rate(bucket: Bucket, step_ns: int) -> float | None:
    return bucket.events / ((watched_ns(bucket.spans) or step_ns) / NS_PER_S)


def _mean_amount(bucket: Bucket, step_ns: int) -> float | None:
    return bucket.amount / bucket.events if bucket.events > 0 else None


LEVELS: Mapping[str, Callable[[Bucket, int], float | None]] = {
    "avg": lambda bucket, step_ns: bucket.total / bucket.count,
    "min": lambda bucket, step_ns: bucket.low,
    "max": lambda bucket, step_ns: bucket.high,
    "sum": lambda bucket, step_ns: bucket.total,
    "count": lambda bucket, step_ns: bucket.count,
    "last": lambda bucket, step_ns: bucket.last,
}
"""What can be told of readings: gauges, and sums of any kind."""

COUNTERS: Mapping[str, Callable[[Bucket, int], float | None]] = {
    "rate": _rate,
    "increase": lambda bucket, step_ns: bucket.events,
}
"""What can be told of increases: monotonic sums, and all delta sums."""

DISTRIBUTIONS: Mapping[str, Callable[[Bucket, int], float | None]] = {
    "avg": _mean_amount,
    "rate": _rate,
    "count": lambda bucket, step_ns: bucket.events,
    "sum": lambda bucket, step_ns: bucket.amount,
    "increase": lambda bucket, step_ns: bucket.events,
}
"""What can be told of histograms and summaries, from the increases of their count and sum."""
