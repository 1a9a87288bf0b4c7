"""Rows are the same whatever the encoding, and always JSON."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.errors import BadInput
from shared.otlp import join_bodies, read_part
from shared.otlp_points import MetricPoint
from shared.otlp_rows import LogRow, SpanRow, log_rows, metric_points, resource_value, span_rows
from shared.records import Encoding, Signal
from tests.unit.otlp import samples
from tests.unit.otlp.samples import JSON, PROTO, T0, patient, to_json

Rows = Callable[[Encoding, bytes], Iterator[Any]]


def assert_same(signal: Signal, request: Message, rows_of: Rows) -> None:
    """Both encodings of one request count alike, date alike, and give equal rows that are JSON."""
    proto = read_part(signal, PROTO, request.SerializeToString())
    json = read_part(signal, JSON, to_json(request))
    assert (proto.records, proto.time_min_ns, proto.time_max_ns) == (
        json.records,
        json.time_min_ns,
        json.time_max_ns,
    )
    rows = list(rows_of(proto.encoding, proto.body))
    assert rows == list(rows_of(json.encoding, json.body))
    assert [row.index for row in rows] == list(range(proto.records))
    assert orjson.loads(orjson.dumps([row_fields(row) for row in rows])) is not None


def row_fields(row: LogRow | SpanRow | MetricPoint) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


@patient
@given(samples.logs_requests)
def test_logs_give_the_same_rows_in_both_encodings(request: Message) -> None:
    assert_same(Signal.LOGS, request, log_rows)


@patient
@given(samples.traces_requests)
def test_traces_give_the_same_rows_in_both_encodings(request: Message) -> None:
    assert_same(Signal.TRACES, request, span_rows)


@patient
@given(samples.metrics_requests)
def test_metrics_give_the_same_rows_in_both_encodings(request: Message) -> None:
    assert_same(Signal.METRICS, request, metric_points)


@patient
@given(samples.logs_requests, samples.logs_requests)
def test_joined_bodies_give_the_rows_of_all_of_them_in_order(
    first: Message, second: Message
) -> None:
    for content_type, write in ((PROTO, lambda m: m.SerializeToString()), (JSON, to_json)):
        parts = [read_part(Signal.LOGS, content_type, write(m)) for m in (first, second)]
        encoding = parts[0].encoding
        joined = join_bodies(encoding, [part.body for part in parts])
        apart = [row for part in parts for row in log_rows(encoding, part.body)]
        together = list(log_rows(encoding, joined))
        assert [row.index for row in together] == list(range(len(apart)))
        assert [row_fields(row) | {"index": 0} for row in together] == [
            row_fields(row) | {"index": 0} for row in apart
        ]


def only(signal: Signal, rows_of: Rows, request: Message) -> Any:
    part = read_part(signal, PROTO, request.SerializeToString())
    (row,) = rows_of(part.encoding, part.body)
    return row


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (AnyValue(string_value="a"), "a"),
        (AnyValue(int_value=-5), -5),
        (AnyValue(bool_value=False), False),
        (AnyValue(double_value=1.5), 1.5),
        (AnyValue(double_value=math.nan), "NaN"),
        (AnyValue(double_value=-math.inf), "-Infinity"),
        (AnyValue(bytes_value=b"\xff\x00"), "/wA="),
        (AnyValue(), None),
    ],
)
def test_every_kind_of_value_becomes_json(value: AnyValue, expected: Any) -> None:
    request = samples.logs(T0)
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.attributes.append(KeyValue(key="k", value=value))
    assert only(Signal.LOGS, log_rows, request).attributes == {"k": expected}


def test_a_log_record_without_its_own_time_takes_the_observed_one() -> None:
    request = samples.logs(0)
    request.resource_logs[0].scope_logs[0].log_records[0].observed_time_unix_nano = T0
    row = only(Signal.LOGS, log_rows, request)
    assert (row.time_ns, row.observed_ns) == (T0, T0)


def test_a_log_row_knows_its_resource_and_scope() -> None:
    request = samples.logs(T0)
    held = request.resource_logs[0]
    held.resource.attributes.append(
        KeyValue(key="service.name", value=AnyValue(string_value="shop"))
    )
    held.scope_logs[0].scope.name = "cart"
    row = only(Signal.LOGS, log_rows, request)
    assert resource_value(row.resource, "service.name") == "shop"
    assert resource_value(row.resource, "host.name") == ""
    assert (row.scope, row.body) == ("cart", "hello 0")


def test_ids_are_lower_case_hex_and_empty_when_all_zeros() -> None:
    span = Span(trace_id=b"\xab" * 16, span_id=b"\x01" * 8, parent_span_id=bytes(8))
    row = only(Signal.TRACES, span_rows, samples.spans(span))
    assert (row.trace_id, row.span_id, row.parent_span_id) == ("ab" * 16, "01" * 8, "")
    upper = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%s"}]}]}]}' % (b"AB" * 16)
    part = read_part(Signal.TRACES, JSON, upper)
    assert next(span_rows(part.encoding, part.body)).trace_id == "ab" * 16


def test_a_point_that_has_no_value_on_purpose_shows_none() -> None:
    point = NumberDataPoint(time_unix_nano=T0, as_int=0, flags=1)
    request = samples.metrics(Metric(name="m", gauge=Gauge(data_points=[point])))
    assert only(Signal.METRICS, metric_points, request).value is None


def test_a_time_past_the_year_2262_is_held_at_the_end_of_time() -> None:
    part = read_part(Signal.LOGS, PROTO, samples.logs(2**64 - 1).SerializeToString())
    assert part.time_max_ns == 2**63 - 1
    assert next(log_rows(part.encoding, part.body)).time_ns == 2**63 - 1


def test_rows_of_a_spoilt_body_are_bad_input() -> None:
    with pytest.raises(BadInput):
        list(log_rows(Encoding.PROTO, b"\x0a\x05abc"))
    with pytest.raises(BadInput):
        list(log_rows(Encoding.JSON, b'[{"resourceLogs":7}]'))


def test_rows_are_made_one_by_one() -> None:
    part = read_part(Signal.LOGS, PROTO, samples.logs(*range(T0, T0 + 10)).SerializeToString())
    rows = log_rows(part.encoding, part.body)
    assert next(rows).index == 0
    assert next(rows).index == 1


def test_an_unknown_log_record_field_changes_nothing() -> None:
    request = samples.logs(T0)
    spoilt = LogRecord.FromString(
        request.resource_logs[0].scope_logs[0].log_records[0].SerializeToString() + b"\xf8\x07\x01"
    )
    request.resource_logs[0].scope_logs[0].log_records[0].CopyFrom(spoilt)
    assert only(Signal.LOGS, log_rows, request).body == "hello 0"
