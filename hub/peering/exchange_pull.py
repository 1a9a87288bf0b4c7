"""How a hub fetches what it lacks from any hub that has it, page by page. Pure.

A page lists what changed in the table of the peer after a position, oldest first, without what the
asker has. When a page is the last, everything that the peer covers has been told, so the asker may
cover it too: only then, since numbers that a later change has superseded have no record of their own,
and the later change may have stood on the last page. A position is good for one life of the peer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from hub.peering.exchange_replica import Replica
from hub.peering.exchange_values import R
from hub.peering.exchange_wire import PAGE_BYTES_MAX, RECORDS_MAX, Item, Names, size_of
from hub.peering.vector import Stream, common
from shared.ranges import Ranges

SCANNED_MAX = 20_000
"""Rows that one page looks at: some milliseconds."""

ROUND_SECONDS = 1.0
WAIT_SECONDS = 0.8 * ROUND_SECONDS
"""What was lacking so long ago and still is, was not just on its way."""

PASS_SECONDS_MAX = 5.0
BACKLOG_RECORDS = 5000
"""So much is no push on its way; nobody waits a round for it."""


@dataclass(slots=True)
class Standing:
    """How this hub stands with one peer in the peer's present life."""

    life: str = ""
    cursor: int = 0
    vector: dict[Stream, Ranges] = field(default_factory=dict)
    digest: str = ""
    """Of the vector that the peer told."""
    knows: str = ""
    """The digest that the peer has of ours."""
    position: int = 0
    heard_at: float = 0.0
    lacked: dict[Stream, Ranges] = field(default_factory=dict)
    """What it covered and we did not, when it told its position."""
    waited: dict[Stream, Ranges] = field(default_factory=dict)
    """Of that, what we lacked for a round already."""

    def meet(self, life: str) -> None:
        """Begin anew with a peer that has a new life."""
        if life != self.life:
            self.life, self.cursor = life, 0
            self.vector, self.digest, self.knows = {}, "", ""
            self.settle()

    def settle(self) -> None:
        """Nothing is known to be lacking until the next pulse, and no position is vouched for."""
        self.lacked, self.waited, self.position = {}, {}, 0


def hear_position(standing: Standing, replica: Replica[R], position: int, now: float) -> None:
    """Take in that the peer covers `standing.vector`, and by it all of its table up to a position."""
    if not replica.lacks(standing.lacked):
        standing.cursor = max(standing.cursor, standing.position)
        standing.lacked = {}
    lacks = replica.lacks(standing.vector)
    if now - standing.heard_at >= WAIT_SECONDS or not standing.lacked:
        standing.waited = common(lacks, standing.lacked)
        standing.lacked, standing.position, standing.heard_at = lacks, position, now
    if not lacks:
        standing.cursor = max(standing.cursor, position)


def count(vector: Mapping[Stream, Ranges]) -> int:
    """How many numbers there are in all."""
    return sum(held.count for held in vector.values())


def is_worth_asking(standing: Standing, replica: Replica[R]) -> bool:
    """Whether the peer has what we lack, and it is not on its way."""
    if not standing.life:
        return False
    if count(standing.lacked) >= BACKLOG_RECORDS:
        return bool(replica.lacks(standing.lacked))
    return bool(replica.lacks(standing.waited))


def vouched_position(replica: Replica[R]) -> int:
    """Up to where in the table the vector covers all that records bear, as far as it is known.

    In the middle of a pass there are records that the vector does not speak of yet: whoever has an
    equal vector need not have them.
    """
    for node, place in islice(replica.dots.since(replica.vouched), SCANNED_MAX):
        if not replica.dots.is_within(node, replica.vector.ranges):
            break
        replica.vouched = place
    return replica.vouched


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what changed; the last one when `is_last`."""

    items: list[Item]
    names: Names
    through: int
    is_last: bool


def page(replica: Replica[R], after: int, have: dict[Stream, Ranges]) -> Page:
    """What changed after a position and is not in `have`, oldest first, as much as fits."""
    names, items, room = Names(), list[Item](), PAGE_BYTES_MAX
    through = after
    for node, place in islice(replica.dots.since(after), SCANNED_MAX):
        if not replica.dots.is_within(node, have):
            (item,) = replica.items((node,), names)
            room -= size_of(item)
            if items and (room < 0 or len(items) >= RECORDS_MAX):
                return Page(items, names, through, is_last=False)
            items.append(item)
        through = place
    is_last = next(replica.dots.since(through), None) is None
    return Page(items, names, replica.dots.position if is_last else through, is_last)
