"""The points of one metric, for all five kinds that OTLP knows."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import msgspec

from shared.otlp_values import Dialect, attributes_of, event_time, finite, metric_data

NO_RECORDED_VALUE = 1
"""DataPointFlags: the series says on purpose that it has no value at this time."""


class MetricPoint(msgspec.Struct, frozen=True):
    """One data point.

    `kind` is gauge, sum, histogram, exponential_histogram or summary. `value` is set for gauges and
    sums, `count` and `sum` for the others; a number that is absent or not finite is None. `buckets`
    is a JSON object: bounds, counts, min, max (histogram); scale, zero_count, zero_threshold,
    positive, negative, min, max (exponential_histogram); quantiles as [quantile, value] (summary);
    empty for gauges and sums. `temporality` is 1 for delta, 2 for cumulative, 0 for none.
    """

    index: int
    time_ns: int
    start_ns: int
    name: str
    unit: str
    kind: str
    monotonic: bool
    temporality: int
    value: float | None
    count: int | None
    sum: float | None
    buckets: dict[str, Any]
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str


Numbers = tuple[float | None, int | None, float | None, dict[str, Any]]
"""value, count, sum and buckets of a point."""


def points_of(
    dialect: Dialect, metric: Any, first_index: int, resource: dict[str, Any], scope: str
) -> Iterator[MetricPoint]:
    """The points of a metric message in order, numbered from first_index."""
    found = metric_data(metric)
    if found is None:
        return
    kind, data = found
    numbers_of = _NUMBERS[kind]
    temporality = getattr(data, "aggregation_temporality", 0) or 0
    monotonic = bool(getattr(data, "is_monotonic", False))
    for index, point in zip(count(first_index), data.data_points or (), strict=False):
        value, total, summed, buckets = numbers_of(dialect, point)
        yield MetricPoint(
            index,
            event_time(point.time_unix_nano),
            event_time(point.start_time_unix_nano),
            metric.name or "",
            metric.unit or "",
            kind,
            monotonic,
            temporality,
            value,
            total,
            summed,
            buckets,
            attributes_of(dialect, point.attributes),
            resource,
            scope,
        )


def _is_blank(point: Any) -> bool:
    return bool((point.flags or 0) & NO_RECORDED_VALUE)


def _number(dialect: Dialect, point: Any) -> Numbers:
    if _is_blank(point):
        return None, None, None, {}
    whole = dialect.optional(point, "as_int")
    value = whole if whole is not None else finite(dialect.optional(point, "as_double"))
    return value, None, None, {}


def _histogram(dialect: Dialect, point: Any) -> Numbers:
    if _is_blank(point):
        return None, None, None, {}
    buckets = {
        "bounds": [finite(bound) for bound in point.explicit_bounds or ()],
        "counts": list(point.bucket_counts or ()),
        **_extremes(dialect, point),
    }
    return None, point.count or 0, finite(dialect.optional(point, "sum")), buckets


def _exponential(dialect: Dialect, point: Any) -> Numbers:
    if _is_blank(point):
        return None, None, None, {}
    buckets = {
        "scale": point.scale or 0,
        "zero_count": point.zero_count or 0,
        "zero_threshold": finite(point.zero_threshold or 0.0),
        "positive": _side(dialect.optional(point, "positive")),
        "negative": _side(dialect.optional(point, "negative")),
        **_extremes(dialect, point),
    }
    return None, point.count or 0, finite(dialect.optional(point, "sum")), buckets


def _summary(dialect: Dialect, point: Any) -> Numbers:
    if _is_blank(point):
        return None, None, None, {}
    quantiles = [
        [finite(q.quantile or 0.0), finite(q.value or 0.0)] for q in point.quantile_values or ()
    ]
    return None, point.count or 0, finite(point.sum or 0.0), {"quantiles": quantiles}


def _side(buckets: Any) -> dict[str, Any]:
    if buckets is None:
        return {"offset": 0, "counts": []}
    return {"offset": buckets.offset or 0, "counts": list(buckets.bucket_counts or ())}


def _extremes(dialect: Dialect, point: Any) -> dict[str, Any]:
    return {
        "min": finite(dialect.optional(point, "min")),
        "max": finite(dialect.optional(point, "max")),
    }


_NUMBERS: dict[str, Callable[[Dialect, Any], Numbers]] = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}
