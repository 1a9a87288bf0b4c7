"""Samples as OTLP numbers: what every kind of family has in common, and those without buckets.

Names stay as the target wrote them, `_total` and all, so that they are found under the names of its
documentation. Numbers are doubles, as in Prometheus. Source:
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Exemplar,
    Metric,
    NumberDataPoint,
)
from prometheus_client.samples import Sample, Timestamp

from shared.errors import BadInput
from shared.otlp_make import key_values
from shared.otlp_values import TIME_NS_MAX
from shared.receive.exposition import Family

POINTS_MAX = 1000
"""Points in one Metric message: larger ones are cut, so that parts can be kept small."""

_SUMS = {"counter": True, "info": False, "stateset": False}
"""Kinds that are sums in OTLP, and whether they only grow."""

Labels = tuple[tuple[str, str], ...]
"""The labels of a series in the order of their names."""

Point = TypeVar("Point")


@dataclass(frozen=True, slots=True)
class Moment:
    """When a target was asked, in Unix nanoseconds, and whether its own times count."""

    time_ns: int
    honour_timestamps: bool = True

    def of(self, sample: Sample) -> int:
        """The time of a sample in Unix nanoseconds; raises BadInput for one that cannot be."""
        if sample.timestamp is None or not self.honour_timestamps:
            return self.time_ns
        return unix_ns(sample.timestamp, sample.name)


def unix_ns(time: float | Timestamp, name: str) -> int:
    """Seconds since 1970 as nanoseconds; raises BadInput outside of what OTLP and SQLite hold."""
    if isinstance(time, Timestamp):
        found = time.sec * 10**9 + time.nsec
    elif math.isfinite(time):
        found = round(time * 1e6) * 1000  # A double holds today's seconds to the microsecond.
    else:
        found = 0
    if not 0 < found <= TIME_NS_MAX:
        raise BadInput(f"{name[:80]} has the time {str(time)[:40]}, in seconds since 1970")
    return found


def number_metrics(
    family: Family, samples: Iterable[Sample], moment: Moment, starts: Mapping[Labels, int]
) -> Iterator[Metric]:
    """Each sample as a point of its own under its own name."""
    by_name: dict[str, list[NumberDataPoint]] = {}
    for sample in samples:
        point = _point(sample, moment, starts.get(labels_of(sample.labels), 0))
        by_name.setdefault(sample.name, []).append(point)
    for name, points in by_name.items():
        for some in blocks(points):
            yield _metric(name, family, some)


def described(name: str, family: Family) -> Metric:
    """A metric without points yet; its metadata tell the kind that Prometheus knows."""
    kind = key_values({"prometheus.type": family.kind})
    return Metric(name=name, description=family.text, unit=family.unit, metadata=kind)


def exemplars_of(samples: Iterable[Sample]) -> list[Exemplar]:
    """The exemplars that OpenMetrics hangs on samples."""
    return [
        Exemplar(
            time_unix_nano=unix_ns(held.timestamp, sample.name) if held.timestamp else 0,
            as_double=double(held.value),
            filtered_attributes=key_values(held.labels),
        )
        for sample in samples
        if (held := sample.exemplar)
    ]


def starts_of(family: Family) -> dict[Labels, int]:
    """When the series of a family began to count, in Unix nanoseconds, where OpenMetrics tells it."""
    return {
        labels_of(sample.labels): unix_ns(double(sample.value), sample.name)
        for sample in family.samples
        if is_created(family, sample) and sample.value > 0
    }


def is_created(family: Family, sample: Sample) -> bool:
    """Whether the sample only tells when its series began."""
    return sample.name == f"{family.name}_created" and family.kind != "unknown"


def labels_of(labels: Mapping[str, str]) -> Labels:
    """What tells a series from its sisters, whatever the order of writing."""
    return tuple(sorted(labels.items()))


def double(value: float) -> float:
    """A number of the text as OTLP holds it."""
    try:
        return float(value)
    except OverflowError:  # An integer of hundreds of digits is as good as endless.
        return math.inf if value > 0 else -math.inf


def blocks(points: Sequence[Point]) -> Iterator[Sequence[Point]]:
    """The points in blocks of at most POINTS_MAX."""
    return (points[at : at + POINTS_MAX] for at in range(0, len(points), POINTS_MAX))


def _point(sample: Sample, moment: Moment, start_ns: int) -> NumberDataPoint:
    return NumberDataPoint(
        time_unix_nano=moment.of(sample),
        start_time_unix_nano=start_ns,
        attributes=key_values(sample.labels),
        as_double=double(sample.value),
        exemplars=exemplars_of([sample]),
    )


def _metric(name: str, family: Family, points: Sequence[NumberDataPoint]) -> Metric:
    metric = described(name, family)
    if family.kind not in _SUMS:
        metric.gauge.data_points.extend(points)
        return metric
    metric.sum.data_points.extend(points)
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.sum.is_monotonic = _SUMS[family.kind]
    return metric
