"""Who heard which node when: this hub itself, and each peer by its own word, in plain arrays.

A peer tells the age of its news, which becomes a moment of this hub's monotonic clock on arrival;
the way here makes news look younger by its delay, and no clock of the peer is ever read.
Rules only.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from hub.nodes.heard_wire import HeardReply, HeardSection, check
from shared.errors import BadInput

NEVER = float("-inf")
SLOTS_MAX = 1_000_000
SPARE_SHARE = 32
"""Arrays grow by a part of their length, and not for each node that comes."""


@dataclass(slots=True)
class Slots:
    """A small number for each node that this hub knows of, for as long as it runs."""

    names: list[str] = field(default_factory=list)
    _slot: dict[str, int] = field(default_factory=dict)

    def of(self, node_id: str) -> int:
        """The node's slot, new ones at the end; raises BadInput when there are too many."""
        slot = self._slot.get(node_id)
        if slot is None:
            if len(self.names) >= SLOTS_MAX:
                raise BadInput(f"more than {SLOTS_MAX} nodes are named; {node_id} is left out")
            slot = self._slot[node_id] = len(self.names)
            self.names.append(node_id)
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
    incarnation: "array[int]" = field(default_factory=lambda: array("Q"))
    beat: "array[int]" = field(default_factory=lambda: array("Q"))

    def reach(self, slots: int) -> None:
        """Make room for at least so many slots: the newcomers were never heard."""
        missing = slots - len(self.moved_at)
        if missing > 0:
            missing += slots // SPARE_SHARE
            self.moved_at.extend([NEVER] * missing)
            self.interval.extend([0.0] * missing)
            self.incarnation.extend([0] * missing)
            self.beat.extend([0] * missing)

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
    _incarnation: "array[int]" = field(default_factory=lambda: array("Q"))
    _base: "array[int]" = field(default_factory=lambda: array("Q"))

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
        moved = self._take_beats(section, now)
        self.through = max(self.through, section.through)
        self.reported_at = now
        return self._reply(), moved

    def _begin(self, numbering: str) -> None:
        # What was heard under the old numbers stays true; only the numbers are void.
        self.numbering, self.through = numbering, 0
        self._slot, self._incarnation, self._base = array("L"), array("Q"), array("Q")

    def _reply(self) -> HeardReply:
        return HeardReply(self.numbering, len(self._slot), self.through)

    def _introduce(self, section: HeardSection) -> None:
        for node_id, incarnation, base in section.names[len(self._slot) - section.first :]:
            self._slot.append(self.slots.of(node_id))
            self._incarnation.append(incarnation)
            self._base.append(base)
        self.ear.reach(len(self.slots))

    def _take_beats(self, section: HeardSection, now: float) -> list[int]:
        # As Ear.hear, without a call for each beat: this loop is most of what a peer's word costs.
        ear, interval, number, moved = self.ear, section.interval_ds / 10, 0, []
        slots, incarnations, bases = self._slot, self._incarnation, self._base
        held, beats = ear.incarnation, ear.beat
        for gap, past_base, age_ds in zip(section.gaps, section.beats, section.ages, strict=True):
            number += gap
            slot, beat, incarnation = slots[number], bases[number] + past_base, incarnations[number]
            if incarnation < held[slot] or (incarnation == held[slot] and beat <= beats[slot]):
                continue
            held[slot], beats[slot] = incarnation, beat
            ear.moved_at[slot], ear.interval[slot] = now - age_ds / 10, interval
            moved.append(slot)
        return moved


@dataclass(slots=True)
class HeardBooks:
    """The ears of this hub and of its peers over one set of slots."""

    hub_id: str
    slots: Slots = field(default_factory=Slots)
    own: Ear = field(init=False)
    peers: dict[str, PeerEar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own = Ear(self.hub_id)

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
