"""The records that hubs share, as one hub has them, with the changes that are in them. Pure.

The law that all rests on: *whoever covers a number has in the node's record what that change and all
earlier ones of the same stream brought*. So a record changes in two ways only: by a change that this
hub originates, which gets a number, or by an item of a peer, which names the numbers in it. Should an
item change a record although all its numbers were covered, somebody broke the law: the outcome is
originated anew, so that every hub gets it, and counted, for in a correct mesh it never happens. What
becomes of an item is decided in hub.peering.exchange_take.

`admit` may keep a part of a peer's record out for a while. What is let in then becomes a change of this
hub, and the numbers of the item are withheld, like those of a record that cannot be applied, until
`ask_again`: whoever does not cover them is told again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic

from hub.peering.digests import Digests, hash_of
from hub.peering.dots import Dots
from hub.peering.exchange_values import R, RecordRules, RetiredStream, Taken, Unsaid
from hub.peering.exchange_wire import Item, Names
from hub.peering.parked import Parked
from hub.peering.refusals import Double
from hub.peering.vector import Dot, Stream, Vector, check_bounds, minus
from shared.ranges import Ranges


def _all_of_it(record: R, sender: str) -> R:
    return record


def _takes_all(record: R) -> Taken | None:
    """Nothing was ever removed."""


def _nobody(before: R | None, after: R) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class Replica(Generic[R]):
    """The table of one hub in one life. `own` is the stream of what it originates."""

    own: Stream
    rules: RecordRules[R]
    admit: Callable[[R, str], R] = _all_of_it
    """What of a record of a peer may be merged now; may raise anything for one that may never be."""
    keeps_out: Callable[[R], Taken | None] = _takes_all
    """What becomes of a record of a peer that may not be merged, since a person removed its node:
    KNOWN where it says nothing more, BURIED where its sender has to be told; None for all others."""
    on_taken: Callable[[R | None, R], None] = _nobody
    """Told of each record that a peer has changed: as it was, and as it is."""
    records: dict[str, R] = field(default_factory=dict)
    dots: Dots = field(default_factory=Dots)
    vector: Vector = field(default_factory=Vector)
    digests: Digests = field(default_factory=Digests)
    parked: Parked = field(default_factory=Parked)
    waiting: Parked = field(default_factory=Parked)
    """What `admit` did not let in."""
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

    def load(self, node: str, record: R, record_hash: int, dots: Mapping[Stream, int]) -> None:
        """Take in what was on disk, with its hash, before anything else. A record of an older release
        that bears no change becomes one of this hub's."""
        self.records[node] = record
        self.digests.put(node, record_hash)
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
        if not self.keep(node, merged):
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

    def keep(self, node: str, record: R) -> bool:
        """Hold this record of a node; returns whether it is another one than before."""
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

    def drop(self, node: str) -> None:
        """Let go of a record for good, with all that was to be said of it; what is covered stays so.

        `keeps_out` must know it from now on.
        """
        self.records.pop(node, None)
        self.digests.drop(node)
        self.dots.forget(node)
        self.dirty.discard(node)
        self.unsaid.pop(node, None)
        self.redone.discard(node)

    # ---- what is covered

    def cover(self, dots: Iterable[Dot]) -> None:
        """These changes have been merged."""
        for stream, seq in dots:
            if stream not in self.retired and not self.vector.covers(stream, seq):
                self.vector.add(stream, seq, seq)

    def claim(self, theirs: Mapping[Stream, Ranges]) -> None:
        """Everything that a peer covers has been merged, but for what is parked or waits."""
        self.vector.claim(self.lacks(theirs))

    def lacks(self, theirs: Mapping[Stream, Ranges]) -> dict[Stream, Ranges]:
        """What a peer covers and this hub does not, without what cannot be had."""
        wanted = {
            stream: held
            for stream, held in self.vector.lacks(theirs).items()
            if stream not in self.retired
        }
        for kept in (self.parked, self.waiting):
            if wanted and kept.total:
                wanted = minus(wanted, kept.withheld())
        return wanted

    def check(self, told: Mapping[Stream, int]) -> None:
        """Refuse numbers that this hub never gave, and more streams than there can be; raises BadInput.

        `told` has the largest number of each stream.
        """
        if told.get(self.own, 0) > self.seq:
            text = f"it knows changes of {self.own[0]} that this hub never made: a double?"
            raise Double("", text)  # Who brings it may be neither of the two.
        known = self.vector.ranges.keys() | self.dots.streams
        if not told.keys() <= known:
            check_bounds(known | (told.keys() - self.retired.keys()))

    def items(self, nodes: Iterable[str], names: Names) -> Iterator[Item]:
        """Whole records for a message."""
        for node in nodes:
            dots = names.dots(self.dots.of(node))
            yield Item(node, dots, self.rules.encode(self.records[node]))
