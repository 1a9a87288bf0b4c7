"""The shape of OTLP/JSON requests, as types that check and decode in one pass.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding. Names are lowerCamelCase,
ids are hex, enums are integers, 64-bit integers are text or numbers, unknown fields are ignored,
null means absent. Attribute names equal the protobuf field names, so one walk reads both encodings.

msgspec reads and checks in one pass, and says where the mistake is.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.errors import BadInput
from shared.records import Signal

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | None
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None
UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)] | None
UInt64 = Annotated[int, Meta(ge=0, le=2**63 - 1)] | None
"""Without the last bit, which SQLite has no place for: times reach to the year 2262."""
TraceId = Annotated[str, Meta(pattern=r"^([0-9a-fA-F]{32})?$")] | None
SpanId = Annotated[str, Meta(pattern=r"^([0-9a-fA-F]{16})?$")] | None


class Shape(msgspec.Struct, rename="camel"):
    """The root of all shapes: unknown fields are ignored, as the specification demands."""


class AnyValue(Shape):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Int64 = None
    double_value: float | None = None
    array_value: "ArrayValue | None" = None
    kvlist_value: "KeyValueList | None" = None
    bytes_value: bytes | None = None


class ArrayValue(Shape):
    values: list[AnyValue] | None = None


class KeyValue(Shape):
    key: str | None = None
    value: AnyValue | None = None


class KeyValueList(Shape):
    values: list[KeyValue] | None = None


class Resource(Shape):
    attributes: list[KeyValue] | None = None


class Scope(Shape):
    name: str | None = None
    version: str | None = None
    attributes: list[KeyValue] | None = None


class LogRecord(Shape):
    time_unix_nano: UInt64 = None
    observed_time_unix_nano: UInt64 = None
    severity_number: Int32 = None
    severity_text: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None
    flags: UInt32 = None
    trace_id: TraceId = None
    span_id: SpanId = None
    event_name: str | None = None


class ScopeLogs(Shape):
    scope: Scope | None = None
    log_records: list[LogRecord] | None = None


class ResourceLogs(Shape):
    resource: Resource | None = None
    scope_logs: list[ScopeLogs] | None = None


class LogsRequest(Shape):
    resource_logs: list[ResourceLogs] | None = None


class SpanEvent(Shape):
    time_unix_nano: UInt64 = None
    name: str | None = None
    attributes: list[KeyValue] | None = None


class SpanLink(Shape):
    trace_id: TraceId = None
    span_id: SpanId = None
    attributes: list[KeyValue] | None = None


class Status(Shape):
    message: str | None = None
    code: Int32 = None


class Span(Shape):
    trace_id: TraceId = None
    span_id: SpanId = None
    parent_span_id: SpanId = None
    name: str | None = None
    kind: Int32 = None
    start_time_unix_nano: UInt64 = None
    end_time_unix_nano: UInt64 = None
    attributes: list[KeyValue] | None = None
    events: list[SpanEvent] | None = None
    links: list[SpanLink] | None = None
    status: Status | None = None


class ScopeSpans(Shape):
    scope: Scope | None = None
    spans: list[Span] | None = None


class ResourceSpans(Shape):
    resource: Resource | None = None
    scope_spans: list[ScopeSpans] | None = None


class TracesRequest(Shape):
    resource_spans: list[ResourceSpans] | None = None


class NumberPoint(Shape):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: UInt64 = None
    time_unix_nano: UInt64 = None
    as_double: float | None = None
    as_int: Int64 = None
    flags: UInt32 = None


class HistogramPoint(Shape):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: UInt64 = None
    time_unix_nano: UInt64 = None
    count: UInt64 = None
    sum: float | None = None
    bucket_counts: list[Annotated[int, Meta(ge=0, le=2**63 - 1)]] | None = None
    explicit_bounds: list[float] | None = None
    flags: UInt32 = None
    min: float | None = None
    max: float | None = None


class Buckets(Shape):
    offset: Int32 = None
    bucket_counts: list[Annotated[int, Meta(ge=0, le=2**63 - 1)]] | None = None


class ExponentialPoint(Shape):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: UInt64 = None
    time_unix_nano: UInt64 = None
    count: UInt64 = None
    sum: float | None = None
    scale: Int32 = None
    zero_count: UInt64 = None
    positive: Buckets | None = None
    negative: Buckets | None = None
    flags: UInt32 = None
    min: float | None = None
    max: float | None = None
    zero_threshold: float | None = None


class Quantile(Shape):
    quantile: float | None = None
    value: float | None = None


class SummaryPoint(Shape):
    attributes: list[KeyValue] | None = None
    start_time_unix_nano: UInt64 = None
    time_unix_nano: UInt64 = None
    count: UInt64 = None
    sum: float | None = None
    quantile_values: list[Quantile] | None = None
    flags: UInt32 = None


class Gauge(Shape):
    data_points: list[NumberPoint] | None = None


class Sum(Shape):
    data_points: list[NumberPoint] | None = None
    aggregation_temporality: Int32 = None
    is_monotonic: bool | None = None


class Histogram(Shape):
    data_points: list[HistogramPoint] | None = None
    aggregation_temporality: Int32 = None


class ExponentialHistogram(Shape):
    data_points: list[ExponentialPoint] | None = None
    aggregation_temporality: Int32 = None


class Summary(Shape):
    data_points: list[SummaryPoint] | None = None


class Metric(Shape):
    name: str | None = None
    description: str | None = None
    unit: str | None = None
    gauge: Gauge | None = None
    sum: Sum | None = None
    histogram: Histogram | None = None
    exponential_histogram: ExponentialHistogram | None = None
    summary: Summary | None = None


class ScopeMetrics(Shape):
    scope: Scope | None = None
    metrics: list[Metric] | None = None


class ResourceMetrics(Shape):
    resource: Resource | None = None
    scope_metrics: list[ScopeMetrics] | None = None


class MetricsRequest(Shape):
    resource_metrics: list[ResourceMetrics] | None = None


def _decoder(shape: Any) -> "msgspec.json.Decoder[Any]":
    # Not strict, because 64-bit integers come as text and doubles as "NaN" or "Infinity".
    return msgspec.json.Decoder(shape, strict=False)


_REQUEST: dict[Signal, Any] = {
    Signal.LOGS: LogsRequest,
    Signal.EVENTS: LogsRequest,
    Signal.METRICS: MetricsRequest,
    Signal.TRACES: TracesRequest,
}
_ONE = {signal: _decoder(shape) for signal, shape in _REQUEST.items()}
_MANY = {signal: _decoder(list[shape]) for signal, shape in _REQUEST.items()}  # type: ignore[valid-type]


def read_request(signal: Signal, body: bytes) -> Any:
    """The request in a body as it arrives; raises BadInput that says where the mistake is."""
    return _decode(_ONE[signal], body)


def read_requests(signal: Signal, body: bytes) -> list[Any]:
    """The requests in a body as it is stored, which is an array of them; raises BadInput."""
    requests: list[Any] = _decode(_MANY[signal], body)
    return requests


def _decode(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadInput(f"not an OTLP/JSON request: {_at_plain_path(str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise BadInput("the JSON is nested too deeply") from error


def _at_plain_path(message: str) -> str:
    """ "at `$.resourceLogs[0]`" becomes "at `resourceLogs[0]`", as people write it."""
    return message.replace("`$.", "`").replace("`$[", "`[")
