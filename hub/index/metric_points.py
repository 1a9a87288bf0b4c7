"""A metric point as a row of one reading, and the stream that it belongs to."""

from hub.index.rollup import Growth, Rollup, growth_of, reading
from shared.otlp_points import MetricPoint


def row_of(time_ns: int, point: MetricPoint) -> Rollup | None:
    """A point as a row of one reading; None when it has no value."""
    value: float | None
    if point.kind in ("gauge", "sum"):
        value, amount = point.value, 0.0
    else:
        value, amount = point.count, point.sum or 0.0
    return None if value is None else reading(time_ns, value, amount, _since_ns(point))


def _since_ns(point: MetricPoint) -> int:
    growth = growth_of(point.kind, point.monotonic, point.temporality)
    return point.start_ns if growth is Growth.DELTA else 0


def stream_start_ns(point: MetricPoint) -> int:
    """What tells one life of a counter from the next; 0 where there is only one."""
    growth = growth_of(point.kind, point.monotonic, point.temporality)
    return point.start_ns if growth is Growth.CUMULATIVE else 0
