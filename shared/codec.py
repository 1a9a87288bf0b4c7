"""Compression at every door: zstd for what we store and send, gzip for what others send us.

The only module that knows which zstd library there is. Every decompression counts its output while
it grows and stops at a limit, so that a small body can never unfold into all of the memory.
"""

import sys
import zlib
from collections.abc import Iterator

from shared.errors import BadInput, TooLarge
from shared.records import MIB

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 1
"""Higher levels cost two to ten times the time and save under 5 % on telemetry."""

BODY_BYTES_MAX = 64 * MIB
"""The limit that OTLP recommends, before and after decompression."""

_WINDOW_LOG_MAX = 26
"""A frame may ask its reader for at most 64 MiB of memory: as much as the largest body."""

_GZIP_WBITS = 31
_STEP_BYTES = 1 * MIB


def compress(body: bytes) -> bytes:
    """One zstd frame; equal bodies give equal frames."""
    return zstd.compress(body, level=LEVEL)


def decompress(body: bytes, limit_bytes: int = BODY_BYTES_MAX) -> bytes:
    """The content of one or several appended zstd frames; raises TooLarge or BadInput."""
    pieces: list[bytes] = []
    room = limit_bytes
    while True:
        piece, body = _unpack_frame(body, room, limit_bytes)
        pieces.append(piece)
        room -= len(piece)
        if not body:
            return b"".join(pieces)


def _unpack_frame(body: bytes, room: int, limit_bytes: int) -> tuple[bytes, bytes]:
    options = {int(zstd.DecompressionParameter.window_log_max): _WINDOW_LOG_MAX}
    reader = zstd.ZstdDecompressor(options=options)
    try:
        piece = reader.decompress(body, max_length=room + 1)
    except zstd.ZstdError as error:
        raise BadInput(f"the body is not zstd: {error}") from error
    if len(piece) > room:
        raise TooLarge("the decompressed body", limit_bytes)
    if not reader.eof:
        raise BadInput("the zstd body ends too early")
    return piece, reader.unused_data


def gunzip(body: bytes, limit_bytes: int = BODY_BYTES_MAX) -> bytes:
    """The content of one or several appended gzip members; raises TooLarge or BadInput."""
    pieces: list[bytes] = []
    size = 0
    for piece in _gunzip_pieces(body):
        size += len(piece)
        if size > limit_bytes:
            raise TooLarge("the decompressed body", limit_bytes)
        pieces.append(piece)
    return b"".join(pieces)


def _gunzip_pieces(body: bytes) -> Iterator[bytes]:
    while True:
        reader = zlib.decompressobj(wbits=_GZIP_WBITS)
        rest = body
        while not reader.eof:
            piece = _gunzip_step(reader, rest)
            rest = reader.unconsumed_tail
            if piece:
                yield piece
            elif not rest and not reader.eof:
                raise BadInput("the gzip body ends too early")
        body = reader.unused_data.lstrip(b"\0")  # Writers may pad the end with zeros.
        if not body:
            return


def _gunzip_step(reader: "zlib._Decompress", rest: bytes) -> bytes:
    try:
        return reader.decompress(rest, _STEP_BYTES)
    except zlib.error as error:
        raise BadInput(f"the body is not gzip: {error}") from error
