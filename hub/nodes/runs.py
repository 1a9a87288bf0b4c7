"""Which run of a node's agent counts: a node is one process at a time, and a copy of it is another.

Each start of an agent counts `incarnation` up on its disk and draws a random `run`. So a beat of
another run with a higher incarnation is a restart; with the same one, or a lower, it comes from a copy
of the disk, as long as the run that counts is heard.

A copy of a disk in use has the higher incarnation, and looks like a restart. The original shows that
it is none: it beats on, is told what to outrank (as a member refutes its death in SWIM, Das and
others, 2002), and counts again. Rules only: time comes in.
"""

from array import array
from dataclasses import dataclass, field
from enum import StrEnum

from hub.nodes.heard import NEVER, Slots
from hub.nodes.slot_move import SlotMove

LATE_SECONDS = 10.0
"""Beats of the run before are taken to be late for so long: twice what a beat may be on its way."""


class Standing(StrEnum):
    """What a beat is."""

    WELCOME = "welcome"
    LATE = "late"  # Of the run before, and perhaps on its way for a while: it is left out quietly.
    CLONE = "clone"  # Of another process, while the one that counts is heard.


@dataclass(slots=True)
class Runs:
    """The run of each node that counts on this hub, in plain arrays: 40 bytes for a node.

    The slots belong to somebody who lives as long as this.
    """

    slots: Slots
    _run: "array[int]" = field(default_factory=lambda: array("Q"))
    _incarnation: "array[int]" = field(default_factory=lambda: array("Q"))
    _heard_at: "array[float]" = field(default_factory=lambda: array("d"))
    _began_at: "array[float]" = field(default_factory=lambda: array("d"))
    _before: "array[int]" = field(default_factory=lambda: array("Q"))
    """The run that was still heard when this one took over; 0 for none."""

    def __post_init__(self) -> None:
        self.slots.follow(self._follow)

    def _follow(self, move: SlotMove) -> None:
        self._run, self._before = move.column(self._run), move.column(self._before)
        self._incarnation = move.column(self._incarnation)
        self._heard_at = move.column(self._heard_at)
        self._began_at = move.column(self._began_at)

    def judge(
        self, node_id: str, incarnation: int, run: int, now: float, window_seconds: float
    ) -> Standing:
        """What a beat is; one that is welcome is taken note of.

        `window_seconds` is how long a run counts after its last beat: whoever comes later may take
        over, since a disk may have been put into another machine. Raises BadInput when there are too
        many nodes.
        """
        slot = self._reach(node_id)
        if run == self._run[slot]:
            self._heard_at[slot] = now
            # A run counts up when it was outranked: a later copy of it must not look newer.
            self._incarnation[slot] = max(self._incarnation[slot], incarnation)
            return Standing.WELCOME
        is_heard = now - self._heard_at[slot] <= window_seconds
        if not is_heard or incarnation > self._incarnation[slot]:
            self._begin(slot, incarnation, run, now, before=self._run[slot] if is_heard else 0)
            return Standing.WELCOME
        is_earlier = incarnation < self._incarnation[slot]
        if is_earlier and now - self._began_at[slot] <= LATE_SECONDS:
            return Standing.LATE
        return Standing.CLONE

    def _reach(self, node_id: str) -> int:
        slot = self.slots.of(node_id)
        missing = slot + 1 - len(self._run)
        if missing > 0:
            self._run.extend([0] * missing)
            self._incarnation.extend([0] * missing)
            self._heard_at.extend([NEVER] * missing)
            self._began_at.extend([NEVER] * missing)
            self._before.extend([0] * missing)
        return slot

    def _begin(self, slot: int, incarnation: int, run: int, now: float, before: int) -> None:
        is_return = run == self._before[slot]
        self._run[slot], self._incarnation[slot], self._heard_at[slot] = run, incarnation, now
        # After a return nothing is late: whoever was there meanwhile is another process.
        self._began_at[slot] = NEVER if is_return else now
        self._before[slot] = 0 if is_return else before

    def to_outrank(self, node_id: str, run: int, now: float, window_seconds: float) -> int | None:
        """The incarnation that a run must pass to count again; None for one that may not.

        A run that is heard after another one took over from it has not ended, so that the other one
        is the copy, though it was started more often. Soon after it may come back.
        """
        slot = self.slots.find(node_id)
        if slot is None or slot >= len(self._run) or run != self._before[slot]:
            return None
        return self._incarnation[slot] if now - self._began_at[slot] <= window_seconds else None

    def known(self, node_id: str, now: float, window_seconds: float) -> tuple[int, int] | None:
        """The incarnation and the run that count; None when none was heard within the window."""
        slot = self.slots.find(node_id)
        if slot is None or slot >= len(self._run) or now - self._heard_at[slot] > window_seconds:
            return None
        return self._incarnation[slot], self._run[slot]

    def forget(self, node_id: str) -> None:
        """Let any run come, since the node was removed."""
        slot = self.slots.find(node_id)
        if slot is not None and slot < len(self._run):
            self._begin(slot, 0, 0, NEVER, before=0)
