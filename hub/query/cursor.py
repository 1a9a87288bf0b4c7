"""Cursors: where a page ended, as opaque text that any hub can go on from.

A cursor holds a position in the order of the rows, never a place in one hub's files. It also fixes
the range of the first page, since `-15m` means another time on every call, and remembers a digest
of the question, so that it is not used with another one by mistake.
"""

import base64
import binascii
import zlib

import msgspec

from hub.query.times import TIME_NS_MAX
from shared.errors import RpcError

VERSION = 1
_TEXT_CHARS_MAX = 2000


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where to go on. `position` orders as the rows do; its first part is a time in nanoseconds."""

    version: int
    kind: str
    question: int
    start_ns: int
    end_ns: int
    position: tuple[int, str, str, int, int]


_decoder = msgspec.msgpack.Decoder(Cursor)


def digest(question: object) -> int:
    """A short digest of a question; equal questions have equal digests on every hub."""
    return zlib.crc32(msgspec.json.encode(question, order="sorted"))


def write_cursor(cursor: Cursor) -> str:
    """URL-safe text without padding."""
    packed = msgspec.msgpack.encode(cursor)
    checked = packed + zlib.crc32(packed).to_bytes(4, "big")
    return base64.urlsafe_b64encode(checked).decode("ascii").rstrip("=")


def read_cursor(text: str, kind: str, question: int) -> Cursor:
    """Read what `write_cursor` wrote for the same question; raises RpcError invalid_params."""
    cursor = _unpack(text)
    if cursor.version != VERSION:
        raise _refusal(
            f"was made by another version ({cursor.version}); ask for the first page again"
        )
    if cursor.kind != kind or cursor.question != question:
        raise _refusal("belongs to another question; repeat the parameters of the first page")
    return cursor


def _unpack(text: str) -> Cursor:
    if len(text) > _TEXT_CHARS_MAX:
        raise _refusal("is too long to be one of ours")
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        checked = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _refusal("is not one of ours") from error
    packed, check = checked[:-4], checked[-4:]
    if zlib.crc32(packed).to_bytes(4, "big") != check:
        raise _refusal("is damaged")
    try:
        cursor = _decoder.decode(packed)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refusal("is not one of ours") from error
    in_range = 0 <= cursor.start_ns <= cursor.end_ns <= TIME_NS_MAX
    if not in_range or not 0 <= cursor.position[0] <= TIME_NS_MAX:
        raise _refusal("is not one of ours")
    return cursor


def _refusal(reason: str) -> RpcError:
    return RpcError("invalid_params", f"cursor: it {reason}", {"parameter": "cursor"})
