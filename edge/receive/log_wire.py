"""Lines as an OTLP logs request, framed by hand: objects would take 3 us a line, this takes 0.1.

Field numbers are those of opentelemetry/proto/logs/v1/logs.proto; a test reads the result with the
generated classes. Source of the wire format: https://protobuf.dev/programming-guides/encoding/.
"""

from itertools import chain

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from edge.receive.lines import Cut
from shared.otlp_make import key_values
from shared.records import Encoding, Part, Signal
from shared.signals import Scalar

PIECE = "headwater.line.piece"
"""Number of a piece, from 1 on, of a line that was too long or had not ended yet."""

ESCAPED = "headwater.line.escaped"
"""True where bytes that are not UTF-8 were written as \\xNN."""

_OBSERVED_TIME = b"\x59"  # 11, fixed64
_BODY = b"\x2a"  # 5, message
_STRING_VALUE = b"\x0a"  # 1, text
_FIRST = b"\x0a"  # 1, message: resource_logs, resource, scope
_SECOND = b"\x12"  # 2, message: scope_logs, log_records


def lines_part(cut: Cut, observed_ns: int, resource: Resource, scope: str) -> Part:
    """The lines of a cut as one part, dated by the observed time: their own is not read."""
    records = _records(cut, observed_ns)
    scope_message = InstrumentationScope(name=scope).SerializeToString()
    scope_logs = _framed(_FIRST, scope_message) + records
    resource_logs = _framed(_FIRST, resource.SerializeToString()) + _framed(_SECOND, scope_logs)
    body = _framed(_FIRST, resource_logs)
    return Part(Signal.LOGS, Encoding.PROTO, body, len(cut.lines), observed_ns, observed_ns)


def _records(cut: Cut, observed_ns: int) -> bytes:
    if cut.pieces or not _is_utf8(b"\n".join(cut.lines)):
        return b"".join(_record(cut, index, observed_ns) for index in range(len(cut.lines)))
    time = _OBSERVED_TIME + observed_ns.to_bytes(8, "little")
    lengths = list(map(len, cut.lines))
    heads = {length: _plain_head(length, time) for length in set(lengths)}
    return b"".join(
        chain.from_iterable(zip(map(heads.__getitem__, lengths), cut.lines, strict=True))
    )


def _plain_head(length: int, time: bytes) -> bytes:
    """Everything of a record that comes before the text of a line of this length."""
    text = _STRING_VALUE + _varint(length)
    body = _BODY + _varint(len(text) + length) + text
    return _SECOND + _varint(len(time) + len(body) + length) + time + body


def _record(cut: Cut, index: int, observed_ns: int) -> bytes:
    line = cut.lines[index]
    record = LogRecord(observed_time_unix_nano=observed_ns)
    record.body.string_value = line.decode("utf-8", "backslashreplace")
    record.attributes.extend(key_values(_attributes(line, cut.pieces.get(index))))
    return _framed(_SECOND, record.SerializeToString())


def _attributes(line: bytes, piece: int | None) -> dict[str, Scalar]:
    attributes: dict[str, Scalar] = {}
    if piece is not None:
        attributes[PIECE] = piece
    if not _is_utf8(line):
        attributes[ESCAPED] = True
    return attributes


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _framed(tag: bytes, message: bytes) -> bytes:
    return tag + _varint(len(message)) + message


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
