"""Quantiles: of readings, and of histograms by the increases of their buckets.

Within a bucket values are taken as evenly spread, as histogram_quantile of Prometheus does
(https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile): a quantile in
the highest bucket is its lower bound, and the lowest bucket begins at 0 where it ends above 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, isinf
from typing import Any

from hub.index.rollup import Growth
from hub.query.buckets import STREAMS_MAX, Grid

Shape = Mapping[tuple[float, float], float]
"""How many values lie in (low, high], by these two bounds."""

_EXPONENT_MAX = 1024  # Of a double; the smallest has -1074.
_EXPONENT_MIN = -1074


def quantile_of(values: Sequence[float], quantile: float) -> float | None:
    """The value that this share of the readings is below, between the two nearest ones."""
    if not values:
        return None
    ordered = sorted(values)
    rank = quantile * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def quantile_of_shape(shape: Shape, quantile: float) -> float | None:
    """The same of a histogram; None when it is empty, or has no bounds."""
    filled = sorted((bounds, count) for bounds, count in shape.items() if count > 0)
    rank = quantile * sum(count for _, count in filled)
    for (low, high), count in filled:
        if rank <= count:
            return _inside(low, high, rank / count)
        rank -= count
    # The sum of shares may miss the whole by a rounding.
    return _inside(*filled[-1][0], 1.0) if filled else None


def shape_of(kind: str, buckets: Mapping[str, Any]) -> Shape | None:
    """The buckets of a point, as MetricPoint has them; None when they cannot be understood."""
    if kind == "histogram":
        return _explicit(buckets.get("bounds") or [], buckets.get("counts") or [])
    return _exponential(buckets) if kind == "exponential_histogram" and buckets else None


@dataclass(slots=True)
class _Life:
    """One life of one histogram: its last reading."""

    time_ns: int
    shape: Shape


@dataclass(slots=True)
class ShapeSeries:
    """Increases of a histogram's buckets, step by step. Points must come in order of time."""

    grid: Grid
    gap_ns_max: int
    read_from_ns: int
    buckets: dict[int, dict[tuple[float, float], float]] = field(default_factory=dict)
    lives: dict[int, _Life] = field(default_factory=dict)

    def add(self, time_ns: int, start_ns: int, growth: Growth, shape: Shape) -> None:
        """Take the next point; `start_ns` is when it began to count, 0 when that is unknown."""
        if growth is Growth.DELTA:
            self._add_delta(time_ns, start_ns, shape)
            return
        life = self.lives.get(start_ns)
        if life is None:
            if self.read_from_ns <= start_ns < time_ns:
                self._spread(start_ns, time_ns, shape)
            if len(self.lives) >= STREAMS_MAX:
                del self.lives[min(self.lives, key=lambda key: self.lives[key].time_ns)]
            self.lives[start_ns] = _Life(time_ns, shape)
        elif time_ns > life.time_ns:
            more = _increase(life.shape, shape)
            if more is not None:
                self._spread(life.time_ns, time_ns, more)
            life.time_ns, life.shape = time_ns, shape

    def _add_delta(self, time_ns: int, start_ns: int, shape: Shape) -> None:
        if 0 < start_ns < time_ns and time_ns - start_ns <= self.gap_ns_max:
            self._spread(start_ns, time_ns, shape)
        elif self.grid.start_ns <= time_ns < self.grid.end_ns:
            self._add_share(self.grid.index(time_ns), shape, 1.0)

    def _spread(self, since_ns: int, until_ns: int, shape: Shape) -> None:
        span_ns = until_ns - since_ns
        if span_ns > self.gap_ns_max:
            return
        for index, low_ns, high_ns in self.grid.cuts(since_ns, until_ns):
            self._add_share(index, shape, (high_ns - low_ns) / span_ns)

    def _add_share(self, index: int, shape: Shape, share: float) -> None:
        held = self.buckets.setdefault(index, {})
        for bounds, count in shape.items():
            if count:
                held[bounds] = held.get(bounds, 0.0) + count * share


def _inside(low: float, high: float, share: float) -> float | None:
    if isinf(high):
        return None if isinf(low) else low
    if isinf(low):
        if high <= 0:
            return high
        low = 0.0
    return low + (high - low) * share


def _explicit(bounds: Sequence[float | None], counts: Sequence[int]) -> Shape | None:
    if len(counts) != len(bounds) + 1:
        return None
    known = [bound for bound in bounds if bound is not None]
    edges = [-inf, *known, inf]
    if len(known) != len(bounds) or any(low >= high for low, high in pairwise(edges)):
        return None
    return dict(zip(pairwise(edges), counts, strict=True))


def _exponential(buckets: Mapping[str, Any]) -> Shape:
    zero = abs(buckets["zero_threshold"] or 0.0)
    shape: dict[tuple[float, float], float] = {(-zero, zero): buckets["zero_count"]}
    for low, high, count in _side(buckets["scale"], buckets["positive"]):
        shape[low, high] = shape.get((low, high), 0) + count
    for low, high, count in _side(buckets["scale"], buckets["negative"]):
        shape[-high, -low] = shape.get((-high, -low), 0) + count
    return shape


def _side(scale: int, side: Mapping[str, Any]) -> Iterator[tuple[float, float, int]]:
    """Bucket i holds (base^i, base^(i + 1)], where base = 2^(2^-scale): the OTLP data model."""
    for index, count in enumerate(side["counts"], side["offset"]):
        if count:
            yield _bound(index, scale), _bound(index + 1, scale), count


def _bound(index: int, scale: int) -> float:
    exponent = index * 2.0 ** min(max(-scale, -_EXPONENT_MAX), 64)
    if exponent >= _EXPONENT_MAX:
        return inf
    return 0.0 if exponent < _EXPONENT_MIN else float(2.0**exponent)


def _increase(before: Shape, after: Shape) -> Shape | None:
    """What came between two readings; None when their buckets cannot be compared."""
    if sum(after.values()) < sum(before.values()):
        return after  # It began again.
    same = _in_buckets_of(before, after)
    if same is None:
        return None
    if any(after[bounds] < count for bounds, count in same.items()):
        return after
    return {bounds: count - same.get(bounds, 0) for bounds, count in after.items()}


def _in_buckets_of(before: Shape, after: Shape) -> Shape | None:
    """The earlier reading in the buckets of the later one, which may be wider, never narrower: so
    exponential histograms make room."""
    same: dict[tuple[float, float], float] = {}
    others: list[tuple[float, float]] | None = None
    for bounds, count in before.items():
        if not count:
            continue
        home: tuple[float, float] | None = bounds
        if bounds not in after:
            others = sorted(after) if others is None else others
            home = next((o for o in others if o[0] <= bounds[0] and bounds[1] <= o[1]), None)
        if home is None:
            return None
        same[home] = same.get(home, 0) + count
    return same
