"""The records that hubs share, as one hub has them, with the changes that are in them. Pure.

The law that all rests on: *whoever covers a number has in the node's record what that change and all
earlier ones of the same stream brought*. So a record changes in two ways only: by a change that this
hub originates, which gets a number, or by an item of a peer, which names the numbers in it. Should an
item change a record although all its numbers were covered, somebody broke the law: the outcome is
originated anew, so that every hub gets it, and counted, for in a correct mesh it never happens.
"""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hub.peering.digests import Digests, hash_of
from hub.peering.dots import Dots
from hub.peering.exchange_wire import Item, Names
from hub.peering.parked import Parked, parked_record
from hub.peering.vector import Dot, Stream, Vector, check_bounds, minus
from shared.errors import BadInput
from shared.ranges import Ranges

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RecordRules(Generic[R]):
    """What must be known of records. `merge` is commutative, associative and idempotent, and `encode`
    gives equal bytes for equal records."""

    node_of: Callable[[R], str]
    merge: Callable[[R, R], R]
    encode: Callable[[R], bytes]
    decode: Callable[[bytes], R]


class Taken(enum.Enum):
    """What became of an item."""

    NEW = "new"
    KNOWN = "known"
    EARLY = "early"
    REPAIRED = "repaired"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class RetiredStream:
    """What was `covered` of a stream is in `successor` up to the number `through`."""

    successor: Stream
    through: int
    covered: Ranges


@dataclass(slots=True)
class Unsaid(Generic[R]):
    """What is to be pushed of a node: a part that needs `base`, or the whole record (no part)."""

    part: R | None
    base: int


