"""Which hubs hold which tombstones: one goes only when all of them do, and after its time. Pure.

A hub asks each peer about the tombstones of which it has no word yet; the peer answers for those that it
holds, or has let go of. Once all are answered nothing more is said, and after a restart it asks again.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated

import msgspec
from msgspec import Meta

from hub.nodes.graves import Graves
from hub.nodes.tombstones import RETENTION_MS, Turn, began, is_removed
from shared.beat import NodeId
from shared.merge import NodeRecord, Reissue
from shared.stamp import Stamp

ASKED_MAX = 200
"""Per message: 10,000 removals at once are known to be everywhere within a minute."""


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A node, and the turn of its removal; hubs of older versions name no reissue."""

    node_id: NodeId
    stamp: Stamp
    reissue: Reissue = 0

    @property
    def turn(self) -> Turn:
        """The place of the removal among all that were said of the node."""
        return Turn(self.reissue, self.stamp)


def _held(node_id: str, turn: Turn) -> Held:
    return Held(node_id, turn.stamp, turn.reissue)


class TombstoneSection(msgspec.Struct, frozen=True):
    """One side of the exchange."""

    asks: Annotated[list[Held], Meta(max_length=ASKED_MAX)] = []
    acks: Annotated[list[Held], Meta(max_length=ASKED_MAX)] = []


@dataclass(slots=True)
class TombstoneAcks:
    """The tombstones of one hub, with who is known to hold each."""

    hub_id: str
    turns: dict[str, Turn] = field(default_factory=dict)
    _held_by: dict[str, set[str]] = field(default_factory=dict)
    _to_answer: dict[str, dict[str, Turn]] = field(default_factory=dict)
    _asked: dict[str, int] = field(default_factory=dict)

    def note(self, record: NodeRecord) -> None:
        """Look at a record that was loaded or has changed."""
        turn = began(record)
        if not is_removed(record):
            self.drop(record.node_id)
        elif self.turns.get(record.node_id) != turn:
            self.turns[record.node_id] = turn
            self._held_by[record.node_id] = set()

    def drop(self, node_id: str) -> None:
        """The record lives again, or its tombstone has gone."""
        self.turns.pop(node_id, None)
        self._held_by.pop(node_id, None)

    def section_for(self, peer: str) -> TombstoneSection:
        """What to tell a peer now; asks go round, so that those without an answer hold up no other."""
        waiting = [node_id for node_id, hubs in self._held_by.items() if peer not in hubs]
        begin = self._asked.get(peer, 0) % len(waiting) if waiting else 0
        asked = [*waiting[begin:], *waiting[:begin]][:ASKED_MAX]
        self._asked[peer] = begin + len(asked)
        acks = self._to_answer.pop(peer, {})
        return TombstoneSection(
            [_held(node_id, self.turns[node_id]) for node_id in asked],
            [_held(node_id, turn) for node_id, turn in islice(acks.items(), ASKED_MAX)],
        )

    def take(
        self,
        section: TombstoneSection,
        from_hub: str,
        records: Mapping[str, NodeRecord],
        graves: Graves,
    ) -> None:
        """Take in what a peer asks and answers; `records` and `graves` are those of this hub."""
        for held in section.acks:
            if self.turns.get(held.node_id) == held.turn:
                self._held_by[held.node_id].add(from_hub)
        mine = (held for held in section.asks if _is_held(held, records, graves))
        self._to_answer[from_hub] = {held.node_id: held.turn for held in mine}

    def forget(self, hub: str) -> None:
        """Count no more on what a hub said: its store is another one, or it has gone for good."""
        for hubs in self._held_by.values():
            hubs.discard(hub)
        self._to_answer.pop(hub, None)
        self._asked.pop(hub, None)

    def due(self, configured: Collection[str], wall_ms: int) -> list[str]:
        """The nodes whose tombstone may go: old enough, and held by every configured hub."""
        wanted = set(configured) - {self.hub_id}
        return [
            node_id
            for node_id, turn in self.turns.items()
            if wall_ms - turn.stamp.wall_ms >= RETENTION_MS and wanted <= self._held_by[node_id]
        ]

    def lacking(self, configured: Iterable[str]) -> dict[str, int]:
        """How many tombstones each other hub is not known to hold."""
        return {
            hub: sum(hub not in hubs for hubs in self._held_by.values())
            for hub in sorted(set(configured) - {self.hub_id})
        }


def _is_held(asked: Held, records: Mapping[str, NodeRecord], graves: Graves) -> bool:
    """Whether this hub knows of that removal, of a later one, or of a later return."""
    record = records.get(asked.node_id)
    grave = graves.turns.get(asked.node_id)
    return (record is not None and began(record) >= asked.turn) or (
        grave is not None and grave >= asked.turn
    )
