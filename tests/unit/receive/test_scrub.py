"""What rules keep back before anything is stored, in both encodings, and that it is counted."""

from typing import Any

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, Gauge, Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from edge.receive.scrub_drop import luck
from edge.receive.scrub_part import scrub_part
from edge.receive.scrub_rules import read_scrub_rules
from shared.errors import BadInput
from shared.otlp import read_part
from shared.otlp_make import key_values
from shared.otlp_rows import log_rows, metric_points, span_rows
from shared.records import Encoding, Part, Signal
from tests.unit.otlp import samples
from tests.unit.otlp.samples import JSON, T0, patient, to_json
from tests.unit.receive.scrubs import CLEAN, EMAIL, MAIL, SECRET, drop, logs, part_of, record

ENCODINGS = pytest.mark.parametrize("encoding", Encoding)


def bodies_left(encoding: Encoding, rule: dict[str, Any], request: Message) -> list[str]:
    """The bodies of the log records that a rule leaves; what it drops is counted under its name."""
    whole = part_of(Signal.LOGS, encoding, request)
    left, tally = scrub_part(whole, read_scrub_rules([rule]))
    assert tally.dropped["d"] == whole.records - left.records
    return [row.body for row in log_rows(left.encoding, left.body)] if left.records else []


@ENCODINGS
@pytest.mark.parametrize(
    ("conditions", "left"),
    [
        ({}, []),
        ({"severity_below": "warn"}, ["b", "c", "d"]),
        ({"body_matches": "^[ab]"}, ["c", "d"]),
        ({"attribute": "code", "equals": 7}, ["a", "c", "d"]),
        ({"attribute": "code", "equals": True}, ["a", "b", "d"]),
        ({"attribute": "code", "equals": "7"}, ["a", "b", "c"]),
        ({"attribute": "code", "matches": "^(7|true)$"}, ["a"]),
        ({"attribute": "host", "equals": "web"}, []),
        ({"attribute": "scoped", "equals": "yes"}, []),
        ({"attribute": "absent", "matches": ""}, None),
        ({"severity_below": "error", "body_matches": "[bd]"}, ["a", "c", "d"]),
        ({"name_matches": "x"}, ["a", "b", "c", "d"]),
    ],
)
def test_a_drop_rule_drops_what_fulfils_all_its_conditions(
    encoding: Encoding, conditions: dict[str, Any], left: list[str] | None
) -> None:
    """An unknown severity is not below any; true is not 1, and 7 is not "7"."""
    request = logs(
        record("a", severity=9),
        record("b", severity=13, code=7),
        record("c", severity=17, code=True),
        record("d", code="7"),
        host="web",
    )
    if left is None:
        with pytest.raises(ValueError, match="regular expression of 1"):
            bodies_left(encoding, drop(**conditions), request)
        return
    assert bodies_left(encoding, drop(**conditions), request) == left


@ENCODINGS
def test_a_record_is_known_by_its_name(encoding: Encoding) -> None:
    """That of an event, a span or a metric."""
    rule = drop(signals=["events", "traces", "metrics"], name_matches="^gone")
    event = logs(LogRecord(event_name="gone.now"), LogRecord(event_name="here"))
    points = [NumberDataPoint(as_int=1), NumberDataPoint(as_int=2)]
    metrics = samples.metrics(
        Metric(name="gone", gauge=Gauge(data_points=points)),
        Metric(name="here", gauge=Gauge(data_points=points[:1])),
    )
    spans = samples.spans(Span(name="gone away"), Span(name="here"))
    requests = {Signal.EVENTS: event, Signal.METRICS: metrics, Signal.TRACES: spans}
    for signal, request in requests.items():
        left, tally = scrub_part(part_of(signal, encoding, request), read_scrub_rules([rule]))
        assert left.records == 1
        assert tally.dropped["d"] == (2 if signal is Signal.METRICS else 1)
        assert b"gone" not in left.body
        assert b"here" in left.body


