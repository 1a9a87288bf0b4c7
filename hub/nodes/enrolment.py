"""Removed nodes that go on beating: they are refused with words, counted, and told of once. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.nodes.graves import Graves
from hub.nodes.tombstones import Removal, reenrolled, removal_of
from shared.errors import Removed
from shared.merge import NodeRecord
from shared.stamp import Stamp

REQUESTS_MAX = 1_000
"""How many removed nodes are listed as asking to come back; beats of more are refused and counted."""

SILENT_MS_MAX = 86_400_000
"""A request after which nothing came for so long is dropped."""

Event = tuple[str, Mapping[str, Any]]


@dataclass(slots=True)
class Request:
    """A removed node that beats: who removed it, and since when it asks to come back."""

    node_id: str
    removed: Removal
    first_ms: int
    last_ms: int
    beats: int = 0

    def to_wire(self) -> dict[str, Any]:
        """As it is shown."""
        return {
            "node_id": self.node_id,
            "removed_at_ms": self.removed.at_ms,
            "removed_by": self.removed.by,
            "why": self.removed.why,
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            "beats": self.beats,
        }


@dataclass(slots=True)
class Enrolment:
    """Keeps removed nodes out until a person lets them back."""

    graves: Graves
    requests_max: int = REQUESTS_MAX
    refused_beats: int = 0
    requests: dict[str, Request] = field(default_factory=dict)

    def refusal(
        self, node_id: str, record: NodeRecord | None, wall_ms: int
    ) -> tuple[Removed, list[Event]] | None:
        """Why a beat makes no live record, and what is to be told; None for a node that is welcome."""
        removal = self.removal(node_id, record)
        if removal is None:
            return None
        self.refused_beats += 1
        return Removed(way_back(node_id, removal)), self._ask(node_id, removal, wall_ms)

    def removal(self, node_id: str, record: NodeRecord | None) -> Removal | None:
        """Who removed a node, when and why; None for one that was not, or was let back."""
        if record is None and self.graves.holds(node_id):
            record = self.graves.answer(node_id)
        return removal_of(record) if record else None

    def _ask(self, node_id: str, removal: Removal, wall_ms: int) -> list[Event]:
        held = self.requests.get(node_id)
        if held is None or held.removed.stamp != removal.stamp:
            self.requests.pop(node_id, None)
            if len(self.requests) >= self.requests_max:
                # Making room by dropping another would tell of both again at every beat.
                return []
            held = self.requests[node_id] = Request(node_id, removal, wall_ms, wall_ms)
        held.last_ms, held.beats = wall_ms, held.beats + 1
        return [] if held.beats > 1 else [_told(held)]

    def tidy(self, wall_ms: int) -> None:
        """Drop the requests of nodes that have fallen silent."""
        for request in list(self.requests.values()):
            if wall_ms - request.last_ms > SILENT_MS_MAX:
                del self.requests[request.node_id]

    def register(self, node_id: str, stamp: Stamp) -> NodeRecord:
        """The record that lets a node back: merge it like any other. It begins anew, with any key.

        `stamp` comes from this hub's clock, which must have witnessed the stamps of all graves, and
        none of them was reissued.
        """
        self.requests.pop(node_id, None)
        record = reenrolled(node_id, stamp)
        self.graves.judge(record)
        return record

    def settle(self, record: NodeRecord) -> None:
        """Look at a record that changed: the request of a node that was let back elsewhere is done."""
        if record.node_id in self.requests and removal_of(record) is None:
            del self.requests[record.node_id]

    def to_wire(self) -> list[dict[str, Any]]:
        """The nodes that ask to come back, the newest request first."""
        return [request.to_wire() for request in reversed(self.requests.values())]


def way_back(node_id: str, removal: Removal) -> str:
    """What a removed node, or who asks for it, is told."""
    return (
        f"node {node_id} was {removal.words()}: `headwater nodes register {node_id}` lets it back"
    )


def _told(request: Request) -> Event:
    removed = request.removed
    return "node.refused", {
        "node_id": request.node_id,
        "removed_by": removed.by,
        "why": removed.why,
    }
