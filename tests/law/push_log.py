"""A model of the edge's log: small, exact, and without a disk."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge.push import Stock
from shared.ranges import Ranges, of_seqs

CHUNK_BYTES = 1 << 20
"""Large chunks: a handful is a backlog."""

Key = tuple[str, int]
"""The epoch and the number of a chunk."""


@dataclass(frozen=True)
class Model:
    """One chunk: its place, its chain and the records in it."""

    epoch: str
    seq: int
    previous: bytes
    records: tuple[int, ...]
    stored_bytes: int

    @property
    def key(self) -> Key:
        """Its place."""
        return self.epoch, self.seq

    @property
    def hash(self) -> bytes:
        """Stands for everything in the chunk."""
        text = f"{self.epoch} {self.seq} {self.previous.hex()} {self.records}"
        return hashlib.sha256(text.encode()).digest()


@dataclass
class ModelLog:
    """The buffer, as the conversation needs it."""

    epoch: str = "e1"
    head_seq: int = 0
    head_hash: bytes = b""
    chunks: dict[int, Model] = field(default_factory=dict)
    alerts: set[int] = field(default_factory=set)
    dead: list[int] = field(default_factory=list)
    made: int = 0

    @property
    def stock(self) -> Stock:
        """What the conversation observes."""
        seqs = of_seqs(self.chunks)
        return Stock(self.epoch, self.head_seq, seqs, of_seqs(self.alerts & self.chunks.keys()))

    def append(self, records: Iterable[int], stored_bytes: int, *, alert: bool = False) -> None:
        """Keep records as one chunk."""
        self.head_seq += 1
        made = Model(self.epoch, self.head_seq, self.head_hash, tuple(records), stored_bytes)
        self.chunks[self.head_seq], self.head_hash = made, made.hash
        if alert:
            self.alerts.add(self.head_seq)

    def produce(self, count: int, stored_bytes: int, *, alert: bool = False) -> tuple[int, ...]:
        """Keep new records as one chunk; returns them."""
        records = tuple(range(self.made, self.made + count))
        self.made += count
        self.append(records, stored_bytes, alert=alert)
        return records

    def read(self, wanted: Ranges, bytes_max: int) -> list[Model]:
        """The oldest of the wanted chunks that fit, at least one."""
        taken: list[Model] = []
        for seq in sorted(self.chunks):
            if seq in wanted:
                size = sum(chunk.stored_bytes for chunk in taken) + self.chunks[seq].stored_bytes
                if taken and size > bytes_max:
                    break
                taken.append(self.chunks[seq])
        return taken

    def hash_of(self, seq: int) -> bytes | None:
        """Known for what is buffered, and for the newest."""
        if seq == self.head_seq:
            return self.head_hash
        return self.chunks[seq].hash if seq in self.chunks else None

    def split(self, seq: int) -> Model:
        """Two chunks in the place of one; returns the one."""
        chunk = self.chunks.pop(seq)
        middle = len(chunk.records) // 2
        for half in (chunk.records[:middle], chunk.records[middle:]):
            self.append(half, max(chunk.stored_bytes // 2, 1), alert=seq in self.alerts)
        return chunk

    def bury(self, seq: int) -> Model:
        """Make a dead letter."""
        chunk = self.chunks.pop(seq)
        self.dead.extend(chunk.records)
        return chunk

    def new_epoch(self, keep: Ranges) -> list[Model]:
        """Write again what is kept, under new numbers; returns what is left to the hubs."""
        former = [self.chunks[seq] for seq in sorted(self.chunks)]
        alerts = self.alerts
        self.epoch = f"e{int(self.epoch[1:]) + 1}"
        self.head_seq, self.head_hash, self.chunks, self.alerts = 0, b"", {}, set()
        for chunk in former:
            if chunk.seq in keep:
                self.append(chunk.records, chunk.stored_bytes, alert=chunk.seq in alerts)
        return [chunk for chunk in former if chunk.seq not in keep]
