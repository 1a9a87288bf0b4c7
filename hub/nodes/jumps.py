"""Copies among edges of older versions, which name no run: their counts jump back and forth. Pure.

A process counts its beats up, and none is on its way for ten seconds. So a beat that counts less than
what was heard ten seconds before comes from another process. One that is alone was restored from an
older disk; when the higher count goes on in between, three times, two of them run at once.

Nothing of theirs is refused: hubs go by the higher count whatever comes, and no other request says
which of the two sent it.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from hub.nodes.runs import LATE_SECONDS

NODES_MAX = 100_000
"""As many nodes as a hub bears; the one that is silent for longest goes first."""

TURNS_ENOUGH = 3

Count = tuple[int, int]
"""The incarnation and the beat."""


@dataclass(slots=True)
class Counted:
    """What was heard of one node. Times are monotonic seconds."""

    high: Count
    marked: Count
    """The highest count when it was marked last."""

    marked_at: float
    past: Count = (0, 0)
    """The mark before: at least ten seconds old."""

    has_risen: bool = False
    """Whether the highest count has grown since the last jump."""

    turns: int = 0


@dataclass(slots=True)
class Jumps:
    """The nodes that name no run, on one hub."""

    nodes_max: int = NODES_MAX
    _by_node: OrderedDict[str, Counted] = field(default_factory=OrderedDict)

    def heard(self, node_id: str, count: Count, now: float) -> bool:
        """Note a beat; whether it proves that two processes count under this name, which it does once."""
        node = self._by_node.get(node_id)
        if node is None:
            self._begin(node_id, count, now)
            return False
        self._by_node.move_to_end(node_id)
        _mark(node, now)
        if count > node.high:
            node.high, node.has_risen = count, True
            return False
        if count >= node.past or not node.has_risen:
            return False
        node.has_risen = False
        node.turns += 1
        return node.turns == TURNS_ENOUGH

    def _begin(self, node_id: str, count: Count, now: float) -> None:
        self._by_node[node_id] = Counted(count, count, now)
        if len(self._by_node) > self.nodes_max:
            self._by_node.popitem(last=False)

    def forget(self, node_id: str) -> None:
        """A node was removed, or names its run from now on."""
        self._by_node.pop(node_id, None)


def _mark(node: Counted, now: float) -> None:
    if now - node.marked_at >= LATE_SECONDS:
        node.past, node.marked, node.marked_at = node.marked, node.high, now
