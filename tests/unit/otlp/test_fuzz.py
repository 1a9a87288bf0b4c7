"""Whatever arrives, only declared errors come out, and memory stays within what was promised."""

import gzip
import pickle
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from shared import otlp_weight
from shared.codec import compress, decompress, gunzip
from shared.errors import BadInput, TooLarge
from shared.otlp import read_part
from shared.otlp_body import open_body, read_json
from shared.otlp_rows import log_rows, metric_points, span_rows
from shared.otlp_weight import (
    FIELD_BYTES,
    ITEM_BYTES,
    JSON_GROWTH_MAX,
    MESSAGE_BYTES,
    PROTO_DECODED_BYTES_MAX,
    check_json,
    check_proto,
    decoded_bytes,
    family_of,
)
from shared.records import KIB, MIB, Encoding, Signal
from tests.unit.otlp import samples
from tests.unit.otlp.samples import JSON, PROTO, T0, patient, to_json

ROOT = Path(__file__).parents[3]
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
CONTENT_TYPES = {Encoding.PROTO: PROTO, Encoding.JSON: JSON}
RECORDS_PLACE = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%s]}]}]}'


def read_or_refuse(signal: Signal, encoding: Encoding, body: bytes) -> None:
    """A body is read, and then every query of it succeeds, or it is refused."""
    try:
        part = read_part(signal, CONTENT_TYPES[encoding], body)
    except BadInput:
        return
    assert len(list(ROWS[signal](part.encoding, part.body))) == part.records
    assert 0 <= part.time_min_ns <= part.time_max_ns < 2**63


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("signal", Signal)
@patient
@given(body=st.binary(max_size=300))
def test_noise_is_read_or_refused(signal: Signal, encoding: Encoding, body: bytes) -> None:
    read_or_refuse(signal, encoding, body)


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("signal", Signal)
@patient
@given(body=st.binary(max_size=300))
def test_rows_of_a_stored_body_of_noise_are_bad_input(
    signal: Signal, encoding: Encoding, body: bytes
) -> None:
    """A hub reads bodies that it never checked itself."""
    for noise in (body, b"[" + body + b"]"):
        try:
            list(ROWS[signal](encoding, noise))
        except BadInput:
            continue


