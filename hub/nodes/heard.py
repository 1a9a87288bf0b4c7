"""Who heard which node when: this hub itself, and each peer by its own word, in plain arrays.

A peer tells the age of its news, which becomes a moment of this hub's monotonic clock on arrival;
the way here makes news look younger by its delay, and no clock of the peer is ever read.
Rules only.
"""

import sys
from array import array
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from hub.nodes.heard_wire import HeardReply, HeardSection, check
from hub.nodes.slot_move import SlotMove
from shared.errors import BadInput

NEVER = float("-inf")
SLOTS_MAX = 1_000_000
SPARE_SHARE = 32
"""Arrays grow by a part of their length, and not for each node that comes."""

SLOTS_SPARE = 10_000
"""Slots of nodes that are gone are given back when they are more than the others, and these."""


@dataclass(slots=True)
class Slots:
    """A small number for each node that this hub knows of. Whoever keeps something by slot must
    `follow`, since slots of nodes that are gone are given back."""

    names: list[str] = field(default_factory=list)
    _slot: dict[str, int] = field(default_factory=dict)
    _followers: list[Callable[[SlotMove], None]] = field(default_factory=list)

    def follow(self, moved: Callable[[SlotMove], None]) -> None:
        """Have this called whenever slots move."""
        self._followers.append(moved)

    def keep(self, kept: Iterable[int]) -> None:
        """Give back all slots but these."""
        move = SlotMove(sorted(kept), len(self.names))
        self.names = [self.names[slot] for slot in move.kept]
        self._slot = {node_id: slot for slot, node_id in enumerate(self.names)}
        for moved in self._followers:
            moved(move)

    def of(self, node_id: str) -> int:
        """The node's slot, new ones at the end; raises BadInput when there are too many."""
        slot = self._slot.get(node_id)
        if slot is None:
            if len(self.names) >= SLOTS_MAX:
                raise BadInput(f"more than {SLOTS_MAX} nodes are named; {node_id} is left out")
            slot = self._slot[sys.intern(node_id)] = len(self.names)
            self.names.append(sys.intern(node_id))
        return slot

    def find(self, node_id: str) -> int | None:
        """The node's slot; None for one that was never named."""
        return self._slot.get(node_id)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(slots=True)
class Ear:
    """What one hub heard, by slot: when the beat last moved, and the interval then asked for."""

    hub_id: str
    moved_at: "array[float]" = field(default_factory=lambda: array("d"))
    interval: "array[float]" = field(default_factory=lambda: array("f"))

    def reach(self, slots: int) -> int:
        """Make room for at least so many slots: the newcomers were never heard. How many came."""
        missing = slots - len(self.moved_at)
        if missing <= 0:
            return 0
        missing += slots // SPARE_SHARE
        self.moved_at.extend([NEVER] * missing)
        self.interval.extend([0.0] * missing)
        return missing

    def follow(self, move: SlotMove) -> None:
        """Slots have moved."""
        self.moved_at, self.interval = move.column(self.moved_at), move.column(self.interval)


@dataclass(slots=True)
class OwnEar(Ear):
    """What this hub heard itself: it also knows the counts, by which it tells news from repetitions."""

    incarnation: "array[int]" = field(default_factory=lambda: array("Q"))
    beat: "array[int]" = field(default_factory=lambda: array("Q"))

    def reach(self, slots: int) -> int:
        """As any ear."""
        missing = Ear.reach(self, slots)
        self.incarnation.extend([0] * missing)
        self.beat.extend([0] * missing)
        return missing

    def follow(self, move: SlotMove) -> None:
        """As any ear."""
        Ear.follow(self, move)
        self.incarnation, self.beat = move.column(self.incarnation), move.column(self.beat)

    def hear(self, slot: int, incarnation: int, beat: int, at: float, interval: float) -> bool:
        """Note a beat; False if it is not newer than what is known."""
        held = self.incarnation[slot]
        if incarnation < held or (incarnation == held and beat <= self.beat[slot]):
            return False
        self.incarnation[slot], self.beat[slot] = incarnation, beat
        self.moved_at[slot], self.interval[slot] = at, interval
        return True


