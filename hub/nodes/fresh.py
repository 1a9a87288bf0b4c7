"""The newest beat of each node that a hub heard itself, in columns: as objects, those of 100,000 nodes
would take some 20 MB more. Pure.
"""

import sys
from array import array
from dataclasses import dataclass, field

from hub.nodes.heard import Slots
from hub.nodes.slot_move import SlotMove
from shared.merge import Observation

SILENT = (0, 0)
"""What a node counts that was not heard: every beat is newer."""


@dataclass(slots=True)
class FreshBeats:
    """What one hub heard since it started. The slots belong to somebody who lives as long as this."""

    hub_id: str
    slots: Slots
    _incarnation: "array[int]" = field(default_factory=lambda: array("Q"))
    _beat: "array[int]" = field(default_factory=lambda: array("Q"))
    _seen_ms: "array[int]" = field(default_factory=lambda: array("Q"))
    _packed: list[bytes] = field(default_factory=list)
    """What the beat told; empty for a node that was not heard."""

    def __post_init__(self) -> None:
        self.hub_id = sys.intern(self.hub_id)
        self.slots.follow(self._follow)

    def _follow(self, move: SlotMove) -> None:
        self._incarnation, self._beat = move.column(self._incarnation), move.column(self._beat)
        self._seen_ms = move.column(self._seen_ms)
        self._packed = [self._packed[slot] for slot in move.kept if slot < len(self._packed)]

    def put(self, node_id: str, seen: Observation) -> None:
        """Keep a beat that this hub heard; raises BadInput when there are too many nodes."""
        slot = self._reach(node_id)
        self._incarnation[slot], self._beat[slot] = seen.incarnation, seen.beat
        self._seen_ms[slot], self._packed[slot] = seen.last_seen_ms, seen.packed

    def _reach(self, node_id: str) -> int:
        slot = self.slots.of(node_id)
        missing = slot + 1 - len(self._packed)
        if missing > 0:
            for column in (self._incarnation, self._beat, self._seen_ms):
                column.extend([0] * missing)
            self._packed.extend([b""] * missing)
        return slot

    def _find(self, node_id: str) -> int | None:
        slot = self.slots.find(node_id)
        return slot if slot is not None and slot < len(self._packed) else None

    def count(self, node_id: str) -> tuple[int, int]:
        """The incarnation and the beat of the newest; SILENT for a node that was not heard."""
        slot = self._find(node_id)
        return SILENT if slot is None else (self._incarnation[slot], self._beat[slot])

    def get(self, node_id: str) -> Observation | None:
        """The newest beat; None for a node that was not heard."""
        slot = self._find(node_id)
        if slot is None or not self._packed[slot]:
            return None
        counts = self._incarnation[slot], self._beat[slot]
        return Observation(*counts, self._seen_ms[slot], self.hub_id, self._packed[slot])

    def forget(self, node_id: str) -> None:
        """Drop what was heard of a node."""
        slot = self._find(node_id)
        if slot is not None:
            self._incarnation[slot] = self._beat[slot] = self._seen_ms[slot] = 0
            self._packed[slot] = b""
