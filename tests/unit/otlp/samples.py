"""OTLP requests for tests: fixed ones, and hypothesis strategies for any other."""

import base64
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
    Summary,
    SummaryDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason for a test to fail."""

PROTO = "application/x-protobuf"
JSON = "application/json"

S = 1_000_000_000
T0 = 1_700_000_000 * S

ID_FIELDS = {"traceId", "spanId", "parentSpanId"}


def logs(*times_ns: int, text: str = "hello") -> ExportLogsServiceRequest:
    """One resource and scope with a record per time."""
    records = [
        LogRecord(time_unix_nano=time, body=AnyValue(string_value=f"{text} {index}"))
        for index, time in enumerate(times_ns)
    ]
    return ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=records)])]
    )


def metrics(*metrics: Metric) -> ExportMetricsServiceRequest:
    """One resource and scope with these metrics."""
    return ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=metrics)])]
    )


def spans(*held: Span) -> ExportTraceServiceRequest:
    """One resource and scope with these spans."""
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=held)])]
    )


def to_json(request: Message) -> bytes:
    """The request as OTLP/JSON: protobuf's JSON, but ids in hex."""
    value = MessageToDict(request, use_integers_for_enums=True)
    return orjson.dumps(_with_hex_ids(value))


def _with_hex_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(held).hex() if key in ID_FIELDS else _with_hex_ids(held)
        for key, held in value.items()
    }


text = st.text(max_size=8)
uint64 = st.integers(0, 2**63 - 1) | st.just(0)
int64 = st.integers(-(2**63), 2**63 - 1)
doubles = st.floats(width=64)
trace_ids = st.sampled_from([b"", bytes(16)]) | st.binary(min_size=16, max_size=16)
span_ids = st.sampled_from([b"", bytes(8)]) | st.binary(min_size=8, max_size=8)

scalars = st.one_of(
    st.builds(AnyValue, string_value=text),
    st.builds(AnyValue, int_value=int64),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, double_value=doubles),
    st.builds(AnyValue, bytes_value=st.binary(max_size=5)),
    st.just(AnyValue()),
)


def _nested(inner: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    pairs = st.lists(st.builds(KeyValue, key=text, value=inner), max_size=2)
    return st.one_of(
        st.builds(AnyValue, array_value=st.builds(ArrayValue, values=st.lists(inner, max_size=2))),
        st.builds(AnyValue, kvlist_value=st.builds(KeyValueList, values=pairs)),
    )


values = st.recursive(scalars, _nested, max_leaves=4)
attributes = st.lists(st.builds(KeyValue, key=text, value=values), max_size=3)
resources = st.builds(Resource, attributes=attributes)
scopes = st.builds(InstrumentationScope, name=text)

log_records = st.builds(
    LogRecord,
    time_unix_nano=uint64,
    observed_time_unix_nano=uint64,
    severity_number=st.integers(0, 24),
    severity_text=text,
    body=values,
    attributes=attributes,
    trace_id=trace_ids,
    span_id=span_ids,
    event_name=text,
)
logs_requests = st.builds(
    ExportLogsServiceRequest,
    resource_logs=st.lists(
        st.builds(
            ResourceLogs,
            resource=resources,
            scope_logs=st.lists(
                st.builds(ScopeLogs, scope=scopes, log_records=st.lists(log_records, max_size=3)),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
)

span_values = st.builds(
    Span,
    trace_id=trace_ids,
    span_id=span_ids,
    parent_span_id=span_ids,
    name=text,
    kind=st.integers(0, 5),
    start_time_unix_nano=uint64,
    end_time_unix_nano=uint64,
    attributes=attributes,
    events=st.lists(
        st.builds(Span.Event, time_unix_nano=uint64, name=text, attributes=attributes), max_size=2
    ),
    links=st.lists(
        st.builds(Span.Link, trace_id=trace_ids, span_id=span_ids, attributes=attributes),
        max_size=2,
    ),
    status=st.builds(Status, code=st.integers(0, 2), message=text),
)
traces_requests = st.builds(
    ExportTraceServiceRequest,
    resource_spans=st.lists(
        st.builds(
            ResourceSpans,
            resource=resources,
            scope_spans=st.lists(
                st.builds(ScopeSpans, scope=scopes, spans=st.lists(span_values, max_size=3)),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
)

_dated = {
    "time_unix_nano": uint64,
    "start_time_unix_nano": uint64,
    "attributes": attributes,
    "flags": st.integers(0, 1),
}
number_points = st.one_of(
    st.builds(NumberDataPoint, as_int=int64, **_dated),
    st.builds(NumberDataPoint, as_double=doubles, **_dated),
    st.builds(NumberDataPoint, **_dated),
)
_maybe = st.none() | doubles
histogram_points = st.builds(
    HistogramDataPoint,
    count=uint64,
    sum=_maybe,
    min=_maybe,
    max=_maybe,
    bucket_counts=st.lists(uint64, max_size=3),
    explicit_bounds=st.lists(doubles, max_size=3),
    **_dated,
)
_side = st.none() | st.builds(
    ExponentialHistogramDataPoint.Buckets,
    offset=st.integers(-9, 9),
    bucket_counts=st.lists(uint64, max_size=3),
)
exponential_points = st.builds(
    ExponentialHistogramDataPoint,
    count=uint64,
    sum=_maybe,
    min=_maybe,
    max=_maybe,
    scale=st.integers(-5, 5),
    zero_count=uint64,
    zero_threshold=doubles,
    positive=_side,
    negative=_side,
    **_dated,
)
summary_points = st.builds(
    SummaryDataPoint,
    count=uint64,
    sum=doubles,
    quantile_values=st.lists(
        st.builds(SummaryDataPoint.ValueAtQuantile, quantile=doubles, value=doubles), max_size=2
    ),
    **_dated,
)
_temporality = st.integers(0, 2)
metric_values = st.one_of(
    st.builds(
        Metric,
        name=text,
        unit=text,
        gauge=st.builds(Gauge, data_points=st.lists(number_points, max_size=2)),
    ),
    st.builds(
        Metric,
        name=text,
        sum=st.builds(
            Sum,
            data_points=st.lists(number_points, max_size=2),
            aggregation_temporality=_temporality,
            is_monotonic=st.booleans(),
        ),
    ),
    st.builds(
        Metric,
        histogram=st.builds(
            Histogram,
            data_points=st.lists(histogram_points, max_size=2),
            aggregation_temporality=_temporality,
        ),
    ),
    st.builds(
        Metric,
        exponential_histogram=st.builds(
            ExponentialHistogram,
            data_points=st.lists(exponential_points, max_size=2),
            aggregation_temporality=_temporality,
        ),
    ),
    st.builds(
        Metric,
        summary=st.builds(Summary, data_points=st.lists(summary_points, max_size=2)),
    ),
    st.builds(Metric, name=text),
)
metrics_requests = st.builds(
    ExportMetricsServiceRequest,
    resource_metrics=st.lists(
        st.builds(
            ResourceMetrics,
            resource=resources,
            scope_metrics=st.lists(
                st.builds(ScopeMetrics, scope=scopes, metrics=st.lists(metric_values, max_size=3)),
                max_size=2,
            ),
        ),
        max_size=2,
    ),
)
