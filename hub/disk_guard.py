"""When a hub stops taking in data because its disk is nearly full, and when it goes on. A pure machine.

It stops before the disk is full, so that what it has promised to do with little room still works:
checkpoints, node records, receipts, and the deletions of retention. It goes on only when a good deal
more is free than when it stopped, so that it does not open and close at every megabyte.
"""

from dataclasses import dataclass, replace

from shared.records import MIB

RESERVE_BYTES_MAX = 1024 * MIB
RESERVE_PERCENT = 5
REOPEN_PERCENT = 125
FULL_SECONDS = 10.0  # A quota or a lack of inodes does not show as free bytes: try again calmly.


@dataclass(frozen=True, slots=True)
class Room:
    """What a look at the disk showed."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class DiskState:
    """Whether data is taken in, and what was seen last; times are of the monotonic clock, in seconds."""

    is_open: bool = True
    room: Room = Room(0, 0)
    reserve_bytes: int = 0
    closed_until: float = float("-inf")
    """Not opened earlier than this, whatever the disk shows: a write has failed."""

    @property
    def reopen_bytes(self) -> int:
        """So much must be free before a closed guard opens."""
        return reopen_bytes(self.reserve_bytes)


def reserve_bytes(total_bytes: int, wanted_bytes: int = 0) -> int:
    """How much of a disk is left alone: what is wanted, or by default 5 % and at most 1 GiB."""
    if wanted_bytes > 0:
        return wanted_bytes
    return min(RESERVE_BYTES_MAX, total_bytes * RESERVE_PERCENT // 100)


def reopen_bytes(reserve: int) -> int:
    """A quarter more than the reserve, rounded up to whole bytes."""
    return -(-reserve * REOPEN_PERCENT // 100)


def looked(state: DiskState, room: Room, now: float, wanted_bytes: int = 0) -> DiskState:
    """The state after a look at the disk."""
    reserve = reserve_bytes(room.total_bytes, wanted_bytes)
    needed = reserve if state.is_open else reopen_bytes(reserve)
    is_open = room.free_bytes >= needed and now >= state.closed_until
    return replace(state, is_open=is_open, room=room, reserve_bytes=reserve)


def write_failed(state: DiskState, now: float) -> DiskState:
    """The state after a write failed for want of room, however much a look shows to be free."""
    return replace(state, is_open=False, closed_until=now + FULL_SECONDS)
