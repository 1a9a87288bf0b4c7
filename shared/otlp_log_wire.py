"""Reading some log records of a protobuf body without decoding the others.

The walk goes along the wire from record to record and asks a sieve which ones to decode. It passes
over the others by their length alone, so what is malformed inside of them stays unnoticed.

Source of the wire format: https://protobuf.dev/programming-guides/encoding/; of the field numbers:
https://github.com/open-telemetry/opentelemetry-proto.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from shared.errors import BadInput
from shared.otlp_body import check_size
from shared.otlp_log_entries import LogEntry, LogOrigin
from shared.otlp_values import attributes_of, dialect_of
from shared.records import Encoding, Signal

DEPTH_MAX = 100
"""Groups nested deeper than this are refused, as decoders do."""

_VARINT, _FIXED_64, _LENGTH_DELIMITED, _GROUP, _GROUP_END, _FIXED_32 = range(6)
_FIXED_BYTES = {_FIXED_64: 8, _FIXED_32: 4}
_VARINT_BYTES_MAX = 10

_RESOURCE_LOGS = 1
_RESOURCE = 1
_SCOPE_LOGS = 2
_SCOPE = 1
_RECORD_TAG = 2 << 3 | _LENGTH_DELIMITED

Span = tuple[int, int]
"""Where content begins and ends in the body."""


class Sieve(Protocol):
    """Which records to decode."""

    def next_hit(self, start: int) -> int:
        """The first place from `start` on that a wanted record must cover, or one behind the body.
        Records are asked in the order of the body."""
        ...

    def may_want(self, start: int, end: int) -> bool:
        """Whether a record over this part of the body, with a hit in it, can be wanted."""
        ...


ChooseSieve = Callable[[Mapping[str, Any]], Sieve | None]
"""The sieve for the records of a resource with these attributes; None when none is wanted."""

MessageType = TypeVar("MessageType", bound=Message)


def sift_logs(body: bytes, choose: ChooseSieve) -> Iterator[LogEntry]:
    """The records of a protobuf body that pass their sieve, in order; raises BadInput."""
    check_size(Signal.LOGS, body)
    index = 0
    for start, end in _contents(body, 0, len(body), _RESOURCE_LOGS):
        resource = _resource(body, start, end)
        sieve = choose(resource)
        for scope_start, scope_end in _contents(body, start, end, _SCOPE_LOGS):
            found, records = _sift_scope(body, scope_start, scope_end, sieve)
            if found:
                yield from _entries(
                    body, resource, _scope(body, scope_start, scope_end), found, index
                )
            index += records


def _sift_scope(
    body: bytes, at: int, end: int, sieve: Sieve | None
) -> tuple[list[tuple[int, Span]], int]:
    """The wanted records of a scope with their numbers in it, and how many it has.

    One loop without calls: it passes over every record of a chunk for the sake of one.
    """
    found: list[tuple[int, Span]] = []
    number, hit = 0, -1
    past = len(body)
    while at < end:
        if body[at] != _RECORD_TAG:
            tag, at = _varint(body, at, end)
            if tag != _RECORD_TAG:
                at = _past(body, at, end, tag)
                continue
            at -= 1  # The tag was written in more bytes than it needs.
        length, start = body[at + 1] if at + 1 < end else 0x80, at + 2
        if length > 0x7F:
            length, start = _varint(body, at + 1, end)
        at = start + length
        if at > end:
            raise _malformed(start)
        if hit < start:
            hit = past if sieve is None else sieve.next_hit(start)
        if sieve is not None and hit < max(at, start + 1) and sieve.may_want(start, at):
            found.append((number, (start, at)))
        number += 1
    return found, number


def _entries(
    body: bytes, resource: dict[str, Any], scope: str, found: list[tuple[int, Span]], first: int
) -> Iterator[LogEntry]:
    origin = LogOrigin(dialect_of(Encoding.PROTO), resource, scope)
    for number, (start, end) in found:
        yield LogEntry(first + number, origin, _decode(LogRecord, body[start:end]))


def _resource(body: bytes, start: int, end: int) -> dict[str, Any]:
    resource = _decode(Resource, _joined(body, start, end, _RESOURCE))
    return attributes_of(dialect_of(Encoding.PROTO), resource.attributes)


def _scope(body: bytes, start: int, end: int) -> str:
    return _decode(InstrumentationScope, _joined(body, start, end, _SCOPE)).name


def _joined(body: bytes, start: int, end: int, number: int) -> bytes:
    """A message that may come in pieces: appended, they mean the same."""
    return b"".join(body[first:last] for first, last in _contents(body, start, end, number))


def _decode(message: type[MessageType], content: bytes) -> MessageType:
    try:
        return message.FromString(content)
    except DecodeError as error:
        raise BadInput(f"a stored {message.__name__} of {len(content)} bytes is damaged") from error


def _contents(body: bytes, at: int, end: int, number: int) -> Iterator[Span]:
    """The contents of every message field with this number; all other fields are passed over."""
    wanted = number << 3 | _LENGTH_DELIMITED
    while at < end:
        tag, at = _varint(body, at, end)
        if tag != wanted:
            at = _past(body, at, end, tag)
            continue
        length, start = _varint(body, at, end)
        at = start + length
        if at > end:
            raise _malformed(start)
        yield start, at


def _past(body: bytes, at: int, end: int, tag: int, depth: int = 0) -> int:
    """Where the content of a field ends that begins at `at`, right after its tag."""
    wire = tag & 7
    if tag >> 3 == 0:
        raise _malformed(at)
    if wire == _VARINT:
        at = _varint(body, at, end)[1]
    elif wire == _LENGTH_DELIMITED:
        length, at = _varint(body, at, end)
        at += length
    elif wire == _GROUP and depth < DEPTH_MAX:
        at = _past_group(body, at, end, tag >> 3, depth + 1)
    elif wire in _FIXED_BYTES:
        at += _FIXED_BYTES[wire]
    else:
        raise _malformed(at)
    if at > end:
        raise _malformed(at)
    return at


def _past_group(body: bytes, at: int, end: int, number: int, depth: int) -> int:
    """No field of ours is a group, so one is passed over whole."""
    while at < end:
        tag, at = _varint(body, at, end)
        if tag == number << 3 | _GROUP_END:
            return at
        at = _past(body, at, end, tag, depth)
    raise _malformed(at)


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """An integer and where it ends."""
    value = shift = 0
    for byte in body[at : min(at + _VARINT_BYTES_MAX, end)]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _malformed(at)


def _malformed(at: int) -> BadInput:
    return BadInput(f"the stored body is malformed near byte {at}")
