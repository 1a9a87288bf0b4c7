"""The verdicts of one hub on all nodes. Only nodes whose verdict may change are looked at.

Each node has one timer, set to when it would turn worse if nobody heard it again. A beat moves no
timer: when it fires, the node's latest sign decides, and the timer is set anew. So a healthy node
costs one look per interval. A node that is offline has no timer; a beat wakes it.
Rules only.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.nodes.brake import Brake, Signs
from hub.nodes.heard import NEVER, SPARE_SHARE, Ear, HeardBooks
from hub.nodes.heard_wire import HeardReply, HeardSection
from hub.nodes.slot_move import SlotMove
from hub.nodes.verdict import (
    OFFLINE_INTERVALS,
    Change,
    Doubt,
    Verdict,
    offline_seconds,
    state_at,
    turns_after,
)
from hub.nodes.verdict_doubt import OwnDoubts, PeerStanding
from hub.nodes.verdict_wheel import Wheel
from shared.liveness import NodeState

LOOKS_MAX = 2_500
"""Looks per tick, about 5 ms; at eight ticks a second enough for 100,000 nodes at T = 5 s."""

_ONLINE, _LATE, _SUSPECT, _OFFLINE, _UNKNOWN, _ABSENT, _STRANGE, _UNWATCHED = range(8)
# Absent and strange are offline and unknown for nodes that nobody heard since this hub listens.

_STATE = (
    NodeState.ONLINE,
    NodeState.LATE,
    NodeState.SUSPECT,
    NodeState.OFFLINE,
    NodeState.UNKNOWN,
    NodeState.OFFLINE,
    NodeState.UNKNOWN,
)
_CODE = {state: code for code, state in enumerate(_STATE[:5])}
_UNHEARD = {_OFFLINE: _ABSENT, _UNKNOWN: _STRANGE}

NOBODY = ""
"""The observer of a node that no hub has heard."""


@dataclass(slots=True)
class VerdictBook:
    """What this hub says of each node, by slot of `heard`. Call `tick` eight times a second."""

    heard: HeardBooks
    brake: Brake
    doubts: OwnDoubts
    began_at: float
    peers: Mapping[str, PeerStanding] = field(default_factory=dict)
    interval_seconds: float = 5.0
    looks: int = 0
    _wheel: Wheel = field(init=False)
    _code: "array[int]" = field(default_factory=lambda: array("B"))
    _since: "array[float]" = field(default_factory=lambda: array("d"))
    _counts: list[int] = field(default_factory=lambda: [0] * len(_STATE))
    _doubted: dict[int, Doubt] = field(default_factory=dict)
    _changes: list[Change] = field(default_factory=list)
    _doubt: Doubt | None = None

    def __post_init__(self) -> None:
        self._wheel = Wheel(self.began_at)
        self._doubt = self._own_doubt(self.began_at)
        self.heard.slots.follow(self._follow)

    def _follow(self, move: SlotMove) -> None:
        """Slots have moved; those of all nodes that are watched are still there."""
        self._wheel.follow(move)
        self._code, self._since = move.column(self._code), move.column(self._since)
        self._doubted = {move.of(slot): doubt for slot, doubt in self._doubted.items()}

    def watch(self, node_id: str, now: float) -> None:
        """Have an opinion on a node from now on, once it had the time to beat; raises BadInput."""
        slot = self.heard.slot(node_id)
        self._reach(slot)
        if self._code[slot] != _UNWATCHED:
            return
        self._code[slot], self._since[slot] = _STRANGE, now
        self._counts[_STRANGE] += 1
        if self._best(slot) is not None:
            self._look(slot, now)
        else:
            self._wheel.set(slot, now + offline_seconds(self.interval_seconds))

    def forget(self, node_id: str) -> None:
        """Have no opinion on a removed node any more."""
        slot = self.heard.slot(node_id)
        self._reach(slot)
        code = self._code[slot]
        if code != _UNWATCHED:
            self._counts[code] -= 1
            self._code[slot] = _UNWATCHED
            self._doubted.pop(slot, None)
            self._wheel.clear(slot)

    def _reach(self, slot: int) -> None:
        known = len(self.heard.slots)
        missing = known - len(self._code)
        if missing > 0:
            missing += known // SPARE_SHARE
            self._code.extend([_UNWATCHED] * missing)
            self._since.extend([0.0] * missing)
            self._wheel.reach(len(self._code))

    def hear(self, node_id: str, incarnation: int, beat: int, now: float, interval: float) -> bool:
        """Take in a beat that reached this hub itself; False if it is no news. Raises BadInput.

        `interval` is what the answer asks of the node, by which its next silence is judged.
        """
        slot = self.heard.hear(node_id, incarnation, beat, now, interval)
        if slot < 0:
            return False
        if slot < len(self._code):
            if self._code[slot] == _ONLINE:
                # The interval may be shorter than the one that the timer was set by.
                self._wheel.set_before(slot, now + turns_after(NodeState.ONLINE, interval))
            else:
                self._wake(slot, now)
        return True

    def take(self, from_hub: str, section: HeardSection, now: float) -> HeardReply:
        """Take in what a peer heard; returns the answer for it. Raises BadInput."""
        reply, moved = self.heard.take(from_hub, section, now)
        known = len(self._code)
        for slot in moved:
            if slot < known and self._code[slot] != _ONLINE:
                self._wake(slot, now)
        return reply

    def _wake(self, slot: int, now: float) -> None:
        if self._code[slot] != _UNWATCHED:
            self._look(slot, now)

    def tick(self, now: float) -> list[Change]:
        """Look at the nodes that are due; what changed since the last tick, in order."""
        self._weigh_doubts(now)
        for slot in self._wheel.due(now, LOOKS_MAX):
            self._look(slot, now)
        changes, self._changes = self._changes, []
        return changes

    def _weigh_doubts(self, now: float) -> None:
        doubt = self._own_doubt(now)
        if doubt is None or self.brake.braked:
            self.brake.tick(self.signs(), now)
            doubt = doubt or self.brake.doubt
        reasons_differ = (doubt.reason if doubt else "") != (
            self._doubt.reason if self._doubt else ""
        )
        self._doubt = doubt
        if reasons_differ:
            for slot in self._doubted:
                self._wheel.set(slot, now)

    def _own_doubt(self, now: float) -> Doubt | None:
        reported_at = {hub_id: peer.reported_at for hub_id, peer in self.heard.peers.items()}
        return self.doubts.doubt(self.peers, reported_at, self.interval_seconds, now)

    def signs(self) -> Signs:
        """What the brake goes by."""
        counts = self._counts
        gone = sum(not peer.is_alive for peer in self.peers.values())
        witnesses = sum(peer.counts for peer in self.peers.values())
        return Signs(
            sum(counts[:5]),
            counts[_SUSPECT] + counts[_UNKNOWN],
            counts[_OFFLINE],
            len(self.peers) + 1,
            gone,
            witnesses,
            self.interval_seconds,
        )

    def _look(self, slot: int, now: float) -> None:
        self.looks += 1
        ear = self._best(slot)
        if ear is None:
            self._settle(slot, _OFFLINE, NOBODY, now)
            return
        age, interval = now - ear.moved_at[slot], ear.interval[slot]
        state = state_at(age, interval)
        self._settle(slot, _CODE[state], ear.hub_id, now)
        if state is not NodeState.OFFLINE:
            self._wheel.set(slot, ear.moved_at[slot] + turns_after(state, interval))

    def _best(self, slot: int) -> Ear | None:
        """The ear by which the node lives longest. What a hub heard that is gone by now stays true."""
        own: Ear = self.heard.own
        best, latest = own, NEVER
        if slot < len(own.moved_at):
            latest = own.moved_at[slot] + OFFLINE_INTERVALS * own.interval[slot]
        for peer in self.heard.peers.values():
            ear = peer.ear
            if slot < len(ear.moved_at):
                ends = ear.moved_at[slot] + OFFLINE_INTERVALS * ear.interval[slot]
                if ends > latest:
                    best, latest = ear, ends
        return None if latest == NEVER else best

    def _settle(self, slot: int, code: int, observer: str, now: float) -> None:
        """Write down a verdict; offline is unknown while there is a doubt."""
        reason = ""
        if code == _OFFLINE and self._doubt is not None and self._is_open(slot):
            code, reason = _UNKNOWN, self._doubt.reason
            self._doubted[slot] = self._doubt
        else:
            self._doubted.pop(slot, None)
        if observer == NOBODY:
            code = _UNHEARD[code]
        old = self._code[slot]
        if old != code:
            self._write(
                slot, old, code, Change("", _STATE[old], _STATE[code], observer, reason), now
            )

    def _is_open(self, slot: int) -> bool:
        """A node that was called offline before a doubt came up stays so: that was no mistake."""
        return self._code[slot] not in (_OFFLINE, _ABSENT)

    def _write(self, slot: int, old: int, code: int, change: Change, now: float) -> None:
        self._counts[old] -= 1
        self._counts[code] += 1
        self._code[slot] = code
        if change.old is change.new:
            return
        self._since[slot] = now
        node_id = self.heard.slots.names[slot]
        self._changes.append(
            Change(node_id, change.old, change.new, change.observer, change.reason)
        )

    def verdict(self, node_id: str) -> Verdict | None:
        """What this hub says of a node, by whose word; None for one that is not watched."""
        slot = self.heard.slots.find(node_id)
        if slot is None or slot >= len(self._code) or self._code[slot] == _UNWATCHED:
            return None
        best, doubt = self._best(slot), self._why(slot)
        state, since = _STATE[self._code[slot]], self._since[slot]
        observer = best.hub_id if best else NOBODY
        if doubt is None:
            return Verdict(state, observer, since)
        return Verdict(state, observer, since, doubt.reason, doubt.ends_at)

    def _why(self, slot: int) -> Doubt | None:
        held, current = self._doubted.get(slot), self._doubt
        if held and current and held.reason == current.reason:
            return current  # Its end may have moved.
        if held is None and self._code[slot] == _STRANGE:
            ends_at = self._since[slot] + offline_seconds(self.interval_seconds)
            return current or Doubt("this hub has just learned of it", ends_at)
        return held

    def counts(self) -> dict[NodeState, int]:
        """How many nodes are in each state."""
        totals = dict.fromkeys(NodeState, 0)
        for code, count in enumerate(self._counts):
            totals[_STATE[code]] += count
        return totals
