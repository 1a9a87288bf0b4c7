"""The hashes of a log's own chunks, by which the shipper believes what hubs say that they hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.records import Chunk

HASHES_MAX = 4096  # Of chunks pushed last: most proofs speak of those.


class Head(Protocol):
    """What is needed of the log's sums."""

    @property
    def head_seq(self) -> int: ...
    @property
    def head_hash(self) -> bytes: ...


class HashedLog(Protocol):
    """What is needed of the buffer."""

    @property
    def epoch(self) -> str: ...
    @property
    def totals(self) -> Head: ...
    async def hash_of(self, seq: int) -> bytes | None: ...


@dataclass(slots=True)
class OwnHashes:
    """The hashes of this log's chunks: of those pushed last from memory, of others from the log.

    That of the head at the start is kept: there another life of this log may have begun.
    """

    log: HashedLog
    _known: dict[int, bytes] = field(default_factory=dict)
    _mark: tuple[str, int, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._mark = (self.log.epoch, self.log.totals.head_seq, self.log.totals.head_hash)

    def note(self, chunks: Sequence[Chunk]) -> None:
        """Remember what is about to be pushed."""
        self._known.update((chunk.header.seq, chunk.hash) for chunk in chunks)
        while len(self._known) > HASHES_MAX:
            del self._known[next(iter(self._known))]

    def forget(self) -> None:
        """The numbers mean other chunks from now on."""
        self._known.clear()

    async def look_up(self, seqs: Sequence[int]) -> dict[int, bytes | None]:
        """Our hash at each number, None where it is not known any more. Raises Unavailable."""
        return {seq: self._at_hand(seq) or await self.log.hash_of(seq) for seq in seqs}

    def _at_hand(self, seq: int) -> bytes | None:
        epoch, marked_seq, digest = self._mark
        return digest if (epoch, marked_seq) == (self.log.epoch, seq) else self._known.get(seq)
