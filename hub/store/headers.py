"""Reads headers as hub.db has them, where a disk may have spoilt some. Pure."""

import hashlib

import msgspec

from shared.errors import BadInput
from shared.records import ChunkHeader, read_header


def header_of(header_bytes: bytes) -> ChunkHeader:
    """The header in these bytes; raises BadInput when they are none."""
    try:
        return read_header(header_bytes)
    # A type error: a flipped bit in a row of SQLite makes a text or a number of a blob.
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
        raise BadInput(f"the header cannot be read: {error}") from error


def true_header(header_bytes: bytes, digest: bytes) -> ChunkHeader:
    """The header that has this hash; raises BadInput for any other.

    Many a flipped bit leaves a header that can be read, of another node or time. To hash it takes
    less time than to read it.
    """
    if not is_true(header_bytes, digest):
        raise BadInput("the header is not the one that its hash names")
    return header_of(header_bytes)


def is_true(header_bytes: bytes, digest: bytes) -> bool:
    """Whether these bytes have this SHA-256."""
    return hashlib.sha256(header_bytes).digest() == digest
