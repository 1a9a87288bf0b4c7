"""Copies of an edge: machines with one identity. Hubs refuse one of them; this tells of it once.

Two live copies show by their beats (see hub.nodes.runs), and two logs by chunks that contradict each
other. Rules only: time comes in.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.nodes.heard import Slots
from hub.nodes.jumps import Jumps
from hub.nodes.runs import Runs, Standing
from shared.beat import Beat, run_number
from shared.errors import Cloned

TOLD_MAX = 10_000
"""Copies that are remembered; of the oldest it is then told again."""

Report = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True)
class Once:
    """What was seen before, as much as is remembered."""

    seen: dict[Hashable, None] = field(default_factory=dict)

    def add(self, key: Hashable) -> bool:
        """Remember it; whether it is new."""
        if key in self.seen:
            return False
        self.seen[key] = None
        if len(self.seen) > TOLD_MAX:
            del self.seen[next(iter(self.seen))]
        return True


@dataclass(slots=True)
class Clones:
    """The copies that came to this hub."""

    report: Report
    runs: Runs = field(default_factory=lambda: Runs(Slots()))
    speaks_for: Callable[[str], bool] = lambda node_id: True
    """Whether this hub tells people of a node whose beats all hubs hear."""
    jumps: Jumps = field(default_factory=Jumps)
    _told: Once = field(default_factory=Once)
    _refused: Once = field(default_factory=Once)
    """Node and run of beats that were refused."""

    # ---- beats

    def refusal_of_beat(
        self, beat: Beat, incarnation: int, address: str, now: float, window_seconds: float
    ) -> Cloned | None:
        """Why a beat is not taken; None for one that is, as all are of edges that name no run.

        `incarnation` is that of the beat as hubs compare it. Raises BadInput for too many nodes.
        """
        node_id, run = beat.node_id, run_number(beat.run)
        if not run:
            self._look_for_jump(beat, incarnation, address, now)
            return None
        self.jumps.forget(node_id)
        standing = self.runs.judge(node_id, incarnation, run, now, window_seconds)
        if standing is Standing.WELCOME:
            self._refused.seen.pop((node_id, run), None)
            return None
        if standing is Standing.CLONE:
            self._refused.add((node_id, run))
            self._tell_of_copy(beat, run, address, now, window_seconds)
        over = self.runs.to_outrank(node_id, run, now, window_seconds)
        # Hubs may count from elsewhere than the edge, and both count in steps of one.
        outrank = None if over is None else beat.incarnation + over - incarnation
        return Cloned(_words(node_id), outrank)

    def _look_for_jump(self, beat: Beat, incarnation: int, address: str, now: float) -> None:
        """Tell of two edges of an older version: hubs hear the one that counts higher, and only that."""
        node_id = beat.node_id
        if not self.jumps.heard(node_id, (incarnation, beat.beat), now):
            return
        if self._told.add((node_id, "jumps")) and self.speaks_for(node_id):
            facts = {"epoch": beat.epoch, "reason": _words(node_id), "heard_at": address}
            self.report("node.cloned", {"node_id": node_id, **facts})

    def _tell_of_copy(
        self, beat: Beat, run: int, address: str, now: float, window_seconds: float
    ) -> None:
        known = self.runs.known(beat.node_id, now, window_seconds)
        other = known[1] if known else 0
        # Noted by all hubs, so that none tells it anew when the one that told it is gone.
        if self._told.add(_pair(beat.node_id, run, other)) and self.speaks_for(beat.node_id):
            facts = {"epoch": beat.epoch, "reason": _words(beat.node_id), "refused_at": address}
            self.report("node.cloned", {"node_id": beat.node_id, **facts})

    def refusal(self, node_id: str, run: str, now: float, window_seconds: float) -> Cloned | None:
        """Why nothing else of a copy is taken while another run counts; a run that no beat was refused
        of is welcome: what a restarted edge sends first need not be a beat."""
        if not run or (node_id, run_number(run)) not in self._refused.seen:
            return None
        known = self.runs.known(node_id, now, window_seconds)
        if known is None or known[1] == run_number(run):
            return None
        return Cloned(_words(node_id))

    def heard_elsewhere(
        self,
        node_id: str,
        incarnation: int,
        run: str,
        hub_id: str,
        now: float,
        window_seconds: float,
    ) -> None:
        """A peer heard a beat of a node just now. Of one start there is one run: two are two copies.

        Each of the two hubs keeps to the copy that it hears; people are told.
        """
        other = run_number(run)
        known = self.runs.known(node_id, now, window_seconds) if other else None
        if known is None or known[0] != incarnation or known[1] == other:
            return
        if self._told.add(_pair(node_id, known[1], other)):
            reason = f"{_words(node_id)}; {hub_id} hears the other one"
            self.report("node.cloned", {"node_id": node_id, "reason": reason, "heard_by": hub_id})

    def forget(self, node_id: str) -> None:
        """A node was removed: it may come back as another machine."""
        self.runs.forget(node_id)
        self.jumps.forget(node_id)

    # ---- chunks

    def refused(self, node_id: str, epoch: str, reason: str) -> None:
        """A chunk was refused, since this hub holds another life of its log."""
        if self._told.add((node_id, epoch)):
            self.report("node.cloned", {"node_id": node_id, "epoch": epoch, "reason": reason})


def _pair(node_id: str, one: int, other: int) -> tuple[str, int, int]:
    return node_id, min(one, other), max(one, other)


def _words(node_id: str) -> str:
    return (
        f"another machine that runs now has the identity of {node_id}: stop one of them, or give this"
        " one a data folder and a name of its own"
    )
