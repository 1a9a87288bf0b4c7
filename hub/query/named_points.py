"""The points of one metric in a chunk body, without making rows of all the others.

A host sends some hundred metrics at a time and a chart shows one, so this is what makes charts
quick.
"""

from collections.abc import Iterator
from typing import Any

from shared.otlp_body import open_body
from shared.otlp_points import MetricPoint, points_of
from shared.otlp_values import attributes_of, dialect_of, metric_data
from shared.records import Encoding, Signal


def named_points(encoding: Encoding, body: bytes, name: str | None) -> Iterator[MetricPoint]:
    """The points of the metric, or of all, in order, with `index` 0 and up for each; raises
    BadInput."""
    dialect = dialect_of(encoding)
    for held, scope, metric in _metrics(encoding, body):
        if name is None or metric.name == name:
            resource = attributes_of(dialect, held.resource.attributes) if held.resource else {}
            yield from points_of(dialect, metric, 0, resource, scope)


def metric_kinds(encoding: Encoding, body: bytes) -> Iterator[tuple[str, str, str]]:
    """Name, unit and kind of every metric that has points; raises BadInput."""
    for _, _, metric in _metrics(encoding, body):
        found = metric_data(metric)
        if found is not None and metric.name:
            yield metric.name, metric.unit or "", found[0]


def _metrics(encoding: Encoding, body: bytes) -> Iterator[tuple[Any, str, Any]]:
    for request in open_body(Signal.METRICS, encoding, body):
        for held in request.resource_metrics or ():
            for scoped in held.scope_metrics or ():
                scope = (scoped.scope.name or "") if scoped.scope else ""
                for metric in scoped.metrics or ():
                    yield held, scope, metric
