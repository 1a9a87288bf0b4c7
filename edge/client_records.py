"""What a program says of itself as OTLP, bounded, and never an error whatever it hands over.

Each record becomes a frame: a ScopeLogs, ScopeMetrics or ScopeSpans with one record in it. Frames that
are joined are one message with all their records, since appended protobuf messages merge by
definition (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
"""

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from edge.client_values import NAME_BYTES_MAX, TEXT_BYTES_MAX, attributes_of, clean, is_int64
from shared.records import Signal
from shared.signals import SEVERITIES

SCOPE = "headwater.client"

_ALIASES = {"warning": "warn", "critical": "fatal", "notset": "trace"}
_LEVELS = ((50, "fatal"), (40, "error"), (30, "warn"), (20, "info"), (10, "debug"))
# What every record of the logging module carries anyway; the rest came in through `extra`.
_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@dataclass(frozen=True, slots=True)
class Place:
    """A span in a trace, by the ids of W3C Trace Context; none of it set outside of any span."""

    trace_id: bytes = b""
    span_id: bytes = b""


def log_frame(
    time_ns: int,
    text: object,
    severity: str,
    attributes: Mapping[str, object],
    place: Place,
    event_name: str = "",
) -> bytes:
    """A log record; with an event name it is an event. An unknown severity is kept as its text."""
    found = attributes_of(attributes)
    folded = clean(severity, NAME_BYTES_MAX).lower()
    known = _ALIASES.get(folded, folded)
    record = LogRecord(
        time_unix_nano=time_ns,
        observed_time_unix_nano=time_ns,
        severity_number=SEVERITIES.get(known, 0),  # type: ignore[arg-type]  # An open enum.
        severity_text=known.upper(),
        body=AnyValue(string_value=clean(text, TEXT_BYTES_MAX)),
        attributes=found.pairs,
        dropped_attributes_count=found.dropped,
        trace_id=place.trace_id,
        span_id=place.span_id,
        event_name=clean(event_name, NAME_BYTES_MAX),
    )
    return ScopeLogs(log_records=[record]).SerializeToString()


def logging_frame(record: logging.LogRecord, place: Place) -> bytes:
    """A record of the logging module, with its `extra` and its exception as attributes.

    Raises whatever the formatting of its message raises.
    """
    attributes: dict[str, object] = {
        "logger.name": record.name,
        "code.file.path": record.pathname,
        "code.line.number": record.lineno,
        "code.function.name": record.funcName,
        "thread.name": record.threadName,
    }
    if record.exc_info and record.exc_info[1]:
        attributes |= exception_attributes(record.exc_info[1])
    attributes |= {key: held for key, held in vars(record).items() if key not in _ORDINARY}
    severity = next((name for level, name in _LEVELS if record.levelno >= level), "trace")
    time_ns = int(record.created * 1e9)
    return log_frame(time_ns, record.getMessage(), severity, attributes, place)


def exception_attributes(error: BaseException) -> dict[str, object]:
    """An exception by the semantic conventions of OpenTelemetry."""
    return {
        "exception.type": type(error).__qualname__,
        "exception.message": error,
        # Long traces are those of endless recursions, which say all in their newest calls.
        "exception.stacktrace": "".join(traceback.format_exception(error, limit=-50)),
    }


def gauge_frame(
    time_ns: int, name: str, value: float, unit: str, attributes: Mapping[str, object]
) -> bytes:
    """One measurement of something that goes up and down."""
    point = NumberDataPoint(time_unix_nano=time_ns, attributes=attributes_of(attributes).pairs)
    set_number(point, value)
    metric = Metric(name=clean(name, NAME_BYTES_MAX), unit=clean(unit, NAME_BYTES_MAX))
    metric.gauge.data_points.append(point)
    return ScopeMetrics(metrics=[metric]).SerializeToString()


def set_number(point: NumberDataPoint, value: float) -> None:
    """Integers stay integers as long as 64 bits hold them."""
    if isinstance(value, int) and is_int64(value):
        point.as_int = value
    else:
        point.as_double = value


def span_frame(
    name: str,
    place: Place,
    parent: Place,
    times_ns: tuple[int, int],
    attributes: Mapping[str, object],
    error: Exception | None,
) -> bytes:
    """A finished piece of work; what ended it, if it failed, is its status and an event of it."""
    found = attributes_of(attributes)
    start_ns, end_ns = times_ns
    span = Span(
        trace_id=place.trace_id,
        span_id=place.span_id,
        parent_span_id=parent.span_id,
        name=clean(name, NAME_BYTES_MAX),
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=end_ns,
        attributes=found.pairs,
        dropped_attributes_count=found.dropped,
    )
    if error is not None:
        told = attributes_of(exception_attributes(error)).pairs
        span.events.add(time_unix_nano=end_ns, name="exception", attributes=told)
        span.status.code = Status.STATUS_CODE_ERROR
        span.status.message = clean(error, TEXT_BYTES_MAX)
    return ScopeSpans(spans=[span]).SerializeToString()


def resource_of(attributes: Mapping[str, object]) -> Resource:
    """Who is speaking."""
    found = attributes_of(attributes)
    return Resource(attributes=found.pairs, dropped_attributes_count=found.dropped)


def request_of(signal: Signal, resource: Resource, frames: Iterable[bytes]) -> bytes:
    """The frames as one export request of the signal."""
    request, scoped = _REQUESTS[signal], _SCOPED[signal].FromString(b"".join(frames))
    scoped.scope.name = SCOPE
    body: bytes = request(resource, scoped).SerializeToString()
    return body


def _logs(resource: Resource, scoped: Any) -> Message:
    held = ResourceLogs(resource=resource, scope_logs=[scoped])
    return ExportLogsServiceRequest(resource_logs=[held])


def _metrics(resource: Resource, scoped: Any) -> Message:
    held = ResourceMetrics(resource=resource, scope_metrics=[scoped])
    return ExportMetricsServiceRequest(resource_metrics=[held])


def _spans(resource: Resource, scoped: Any) -> Message:
    held = ResourceSpans(resource=resource, scope_spans=[scoped])
    return ExportTraceServiceRequest(resource_spans=[held])


_SCOPED: Mapping[Signal, Any] = {
    Signal.LOGS: ScopeLogs,
    Signal.EVENTS: ScopeLogs,
    Signal.METRICS: ScopeMetrics,
    Signal.TRACES: ScopeSpans,
}
_REQUESTS: Mapping[Signal, Callable[[Resource, Any], Message]] = {
    Signal.LOGS: _logs,
    Signal.EVENTS: _logs,
    Signal.METRICS: _metrics,
    Signal.TRACES: _spans,
}
