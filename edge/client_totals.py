"""The totals of a program's counters, as cumulative sums since the program began.

A total is told as a whole each time, so that a lost or late point is made good by the next one. Source:
https://opentelemetry.io/docs/specs/otel/metrics/data-model/#sums.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Metric,
    ScopeMetrics,
)

from edge.client_records import set_number
from edge.client_values import NAME_BYTES_MAX, attributes_of, clean

OVERFLOW: Mapping[str, object] = {"otel.metric.overflow": True}
"""The series that takes what has no room for one of its own, by the specification's name."""

POINT_BYTES = 48
"""What the value and the times of a point take."""


@dataclass(slots=True, eq=False)
class Total:
    """One series. While `waits`, its latest value is on its way and need not be queued again."""

    key: bytes
    start_ns: int
    value: float = 0
    time_ns: int = 0
    waits: bool = False

    @property
    def size_bytes(self) -> int:
        """At least what its frame takes."""
        return len(self.key) + POINT_BYTES

    def add(self, increment: float, time_ns: int) -> None:
        """Count on; the time never precedes the start, also when the clock was set back."""
        self.value += increment
        self.time_ns = max(time_ns, self.start_ns)

    def frame(self) -> bytes:
        """The value of this moment, as frames of edge.client_records are."""
        metric = Metric.FromString(self.key)
        point = metric.sum.data_points[0]
        point.start_time_unix_nano, point.time_unix_nano = self.start_ns, self.time_ns
        set_number(point, self.value)
        return ScopeMetrics(metrics=[metric]).SerializeToString()


class Totals:
    """All series of a process, at most `series_max`, and as many again for what overflows."""

    def __init__(self, start_ns: int, series_max: int, bytes_max: int) -> None:
        self._start_ns = start_ns
        self._series_max = series_max
        self._bytes_max = bytes_max
        self._held: dict[bytes, Total] = {}
        self._bytes = 0

    def find(self, key: bytes) -> Total | None:
        """The series of a `series_key`, or that of its overflow; None when there is no room at all."""
        if key in self._held:
            return self._held[key]
        if len(self._held) < self._series_max and self._bytes + len(key) <= self._bytes_max:
            return self._begin(key)
        key = _overflow_of(key)
        if key in self._held or len(self._held) < 2 * self._series_max:
            return self._held.get(key) or self._begin(key)
        return None

    def _begin(self, key: bytes) -> Total:
        self._bytes += len(key)
        return self._held.setdefault(key, Total(key, self._start_ns))


def series_key(name: str, unit: str, attributes: Mapping[str, object]) -> bytes:
    """A series is its metric without value and times; the order of attributes makes no difference."""
    metric = Metric(name=clean(name, NAME_BYTES_MAX), unit=clean(unit, NAME_BYTES_MAX))
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.sum.is_monotonic = True
    ordered = dict(sorted(attributes.items()))
    metric.sum.data_points.add(attributes=attributes_of(ordered).pairs)
    return metric.SerializeToString()


def _overflow_of(key: bytes) -> bytes:
    metric = Metric.FromString(key)
    del metric.sum.data_points[:]
    metric.sum.data_points.add(attributes=attributes_of(OVERFLOW).pairs)
    return metric.SerializeToString()
