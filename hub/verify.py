"""Checks the bytes of a log: bodies against headers, headers against the chain. Pure."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from hub.epochs import shown_ranges
from shared.ranges import NOTHING, Ranges
from shared.records import Chunk

LogKey = tuple[str, str]

BROKEN_SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as it lies on disk, with the hash that was noted when it came."""

    chunk: Chunk
    noted_hash: bytes


@dataclass(slots=True)
class Verifier:
    """Checks chunks of one log in order: bodies, headers, and the chain between held neighbours.

    `previous` is the hash held just before the first chunk, if one is.
    """

    key: LogKey
    previous: tuple[int, bytes] | None = None
    chunks: int = 0
    records: int = 0
    stored_bytes: int = 0
    seen: Ranges = NOTHING
    broken_seqs: Ranges = NOTHING
    faults: list[dict[str, Any]] = field(default_factory=list)

    def feed(self, seq: int, stored: StoredChunk | str) -> None:
        """Take in the next chunk, or why it cannot be read."""
        self.chunks += 1
        self.seen = self.seen.add(seq, seq)
        if isinstance(stored, str):
            self.fail(seq, seq, stored)
            return
        fault = self._fault(stored)
        if fault:
            self.fail(seq, seq, fault)
        self.previous = (seq, stored.noted_hash)
        self.records += stored.chunk.header.records
        self.stored_bytes += len(stored.chunk.body)

    def _fault(self, stored: StoredChunk) -> str:
        header = stored.chunk.header
        if (header.origin, header.epoch) != self.key:
            return "the header names another log"
        if stored.chunk.hash != stored.noted_hash:
            return "the header has another hash than when it came"
        if hashlib.sha256(stored.chunk.body).digest() != header.body_sha256:
            return "the body has another hash than its header says"
        before = self.previous
        if before and before[0] == header.seq - 1 and before[1] != header.previous_hash:
            return f"it does not follow the chunk held at {before[0]}"
        return ""

    def fail(self, first: int, last: int, fault: str) -> None:
        """Note that chunks are not what they should be."""
        self.broken_seqs = self.broken_seqs.add(first, last)
        if len(self.faults) < BROKEN_SHOWN_MAX:
            self.faults.append({"first": first, "last": last, "fault": fault})

    def expect(self, held: Ranges) -> None:
        """Everything that was noted as received must have been there to be read."""
        for first, last in (held - self.seen - self.broken_seqs).spans:
            self.fail(first, last, "noted as received, and not there")

    def to_wire(self) -> dict[str, Any]:
        """What was found."""
        return {
            "epoch": self.key[1],
            "chunks": self.chunks,
            "records": self.records,
            "bytes": self.stored_bytes,
            "verified": shown_ranges(self.seen - self.broken_seqs),
            "broken": self.broken_seqs.count,
            "faults": self.faults,
        }
