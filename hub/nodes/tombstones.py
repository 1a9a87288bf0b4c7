"""Removal of a node: a tombstone in its record, and what a later return to life leaves of it. Pure.

The intent `removed` holds {"at_ms", "by", "why"} for a removed node and False for one that a person let
back. Either begins anew: what was said of the node before does not count any more. So that this is the
same on every hub, `settled` drops it by the place of that intent in its order, which only grows, and
never by a clock; merging and settling together stay commutative, associative and idempotent.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard, TypeVar

import msgspec

from shared.beat import Beat
from shared.merge import (
    REMOVED,
    UNIX_MS_MAX,
    Facts,
    Intent,
    NodeRecord,
    Observation,
    intent_order,
    merge,
)
from shared.stamp import ZERO, Stamp

DAY_MS = 86_400_000

RETENTION_MS = 7 * DAY_MS
"""The longest time apart after which two hubs can still exchange records one by one."""

WORDS_LENGTH_MAX = 200
COUNT_MAX = 2**53

_LIFT_MAX = 2**52
_STAMP_LIFT_MAX = 2**42 - 1  # Unix milliseconds until the year 2109.

Said = TypeVar("Said", Facts, Observation)


class Turn(NamedTuple):
    """The place of a removal or a return among all that were said of one node: later ones are greater.

    A person who ordered over a stamp ahead of its time has reissued it, which outranks every stamp.
    """

    reissue: int
    stamp: Stamp


FIRST = Turn(0, ZERO)
"""Of a node that nobody removed yet."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Who removed a node, when and why."""

    at_ms: int
    by: str
    why: str
    stamp: Stamp

    def words(self) -> str:
        """As it is told to people."""
        reason = f" ({self.why})" if self.why else ""
        return f"removed by {self.by or 'somebody'}{reason}"


def removal_value(at_ms: int, by: str, why: str = "") -> dict[str, Any]:
    """What the intent `removed` holds for a removed node; long words are cut."""
    return {"at_ms": at_ms, "by": by[:WORDS_LENGTH_MAX], "why": why[:WORDS_LENGTH_MAX]}


def tombstone(node_id: str, stamp: Stamp, value: object = True, reissue: int = 0) -> NodeRecord:
    """The record of a removed node: nothing but that, and when."""
    return NodeRecord(node_id, intent={REMOVED: Intent(value, stamp, reissue)})


def reenrolled(node_id: str, stamp: Stamp) -> NodeRecord:
    """The record by which a person lets a removed node back; the stamp must be later than all known."""
    return NodeRecord(node_id, intent={REMOVED: Intent(False, stamp)})


def removal_of(record: NodeRecord) -> Removal | None:
    """The tombstone in a record, also the plain true of older hubs; None for a live node."""
    held = record.intent.get(REMOVED)
    if held is None or not held.value:
        return None
    told = held.value if isinstance(held.value, dict) else {}
    at_ms = told.get("at_ms")
    return Removal(
        at_ms if _is_time(at_ms) else min(max(held.stamp.wall_ms, 0), UNIX_MS_MAX),
        _words(told.get("by")) or held.stamp.hub_id,
        _words(told.get("why")),
        held.stamp,
    )


def _is_time(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value <= UNIX_MS_MAX


def _words(value: object) -> str:
    return value[:WORDS_LENGTH_MAX] if isinstance(value, str) else ""


def is_removed(record: NodeRecord) -> bool:
    """Whether a record is a tombstone, to be left out of every list."""
    held = record.intent.get(REMOVED)
    return held is not None and bool(held.value)


def has_come(record: NodeRecord) -> bool:
    """Whether any hub heard the node in this life; False for one that people only expect."""
    return record.facts is not None or record.observation is not None


def is_watched(record: NodeRecord) -> bool:
    """Whether silence of the node means anything: it is here, and was heard before."""
    return has_come(record) and not is_removed(record)


def began(record: NodeRecord) -> Turn:
    """When the life that a record tells of was begun or ended by a person; FIRST for the first one."""
    held = record.intent.get(REMOVED)
    return Turn(held.reissue, held.stamp) if held else FIRST


def lift_of(record: NodeRecord | None) -> int:
    """What hubs add to the incarnation that a node says, so that each life outranks those before it.

    A node that was installed anew counts from 1 again; without the lift its beats would lose against
    those of its earlier life. What wins as an intent gives no smaller lift, whatever its stamp says.
    """
    held = record.intent.get(REMOVED) if record else None
    if held is None:
        return 0
    wall_ms = min(max(held.stamp.wall_ms, 0), _STAMP_LIFT_MAX)
    return min(held.reissue * (_STAMP_LIFT_MAX + 1) + wall_ms, _LIFT_MAX)


def lifted(beat: Beat, record: NodeRecord | None) -> Beat:
    """The beat as it is to be taken into the record of its node."""
    lift = lift_of(record)
    if not lift:
        return beat
    return msgspec.structs.replace(beat, incarnation=min(beat.incarnation + lift, COUNT_MAX))


def settled(record: NodeRecord) -> NodeRecord:
    """The record without what was said before the node was removed or let back last."""
    turn = record.intent.get(REMOVED)
    if turn is None:
        return record
    lift, since = lift_of(record), intent_order(turn)
    return NodeRecord(
        record.node_id,
        _of_this_life(record.facts, lift),
        _of_this_life(record.observation, lift),
        {name: held for name, held in record.intent.items() if intent_order(held) >= since},
    )


def _of_this_life(said: Said | None, lift: int) -> Said | None:
    return said if said is not None and said.incarnation > lift else None


def merge_settled(mine: NodeRecord, theirs: NodeRecord) -> NodeRecord:
    """The one record that both sides agree on, with removal and return taken into account."""
    merged = merge(mine, theirs)
    return merged if merged is mine else settled(merged)


def needs_snapshot(last_contact_ms: int | None, wall_ms: int) -> bool:
    """Whether a hub was away for so long that it must take a full snapshot before it may send records.

    Its peers may have let go of tombstones that it never saw. None is a hub that was never met, or has
    been forgotten. A time of contact in the future is no contact: a clock was wrong then or is now.
    """
    if last_contact_ms is None:
        return True
    return not 0 <= wall_ms - last_contact_ms <= RETENTION_MS
