"""Stamps that no sound clock made: what they may still do, and how a person overrules them. Pure.

A stamp far ahead of now comes from disk, from an older version or from a restored backup. It is kept
and merged as every other, since all hubs must agree; but it is no base for our own stamps, is never
shown as a time, and loses to whatever a person orders after seeing it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from shared.merge import NodeRecord
from shared.stamp import HybridClock, Stamp

POISON_AHEAD_MS = 3_600_000
"""No clock that anybody called sound is an hour ahead."""

REISSUE_MAX = 2**31 - 1
"""Far more than people can order; what is above is refused where records are read."""


def is_poisoned(stamp: Stamp, wall_ms: int) -> bool:
    """Whether a stamp is too far ahead of our clock to be a time."""
    return stamp.wall_ms > wall_ms + POISON_AHEAD_MS


def stamp_time_ms(stamp: Stamp, wall_ms: int) -> int | None:
    """The time to show for a stamp; None for one that is no time."""
    return None if is_poisoned(stamp, wall_ms) or stamp.wall_ms < 0 else stamp.wall_ms


def may_witness(stamp: Stamp, wall_ms: int) -> bool:
    """Whether our own stamps may be made later than this one, as `HybridClock.witness` does.

    A clock that follows every stamp would be carried away by one, and carry all hubs with it.
    """
    return not is_poisoned(stamp, wall_ms)


def poisoned_fields(record: NodeRecord, wall_ms: int) -> list[str]:
    """The intents of a record whose stamps are no times."""
    return sorted(name for name, held in record.intent.items() if is_poisoned(held.stamp, wall_ms))


def count_poisoned(records: Iterable[NodeRecord], wall_ms: int) -> int:
    """How many intents have stamps that are no times."""
    return sum(len(poisoned_fields(record, wall_ms)) for record in records)


class Issued(Protocol):
    """An intent that knows how often a person had to repeat it over a stamp ahead of its time."""

    @property
    def value(self) -> Any: ...
    @property
    def stamp(self) -> Stamp: ...
    @property
    def reissue(self) -> int: ...


def intent_order(intent: Issued) -> tuple[int, Stamp]:
    """What the join compares: the number of the reissue before the stamp. It reads no clock."""
    return intent.reissue, intent.stamp


def reissue_over(held: Issued | None, stamp: Stamp) -> int:
    """The reissue number that a new order with this stamp needs to win over what is held.

    It grows only where the stamp alone would lose, and never shrinks, so a person who orders after
    seeing something always wins over it, whatever its stamp says.
    """
    if held is None:
        return 0
    return held.reissue if stamp > held.stamp else min(held.reissue + 1, REISSUE_MAX)


def stamp_over(clock: HybridClock, held: Issued | None, wall_ms: int) -> tuple[Stamp, int]:
    """The stamp and the reissue number of a new order that wins over what this hub holds.

    The clock follows what is held for this field, unless no sound clock can have made it; it need
    follow nothing else, since stamps of different fields are never compared.
    """
    if held is not None and may_witness(held.stamp, wall_ms):
        clock.witness(held.stamp)
    stamp = clock.next(wall_ms)
    return stamp, reissue_over(held, stamp)


@dataclass(frozen=True, slots=True)
class StampBase:
    """Where a hub begins to make stamps again, and whether it gave up a mark that is no time."""

    high_water_ms: int
    is_lowered: bool


def stamp_base(high_water_ms: int, wall_ms: int, *, is_clock_sound: bool) -> StampBase:
    """Our own persisted mark, or now, when our own clock once ran far ahead and is right again.

    `is_clock_sound` is whether the median of three or more clocks says so of ours at this moment: on
    our own word alone the mark is never lowered, for it may be our clock of now that is behind. The
    price is that a stamp of the bad time may be made a second time when that time comes; equal stamps
    have one winner on all hubs.
    """
    if is_clock_sound and high_water_ms > wall_ms + POISON_AHEAD_MS:
        return StampBase(wall_ms, True)
    return StampBase(high_water_ms, False)
