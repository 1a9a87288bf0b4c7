"""Removed nodes on a running hub: keeps them out, lets them back, and lets go of what is left of them.

It stands between the registry and what peers and edges say, and holds together the rules of
hub.nodes about tombstones, graves and enrolment. Rules only: time comes in.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.nodes.enrolment import Enrolment, way_back
from hub.nodes.graves import Admission, Graves
from hub.nodes.tombstone_acks import TombstoneAcks, TombstoneSection
from hub.nodes.tombstones import Removal, Turn, is_removed, removal_of
from hub.peering.exchange_values import Taken
from hub.registry import Registry
from shared.errors import Removed
from shared.merge import NodeRecord

Report = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True)
class Removals:
    """The removed nodes of one hub. `now` and `wall_ms` are its clocks."""

    registry: Registry
    report: Report
    now: Callable[[], float]
    wall_ms: Callable[[], int]
    speaks_for: Callable[[str], bool] = lambda node_id: True
    """Whether this hub tells people of a node that all hubs send away."""
    graves: Graves = field(default_factory=Graves)
    acks: TombstoneAcks = field(init=False)
    enrolment: Enrolment = field(init=False)
    unlinked: list[str] = field(default_factory=list)
    """Nodes that were removed since their links were ended last."""

    def __post_init__(self) -> None:
        self.acks = TombstoneAcks(self.registry.hub_id)
        self.enrolment = Enrolment(self.graves)

    def load(self, stored: Iterable[tuple[str, Turn]]) -> None:
        """Take in the graves and tombstones that were on disk, and look at every change from now on."""
        self.graves.load(stored)
        for node_id in self.registry.records.keys() - self.registry.life.watched:
            self.acks.note(self.registry.records[node_id])
        self.registry.replica.keeps_out = self.keeps_out
        self.registry.on_noted.append(self.noted)

    # ---- what the registry asks and tells

    def noted(self, before: NodeRecord | None, after: NodeRecord) -> None:
        """A record has changed."""
        if self.graves.holds(after.node_id):
            self.graves.judge(after)
        self.acks.note(after)
        self.enrolment.settle(after)
        if is_removed(after) and (before is None or not is_removed(before)):
            self.unlinked.append(after.node_id)

    def keeps_out(self, record: NodeRecord) -> Taken | None:
        """Whether a record of a peer stays out, since its node was removed and nothing is left of it.

        Whoever still has it as a live node is told by the tombstone, which becomes a record again.
        """
        admission = self.graves.judge(record)
        if admission is Admission.TAKE or record.node_id in self.registry.records:
            return None
        if admission is Admission.KNOWN:
            return Taken.KNOWN
        self.unearth(record.node_id)
        return Taken.BURIED

    def unearth(self, node_id: str) -> None:
        """Make what is in the grave of a node a record again, over which an order can be given."""
        if self.graves.holds(node_id) and node_id not in self.registry.records:
            self.registry.apply(self.graves.answer(node_id), self.now())

    # ---- what edges and people ask

    def refusal_of_beat(self, node_id: str) -> Removed | None:
        """Why a beat makes no live record; told as an event, by one hub, when it is the first."""
        if not self._is_out(node_id):
            return None
        record = self.registry.records.get(node_id)
        refused = self.enrolment.refusal(node_id, record, self.wall_ms())
        if refused is None:
            return None
        error, events = refused
        if self.speaks_for(node_id):
            for name, facts in events:
                self.report(name, facts)
        return error

    def refusal(self, node_id: str) -> Removed | None:
        """Why anything else of a node is sent away; None for a node that is welcome."""
        removal = self.removal(node_id)
        return Removed(way_back(node_id, removal)) if removal else None

    def removal(self, node_id: str) -> Removal | None:
        """Who removed a node, when and why; None for one that was not, or was let back."""
        if not self._is_out(node_id):
            return None
        return self.enrolment.removal(node_id, self.registry.records.get(node_id))

    def _is_out(self, node_id: str) -> bool:
        """Asked of every beat: it must cost no look into a record."""
        return node_id in self.acks.turns or self.graves.holds(node_id)

    def known(self) -> list[tuple[str, Removal]]:
        """All nodes with tombstones, the last removed first."""
        records = self.registry.records
        removals = ((node_id, removal_of(records[node_id])) for node_id in self.acks.turns)
        found = [(node_id, removal) for node_id, removal in removals if removal is not None]
        return sorted(found, key=lambda each: (-each[1].at_ms, each[0]))

    # ---- peers

    def told(self, section: TombstoneSection, from_hub: str) -> None:
        """Hear which tombstones a peer asks about and holds."""
        self.acks.take(section, from_hub, self.registry.records, self.graves)

    # ---- the end

    def bury(self, hubs: Collection[str]) -> list[str]:
        """Let go of the tombstones that are old enough and that all these hubs hold; returns the nodes."""
        due = self.acks.due(hubs, self.wall_ms())
        for node_id in due:
            self.graves.bury(node_id, self.acks.turns[node_id])
            self.registry.replica.drop(node_id)
            self.acks.drop(node_id)
        return due

    def describe(self, hubs: Collection[str]) -> dict[str, Any]:
        """How many there are, for hub.status."""
        return {
            "tombstones": len(self.acks.turns),
            "graves": len(self.graves),
            "asking_to_return": len(self.enrolment.requests),
            "refused_beats": self.enrolment.refused_beats,
            "refused_records": self.graves.refused,
            "hubs_without_tombstones": {
                hub: count for hub, count in self.acks.lacking(hubs).items() if count
            },
        }