@dataclass(slots=True)
class Replica(Generic[R]):
    """The table of one hub in one life. `own` is the stream of what it originates."""

    own: Stream
    rules: RecordRules[R]
    records: dict[str, R] = field(default_factory=dict)
    dots: Dots = field(default_factory=Dots)
    vector: Vector = field(default_factory=Vector)
    digests: Digests = field(default_factory=Digests)
    parked: Parked = field(default_factory=Parked)
    retired: dict[Stream, RetiredStream] = field(default_factory=dict)
    retiring: Stream | None = None
    redone: set[str] = field(default_factory=set)
    """What bears the stream that is being retired, and has been originated anew."""
    seq: int = 0
    vouched: int = 0
    """A position in the table; the vector covers all changes in the records up to there."""
    dirty: set[str] = field(default_factory=set)
    unsaid: dict[str, Unsaid[R]] = field(default_factory=dict)
    said_through: int = 0
    is_drained: bool = True
    repaired: Counter[str] = field(default_factory=Counter)
    taken: Counter[Taken] = field(default_factory=Counter)
    rescued: int = 0
    """Changes that their origin had lost in a crash or a restore, originated anew here."""

    def load(self, node: str, record: R, dots: Mapping[Stream, int]) -> None:
        """Take in what was on disk, before anything else. A record of an older release that bears no
        change becomes one of this hub's."""
        self.records[node] = record
        self.digests.put(node, hash_of(self.rules.encode(record)))
        self.dots.touch(node)
        self.dots.put(node, dots)
        if not dots:
            self.originate_anew(node)

    # ---- what this hub originates

    def originate(self, change: R) -> bool:
        """Merge a change that began here; returns whether it is one."""
        node = self.rules.node_of(change)
        held = self.records.get(node)
        merged = change if held is None else self.rules.merge(held, change)
        if not self._keep(node, merged):
            return False
        unsaid = self.unsaid.get(node)
        if unsaid is None:
            self.unsaid[node] = Unsaid(change, self.dots.get(node, self.own))
        elif unsaid.part is not None:
            unsaid.part = self.rules.merge(unsaid.part, change)
        self._number(node)
        return True

    def originate_anew(self, node: str) -> None:
        """Make the whole record, as it is now, a change of this hub."""
        self.unsaid[node] = Unsaid(None, -1)
        self._number(node)

    def _number(self, node: str) -> None:
        self.seq += 1
        self.dots.touch(node)
        self.dots.put(node, {self.own: self.seq})
        self.vector.add(self.own, self.seq, self.seq)
        self.dirty.add(node)

    def _keep(self, node: str, record: R) -> bool:
        if not self.digests.put(node, hash_of(self.rules.encode(record))):
            return False
        self.records[node] = record
        return True

    def unsaid_items(self, names: Names) -> Iterator[Item]:
        """What is to be pushed, oldest first."""
        for node, unsaid in self.unsaid.items():
            if unsaid.part is None:
                yield from self.items((node,), names)
            else:
                dots = names.dots({self.own: self.dots.get(node, self.own)})
                yield Item(node, dots, self.rules.encode(unsaid.part), unsaid.base)

    # ---- what peers say

    def take(
        self, item: Item, dots: Mapping[Stream, int], sender: str, at_ms: int, reason: str
    ) -> Taken:
        """Merge an item; which numbers are covered by it is for the caller to say."""
        outcome = self._take(item, dots, sender, at_ms, reason)
        self.taken[outcome] += 1
        return outcome

    def _take(
        self, item: Item, dots: Mapping[Stream, int], sender: str, at_ms: int, reason: str
    ) -> Taken:
        node = item.node
        if item.base > 0 and any(self.dots.get(node, stream) < item.base for stream in dots):
            return Taken.EARLY
        try:
            is_changed = self._merge(item)
        # Whatever decoding and merging may raise: one record of a peer must not stop all others.
        except Exception as error:
            self._park(item, dots, sender, at_ms, f"{type(error).__name__}: {error}")
            return Taken.PARKED
        was_known = all(
            stream in self.retired or self.vector.covers(stream, seq)
            for stream, seq in dots.items()
        )
        is_news = self._note(node, dots, is_changed=is_changed)
        if is_changed and was_known:
            self.originate_anew(node)
            if any(stream in self.retired for stream in dots):
                self.rescued += 1
                return Taken.NEW
            self.repaired[reason] += 1
            return Taken.REPAIRED
        return Taken.NEW if is_news else Taken.KNOWN

    def _merge(self, item: Item) -> bool:
        if hash_of(item.record) == self.digests.hashes.get(item.node):
            return False
        record = self.rules.decode(item.record)
        if self.rules.node_of(record) != item.node:
            raise BadInput(f"this is a record of {self.rules.node_of(record)}")
        held = self.records.get(item.node)
        return self._keep(item.node, record if held is None else self.rules.merge(held, record))

    def _note(self, node: str, dots: Mapping[Stream, int], *, is_changed: bool) -> bool:
        fresh = {
            stream: seq
            for stream, seq in dots.items()
            if stream not in self.retired and self.dots.get(node, stream) < seq
        }
        is_new = is_changed or bool(fresh)
        if is_new:
            self.dots.touch(node)
            self.dots.put(node, fresh)
            self.dirty.add(node)
        if self.retiring in fresh:
            self.redone.discard(node)
        if self.parked.entries:
            self.parked.settle(node, self.dots.of(node))
        return is_new

    def _park(
        self, item: Item, dots: Mapping[Stream, int], sender: str, at_ms: int, reason: str
    ) -> None:
        # All that the node lacks of a stream is in this item, so nothing since then may be claimed.
        spans = {
            stream: (self.dots.get(item.node, stream) + 1, seq)
            for stream, seq in dots.items()
            if stream not in self.retired and not self.vector.covers(stream, seq)
        }
        self.parked.park(parked_record(item.node, sender, at_ms, reason, item.record, spans))

    # ---- what is covered

    def cover(self, dots: Iterable[Dot]) -> None:
        """These changes have been merged."""
        for stream, seq in dots:
            if stream not in self.retired and not self.vector.covers(stream, seq):
                self.vector.add(stream, seq, seq)

    def claim(self, theirs: Mapping[Stream, Ranges]) -> None:
        """Everything that a peer covers has been merged, but for what is parked."""
        self.vector.claim(self.lacks(theirs))

    def lacks(self, theirs: Mapping[Stream, Ranges]) -> dict[Stream, Ranges]:
        """What a peer covers and this hub does not, without what cannot be had."""
        wanted = {
            stream: held
            for stream, held in self.vector.lacks(theirs).items()
            if stream not in self.retired
        }
        return minus(wanted, self.parked.withheld()) if wanted and self.parked.total else wanted

    def check(self, told: Mapping[Stream, int]) -> None:
        """Refuse numbers that this hub never gave, and more streams than there can be; raises BadInput.

        `told` has the largest number of each stream.
        """
        if told.get(self.own, 0) > self.seq:
            raise BadInput(f"it knows changes of {self.own[0]} that this hub never made: a double?")
        known = self.vector.ranges.keys() | self.dots.streams
        if not told.keys() <= known:
            check_bounds(known | (told.keys() - self.retired.keys()))

    def items(self, nodes: Iterable[str], names: Names) -> Iterator[Item]:
        """Whole records for a message."""
        for node in nodes:
            dots = names.dots(self.dots.of(node))
            yield Item(node, dots, self.rules.encode(self.records[node]))
