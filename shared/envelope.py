"""The wire form of a batch of chunks, between edge and hub and between hubs.

    "HWB1"  head_bytes:u32  head (MessagePack: Head)  body 1  body 2 ...

Bodies follow in the order of the head's headers, each as long as its header says. Nothing is
allocated before its size has been checked.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from shared.errors import BadInput, TooLarge
from shared.ranges import SEQ_MAX
from shared.records import MIB, Chunk, read_header

MAGIC = b"HWB1"
MEDIA_TYPE = "application/vnd.headwater.batch"
VERSION = 1
CHUNKS_MAX = 4096
# A body of 64 MiB that does not compress is one chunk, and must fit; ordinary pushes are 1 MiB.
BATCH_BYTES_MAX = 72 * MIB

_PREFIX = struct.Struct("<4sI")


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """The head of a batch: its version and the header bytes of each chunk, as their origin wrote them.

    Between hubs it also says when the first of them took in each chunk, in Unix milliseconds.
    """

    version: int
    headers: tuple[bytes, ...]
    received_ms: tuple[int, ...] = ()


_head_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(Head)


@dataclass(frozen=True, slots=True)
class Batch:
    """Chunks that travel together, with a name that is the same for the same bytes."""

    name: str
    chunks: tuple[Chunk, ...]
    received_ms: tuple[int, ...] = ()
    """When the cluster took in each chunk; empty when the sender does not say."""


def write_batch(chunks: Sequence[Chunk], received_ms: Sequence[int] = ()) -> bytes:
    """The bytes of a batch; the same chunks always give the same bytes."""
    headers = tuple(chunk.header_bytes for chunk in chunks)
    head = _head_encoder.encode(Head(VERSION, headers, tuple(received_ms)))
    return b"".join((_PREFIX.pack(MAGIC, len(head)), head, *(chunk.body for chunk in chunks)))


def read_batch(wire: bytes, limit_bytes: int = BATCH_BYTES_MAX) -> Batch:
    """Read and bound a batch from anybody; raises BadInput or TooLarge. Hashes are not checked here."""
    if len(wire) > limit_bytes:
        raise TooLarge("the batch", limit_bytes)
    head, bodies_at = _read_head(wire)
    return Batch(
        hashlib.sha256(wire[:bodies_at]).hexdigest(),
        tuple(_cut(wire, bodies_at, head.headers)),
        head.received_ms,
    )


def _read_head(wire: bytes) -> tuple[Head, int]:
    if len(wire) < _PREFIX.size:
        raise BadInput("the batch is shorter than its prefix")
    magic, head_bytes = _PREFIX.unpack_from(wire)
    if magic != MAGIC:
        raise BadInput("the body is not a Headwater batch: it does not start with HWB1")
    bodies_at = _PREFIX.size + head_bytes
    if bodies_at > len(wire):
        raise BadInput(f"the batch ends inside its head of {head_bytes} bytes")
    try:
        head = _head_decoder.decode(wire[_PREFIX.size : bodies_at])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the head of the batch cannot be read: {error}") from error
    if head.version != VERSION:
        raise BadInput(f"batch version {head.version} is not known here; this hub reads {VERSION}")
    if not 0 < len(head.headers) <= CHUNKS_MAX:
        raise BadInput(f"a batch holds 1 to {CHUNKS_MAX} chunks, not {len(head.headers)}")
    if head.received_ms and len(head.received_ms) != len(head.headers):
        raise BadInput("the batch says of some of its chunks only when they were received")
    return head, bodies_at


def _cut(wire: bytes, at: int, headers: Sequence[bytes]) -> Iterator[Chunk]:
    for header_bytes in headers:
        try:
            header = read_header(header_bytes)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"a chunk header cannot be read: {error}") from error
        if not 1 <= header.seq <= SEQ_MAX or header.stored_bytes < 0:
            raise BadInput(f"chunk {header.seq}: sequence and size must not be negative")
        end = at + header.stored_bytes
        if end > len(wire):
            raise BadInput(f"chunk {header.seq}: the batch ends inside its body")
        yield Chunk(header, header_bytes, wire[at:end])
        at = end
    if at != len(wire):
        raise BadInput(f"{len(wire) - at} bytes follow the last chunk")
