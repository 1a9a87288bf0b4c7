"""The chain of a hub's own log: which epoch it writes under, and what its next chunks are. Pure.

The epoch is the life of the store (`store_epoch`), so that a store that was emptied or restored never
reuses a number. A log whose last chunk cannot be read any more goes on under the next name, and its
first chunk says what it follows, as an edge does that begins anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shared.receive.gather import Packed
from shared.records import GENESIS_HASH, Chunk, ChunkHeader, seal

CODEC = "zstd"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a log: the number and the hash of its last chunk, and the epoch before this one.

    `predecessor` is the epoch before and its last number, for the first chunk to tell; None when no
    epoch before is known.
    """

    origin: str
    epoch: str
    seq: int = 0
    hash: bytes = GENESIS_HASH
    predecessor: tuple[str, int] | None = None


def newest_epoch(store_epoch: str, epochs: Iterable[str]) -> str:
    """The last epoch of this life of the store among those that are known; the first if none is."""
    numbers = [_number(store_epoch, epoch) for epoch in epochs]
    return _name(store_epoch, max((number for number in numbers if number), default=1))


def succeed(head: Head, store_epoch: str) -> Head:
    """The beginning of the epoch after this one, which must be of this life of the store."""
    epoch = _name(store_epoch, _number(store_epoch, head.epoch) + 1)
    return Head(head.origin, epoch, predecessor=(head.epoch, head.seq))


def _name(store_epoch: str, number: int) -> str:
    return store_epoch if number == 1 else f"{store_epoch}.{number}"


def _number(store_epoch: str, epoch: str) -> int:
    """Which epoch of this life it is, from 1; 0 for those of other lives."""
    if epoch == store_epoch:
        return 1
    life, _, number = epoch.rpartition(".")
    is_number = number.isascii() and number.isdigit() and len(number) < 10
    return int(number) if life == store_epoch and is_number and int(number) > 1 else 0


def seal_next(head: Head, packed: Sequence[Packed]) -> tuple[list[Chunk], Head]:
    """The next chunks of the log, in order, and its end behind them."""
    chunks: list[Chunk] = []
    for each in packed:
        chunk = seal(_header(head, each), each.body)
        chunks.append(chunk)
        head = replace(head, seq=chunk.header.seq, hash=chunk.hash)
    return chunks, head


def _header(head: Head, packed: Packed) -> ChunkHeader:
    return ChunkHeader(
        origin=head.origin,
        epoch=head.epoch,
        seq=head.seq + 1,
        signal=packed.signal,
        encoding=packed.encoding,
        codec=CODEC,
        records=packed.records,
        raw_bytes=packed.raw_bytes,
        stored_bytes=len(packed.body),
        time_min_ns=packed.time_min_ns,
        time_max_ns=packed.time_max_ns,
        created_ms=packed.created_ms,
        body_sha256=packed.body_sha256,
        previous_hash=head.hash,
        predecessor=head.predecessor if head.seq == 0 else None,
    )
