"""Cutting a body in two loses, adds and reorders nothing."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from shared.errors import BadInput
from shared.otlp import join_bodies, read_part
from shared.otlp_rows import log_rows, metric_points, span_rows
from shared.otlp_split import split_part
from shared.records import Encoding, Part, Signal
from tests.unit.otlp import samples
from tests.unit.otlp.samples import JSON, PROTO, T0, patient, to_json

ROWS: dict[Signal, Callable[[Encoding, bytes], Iterator[Any]]] = {
    Signal.LOGS: log_rows,
    Signal.EVENTS: log_rows,
    Signal.METRICS: metric_points,
    Signal.TRACES: span_rows,
}
REQUESTS: dict[Signal, st.SearchStrategy[Any]] = {
    Signal.LOGS: samples.logs_requests,
    Signal.EVENTS: samples.logs_requests,
    Signal.METRICS: samples.metrics_requests,
    Signal.TRACES: samples.traces_requests,
}


def joined_part(signal: Signal, encoding: Encoding, requests: list[Message]) -> Part:
    """Several requests as one stored body, which is what the edge makes of them."""
    is_proto = encoding is Encoding.PROTO
    parts = [
        read_part(signal, PROTO, each.SerializeToString())
        if is_proto
        else read_part(signal, JSON, to_json(each))
        for each in requests
    ]
    body = join_bodies(encoding, [part.body for part in parts])
    records = sum(part.records for part in parts)
    return Part(signal, encoding, body, records, 0, 0)


def rows_of(*parts: Part) -> list[str]:
    """All rows in order, without the number that only tells their place in a body.

    As text, since NaN does not equal itself.
    """
    rows = [row for part in parts for row in ROWS[part.signal](part.encoding, part.body)]
    return [repr(msgspec.structs.replace(row, index=0)) for row in rows]


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("signal", Signal)
@patient
@given(data=st.data())
def test_the_halves_hold_all_records_in_order(
    signal: Signal, encoding: Encoding, data: st.DataObject
) -> None:
    requests = data.draw(st.lists(REQUESTS[signal], min_size=1, max_size=2))
    whole = joined_part(signal, encoding, requests)
    halves = split_part(signal, encoding, whole.body)
    if halves is None:
        assert whole.records < 2
        return
    first, second = halves
    assert (first.records, second.records) == (whole.records // 2, (whole.records + 1) // 2)
    assert rows_of(first, second) == rows_of(whole)
    assert len(rows_of(first)) == first.records


@pytest.mark.parametrize("encoding", Encoding)
def test_cutting_again_and_again_ends_with_single_records(encoding: Encoding) -> None:
    """So one unreadable record among many can be told apart."""
    whole = joined_part(Signal.LOGS, encoding, [samples.logs(*range(T0, T0 + 13))])
    waiting, single = [whole], []
    while waiting:
        part = waiting.pop(0)
        halves = split_part(part.signal, part.encoding, part.body)
        if halves:
            waiting[:0] = halves
        else:
            single.append(part)
    assert [part.records for part in single] == [1] * 13
    assert rows_of(*single) == rows_of(whole)


@pytest.mark.parametrize("encoding", Encoding)
def test_each_half_is_dated_by_its_own_records(encoding: Encoding) -> None:
    whole = joined_part(Signal.LOGS, encoding, [samples.logs(*range(T0, T0 + 4))])
    halves = split_part(Signal.LOGS, encoding, whole.body)
    assert halves
    times = [(part.time_min_ns - T0, part.time_max_ns - T0) for part in halves]
    assert times == [(0, 1), (2, 3)]


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("records", [0, 1])
def test_what_holds_a_single_record_cannot_be_cut(encoding: Encoding, records: int) -> None:
    whole = joined_part(Signal.LOGS, encoding, [samples.logs(*[T0] * records)])
    assert split_part(Signal.LOGS, encoding, whole.body) is None


@pytest.mark.parametrize("encoding", Encoding)
def test_the_points_of_one_metric_are_cut_and_its_name_is_in_both(encoding: Encoding) -> None:
    points = [NumberDataPoint(time_unix_nano=T0 + at, as_int=at) for at in range(3)]
    request = samples.metrics(Metric(name="m", unit="s", gauge=Gauge(data_points=points)))
    whole = joined_part(Signal.METRICS, encoding, [request])
    halves = split_part(Signal.METRICS, encoding, whole.body)
    assert halves
    found = [list(metric_points(part.encoding, part.body)) for part in halves]
    assert [[(point.name, point.unit, point.value) for point in half] for half in found] == [
        [("m", "s", 0)],
        [("m", "s", 1), ("m", "s", 2)],
    ]


@pytest.mark.parametrize("encoding", Encoding)
def test_a_half_does_not_hold_the_resources_of_the_other(encoding: Encoding) -> None:
    """Or cutting would make bodies larger instead of smaller."""

    def held(name: str) -> ResourceLogs:
        resource = Resource(
            attributes=[KeyValue(key="service.name", value=AnyValue(string_value=name))]
        )
        scope = ScopeLogs(
            scope=InstrumentationScope(name=name), log_records=[LogRecord(time_unix_nano=T0)]
        )
        return ResourceLogs(resource=resource, scope_logs=[scope])

    request = samples.logs()
    del request.resource_logs[:]
    request.resource_logs.extend([held("left"), held("right")])
    whole = joined_part(Signal.LOGS, encoding, [request])
    halves = split_part(Signal.LOGS, encoding, whole.body)
    assert halves
    assert [b"left" in part.body for part in halves] == [True, False]
    assert [b"right" in part.body for part in halves] == [False, True]


def test_fields_of_tomorrow_stay_with_their_records() -> None:
    """In JSON by their names, in protobuf by their numbers."""
    records = [{"timeUnixNano": "1", "mood": "calm"}, {"timeUnixNano": "2", "mood": "wild"}]
    body = orjson.dumps([{"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}])
    halves = split_part(Signal.LOGS, Encoding.JSON, body)
    assert halves
    assert [b"calm" in part.body for part in halves] == [True, False]
    assert [b"wild" in part.body for part in halves] == [False, True]
    record = b"\x12\x06\xfa\x3e\x03%s"
    proto = b"\x0a\x12\x12\x10" + record % b"one" + record % b"two"
    halves = split_part(Signal.LOGS, Encoding.PROTO, proto)
    assert halves
    assert [b"one" in part.body for part in halves] == [True, False]


@pytest.mark.parametrize("signal", Signal)
@patient
@given(body=st.binary(max_size=100))
def test_noise_is_cut_or_is_bad_input(signal: Signal, body: bytes) -> None:
    for encoding in Encoding:
        for noise in (body, b'[{"resourceLogs":[' + body + b"]}]"):
            try:
                split_part(signal, encoding, noise)
            except BadInput:
                continue