@ENCODINGS
def test_a_trace_is_kept_or_dropped_as_a_whole(encoding: Encoding) -> None:
    """Its spans and its logs, on every machine."""
    ids = [bytes([number]) * 16 for number in range(1, 200)]
    rule = drop(signals=["logs", "traces"], keep_ratio=0.3)
    spans = samples.spans(*(Span(trace_id=each, span_id=b"12345678") for each in ids * 2))
    records = logs(*(LogRecord(trace_id=each, body=AnyValue(string_value="x")) for each in ids))
    rules = read_scrub_rules([rule])
    span_part, _ = scrub_part(part_of(Signal.TRACES, encoding, spans), rules)
    log_part, _ = scrub_part(part_of(Signal.LOGS, encoding, records), rules)
    kept = [row.trace_id for row in span_rows(encoding, span_part.body)]
    assert kept[: len(kept) // 2] == kept[len(kept) // 2 :]
    assert {row.trace_id for row in log_rows(encoding, log_part.body)} == set(kept)
    assert 30 < len(set(kept)) < 90


@ENCODINGS
def test_without_a_trace_the_body_decides(encoding: Encoding) -> None:
    """Equal lines are kept together or dropped together."""
    texts = [f"line {number % 50}" for number in range(100)]
    left = bodies_left(encoding, drop(keep_ratio=0.5), logs(*map(record, texts)))
    assert left == [text for text in texts if luck(text.encode()) < 0.5]
    assert 10 < len(left) < 90


def test_the_luck_of_a_trace_never_changes() -> None:
    """An edge of the next version must keep the same traces as one of this version."""
    assert luck(b"\x01" * 16) == 0.8798054344875248
    assert 0 <= luck(b"") < 1


@ENCODINGS
def test_texts_are_redacted_wherever_they_are(encoding: Encoding) -> None:
    mail = AnyValue(string_value=MAIL)
    pair = KeyValue(key="k", value=mail)
    nest = AnyValue(
        array_value=ArrayValue(values=[mail, AnyValue(kvlist_value=KeyValueList(values=[pair]))])
    )
    request = logs(LogRecord(body=nest, attributes=[pair, KeyValue(key="n", value=nest)]), r=MAIL)
    part = part_of(Signal.LOGS, encoding, request)
    left, tally = scrub_part(part, read_scrub_rules([EMAIL]))
    (row,) = log_rows(left.encoding, left.body)
    assert row.body == [CLEAN, {"k": CLEAN}]
    assert row.attributes == {"k": CLEAN, "n": [CLEAN, {"k": CLEAN}]}
    assert row.resource == {"r": CLEAN}
    assert tally.redacted == {"mail": 6}
    assert b"jo@" not in left.body


@ENCODINGS
def test_spans_and_points_are_redacted_inside(encoding: Encoding) -> None:
    pairs = key_values({"k": MAIL, "password": "p"})
    span = Span(
        name="s",
        attributes=pairs,
        events=[Span.Event(attributes=pairs)],
        links=[Span.Link(attributes=pairs)],
        status=Status(message=MAIL),
    )
    exemplar = Exemplar(filtered_attributes=pairs)
    point = NumberDataPoint(as_int=1, attributes=pairs, exemplars=[exemplar])
    metric = Metric(name="m", metadata=pairs, gauge=Gauge(data_points=[point]))
    requests = {Signal.TRACES: samples.spans(span), Signal.METRICS: samples.metrics(metric)}
    rules = read_scrub_rules([EMAIL, SECRET])
    for signal, request in requests.items():
        left, tally = scrub_part(part_of(signal, encoding, request), rules)
        assert left.records == 1
        assert b"jo@" not in left.body
        assert b"password" not in left.body
        assert tally.redacted == {"mail": 4 if signal is Signal.TRACES else 3, "keys": 3}
        rows = span_rows if signal is Signal.TRACES else metric_points
        assert [row.attributes for row in rows(encoding, left.body)] == [{"k": CLEAN}]


@ENCODINGS
def test_keys_are_removed_everywhere_and_from_maps_too(encoding: Encoding) -> None:
    pairs = key_values({"password": "p", "user": "u"})
    map_value = AnyValue(kvlist_value=KeyValueList(values=pairs))
    request = logs(
        LogRecord(body=map_value, attributes=[*pairs, KeyValue(key="m", value=map_value)]),
        password="p",
        host="h",
    )
    left, tally = scrub_part(part_of(Signal.LOGS, encoding, request), read_scrub_rules([SECRET]))
    (row,) = log_rows(left.encoding, left.body)
    assert (row.body, row.attributes) == ({"user": "u"}, {"user": "u", "m": {"user": "u"}})
    assert row.resource == {"host": "h"}
    assert tally.redacted == {"keys": 4}


@ENCODINGS
def test_what_nothing_applies_to_is_the_same_object(encoding: Encoding) -> None:
    part = part_of(Signal.LOGS, encoding, logs(record("calm")))
    left, tally = scrub_part(part, read_scrub_rules([EMAIL, SECRET, drop(body_matches="wild")]))
    assert left is part
    assert (tally.dropped, tally.redacted) == ({}, {})


@ENCODINGS
def test_what_is_dropped_is_not_redacted_first(encoding: Encoding) -> None:
    """A drop rule sees records as they came, wherever it stands among the rules."""
    rules = read_scrub_rules([EMAIL, drop(body_matches="@")])
    left, tally = scrub_part(part_of(Signal.LOGS, encoding, logs(record(MAIL))), rules)
    assert (left.records, left.body) == (0, b"")
    assert (tally.dropped, tally.redacted) == ({"d": 1}, {})


def test_fields_of_tomorrow_are_kept_in_what_is_changed() -> None:
    held = {"body": {"stringValue": MAIL}, "mood": {"calm": [1, 2.5, None]}, "timeUnixNano": "5"}
    body = orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [held]}], "x": 1}]})
    left, _ = scrub_part(read_part(Signal.LOGS, JSON, body), read_scrub_rules([EMAIL]))
    expected = {**held, "body": {"stringValue": CLEAN}}
    assert orjson.loads(left.body) == [
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [expected]}], "x": 1}]}
    ]
    assert (left.time_min_ns, left.time_max_ns) == (5, 5)