def flipped(whole: bytes, places: list[int]) -> bytes:
    """The body with these bits turned over."""
    out = bytearray(whole)
    for place in places:
        out[place // 8 % len(out)] ^= 1 << place % 8
    return bytes(out)


def spoilt(whole: bytes, other: bytes) -> st.SearchStrategy[bytes]:
    """The body with bits turned over, cut, repeated, or with a piece of another body inside."""
    at = st.integers(0, len(whole))
    cuts = st.tuples(at, at, st.integers(0, len(other)), st.integers(0, len(other)))
    flips = st.lists(st.integers(0, 8 * len(whole) - 1), min_size=1, max_size=4)
    return st.one_of(
        flips.map(lambda places: flipped(whole, places)),
        at.map(lambda end: whole[:end]),
        cuts.map(lambda cut: whole[: cut[0]] + other[cut[2] : cut[3]] + whole[cut[1] :]),
    )


def written(encoding: Encoding, request: Message) -> bytes:
    return request.SerializeToString() if encoding is Encoding.PROTO else to_json(request)


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("signal", Signal)
@patient
@given(data=st.data())
def test_a_spoilt_body_is_read_or_refused(
    signal: Signal, encoding: Encoding, data: st.DataObject
) -> None:
    whole, other = (written(encoding, data.draw(REQUESTS[signal])) for _ in range(2))
    read_or_refuse(signal, encoding, data.draw(spoilt(whole or b"\0", other)))


@pytest.mark.parametrize("signal", Signal)
@patient
@given(data=st.data())
def test_a_body_of_another_signal_or_encoding_is_read_or_refused(
    signal: Signal, data: st.DataObject
) -> None:
    """Every field of every message is found where another was expected."""
    request = data.draw(REQUESTS[data.draw(st.sampled_from(Signal))])
    body = written(data.draw(st.sampled_from(Encoding)), request)
    read_or_refuse(signal, data.draw(st.sampled_from(Encoding)), body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"arrayValue":{"values":[', b'[{"a":['])
@pytest.mark.parametrize("depth", [100, 5_000, 1_000_000])
def test_json_without_bottom_is_read_or_refused(opening: bytes, depth: int) -> None:
    for body in (opening * depth, RECORDS_PLACE % (b'{"body":' + opening * depth)):
        with pytest.raises(BadInput):
            read_part(Signal.LOGS, JSON, body)
        with pytest.raises(BadInput):
            list(open_body(Signal.LOGS, Encoding.JSON, b"[" + body))


@pytest.mark.parametrize("depth", [90, 200, 100_000])
@pytest.mark.parametrize("tags", [b"\x2a\x0a", b"\x32\x0a\x12", b"\x7b"])
def test_protobuf_without_bottom_is_read_or_refused(tags: bytes, depth: int) -> None:
    """Lists in lists, maps in maps, and groups in groups, which nobody has sent since 2008."""
    if tags == b"\x7b":
        body = b"\x7b" * depth + b"\x7c" * depth
    else:
        body = nested(tags * (depth // 50) * 50 if depth < 1000 else tags * 500)
    read_or_refuse(Signal.LOGS, Encoding.PROTO, nested(b"\x2a\x12\x12\x0a", body))


def nested(tags: bytes, inner: bytes = b"") -> bytes:
    """Messages in each other by these tags, the innermost first."""
    for tag in tags:
        inner = bytes([tag]) + varint(len(inner)) + inner
    return inner


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


@patient
@given(st.data(), st.binary(max_size=2000))
def test_a_spoilt_compressed_body_is_unpacked_or_refused(data: st.DataObject, body: bytes) -> None:
    for packed, unpack in ((gzip.compress(body, mtime=0), gunzip), (compress(body), decompress)):
        noise = data.draw(spoilt(packed, packed))
        try:
            assert len(unpack(noise, 4000)) <= 4000
        except BadInput:
            continue


@pytest.mark.parametrize("pack", [lambda body: gzip.compress(body, mtime=0), compress])
def test_a_compressed_body_cut_anywhere_is_refused(pack: Callable[[bytes], bytes]) -> None:
    """A sender that died in the middle has not sent half of its records."""
    packed = pack(samples.logs(*range(T0, T0 + 20)).SerializeToString())
    unpack = gunzip if packed[:2] == b"\x1f\x8b" else decompress
    for end in range(len(packed)):
        with pytest.raises(BadInput):
            unpack(packed[:end], MIB)


def test_a_bomb_of_many_gzip_members_is_refused_before_it_unfolds() -> None:
    """Ten thousand small members are as bad as one that is large."""
    packer = zlib.compressobj(9, wbits=31)
    member = packer.compress(bytes(MIB)) + packer.flush()
    tracemalloc.start()
    with pytest.raises(TooLarge):
        gunzip(member * 10_000, 4 * MIB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * MIB + 4 * len(member * 10_000)


BOMBS: dict[str, tuple[Signal, bytes, bytes]] = {
    "records": (Signal.LOGS, b"\x12\0", b"\x12\x0a"),
    "records of an unknown field": (Signal.LOGS, b"\x12\x02\x78\0", b"\x12\x0a"),
    "records with tags that are too long": (Signal.LOGS, b"\x92\0\0", b"\x12\x0a"),
    "attributes": (Signal.LOGS, b"\x32\0", b"\x12\x12\x0a"),
    "values in a list": (Signal.LOGS, b"\x0a\0", b"\x2a\x2a\x12\x12\x0a"),
    "resources": (Signal.LOGS, b"\x0a\0", b""),
    "keys of an entity": (Signal.LOGS, b"\x1a\0", b"\x1a\x0a\x0a"),
    "spans": (Signal.TRACES, b"\x12\0", b"\x12\x0a"),
    "events of a span": (Signal.TRACES, b"\x5a\0", b"\x12\x12\x0a"),
    "links of a span": (Signal.TRACES, b"\x6a\0", b"\x12\x12\x0a"),
    "metrics": (Signal.METRICS, b"\x12\0", b"\x12\x0a"),
    "points": (Signal.METRICS, b"\x0a\0", b"\x52\x12\x12\x0a"),
    "quantiles": (Signal.METRICS, b"\x32\0", b"\x0a\x5a\x12\x12\x0a"),
    "numbers in a row": (Signal.METRICS, b"\0", b"\x12\x42\x0a\x52\x12\x12\x0a"),
    "numbers one by one": (Signal.METRICS, b"\x10\0", b"\x42\x0a\x52\x12\x12\x0a"),
}
"""What is repeated, and the tags around it from the inside out."""


def bomb(name: str, size_bytes: int) -> tuple[Signal, bytes]:
    signal, unit, tags = BOMBS[name]
    return signal, nested(tags, unit * (size_bytes // len(unit)))


def test_the_largest_body_of_empty_records_is_refused_before_it_is_decoded() -> None:
    """It would take five GiB."""
    signal, body = bomb("records", 64 * MIB - 100)
    before = peak_bytes()
    with pytest.raises(TooLarge, match=f"the body of {len(body)} bytes, once decoded, is larger"):
        read_part(signal, PROTO, body)
    assert peak_bytes() - before < 64 * MIB


def peak_bytes() -> int:
    """The most memory that this process ever had, 0 where the system does not tell."""
    status = Path("/proc/self/status")
    return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 if status.exists() else 0


def test_the_largest_body_of_empty_objects_is_refused_before_it_is_decoded() -> None:
    body = RECORDS_PLACE % b",".join([b"{}"] * (21 * MIB))
    with pytest.raises(TooLarge, match=f"the body of {len(body)} bytes, once decoded, is larger"):
        read_json(Signal.LOGS, body)
    with pytest.raises(TooLarge):
        list(open_body(Signal.LOGS, Encoding.JSON, b"[" + body + b"]"))


@pytest.mark.parametrize("name", BOMBS)
def test_whatever_is_tiny_cannot_be_repeated_for_ever(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit a hundred times smaller, to be quick."""
    monkeypatch.setattr(otlp_weight, "PROTO_DECODED_BYTES_MAX", 5 * MIB)
    signal, body = bomb(name, MIB)
    with pytest.raises(TooLarge):
        read_part(signal, PROTO, body)
    spoilt_at_the_end = body[:-1] + b"\xff"
    with pytest.raises(TooLarge):
        read_part(signal, PROTO, spoilt_at_the_end)
    read_part(signal, PROTO, bomb(name, 16 * KIB)[1])


@pytest.mark.parametrize("unit", [b"{}", b'{"a":""}', b'{"body":{}}', b'{"a":1,"b":2}'])
def test_whatever_is_tiny_in_json_cannot_be_repeated_for_ever(
    unit: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp_weight, "JSON_DECODED_BYTES_MAX", 5 * MIB)
    body = RECORDS_PLACE % b",".join([unit] * (MIB // len(unit)))
    with pytest.raises(TooLarge):
        read_json(Signal.LOGS, body)


MEASURE = """
import os, pickle, sys
from shared.otlp_body import read_json, read_proto

def peak_bytes():
    text = open("/proc/self/status").read()
    return int(text.split("VmHWM:")[1].split()[0]) * 1024

for is_json, signal, body in pickle.load(sys.stdin.buffer):
    if not os.fork():
        before = peak_bytes()
        request = (read_json if is_json else read_proto)(signal, body)
        print(peak_bytes() - before, flush=True)
        os._exit(0)
    os.wait()
"""


def taken_bytes(bodies: list[tuple[bool, Signal, bytes]]) -> list[int]:
    """How much memory it takes to decode each of these, each in a fresh process."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells the peak of a process in a file")
    command = [sys.executable, "-c", MEASURE]
    given = pickle.dumps(bodies)
    done = subprocess.run(command, input=given, capture_output=True, cwd=ROOT, check=True)
    return [int(line) for line in done.stdout.split()]


def test_no_body_takes_more_than_its_weight() -> None:
    """Measured, since the library promises nothing about its memory."""
    bombs = {name: bomb(name, MIB) for name in BOMBS}
    taken = taken_bytes([(False, signal, body) for signal, body in bombs.values()])
    weights = [
        decoded_bytes(family_of(MESSAGES[signal]), body, 2**62) for signal, body in bombs.values()
    ]
    found = zip(bombs, taken, weights, strict=True)
    assert [each for each in found if each[1] > each[2]] == []
    assert max(taken) > 30 * MIB  # They were decoded, and the measure shows it.


def test_no_json_takes_more_than_its_size_allows() -> None:
    json = RECORDS_PLACE % b",".join([b"{}"] * (MIB // 3))
    (taken,) = taken_bytes([(True, Signal.LOGS, json)])
    assert MIB < taken <= len(json) * JSON_GROWTH_MAX


MESSAGES: dict[Signal, type[Message]] = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.TRACES: ExportTraceServiceRequest,
}


@pytest.mark.parametrize("signal", MESSAGES)
@patient
@given(data=st.data())
def test_the_walk_and_the_decoder_find_the_same_messages(
    signal: Signal, data: st.DataObject
) -> None:
    """As many of each type, and so of the same weight."""
    request = data.draw(REQUESTS[signal])
    body = request.SerializeToString()
    weight = decoded_bytes(family_of(MESSAGES[signal]), body, 2**62)
    assert weight >= len(body) + weight_of(request)
    if signal is not Signal.METRICS:  # Where packed numbers weigh as if each were one byte.
        assert weight == len(body) + weight_of(request)


def weight_of(message: Message) -> int:
    """What the messages and list items inside weigh, by the rule in words."""
    total = 0
    for described, value in message.ListFields():
        if described.message_type is None:
            total += ITEM_BYTES * len(value) if described.is_repeated else 0
            continue
        for child in value if described.is_repeated else [value]:
            fields = child.DESCRIPTOR.fields
            slots = {each.containing_oneof or each.number for each in fields}
            total += MESSAGE_BYTES + FIELD_BYTES * len(slots) + weight_of(child)
    return total


def test_ordinary_bodies_pass_up_to_the_largest() -> None:
    """With about as many values per byte as telemetry has."""
    record = LogRecord(time_unix_nano=T0, severity_text="INFO")
    record.body.string_value = "GET /api/v1/orders/2 200 in 22 ms"
    record.attributes.add(key="http.request.method").value.string_value = "GET"
    request = samples.logs()
    request.resource_logs[0].scope_logs[0].log_records.extend([record] * 4000)
    proto, json = request.SerializeToString(), to_json(request)
    family = family_of(ExportLogsServiceRequest)
    check_proto(family, proto * (16 * MIB // len(proto)))
    check_json(json * (64 * MIB // len(json)))
    assert decoded_bytes(family, proto, 2**62) < len(proto) * PROTO_DECODED_BYTES_MAX / (64 * MIB)


def test_braces_in_texts_are_no_objects() -> None:
    text = b'{,\\"{' * (3 * MIB)
    check_json(RECORDS_PLACE % (b'{"body":{"stringValue":"' + text + b'"}}'))
