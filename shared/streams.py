"""Streams of bytes that share a link with calls: their frames, and how much may be under way.

A frame is a message of the link: kind (one byte), number of the stream (four, big endian), payload.
No JSON text begins with such a byte, so that the two cannot be mistaken for each other. Each side may
send WINDOW_BYTES more than the other has taken in, as in HTTP/2 (RFC 9113, 5.2): a slow reader stops
its own stream and nothing else.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson

from shared.errors import BadInput, TooLarge
from shared.records import KIB

PAYLOAD_BYTES_MAX = 64 * KIB
WINDOW_BYTES = 256 * KIB
CONTROL_BYTES_MAX = 4 * KIB
WHY_CHARACTERS_MAX = 500

_HEAD = struct.Struct(">BI")
_CREDIT = struct.Struct(">I")


class FrameKind(IntEnum):
    """What a frame says: bytes, room for more bytes, the end, or a JSON object beside the bytes."""

    DATA = 1
    CREDIT = 2
    CLOSE = 3
    CONTROL = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it travels."""

    kind: FrameKind
    stream: int
    payload: bytes = b""


def is_frame(message: bytes) -> bool:
    """Whether a message of a link is a frame, sound or not, and no call."""
    return len(message) > 0 and message[0] <= FrameKind.CONTROL


def write(frame: Frame) -> bytes:
    """The frame as bytes."""
    return _HEAD.pack(frame.kind, frame.stream) + frame.payload


def read(message: bytes) -> Frame:
    """Read a frame; raises BadInput."""
    if len(message) < _HEAD.size:
        raise BadInput("a frame of a stream is shorter than its head")
    if len(message) > _HEAD.size + PAYLOAD_BYTES_MAX:
        raise TooLarge("a frame of a stream", PAYLOAD_BYTES_MAX)
    kind, stream = _HEAD.unpack_from(message)
    try:
        return Frame(FrameKind(kind), stream, message[_HEAD.size :])
    except ValueError as error:
        raise BadInput(f"{kind} is no kind of frame") from error


def credit(stream: int, size_bytes: int) -> Frame:
    """Room for so many bytes more."""
    return Frame(FrameKind.CREDIT, stream, _CREDIT.pack(size_bytes))


def credit_of(frame: Frame) -> int:
    """How many bytes more may be sent; raises BadInput."""
    if len(frame.payload) != _CREDIT.size:
        raise BadInput("a credit holds four bytes")
    size_bytes: int = _CREDIT.unpack(frame.payload)[0]
    if size_bytes > WINDOW_BYTES:
        raise BadInput(f"a credit is at most {WINDOW_BYTES} bytes")
    return size_bytes


def close(stream: int, why: str) -> Frame:
    """The end, with a reason for people; empty for an end in order."""
    return Frame(FrameKind.CLOSE, stream, why[:WHY_CHARACTERS_MAX].encode("utf-8", "replace"))


def why_of(frame: Frame) -> str:
    """The reason of an end."""
    return frame.payload.decode("utf-8", "replace")[:WHY_CHARACTERS_MAX]


def control(stream: int, value: dict[str, Any]) -> Frame:
    """A word beside the bytes; raises TooLarge."""
    body = orjson.dumps(value)
    if len(body) > CONTROL_BYTES_MAX:
        raise TooLarge("a control message of a stream", CONTROL_BYTES_MAX)
    return Frame(FrameKind.CONTROL, stream, body)


def control_of(frame: Frame) -> dict[str, Any]:
    """The word; raises BadInput."""
    if len(frame.payload) > CONTROL_BYTES_MAX:
        raise TooLarge("a control message of a stream", CONTROL_BYTES_MAX)
    try:
        value = orjson.loads(frame.payload)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"a control message of a stream is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput("a control message of a stream is a JSON object")
    return value