def test_several_requests_in_one_json_body_are_all_scrubbed() -> None:
    one = to_json(logs(record(MAIL)))
    body = b"[" + one + b"," + one + b"]"
    left, tally = scrub_part(
        Part(Signal.LOGS, Encoding.JSON, body, 2, T0, T0), read_scrub_rules([EMAIL])
    )
    assert (left.records, tally.redacted) == (2, {"mail": 2})


REQUESTS: dict[Signal, st.SearchStrategy[Any]] = {
    Signal.LOGS: samples.logs_requests,
    Signal.EVENTS: samples.logs_requests,
    Signal.METRICS: samples.metrics_requests,
    Signal.TRACES: samples.traces_requests,
}
EVERYTHING = [
    {"name": "all", "action": "redact", "matches": "[a-z0-9]"},
    {"name": "gone", "action": "remove", "keys_match": "^[a-m]"},
    {"name": "d", "action": "drop", "signals": ["logs", "events", "traces"], "keep_ratio": 0.5},
    {"name": "e", "action": "drop", "signals": ["metrics"], "name_matches": "[a-z]"},
]


@ENCODINGS
@pytest.mark.parametrize("signal", Signal)
@patient
@given(data=st.data())
def test_any_part_stays_readable_and_every_record_is_accounted_for(
    signal: Signal, encoding: Encoding, data: st.DataObject
) -> None:
    part = part_of(signal, encoding, data.draw(REQUESTS[signal]))
    left, tally = scrub_part(part, read_scrub_rules(EVERYTHING))
    assert left.records + tally.dropped.total() == part.records
    rows = {Signal.METRICS: metric_points, Signal.TRACES: span_rows}.get(signal, log_rows)
    assert len(list(rows(encoding, left.body))) == left.records if left.body else not left.records


@ENCODINGS
@pytest.mark.parametrize("signal", Signal)
@patient
@given(body=st.binary(max_size=100))
def test_noise_is_scrubbed_or_is_bad_input(signal: Signal, encoding: Encoding, body: bytes) -> None:
    for noise in (body, b'[{"resourceLogs":[' + body + b"]}]"):
        try:
            scrub_part(Part(signal, encoding, noise, 1, 0, 0), read_scrub_rules(EVERYTHING))
        except BadInput:
            continue


def test_resources_differ_in_what_they_drop() -> None:
    """Each record is judged by its own resource, and an emptied resource goes with its records."""
    request = logs(record("a"), host="web")
    other = ResourceLogs(
        resource=Resource(attributes=key_values({"host": "db"})),
        scope_logs=[ScopeLogs(log_records=[record("b")])],
    )
    request.resource_logs.append(other)  # type: ignore[attr-defined]
    for encoding in Encoding:
        part = part_of(Signal.LOGS, encoding, request)
        left, _ = scrub_part(part, read_scrub_rules([drop(attribute="host", equals="web")]))
        assert b"web" not in left.body
        assert [row.body for row in log_rows(encoding, left.body)] == ["b"]
