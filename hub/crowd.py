"""Watches how many edges come with a backlog, and what each of them may push."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.credits import CreditLimits, Demand, credit_bytes_per_s, has_backlog
from hub.registry import Registry
from hub.store.chunks import ChunkStore

COUNT_SECONDS = 1.0  # Every answer carries the credit; the fleet is counted once in a while.
COMMIT_COUNTS_SECONDS = 10.0  # A slow commit before a quiet time says nothing of now.
HEARD_INTERVALS_MAX = 3.0


@dataclass(slots=True)
class Crowd:
    """The credit that this hub hands out."""

    registry: Registry
    store: ChunkStore
    limits: CreditLimits = field(default_factory=CreditLimits)
    edges_with_backlog: int = 0
    credit: float | None = None
    _counted_at: float = float("-inf")
    _behind: dict[str, float] = field(default_factory=dict)
    """When each node with a backlog last told of it (monotonic): few, while all nodes are many."""

    def heard(self, node_id: str, buffer: Mapping[str, Any], now: float) -> None:
        """Take in what a beat says of a node's buffer."""
        if has_backlog(buffer, self.limits):
            self._behind[node_id] = now
        else:
            self._behind.pop(node_id, None)

    def credit_bytes_per_s(self, now: float) -> float | None:
        """How fast each edge may push its backlog at `now` (monotonic); None for no limit."""
        if now - self._counted_at >= COUNT_SECONDS:
            self._counted_at = now
            self.edges_with_backlog = self._count(now)
            self.credit = credit_bytes_per_s(self._demand(now), self.limits)
        return self.credit

    def _demand(self, now: float) -> Demand:
        store = self.store
        is_recent = now - store.committed_at <= COMMIT_COUNTS_SECONDS
        seconds = store.commit_seconds if is_recent else 0.0
        return Demand(self.edges_with_backlog, seconds, store.waiting)

    def _count(self, now: float) -> int:
        age_seconds_max = self.registry.life.interval_seconds * HEARD_INTERVALS_MAX
        gone = [node for node, at in self._behind.items() if now - at > age_seconds_max]
        for node in gone:
            del self._behind[node]
        return len(self._behind)
