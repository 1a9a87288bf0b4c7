"""Looks for copies of edges on a running hub, in the beats that it hears and in what peers heard.

It stands between the rules of hub.nodes.clones and the registry, which knows who was removed and how
long a beat counts. Rules only: time comes in.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hub.nodes.clones import Clones
from hub.nodes.tombstones import is_removed, lifted
from hub.nodes.verdict import offline_seconds
from hub.registry import Registry
from shared.beat import Beat
from shared.errors import Cloned
from shared.merge import NodeRecord


@dataclass(slots=True)
class CloneWatch:
    """The copies of edges that one hub knows of. `now` and `wall_ms` are its clocks."""

    registry: Registry
    clones: Clones
    now: Callable[[], float]
    wall_ms: Callable[[], int]

    @property
    def window_seconds(self) -> float:
        """How long a run counts after its last beat: as long as its node is not offline."""
        return offline_seconds(self.registry.life.interval_seconds)

    def refusal_of_beat(self, beat: Beat, address: str) -> Cloned | None:
        """Why a beat is refused; None for one that is welcome. Raises BadInput for too many nodes."""
        incarnation = lifted(beat, self.registry.records.get(beat.node_id)).incarnation
        now, window = self.now(), self.window_seconds
        refused = self.clones.refusal_of_beat(beat, incarnation, address, now, window)
        if not beat.run:
            return None  # An edge that names no run could not count on as it is told.
        return refused or self._behind(beat, incarnation)

    def _behind(self, beat: Beat, incarnation: int) -> Cloned | None:
        """What a machine is told that was restored from an older copy of itself: no hub would take its
        beats for news, and it would count as dead, until it counts on from where it was."""
        known = self.registry.newest(beat.node_id)
        if known is None or (known.incarnation, known.beat) < (incarnation, beat.beat):
            return None
        if known.run in ("", beat.run):
            return None
        age = self.registry.life.age_seconds(beat.node_id, self.now())
        if age is not None and age <= self.window_seconds:
            return None  # Of two that live at once neither may drive the other's count up.
        reason = f"{beat.node_id} was heard with a higher count: this is an older copy of it"
        return Cloned(reason, beat.incarnation + known.incarnation - incarnation)

    def refusal(self, node_id: str, run: str) -> Cloned | None:
        """Why all else that a run of a node sends is refused; None for what is welcome."""
        return self.clones.refusal(node_id, run, self.now(), self.window_seconds)

    def noted(self, before: NodeRecord | None, after: NodeRecord) -> None:
        """A record has changed: its node was removed, or a peer tells what it heard."""
        if is_removed(after):
            self.clones.forget(after.node_id)
            return
        seen = after.observation
        if seen is None or seen.hub_id == self.registry.hub_id:
            return
        if before is not None and before.observation == seen:
            return
        # What a peer tells late, after a partition, may be of a copy that is gone since.
        if self.wall_ms() - seen.last_seen_ms > self.window_seconds * 1000:
            return
        told = (after.node_id, seen.incarnation, seen.run, seen.hub_id)
        self.clones.heard_elsewhere(*told, self.now(), self.window_seconds)
