"""Where points come from: what all points of one stream have in common, read or indexed."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from hub.index.metric_points import stream_start_ns
from hub.index.rollup import Growth, growth_of
from hub.query.metric_index import IndexedSeries
from shared.otlp_points import MetricPoint

_SERVICE_KEYS = ("service.namespace", "service.name", "service.instance.id")


class Source(NamedTuple):
    """One stream of points: equal sources are one. `labels` are the attributes of the series,
    those of its service included, as sorted JSON."""

    node: str
    labels: bytes
    unit: str
    kind: str
    temporality: int
    monotonic: bool
    start_ns: int

    @property
    def growth(self) -> Growth:
        """How its points tell of increases."""
        return growth_of(self.kind, self.monotonic, self.temporality)

    @property
    def is_number(self) -> bool:
        """Whether a point is one number, rather than a distribution."""
        return self.kind in ("gauge", "sum")

    @property
    def default_aggregation(self) -> str:
        """What people mean when they only name the metric."""
        if self.kind == "sum" and self.monotonic:
            return "rate"
        return "sum" if self.kind == "sum" and self.growth is Growth.DELTA else "avg"


def source_of_point(node: str, point: MetricPoint) -> Source:
    """Of a point in a chunk."""
    labels = encode_labels(point.attributes, point.resource)
    kind, temporality, monotonic = point.kind, point.temporality, point.monotonic
    start_ns = stream_start_ns(point)
    return Source(node, labels, point.unit, kind, temporality, monotonic, start_ns)


def source_of_series(series: IndexedSeries) -> Source:
    """Of a series in an index."""
    labels = encode_labels(series.attributes, series.resource)
    kind, temporality, monotonic = series.kind, series.temporality, series.monotonic
    return Source(series.node, labels, series.unit, kind, temporality, monotonic, series.start_ns)


def encode_labels(attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> bytes:
    """What tells one series of a metric and node from another."""
    services = {key: resource[key] for key in _SERVICE_KEYS if key in resource}
    return msgspec.json.encode({**services, **attributes}, order="sorted")
