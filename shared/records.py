"""The values that cross a network or enter a log: parts, chunks, and who they belong to."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from shared.signals import Signal as Signal  # noqa: PLC0414  # Belongs to the records, too.

KIB = 1024
MIB = 1024 * KIB

GENESIS_HASH = bytes(32)
"""The previous hash of the first chunk of an epoch."""


class Encoding(StrEnum):
    """How the body of a chunk is written, once decompressed.

    `PROTO` is one OTLP export request as protobuf (or several, appended: the repeated top-level
    fields join). `JSON` is a JSON array of OTLP/JSON export requests.
    """

    PROTO = "proto"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Part:
    """One validated OTLP request body, not yet compressed: what a receiver hands to the buffer.

    Times are the earliest and latest event time inside, in Unix nanoseconds; 0 when no record has one.
    """

    signal: Signal
    encoding: Encoding
    body: bytes
    records: int
    time_min_ns: int
    time_max_ns: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a source stands, saved in the same transaction as the part that it explains."""

    key: str
    state: bytes


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """A declared loss: chunks of this log that hubs will never get, and why.

    `ranges` are inclusive pairs of sequence numbers; times are Unix milliseconds of the lost chunks.
    """

    signal: str
    reason: str
    ranges: tuple[tuple[int, int], ...]
    chunks: int
    records: int
    stored_bytes: int
    since_ms: int
    until_ms: int


class ChunkHeader(msgspec.Struct, frozen=True, array_like=True):
    """Everything about a chunk but its body. New fields are only ever added at the end."""

    origin: str
    epoch: str
    seq: int
    signal: str
    encoding: str
    codec: str
    records: int
    raw_bytes: int
    stored_bytes: int
    time_min_ns: int
    time_max_ns: int
    created_ms: int
    body_sha256: bytes
    previous_hash: bytes
    gaps: tuple[Gap, ...] = ()
    """Losses that this chunk declares; it is an event that says the same to people."""
    predecessor: tuple[str, int] | None = None
    """In the first chunk of an epoch: the epoch before, and its last sequence number."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One immutable log entry. The header travels as the bytes its origin wrote, so that its hash
    stays true on hubs that know fewer header fields than the origin did."""

    header: ChunkHeader
    header_bytes: bytes
    body: bytes

    @property
    def hash(self) -> bytes:
        """SHA-256 of the header bytes; covers the body and the chain through the header's fields."""
        return hashlib.sha256(self.header_bytes).digest()


_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(ChunkHeader)


def seal(header: ChunkHeader, body: bytes) -> Chunk:
    """Fix the bytes of a header that was just made."""
    return Chunk(header, _encoder.encode(header), body)


def read_header(header_bytes: bytes) -> ChunkHeader:
    """Read header bytes; raises msgspec.ValidationError or DecodeError."""
    return _header_decoder.decode(header_bytes)
