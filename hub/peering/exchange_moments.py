"""A moment for each of many nodes, in a plain array: 8 bytes where a dict takes 100. Pure."""

from array import array
from dataclasses import dataclass, field

from hub.nodes.heard import NEVER, Slots
from hub.nodes.slot_move import SlotMove


@dataclass(slots=True)
class Moments:
    """Monotonic seconds by node. The slots belong to somebody who lives as long as this."""

    slots: Slots
    _at: "array[float]" = field(default_factory=lambda: array("d"))

    def __post_init__(self) -> None:
        self.slots.follow(self._follow)

    def _follow(self, move: SlotMove) -> None:
        self._at = move.column(self._at)

    def put(self, node: str, at: float) -> None:
        """Note the moment of a node; raises BadInput when there are too many nodes."""
        slot = self.slots.of(node)
        missing = slot + 1 - len(self._at)
        if missing > 0:
            self._at.extend([NEVER] * missing)
        self._at[slot] = at

    def get(self, node: str) -> float | None:
        """The moment of a node; None for one that has none."""
        slot = self.slots.find(node)
        if slot is None or slot >= len(self._at):
            return None
        at = self._at[slot]
        return None if at == NEVER else at

    def forget(self, node: str) -> None:
        """Drop the moment of a node."""
        slot = self.slots.find(node)
        if slot is not None and slot < len(self._at):
            self._at[slot] = NEVER
