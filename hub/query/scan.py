"""Reading chunks in order of time, within a budget: what all queries share.

The store gives chunks by the header's time range; this module decides how many of them one answer
may read, and when a row belongs.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from shared.errors import BadInput, RpcError
from shared.records import MIB, ChunkHeader, Encoding, Signal


class Held(Protocol):
    """One stored chunk without its body."""

    @property
    def arrival(self) -> int: ...
    @property
    def header(self) -> ChunkHeader: ...
    @property
    def received_ms(self) -> int: ...


_KEPT_BYTES = 4 * MIB  # Above ordinary bodies; fresh maps are small beside the work on larger ones.

MayHold = Callable[[int, int, Signal], bool]
"""Whether the chunk with this arrival number, received_ms and signal can hold what is wanted. It may
say yes too often, but never no for a chunk with a hit."""


class ChunkReader(Protocol):
    """The chunks of one hub, read by one thread at a time."""

    def find(
        self,
        *,
        signals: Collection[Signal],
        nodes: Collection[str] | None,
        start_ns: int,
        end_ns: int,
        newest_first: bool = True,
        may_hold: MayHold | None = None,
    ) -> Iterator[Held]:
        """Chunks whose [time_min_ns, time_max_ns] meets [start_ns, end_ns), lazily: by time_max_ns
        descending when newest first, else by time_min_ns ascending. `may_hold` is asked before the
        header is decoded; chunks that it declines are left out."""
        ...

    def body(self, held: Held) -> bytes:
        """The decompressed body; raises BadInput when it is damaged or gone."""
        ...

    @property
    def left_out(self) -> int:
        """How many chunks were met and passed over since their headers are damaged."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one answer may read. Past the soft limits a page ends as soon as it can be
    continued; past the hard one the question is refused."""

    chunks_max: int = 4096
    bytes_max: int = 64 * MIB  # Under 0.1 s of text search.
    rows_max: int = 200_000  # Decoded rows: about 1 s, at 5 us each.
    hard_factor: int = 16


PAGE_LIMITS = Limits()
"""For answers in pages: short enough that a person sees something soon."""

WHOLE_LIMITS = Limits(chunks_max=200_000, bytes_max=1024 * MIB, rows_max=3_000_000, hard_factor=1)
"""For answers that cannot be continued: everything or an error."""


@dataclass(slots=True)
class Tally:
    """What an answer has read so far."""

    limits: Limits
    chunks: int = 0
    records: int = 0
    bytes: int = 0
    rows: int = 0
    unreadable: int = 0

    def count(self, header: ChunkHeader, body_bytes: int) -> None:
        """Note that a chunk's body was opened; raises RpcError quota past the hard limit."""
        self.chunks += 1
        self.records += header.records
        self.bytes += body_bytes
        if self._exceeds(self.limits.hard_factor):
            raise RpcError(
                "quota",
                "this question needs more reading than one answer may do: "
                "narrow the time range or name fewer nodes",
                self.to_wire(),
            )

    @property
    def is_spent(self) -> bool:
        """Whether the answer should end where it can."""
        return self._exceeds(1)

    def _exceeds(self, factor: int) -> bool:
        limits = self.limits
        return (
            self.chunks > limits.chunks_max * factor
            or self.bytes > limits.bytes_max * factor
            or self.rows > limits.rows_max * factor
        )

    def to_wire(self) -> dict[str, int]:
        """`scanned` of an answer. Unreadable chunks are named only when there are any."""
        told = {"chunks": self.chunks, "records": self.records}
        return {**told, "unreadable_chunks": self.unreadable} if self.unreadable else told


def open_chunk(reader: ChunkReader, held: Held, tally: Tally) -> tuple[Encoding, bytes]:
    """The encoding and bytes of a chunk, counted; raises BadInput, or RpcError quota."""
    try:
        encoding = Encoding(held.header.encoding)
    except ValueError as error:
        raise BadInput(f"encoding {held.header.encoding!r} is not known here") from error
    _keep_freed_memory()
    body = reader.body(held)
    tally.count(held.header, len(body))
    return encoding, body


@cache
def _keep_freed_memory() -> None:
    """Let the C library keep what bodies leave behind, instead of giving it back and asking anew.

    glibc maps blocks above a threshold one by one, and raises it to the size of the largest mapped
    block that was ever freed (mallopt(3), M_MMAP_THRESHOLD), up to 32 MiB. Without this, two thirds
    of the time of a scan went into the page faults of fresh maps. At most twice the size of this
    block stays with the process; other C libraries take no notice.
    """
    bytes(_KEPT_BYTES)


def clamp_time(header: ChunkHeader, *candidates_ns: int) -> int:
    """The first time that is set, held inside the range that the chunk's header declares.

    Chunks are chosen and ordered by their headers; a record outside of its header's range would
    otherwise be found by some questions and missed by others. Records without any time count as
    written with the chunk.
    """
    time_ns = next((c for c in candidates_ns if c), header.created_ms * 1_000_000)
    return min(max(time_ns, header.time_min_ns), header.time_max_ns)
