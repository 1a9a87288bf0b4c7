"""Records that are read one by one are the records of the whole body."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from shared.errors import BadInput
from shared.otlp import read_part
from shared.otlp_log_entries import log_entries
from shared.otlp_log_wire import Sieve, sift_logs
from shared.otlp_rows import LogRow, log_rows
from shared.records import Encoding, Signal
from tests.unit.otlp import samples
from tests.unit.otlp.samples import JSON, PROTO, S, patient, to_json


def pair(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


class Everything:
    """A sieve that passes every record."""

    def next_hit(self, start: int) -> int:
        return start

    def may_want(self, start: int, end: int) -> bool:
        return start <= end


class Holding:
    """A sieve for records whose bytes hold a text."""

    def __init__(self, body: bytes, needle: bytes) -> None:
        self._body, self._needle = body, needle
        self.asked: list[int] = []

    def next_hit(self, start: int) -> int:
        self.asked.append(start)
        at = self._body.find(self._needle, start)
        return at if at >= 0 else len(self._body)

    def may_want(self, start: int, end: int) -> bool:
        return self._body.find(self._needle, start, end) >= 0


def every(_: Mapping[str, Any]) -> Sieve:
    return Everything()


def sifted(body: bytes) -> list[LogRow]:
    return [entry.row() for entry in sift_logs(body, every)]


@patient
@given(samples.logs_requests)
def test_entries_become_the_rows_of_the_body_and_tell_the_same_before(request: Message) -> None:
    for content_type, body in ((PROTO, request.SerializeToString()), (JSON, to_json(request))):
        part = read_part(Signal.LOGS, content_type, body)
        entries = list(log_entries(part.encoding, part.body))
        rows = list(log_rows(part.encoding, part.body))
        assert [entry.row() for entry in entries] == rows
        for entry, row in zip(entries, rows, strict=True):
            assert (entry.index, entry.time_ns, entry.trace_id) == (
                row.index,
                row.time_ns,
                row.trace_id,
            )
            assert (entry.severity_number, entry.severity_text) == (
                row.severity_number,
                row.severity_text,
            )


@patient
@given(samples.logs_requests, samples.logs_requests)
def test_a_walk_along_the_wire_finds_the_rows_of_the_body(first: Message, second: Message) -> None:
    body = first.SerializeToString() + second.SerializeToString()
    assert sifted(body) == list(log_rows(Encoding.PROTO, body))


@patient
@given(samples.logs_requests, st.data())
def test_a_walk_over_damage_is_refused_or_finds_what_a_decoder_finds(
    request: Message, data: st.DataObject
) -> None:
    body = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    assert_same_or_refused(bytes(body))


@patient
@given(st.binary(max_size=60))
@example(b"\x0a\x04\x12\x02\x12\x00")
@example(b"\x0a\x05\x12\x03\x92\x00\x00")
@example(b"\x0a\x07\x1b\x08\x01\x1c\x12\x01\x1a")
@example(b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")
@example(b"\x0b" * 200)
def test_arbitrary_bytes_raise_only_bad_input(body: bytes) -> None:
    assert_same_or_refused(body)


def assert_same_or_refused(body: bytes) -> None:
    """Only bytes that a decoder refuses may be read in part."""
    try:
        rows = list(log_rows(Encoding.PROTO, body))
    except BadInput:
        with suppress(BadInput):
            sifted(body)
        return
    assert sifted(body) == rows


@patient
@given(samples.logs_requests, st.sampled_from([b"a", b"0", b"\x12\x00", b"hello"]))
def test_a_sieve_holds_back_no_record_with_its_needle(request: Message, needle: bytes) -> None:
    body = request.SerializeToString()
    sieve = Holding(body, needle)
    found = {entry.index: entry.row() for entry in sift_logs(body, lambda _: sieve)}
    records = [
        record
        for held in request.resource_logs  # type: ignore[attr-defined]  # A request for logs.
        for scope in held.scope_logs
        for record in scope.log_records
    ]
    holding = {
        index for index, record in enumerate(records) if needle in record.SerializeToString()
    }
    rows = list(log_rows(Encoding.PROTO, body))
    assert set(found) == holding
    assert all(rows[index] == row for index, row in found.items())
    assert sieve.asked == sorted(sieve.asked)


def test_a_walk_decodes_only_what_it_was_asked_for() -> None:
    body = samples.logs(*range(S, 21 * S, S)).SerializeToString()
    damaged = body.replace(b"hello 7", b"\xff\xff\xff\xff\xff 7")
    found = list(sift_logs(damaged, lambda _: Holding(damaged, b"hello 15")))
    assert [entry.row().body for entry in found] == ["hello 15"]
    with pytest.raises(BadInput, match="LogRecord"):
        list(sift_logs(damaged, every))


def test_no_record_of_a_refused_resource_is_decoded_but_all_are_numbered() -> None:
    groups = [samples.logs(S, 2 * S, text=text).resource_logs[0] for text in ("a", "b", "c")]
    for name, group in zip("abc", groups, strict=True):
        group.resource.CopyFrom(Resource(attributes=[pair("name", name)]))
    body = ExportLogsServiceRequest(resource_logs=groups).SerializeToString()
    wanted = list(sift_logs(body, lambda own: None if own["name"] == "b" else Everything()))
    assert [(entry.index, entry.row().body) for entry in wanted] == [
        (0, "a 0"), (1, "a 1"), (4, "c 0"), (5, "c 1"),
    ]  # fmt: skip


def test_resource_and_scope_may_come_late_and_in_pieces() -> None:
    """Fields of a message may stand in any order, and a message that comes twice is joined."""
    records = samples.logs(S).resource_logs[0].scope_logs[0]
    scope = ScopeLogs(scope=InstrumentationScope(name="late"))
    inner = records.SerializeToString() + scope.SerializeToString()
    held = b"\x12" + bytes([len(inner)]) + inner
    for key in ("one", "two"):
        resource = Resource(attributes=[pair(key, key)])
        held += ResourceLogs(resource=resource).SerializeToString()
    body = b"\x0a" + bytes([len(held)]) + held
    (row,) = sifted(body)
    assert (row.scope, row.resource) == ("late", {"one": "one", "two": "two"})
    assert [row] == list(log_rows(Encoding.PROTO, body))
