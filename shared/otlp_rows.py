"""Stored OTLP bodies as rows for queries: one row per log record, metric point or span.

Both encodings give equal rows. Every field is a JSON value. A row's `index` is its position in the
chunk body, which never changes. Times are Unix nanoseconds, 0 when the sender gave none. Rows are
msgspec structs because frozen dataclasses take ten times longer to make.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from shared.otlp_body import open_body
from shared.otlp_points import MetricPoint, points_of
from shared.otlp_values import Dialect, any_value, attributes_of, dialect_of, event_time, text_value
from shared.records import Encoding, Signal


class LogRow(msgspec.Struct, frozen=True):
    """One log record or event; `time_ns` is the observed time where the record has no own time."""

    index: int
    time_ns: int
    observed_ns: int
    severity_number: int
    severity_text: str
    body: Any
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str
    trace_id: str
    span_id: str
    event_name: str


class SpanRow(msgspec.Struct, frozen=True):
    """One span. `kind` and `status_code` are the integers of the OTLP enums.

    Events are objects with time_ns, name and attributes; links have trace_id, span_id, attributes.
    """

    index: int
    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status_code: int
    status_message: str
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    links: list[dict[str, Any]]
    resource: dict[str, Any]
    scope: str


Origin = tuple[dict[str, Any], str, Any]
"""The resource attributes, the scope name, and the scope message that holds the records."""


def log_rows(encoding: Encoding, body: bytes) -> Iterator[LogRow]:
    """The records of a logs or events body, decompressed, in order; raises BadInput."""
    return _log_rows(dialect_of(encoding), open_body(Signal.LOGS, encoding, body))


def span_rows(encoding: Encoding, body: bytes) -> Iterator[SpanRow]:
    """The spans of a traces body, decompressed, in order; raises BadInput."""
    return _span_rows(dialect_of(encoding), open_body(Signal.TRACES, encoding, body))


def metric_points(encoding: Encoding, body: bytes) -> Iterator[MetricPoint]:
    """The points of a metrics body, decompressed, in order; raises BadInput."""
    return _metric_points(dialect_of(encoding), open_body(Signal.METRICS, encoding, body))


def resource_value(resource: Mapping[str, Any], key: str) -> str:
    """A resource attribute as text, such as "service.name"; "" when it is absent."""
    return text_value(resource, key)


def check(signal: Signal, request: Any) -> None:
    """Walk a decoded JSON request to the bottom; raises BadInput where a query would fail later."""
    for _ in _WALKS[signal](dialect_of(Encoding.JSON), [request]):
        pass  # Making the rows is the check.


def origins(
    dialect: Dialect, requests: Iterable[Any], resources: str, scopes: str
) -> Iterator[Origin]:
    """Every scope of decoded requests with where it belongs, in order; raises BadInput."""
    for request in requests:
        for held in getattr(request, resources) or ():
            resource = attributes_of(dialect, held.resource.attributes) if held.resource else {}
            for scoped in getattr(held, scopes) or ():
                yield resource, (scoped.scope.name or "") if scoped.scope else "", scoped


def _log_rows(dialect: Dialect, requests: Iterable[Any]) -> Iterator[LogRow]:
    index = 0
    for resource, scope, held in origins(dialect, requests, "resource_logs", "scope_logs"):
        for record in held.log_records or ():
            yield log_row(dialect, index, resource, scope, record)
            index += 1


def log_row(
    dialect: Dialect, index: int, resource: dict[str, Any], scope: str, record: Any
) -> LogRow:
    """A decoded log record as a row; raises BadInput when its values are nested too deeply."""
    observed_ns = event_time(record.observed_time_unix_nano)
    return LogRow(
        index,
        event_time(record.time_unix_nano) or observed_ns,
        observed_ns,
        record.severity_number or 0,
        record.severity_text or "",
        any_value(dialect, record.body),
        attributes_of(dialect, record.attributes),
        resource,
        scope,
        dialect.id_text(record.trace_id),
        dialect.id_text(record.span_id),
        record.event_name or "",
    )


def _span_rows(dialect: Dialect, requests: Iterable[Any]) -> Iterator[SpanRow]:
    index = 0
    for resource, scope, held in origins(dialect, requests, "resource_spans", "scope_spans"):
        for span in held.spans or ():
            yield span_row(dialect, index, resource, scope, span)
            index += 1


def span_row(
    dialect: Dialect, index: int, resource: dict[str, Any], scope: str, span: Any
) -> SpanRow:
    """The row of one decoded span, the `index`th of its body; `scope` is that scope's name."""
    return SpanRow(
        index,
        dialect.id_text(span.trace_id),
        dialect.id_text(span.span_id),
        dialect.id_text(span.parent_span_id),
        span.name or "",
        span.kind or 0,
        event_time(span.start_time_unix_nano),
        event_time(span.end_time_unix_nano),
        (span.status.code or 0) if span.status else 0,
        (span.status.message or "") if span.status else "",
        attributes_of(dialect, span.attributes),
        [_event(dialect, event) for event in span.events or ()],
        [_link(dialect, link) for link in span.links or ()],
        resource,
        scope,
    )


def _event(dialect: Dialect, event: Any) -> dict[str, Any]:
    return {
        "time_ns": event_time(event.time_unix_nano),
        "name": event.name or "",
        "attributes": attributes_of(dialect, event.attributes),
    }


def _link(dialect: Dialect, link: Any) -> dict[str, Any]:
    return {
        "trace_id": dialect.id_text(link.trace_id),
        "span_id": dialect.id_text(link.span_id),
        "attributes": attributes_of(dialect, link.attributes),
    }


def _metric_points(dialect: Dialect, requests: Iterable[Any]) -> Iterator[MetricPoint]:
    index = 0
    for resource, scope, held in origins(dialect, requests, "resource_metrics", "scope_metrics"):
        for metric in held.metrics or ():
            for point in points_of(dialect, metric, index, resource, scope):
                yield point
                index += 1


_WALKS: Mapping[Signal, Any] = {
    Signal.LOGS: _log_rows,
    Signal.EVENTS: _log_rows,
    Signal.METRICS: _metric_points,
    Signal.TRACES: _span_rows,
}
