"""A model of a hub as pushes see it: it keeps chunks by the rules of hub.accept, in any weather."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate

from edge.lineage import Claim
from edge.push import Next, Verdict, judge_status
from shared.ranges import Ranges, of_seqs
from shared.receipt import ChunkOutcome, Outcome
from tests.law.push_log import Key, Model

WALL_SECONDS = 1_800_000_000.0
"""What the clock on the wall says at the loop's zero."""


@dataclass
class ModelHub:
    """One hub: its disk, its mood and its limits."""

    url: str
    disk: dict[Key, Model] = field(default_factory=dict)
    is_up: bool = True
    status: int = 200
    retry_after: float | None = None
    is_after_a_date: bool = False
    loses_replies: bool = False
    credit: float | None = None
    body_bytes_max: int | None = None
    refused_records: set[int] = field(default_factory=set)
    refuses_by_status: bool = True
    refused: set[Key] = field(default_factory=set)
    """Every chunk that it has refused by itself, not only as a part of a batch."""

    def take(self, chunks: list[Model], now: float) -> tuple[ChunkOutcome, ...] | Verdict:
        """The answer to one push."""
        if not self.is_up:
            return Verdict(Next.NEXT_HUB, "connection refused", was_sent=False)
        status = self._status_for(chunks)
        if status == 200:
            return tuple(self.judge(chunk) for chunk in chunks)
        if status in (400, 413) and len(chunks) == 1:
            self.refused.add(chunks[0].key)
        body = b"poison" if status == 400 else b"no"
        return judge_status(status, self._headers(now), body, WALL_SECONDS + now)

    def _status_for(self, chunks: list[Model]) -> int:
        if self.status != 200:
            return self.status
        size_bytes = sum(chunk.stored_bytes for chunk in chunks)
        if self.body_bytes_max is not None and size_bytes > self.body_bytes_max:
            return 413
        poison = self.refused_records & {each for chunk in chunks for each in chunk.records}
        return 400 if poison and self.refuses_by_status else 200

    def _headers(self, now: float) -> dict[str, str]:
        if self.retry_after is None:
            return {}
        if self.is_after_a_date:
            return {"retry-after": formatdate(WALL_SECONDS + now + self.retry_after, usegmt=True)}
        return {"retry-after": f"{self.retry_after:.0f}"}

    def judge(self, chunk: Model) -> ChunkOutcome:
        """What becomes of one chunk."""
        held = self.disk.get(chunk.key)
        if held == chunk:
            return ChunkOutcome(chunk.seq, Outcome.DUPLICATE)
        if held is not None or self._contradicts(chunk):
            return ChunkOutcome(chunk.seq, Outcome.REJECTED, "cloned_origin: another log")
        if self.refused_records & set(chunk.records):
            self.refused.add(chunk.key)
            return ChunkOutcome(chunk.seq, Outcome.REJECTED, "bad_body: poison")
        self.disk[chunk.key] = chunk
        return ChunkOutcome(chunk.seq, Outcome.ACCEPTED)

    def _contradicts(self, chunk: Model) -> bool:
        before = self.disk.get((chunk.epoch, chunk.seq - 1))
        after = self.disk.get((chunk.epoch, chunk.seq + 1))
        return (before is not None and before.hash != chunk.previous) or (
            after is not None and after.previous != chunk.hash
        )

    def replicate_from(self, giver: "ModelHub") -> None:
        """Take over from another hub what fits the chains; hubs do not refuse each other's data."""
        refused, self.refused_records = self.refused_records, set()
        for key in sorted(giver.disk.keys() - self.disk.keys()):
            self.judge(giver.disk[key])
        self.refused_records = refused

    def holds(self, chunk: Model) -> bool:
        """Whether exactly this chunk is on its disk."""
        return self.disk.get(chunk.key) == chunk

    def have(self, epoch: str) -> Ranges:
        """The numbers of an epoch."""
        return of_seqs(seq for held, seq in self.disk if held == epoch)

    def claim(self, epoch: str, asked_at: float, hubs: Iterable["ModelHub"]) -> Claim:
        """What it says that it holds; safe is what another holds too."""
        have = self.have(epoch)
        others = [hub for hub in hubs if hub is not self]
        wanted = min(1, len(others))
        safe = of_seqs(
            seq for seq in have if sum(hub.holds(self.disk[epoch, seq]) for hub in others) >= wanted
        )
        proofs = tuple((last, self.disk[epoch, last].hash) for _, last in have.spans)
        return Claim(epoch, asked_at, have, safe, proofs)

    def ours(self) -> Iterator[Model]:
        """What of its disk the edge's own log wrote: records of clones are negative."""
        for chunk in self.disk.values():
            if all(record >= 0 for record in chunk.records):
                yield chunk
