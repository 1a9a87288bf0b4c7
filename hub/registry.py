"""What this hub knows of all nodes, in memory, numbered by change so that peers can ask for news.

Rules only: records come in with the local monotonic time, and go out in the order they changed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from hub.peering.clock_poison import stamp_over
from shared.beat import Beat
from shared.liveness import BeatLimits, NodeState, beat_interval_seconds, node_state
from shared.merge import (
    DRAINING,
    REMOVED,
    Facts,
    Heard,
    Intent,
    NodeRecord,
    Observation,
    merge,
)
from shared.stamp import HybridClock

ClockOfEdge = Callable[[str, int, int, float], float | None]
"""How far the clock of an edge is ahead (ms), by a beat: its name, its time and ours (Unix ms), and
monotonic seconds. None: it has told no time."""


def _difference(node_id: str, edge_ms: int, wall_ms: int, now: float) -> float | None:
    """Less the time that the beat was on its way: an estimate, and good enough for people."""
    return edge_ms - wall_ms if edge_ms else None


@dataclass(slots=True)
class Registry:
    """The node table of one hub. `began_at` is when this hub started to listen."""

    hub_id: str
    began_at: float
    clock: HybridClock
    limits: BeatLimits = field(default_factory=BeatLimits)
    clock_of_edge: ClockOfEdge = _difference
    records: dict[str, NodeRecord] = field(default_factory=dict)
    changes: int = 0
    dirty: set[str] = field(default_factory=set)
    _changed: dict[str, int] = field(default_factory=dict)
    _moved_at: dict[str, float] = field(default_factory=dict)

    def load(self, records: Iterable[NodeRecord]) -> None:
        """Take in what was on disk: known, but not heard of since this hub started."""
        for record in records:
            self.records[record.node_id] = record
            self._touch(record.node_id)

    def apply(self, record: NodeRecord, now: float) -> bool:
        """Merge a record from anywhere; returns whether anything changed."""
        before = self.records.get(record.node_id)
        after = merge(before, record) if before else record
        if after == before:
            return False
        self.records[record.node_id] = after
        if _beat_of(after) > (_beat_of(before) if before else (0, 0)):
            self._moved_at[record.node_id] = now
        self._touch(record.node_id)
        self.dirty.add(record.node_id)
        return True

    def _touch(self, node_id: str) -> None:
        # A dict keeps insertion order, so taking a node out and in again keeps it sorted by change.
        self.changes += 1
        self._changed.pop(node_id, None)
        self._changed[node_id] = self.changes

    def changed_since(self, change: int, limit: int) -> tuple[list[NodeRecord], int]:
        """The records that changed after `change`, oldest first, and the change this page reaches."""
        fresh: list[str] = []
        for node_id in reversed(self._changed):
            if self._changed[node_id] <= change:
                break
            fresh.append(node_id)
        page = list(islice(reversed(fresh), limit))
        through = self._changed[page[-1]] if page else self.changes
        return [self.records[node_id] for node_id in page], through

    def hear(self, beat: Beat, now: float, wall_ms: int) -> None:
        """Take in a beat that reached this hub directly."""
        seen_ms = self._not_before(beat, wall_ms)
        data: dict[str, Any] = {
            "load": beat.load,
            "buffer": beat.buffer,
            "epoch": beat.epoch,
            "vms": beat.vms,
        }
        offset_ms = self.clock_of_edge(beat.node_id, beat.wall_ms, wall_ms, now)
        if offset_ms is not None:
            data["clock_skew_ms"] = round(offset_ms)
        record = NodeRecord(
            beat.node_id,
            Facts(beat.incarnation, beat.facts_number, beat.facts),
            Observation(beat.incarnation, beat.beat, seen_ms, self.hub_id, data),
            {},
            {self.hub_id: Heard(beat.incarnation, beat.beat, seen_ms)},
        )
        self.apply(record, now)

    def _not_before(self, beat: Beat, wall_ms: int) -> int:
        """A wall clock that was set back must not make a node look older than it was."""
        held = self.records.get(beat.node_id)
        if held is None or held.observation is None:
            return wall_ms
        return max(wall_ms, min(held.observation.last_seen_ms, wall_ms + 5_000))

    def intend(
        self, node_id: str, field_name: str, value: object, wall_ms: int, now: float
    ) -> None:
        """Record what a person wants of a node: it wins over what is known here, whatever that is."""
        held = self.records.get(node_id, NodeRecord(node_id)).intent.get(field_name)
        stamp, reissue = stamp_over(self.clock, held, wall_ms)
        self.apply(NodeRecord(node_id, intent={field_name: Intent(value, stamp, reissue)}), now)

    def take_dirty(self) -> list[NodeRecord]:
        """The records that must be saved, once."""
        records = [self.records[node_id] for node_id in self.dirty]
        self.dirty = set()
        return records

    @property
    def interval_seconds(self) -> float:
        """The heartbeat interval that this hub asks for now."""
        return beat_interval_seconds(len(self.records), self.limits)

    def age_seconds(self, node_id: str, now: float) -> float | None:
        """How long ago the node's beat moved, as this hub measured; None if not since it started."""
        moved_at = self._moved_at.get(node_id)
        return None if moved_at is None else now - moved_at

    def state(self, node_id: str, now: float) -> NodeState:
        """What this hub says of a node."""
        age = self.age_seconds(node_id, now)
        return node_state(age, self.interval_seconds, now - self.began_at)

    def present(self) -> list[NodeRecord]:
        """The nodes that nobody removed, by name."""
        alive = (record for record in self.records.values() if not record.intent_value(REMOVED))
        return sorted(alive, key=lambda record: record.node_id)

    def is_draining(self, record: NodeRecord) -> bool:
        """Whether a person asked this node to take no new work."""
        return bool(record.intent_value(DRAINING))

    def key_fingerprint(self, node_id: str) -> str | None:
        """What recognises the node's own key; None for a node that has not come yet."""
        record = self.records.get(node_id)
        value = record.facts.data.get("key_sha256") if record and record.facts else None
        return value if isinstance(value, str) else None


def _beat_of(record: NodeRecord) -> tuple[int, int]:
    seen = record.observation
    return (seen.incarnation, seen.beat) if seen else (0, 0)
