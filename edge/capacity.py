"""How much the buffer may hold, and how much it does. Values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.quota import Policy, Quota
from shared.receive.gather import GatherLimits
from shared.records import KIB, MIB, Signal
from shared.sums import Sum

SEGMENT_BYTES_MAX = 32 * MIB  # Freed as a whole, lost as a whole if the disk damages it.
SEGMENT_BYTES_MIN = 256 * KIB
SEGMENTS_MIN = 16  # What is shed or freed at once should be a small part of the quota.


@dataclass(frozen=True, slots=True)
class BufferLimits:
    """How much the buffer may hold, and what it does when it is full."""

    bytes_max: int = 500 * MIB
    policy: Policy = Policy.REJECT
    floors: Mapping[Signal, float] | None = None
    ceilings: Mapping[Signal, float] = field(default_factory=dict)
    # Deleting and checkpointing need room too: stop taking in data while there is some left.
    disk_reserve_bytes: int = 64 * MIB
    waiting_bytes_max: int = 128 * MIB  # Bodies in memory that wait for their commit.
    segment_bytes_max: int | None = None
    gather: GatherLimits = field(default_factory=GatherLimits)

    @property
    def quota(self) -> Quota:
        """The rule for who may enter."""
        if self.floors is None:
            return Quota(self.bytes_max, self.policy, ceilings=self.ceilings)
        return Quota(self.bytes_max, self.policy, self.floors, self.ceilings)

    @property
    def segment_bytes(self) -> int:
        """The size at which a file is closed."""
        share = self.bytes_max // SEGMENTS_MIN
        return self.segment_bytes_max or min(SEGMENT_BYTES_MAX, max(SEGMENT_BYTES_MIN, share))


@dataclass(frozen=True, slots=True)
class BufferState:
    """What the buffer holds now. Bytes are those of compressed bodies; `file_bytes` is the disk's view."""

    epoch: str
    head_seq: int
    chunks: int
    records: int
    stored_bytes: int
    by_signal: Mapping[str, Sum]
    oldest_ms: int | None
    dead_letters: int
    segments: int
    file_bytes: int
    wal_bytes: int
    bytes_max: int
    disk_free_bytes: int
    has_reserve: bool
    commits: int
    committed_parts: int