@dataclass(slots=True)
class PeerEar:
    """What one peer tells: its numbering, and what it heard. `reported_at` is its last word here."""

    ear: Ear
    slots: Slots
    numbering: str = ""
    through: int = 0
    reported_at: float = NEVER
    _slot: "array[int]" = field(default_factory=lambda: array("L"))

    def take(self, section: HeardSection, now: float) -> tuple[HeardReply, list[int]]:
        """Take in what a peer heard; returns the answer for it and the slots that moved.

        A section that continues what is not known here is left out, and the answer says from where
        to begin. Raises BadInput, and then no beat was taken in.
        """
        check(section)
        if section.numbering != self.numbering and section.first == 0:
            self._begin(section.numbering)
        if section.numbering != self.numbering or section.first > len(self._slot):
            return self._reply(), []
        known = max(section.first + len(section.names), len(self._slot))
        if section.gaps and sum(section.gaps) >= known:
            raise BadInput(f"{self.ear.hub_id} tells of a node that it has not named")
        self._introduce(section)
        # What is known to its end came twice, and did not move meanwhile.
        moved = self._take_beats(section, now) if section.through > self.through else []
        self.through = max(self.through, section.through)
        self.reported_at = now
        return self._reply(), moved

    @property
    def named(self) -> Iterable[int]:
        """The slots of the nodes of which the peer tells by number."""
        return self._slot

    def follow(self, move: SlotMove) -> None:
        """Slots have moved; none of those that are `named` was given back."""
        self.ear.follow(move)
        self._slot = move.of_all(self._slot)

    def _begin(self, numbering: str) -> None:
        # What was heard under the old numbers stays true; only the numbers are void.
        self.numbering, self.through, self._slot = numbering, 0, array("L")

    def _reply(self) -> HeardReply:
        return HeardReply(self.numbering, len(self._slot), self.through)

    def _introduce(self, section: HeardSection) -> None:
        for node_id in section.names[len(self._slot) - section.first :]:
            self._slot.append(self.slots.of(node_id))
        self.ear.reach(len(self.slots))

    def _take_beats(self, section: HeardSection, now: float) -> list[int]:
        ear, interval, number, moved = self.ear, section.interval_ds / 10, 0, []
        moved_at, intervals, slots = ear.moved_at, ear.interval, self._slot
        for gap, age_ds in zip(section.gaps, section.ages, strict=True):
            number += gap
            slot, at = slots[number], now - age_ds / 10
            if at > moved_at[slot]:
                moved_at[slot], intervals[slot] = at, interval
                moved.append(slot)
        return moved


@dataclass(slots=True)
class HeardBooks:
    """The ears of this hub and of its peers over one set of slots."""

    hub_id: str
    slots: Slots = field(default_factory=Slots)
    own: OwnEar = field(init=False)
    peers: dict[str, PeerEar] = field(default_factory=dict)
    _enough: int = 0
    """So many slots there may be because peers still tell of the nodes."""

    def __post_init__(self) -> None:
        self.own = OwnEar(self.hub_id)
        self.slots.follow(self._follow)

    def _follow(self, move: SlotMove) -> None:
        self.own.follow(move)
        for peer in self.peers.values():
            peer.follow(move)

    def tidy(self, watched: Collection[str]) -> None:
        """Give slots back, should too many be of nodes that nobody watches. At 100,000 nodes that
        takes a tenth of a second, once for as many that went."""
        if len(self.slots) > max(2 * len(watched) + SLOTS_SPARE, self._enough):
            self.let_go(watched)
            self._enough = 2 * len(self.slots)

    def let_go(self, watched: Iterable[str]) -> None:
        """Give back the slots of all nodes that are not watched, but for those of which peers tell."""
        found = (self.slots.find(node_id) for node_id in watched)
        kept = {slot for slot in found if slot is not None}
        kept.update(*(peer.named for peer in self.peers.values()))
        if len(kept) < len(self.slots):
            self.slots.keep(kept)

    def slot(self, node_id: str) -> int:
        """The slot of a node, with room in this hub's own ear; raises BadInput."""
        slot = self.slots.of(node_id)
        self.own.reach(slot + 1)
        return slot

    def introduce(self, nodes: Iterable[str]) -> None:
        """Give slots to many nodes, which is less work at once than one by one; raises BadInput."""
        for node_id in nodes:
            self.slots.of(node_id)
        self.own.reach(len(self.slots))

    def hear(self, node_id: str, incarnation: int, beat: int, at: float, interval: float) -> int:
        """Note a beat that reached this hub itself; the slot, or -1 if it is no news."""
        slot = self.slot(node_id)
        return slot if self.own.hear(slot, incarnation, beat, at, interval) else -1

    def take(
        self, from_hub: str, section: HeardSection, now: float
    ) -> tuple[HeardReply, list[int]]:
        """Take in a peer's section, as PeerEar.take; raises BadInput."""
        peer = self.peers.get(from_hub)
        if peer is None:
            peer = self.peers[from_hub] = PeerEar(Ear(from_hub), self.slots)
        return peer.take(section, now)

    def has_heard(self, node_id: str) -> bool:
        """Whether a beat of the node ever reached this hub itself."""
        slot = self.slots.find(node_id)
        return (
            slot is not None and slot < len(self.own.moved_at) and self.own.moved_at[slot] != NEVER
        )

    def hears(self, hub_id: str, node_id: str, since: float) -> bool:
        """Whether a peer heard the node at that moment or later."""
        slot, peer = self.slots.find(node_id), self.peers.get(hub_id)
        if slot is None or peer is None or slot >= len(peer.ear.moved_at):
            return False
        return peer.ear.moved_at[slot] >= since

    def ages(self, node_id: str, now: float) -> dict[str, float]:
        """How many seconds ago each hub heard the node; hubs that never did are left out."""
        slot = self.slots.find(node_id)
        if slot is None:
            return {}
        ears = [self.own, *(peer.ear for peer in self.peers.values())]
        return {
            ear.hub_id: now - ear.moved_at[slot]
            for ear in ears
            if slot < len(ear.moved_at) and ear.moved_at[slot] != NEVER
        }

    def silence(self, node_id: str) -> None:
        """Forget when anybody heard a node that was removed; older beats are no news all the same."""
        slot = self.slots.find(node_id)
        for ear in (self.own, *(peer.ear for peer in self.peers.values())):
            if slot is not None and slot < len(ear.moved_at):
                ear.moved_at[slot] = NEVER

    def drop(self, hub_id: str) -> None:
        """Forget a peer that is configured no more."""
        self.peers.pop(hub_id, None)
