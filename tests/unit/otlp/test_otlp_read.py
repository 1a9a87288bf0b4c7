"""Reading a request body: what counts, what is refused, and in which words."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    Summary,
    SummaryDataPoint,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.errors import BadInput, UnsupportedType
from shared.otlp import empty_reply, join_bodies, read_part, status_body
from shared.otlp_rows import log_rows, metric_points, span_rows
from shared.records import Encoding, Part, Signal
from tests.unit.otlp import samples
from tests.unit.otlp.samples import JSON, PROTO, T0, patient, to_json

SIGNALS = (Signal.LOGS, Signal.METRICS, Signal.TRACES)
ROWS = {Signal.LOGS: log_rows, Signal.METRICS: metric_points, Signal.TRACES: span_rows}


def facts(part: Part) -> tuple[int, int, int]:
    return part.records, part.time_min_ns, part.time_max_ns


def test_a_protobuf_body_is_kept_byte_for_byte() -> None:
    body = samples.logs(T0, T0 + 5).SerializeToString()
    part = read_part(Signal.LOGS, PROTO, body)
    assert part.body is body
    assert part.encoding is Encoding.PROTO


def test_a_json_body_is_kept_as_an_array_of_one() -> None:
    body = to_json(samples.logs(T0))
    part = read_part(Signal.LOGS, "Application/JSON; charset=utf-8", body)
    assert part.body == b"[" + body + b"]"
    assert part.encoding is Encoding.JSON


def test_logs_count_their_records_and_span_their_times() -> None:
    part = read_part(Signal.LOGS, PROTO, samples.logs(T0 + 7, T0, T0 + 3).SerializeToString())
    assert facts(part) == (3, T0, T0 + 7)


@pytest.mark.parametrize(
    ("names", "signal"),
    [
        (["shipped", "paid"], Signal.EVENTS),
        (["shipped", ""], Signal.LOGS),
        (["", "paid"], Signal.LOGS),
        ([], Signal.LOGS),
    ],
)
def test_log_records_that_all_have_a_name_are_events(names: list[str], signal: Signal) -> None:
    request = samples.logs(*range(len(names)))
    for record, name in zip(request.resource_logs[0].scope_logs[0].log_records, names, strict=True):
        record.event_name = name
    assert read_part(Signal.LOGS, PROTO, request.SerializeToString()).signal is signal
    assert read_part(Signal.LOGS, JSON, to_json(request)).signal is signal


def test_an_observed_time_dates_only_a_record_without_its_own() -> None:
    request = samples.logs(T0, 0)
    first, second = request.resource_logs[0].scope_logs[0].log_records
    first.observed_time_unix_nano = T0 + 900
    second.observed_time_unix_nano = T0 + 50
    assert facts(read_part(Signal.LOGS, PROTO, request.SerializeToString())) == (2, T0, T0 + 50)


def test_records_without_any_time_leave_the_range_at_zero() -> None:
    assert facts(read_part(Signal.LOGS, PROTO, samples.logs(0, 0).SerializeToString())) == (2, 0, 0)


def test_metrics_count_the_points_of_all_five_kinds() -> None:
    request = samples.metrics(
        Metric(gauge=Gauge(data_points=[NumberDataPoint(time_unix_nano=T0 + 0)])),
        Metric(sum=Sum(data_points=[NumberDataPoint(time_unix_nano=T0 + 1)])),
        Metric(histogram=Histogram(data_points=[HistogramDataPoint(time_unix_nano=T0 + 2)])),
        Metric(
            exponential_histogram=ExponentialHistogram(
                data_points=[ExponentialHistogramDataPoint(time_unix_nano=T0 + 3)]
            )
        ),
        Metric(
            summary=Summary(
                data_points=[
                    SummaryDataPoint(time_unix_nano=T0 + 4),
                    SummaryDataPoint(time_unix_nano=T0 + 4),
                ]
            )
        ),
        Metric(name="without data"),
    )
    for content_type, body in ((PROTO, request.SerializeToString()), (JSON, to_json(request))):
        assert facts(read_part(Signal.METRICS, content_type, body)) == (6, T0, T0 + 4)


def test_traces_span_from_the_first_start_to_the_last_end() -> None:
    request = samples.spans(
        Span(start_time_unix_nano=T0 + 5, end_time_unix_nano=T0 + 30),
        Span(start_time_unix_nano=T0 + 9, end_time_unix_nano=T0 + 11),
    )
    assert facts(read_part(Signal.TRACES, PROTO, request.SerializeToString())) == (
        2,
        T0 + 5,
        T0 + 30,
    )


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(
    ("content_type", "body"), [(PROTO, b""), (JSON, b"{}"), (JSON, b' {"unknown": [1]} ')]
)
def test_an_empty_request_is_valid(signal: Signal, content_type: str, body: bytes) -> None:
    assert facts(read_part(signal, content_type, body)) == (0, 0, 0)


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-protobuf2", "multipart/form-data", "\x00"]
)
def test_other_content_types_are_refused_with_those_that_are_read(content_type: str) -> None:
    with pytest.raises(UnsupportedType, match="send application/x-protobuf or application/json"):
        read_part(Signal.LOGS, content_type, b"")


def in_record(field: str, value: object) -> bytes:
    """A logs request whose fourth record of the second scope has one field."""
    scope = {"logRecords": [{}, {}, {}, {field: value}]}
    return json.dumps({"resourceLogs": [{"scopeLogs": [{}, scope]}]}).encode()


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("timeUnixNano", "1700000000000000000", 1_700_000_000_000_000_000),
        ("timeUnixNano", 1_700_000_000_000_000_000, 1_700_000_000_000_000_000),
        ("timeUnixNano", None, 0),
        ("observedTimeUnixNano", "7", 7),
    ],
)
def test_64_bit_integers_are_text_or_numbers(field: str, value: object, expected: int) -> None:
    assert read_part(Signal.LOGS, JSON, in_record(field, value)).time_max_ns == expected


PLACE = r"`resourceLogs\[0\]\.scopeLogs\[1\]\.logRecords\[3\]\."


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("timeUnixNano", "yesterday", PLACE + "timeUnixNano`"),
        ("timeUnixNano", -1, PLACE + "timeUnixNano`"),
        ("timeUnixNano", "18446744073709551616", PLACE + "timeUnixNano`"),
        ("timeUnixNano", True, PLACE + "timeUnixNano`"),
        ("severityNumber", "SEVERITY_NUMBER_INFO", PLACE + "severityNumber`"),
        ("severityNumber", 2**31, PLACE + "severityNumber`"),
        ("traceId", "5B8EFFF7", PLACE + "traceId`"),
        ("traceId", "W47/95gDgQPSabYzgT/GDA==", PLACE + "traceId`"),
        ("spanId", "zz" * 8, PLACE + "spanId`"),
        ("body", "plain text", PLACE + "body`"),
        ("body", {"stringValue": 5}, PLACE + "body.stringValue`"),
        ("body", {"bytesValue": "%"}, PLACE + "body.bytesValue`"),
        ("attributes", {"a": 1}, PLACE + "attributes`"),
        ("attributes", [{"value": {"intValue": "x"}}], PLACE + r"attributes\[0\]\.value.intValue`"),
    ],
)
def test_a_mistake_in_json_is_named_with_its_place(field: str, value: object, place: str) -> None:
    with pytest.raises(BadInput, match=place):
        read_part(Signal.LOGS, JSON, in_record(field, value))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"{}{}",
        b'{"resourceLogs":{}}',
        b'{"resourceLogs":[null]}',
        b"\xff\xfe",
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityText":"\xff"}]}]}]}',
    ],
)
def test_broken_json_is_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput):
        read_part(Signal.LOGS, JSON, body)


def nested_json(depth: int) -> bytes:
    value = b'{"arrayValue":{"values":[' * depth + b'{"intValue":1}' + b"]}}" * depth
    record = b'{"body":' + value + b"}"
    return b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + record + b"]}]}]}"


def nested_proto(depth: int) -> bytes:
    value = AnyValue(int_value=1)
    for _ in range(depth):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    request = samples.logs(T0)
    request.resource_logs[0].scope_logs[0].log_records[0].body.CopyFrom(value)
    return request.SerializeToString()


@pytest.mark.parametrize("depth", [1, 30])
def test_nested_values_are_read(depth: int) -> None:
    for content_type, body in ((JSON, nested_json(depth)), (PROTO, nested_proto(depth))):
        part = read_part(Signal.LOGS, content_type, body)
        assert len(list(log_rows(part.encoding, part.body))) == 1


@pytest.mark.parametrize("depth", [65, 300, 20_000])
def test_values_nested_too_deeply_are_bad_input(depth: int) -> None:
    with pytest.raises(BadInput, match="nested"):
        read_part(Signal.LOGS, JSON, nested_json(depth))


def test_an_escaped_name_does_not_hide_the_depth() -> None:
    body = nested_json(300).replace(b"arrayValue", b"\\u0061rrayValue")
    with pytest.raises(BadInput, match="nested"):
        read_part(Signal.LOGS, JSON, body)


def test_protobuf_nested_too_deeply_is_bad_input() -> None:
    body = b""
    for _ in range(200):  # An AnyValue in an ArrayValue in an AnyValue, by hand.
        body = (
            b"\x2a"
            + varint(len(body) + 1 + len(varint(len(body))))
            + b"\x0a"
            + varint(len(body))
            + body
        )
    for tag in (b"\x2a", b"\x12", b"\x12", b"\x0a"):
        body = tag + varint(len(body)) + body
    with pytest.raises(BadInput, match="not a protobuf ExportLogsServiceRequest"):
        read_part(Signal.LOGS, PROTO, body)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\x0a", "a tag without a length"),
        (b"\x0a\x05abc", "shorter than its length says"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a negative length"),
        (b"\x00", "field number zero"),
        (b"\x0f", "an unknown wire type"),
        (b"\x0c", "the end of a group that never began"),
        (b"hello, I am text", "text"),
        (b"\x1f\x8b\x08\x00", "gzip that nobody declared"),
    ],
)
@pytest.mark.parametrize("signal", SIGNALS)
def test_malformed_protobuf_is_bad_input(signal: Signal, body: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=f"the body of {len(body)} bytes is not a protobuf Export"):
        read_part(signal, PROTO, body)


@pytest.mark.parametrize("signal", SIGNALS)
@patient
@given(body=st.binary(max_size=200))
def test_no_protobuf_body_raises_anything_but_bad_input(signal: Signal, body: bytes) -> None:
    assert_read_or_refused(signal, PROTO, body)


def spoilt(whole: bytes) -> st.SearchStrategy[bytes]:
    """The body with one byte changed, or cut, or doubled."""
    places = st.integers(0, max(0, len(whole) - 1))
    changed = st.builds(
        lambda at, to: whole[:at] + bytes([to]) + whole[at + 1 :], places, st.integers(0, 255)
    )
    return st.one_of(
        changed, places.map(lambda at: whole[:at]), places.map(lambda at: whole + whole[at:])
    )


@patient
@given(st.data(), samples.logs_requests)
def test_a_spoilt_protobuf_body_is_read_or_refused(data: st.DataObject, request: object) -> None:
    body = request.SerializeToString()  # type: ignore[attr-defined]
    assert_read_or_refused(Signal.LOGS, PROTO, data.draw(spoilt(body)))


@patient
@given(st.data(), samples.metrics_requests)
def test_a_spoilt_json_body_is_read_or_refused(data: st.DataObject, request: object) -> None:
    body = to_json(request)  # type: ignore[arg-type]
    assert_read_or_refused(Signal.METRICS, JSON, data.draw(spoilt(body)))


JSON_KEYS = [
    "resourceSpans",
    "scopeSpans",
    "spans",
    "attributes",
    "key",
    "value",
    "arrayValue",
    "values",
    "intValue",
    "status",
    "kind",
    "traceId",
    "startTimeUnixNano",
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(JSON_KEYS),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@patient
@given(json_values)
def test_no_json_body_raises_anything_but_bad_input(value: object) -> None:
    assert_read_or_refused(Signal.TRACES, JSON, json.dumps(value).encode())


def assert_read_or_refused(signal: Signal, content_type: str, body: bytes) -> None:
    """What is read can be queried, record for record."""
    try:
        part = read_part(signal, content_type, body)
    except BadInput:
        return
    rows: Iterator[object] = ROWS[signal](part.encoding, part.body)
    assert len(list(rows)) == part.records
    assert 0 <= part.time_min_ns <= part.time_max_ns < 2**63


def test_json_bodies_join_to_one_array() -> None:
    bodies = [b"[{}]", b"[ ]", b' [{"a":1},{}] ']
    assert join_bodies(Encoding.JSON, bodies) == b'[{},{"a":1},{}]'


def test_a_single_body_is_not_copied() -> None:
    body = b"\x0a\x00"
    assert join_bodies(Encoding.PROTO, [body]) is body


def test_replies_speak_the_language_of_the_request() -> None:
    assert empty_reply(Signal.LOGS, json=True) == b"{}"
    assert empty_reply(Signal.LOGS, json=False) == b""
    assert json.loads(status_body(3, "no", json=True)) == {"code": 3, "message": "no"}
    assert status_body(3, "no", json=False) == b"\x08\x03\x12\x02no"
