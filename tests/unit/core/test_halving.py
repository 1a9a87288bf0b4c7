"""Halving a chunk: every record is in exactly one half, whole, in order, with its resource and scope."""

import hashlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from edge.halving import halve
from shared.codec import compress
from shared.errors import BadInput
from shared.otlp import JSON_TYPE, PROTO_TYPE, join_bodies, read_part
from shared.records import GENESIS_HASH, Chunk, ChunkHeader, Encoding, Part, Signal, seal
from tests.law.drawing import patient

shapes = st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=3)
"""How many records each scope of each resource holds."""


def chunk_of(part: Part, **changes: object) -> Chunk:
    stored = compress(part.body)
    fields: dict[str, object] = {
        "origin": "edge-1",
        "epoch": "e1",
        "seq": 1,
        "signal": part.signal,
        "encoding": part.encoding,
        "codec": "zstd",
        "records": part.records,
        "raw_bytes": len(part.body),
        "stored_bytes": len(stored),
        "time_min_ns": 1,
        "time_max_ns": 2,
        "created_ms": 1,
        "body_sha256": hashlib.sha256(stored).digest(),
        "previous_hash": GENESIS_HASH,
    }
    return seal(ChunkHeader(**{**fields, **changes}), stored)  # type: ignore[arg-type]


def logs_of(shape: list[list[int]]) -> ExportLogsServiceRequest:
    request, number = ExportLogsServiceRequest(), 0
    for at, scopes in enumerate(shape):
        resource = request.resource_logs.add()
        resource.resource.attributes.add(key="at").value.int_value = at
        for in_scope, count in enumerate(scopes):
            scope = resource.scope_logs.add()
            scope.scope.name = f"scope {in_scope}"
            for _ in range(count):
                scope.log_records.add(time_unix_nano=1000 + number).body.int_value = number
                number += 1
    return request


def flat(request: Any) -> Iterator[tuple[int, str, int, int]]:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                at = resource.resource.attributes[0].value.int_value
                yield at, scope.scope.name, record.time_unix_nano, record.body.int_value


def json_of(shape: list[list[int]], first: int) -> dict[str, Any]:
    numbers = iter(range(first, 10_000))
    return {
        "resourceLogs": [
            {
                "scopeLogs": [
                    {"logRecords": [{"body": {"intValue": next(numbers)}, "mine": "kept"}] * 1}
                    for count in scopes
                    for _ in range(count)
                ]
            }
            for scopes in shape
        ]
    }


@patient
@given(shapes)
def test_protobuf_logs_are_halved_without_loss(shape: list[list[int]]) -> None:
    request = logs_of(shape)
    part = read_part(Signal.LOGS, PROTO_TYPE, request.SerializeToString())
    if part.records < 2:
        return
    first, second = halve(chunk_of(part))
    assert abs(first.records - second.records) <= 1
    both = [ExportLogsServiceRequest.FromString(half.body) for half in (first, second)]
    assert [*flat(both[0]), *flat(both[1])] == [*flat(request)]
    assert first.time_max_ns < second.time_min_ns


@patient
@given(shapes, shapes)
def test_json_logs_are_halved_without_loss_and_with_fields_that_nobody_knows(
    one: list[list[int]], other: list[list[int]]
) -> None:
    bodies = [orjson.dumps(json_of(shape, 1000 * at)) for at, shape in enumerate((one, other))]
    parts = [read_part(Signal.LOGS, JSON_TYPE, body) for body in bodies]
    joined = join_bodies(Encoding.JSON, [part.body for part in parts])
    records = sum(part.records for part in parts)
    if records < 2:
        return
    whole = Part(Signal.LOGS, Encoding.JSON, joined, records, 0, 0)
    halves = halve(chunk_of(whole))
    found = [
        record
        for half in halves
        for request in orjson.loads(half.body)
        for resource in request.get("resourceLogs", [])
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]
    expected = [
        record
        for body in bodies
        for resource in orjson.loads(body)["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]
    assert found == expected
    assert [half.records for half in halves] == [records // 2, records - records // 2]


def test_a_metric_is_cut_between_its_points() -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    for name in ("a", "b"):
        metric = scope.metrics.add(name=name)
        metric.sum.is_monotonic = True
        for value in range(3):
            metric.sum.data_points.add(as_int=value, time_unix_nano=5)
    part = read_part(Signal.METRICS, PROTO_TYPE, request.SerializeToString())
    halves = [
        ExportMetricsServiceRequest.FromString(half.body).resource_metrics[0].scope_metrics[0]
        for half in halve(chunk_of(part))
    ]
    names = [[metric.name for metric in half.metrics] for half in halves]
    assert names == [["a"], ["b"]]
    assert all(half.metrics[0].sum.is_monotonic for half in halves)
    (alone,) = [[len(metric.sum.data_points) for metric in half.metrics] for half in halves[:1]]
    assert alone == [3]


def test_a_json_metric_is_cut_between_its_points() -> None:
    points = [{"asInt": str(value), "timeUnixNano": "5"} for value in range(5)]
    metrics = [{"name": "a", "gauge": {"dataPoints": points}}, {"name": "empty"}]
    body = orjson.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]})
    part = read_part(Signal.METRICS, JSON_TYPE, body)
    first, second = halve(chunk_of(part))
    assert (first.records, second.records) == (2, 3)


def test_spans_are_halved() -> None:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(3):
        scope.spans.add(name=str(number), start_time_unix_nano=1, end_time_unix_nano=2)
    part = read_part(Signal.TRACES, PROTO_TYPE, request.SerializeToString())
    halves = [ExportTraceServiceRequest.FromString(half.body) for half in halve(chunk_of(part))]
    names = [[span.name for span in half.resource_spans[0].scope_spans[0].spans] for half in halves]
    assert names == [["0"], ["1", "2"]]


SOUND = read_part(Signal.LOGS, PROTO_TYPE, logs_of([[2]]).SerializeToString())


@pytest.mark.parametrize(
    "changes",
    [
        {"records": 3},
        {"records": 1},
        {"signal": "songs"},
        {"encoding": "xml"},
        {"encoding": "json"},
    ],
)
def test_what_is_not_what_its_header_says_is_bad_input(changes: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        halve(chunk_of(SOUND, **changes))


@patient
@given(st.sampled_from(Signal), st.sampled_from(Encoding), st.binary(max_size=60))
def test_any_bytes_are_halved_or_refused(signal: Signal, encoding: Encoding, body: bytes) -> None:
    part = Part(signal, encoding, body, 2, 0, 0)
    try:
        halves = halve(chunk_of(part))
    except BadInput:
        return
    assert [half.records for half in halves] == [1, 1]


names = [
    *("resourceLogs", "scopeLogs", "logRecords", "resourceMetrics", "scopeMetrics"),
    *("metrics", "gauge", "dataPoints"),
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=3)
    ),
    max_leaves=12,
)


@patient
@given(st.sampled_from([Signal.LOGS, Signal.METRICS]), json_values)
def test_any_json_is_halved_or_refused(signal: Signal, value: object) -> None:
    part = Part(signal, Encoding.JSON, orjson.dumps(value), 2, 0, 0)
    try:
        halves = halve(chunk_of(part))
    except BadInput:
        return
    assert [half.records for half in halves] == [1, 1]
