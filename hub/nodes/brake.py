"""When many nodes, or half of the hubs, vanish at once, the fault is likely to be ours: brakes. Pure.

A brake turns "offline" into "unknown" for a stated reason and until a stated time. It ends by
evidence (they came back; or other hubs, for a while, hear them as little as we do), at its deadline,
or by an operator, and does not begin again for the same silence. (Eureka's never ends: its issue
1073.)

It can act before the first false alarm: nodes that were heard until one moment T apart at most turn
suspect (2.2 T + 1 s) before the first of them is offline (3.3 T) whenever T is 5 s or more, nearly
all of them; so suspects count as vanished.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.nodes.verdict import Doubt

Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class BrakeLimits:
    """When a brake begins and ends."""

    share: float = 1 / 3
    """More than this share of the nodes that were there."""
    nodes_min: int = 5
    """Fewer are no crowd: in a house of three nodes each one counts for itself."""
    hubs_share: float = 0.5
    back_share: float = 1 / 6
    window_seconds: float = 60.0
    """Nodes that went offline longer ago are no news."""
    hold_seconds: float = 120.0
    hold_intervals: float = 4.4
    """At least until all of a crowd would have been called offline, and an interval more."""
    confirm_seconds: float = 30.0
    """So long must other hubs have heard as little before their word ends it."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What a hub sees at a moment. `offline` counts all; `missing` waits: suspect or unknown by brake.

    `nodes` are those that some hub heard since this one listens. `witnesses` are the other hubs that
    live, are not isolated, and report.
    """

    nodes: int
    missing: int
    offline: int
    hubs: int
    hubs_gone: int
    witnesses: int
    interval_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Braked:
    """A brake that is on: why, since when, and until when at most (monotonic)."""

    reason: str
    began_at: float
    ends_at: float


@dataclass(slots=True)
class Brake:
    """The brake of one hub. `tick` before verdicts are changed; `doubt` is what they must heed."""

    tell: Tell
    limits: BrakeLimits = field(default_factory=BrakeLimits)
    braked: Braked | None = None
    _offline: deque[tuple[float, int]] = field(default_factory=deque)
    _pardoned_nodes: int = 0
    _pardoned_hubs: int = 0
    _witnessed_since: float | None = None

    @property
    def doubt(self) -> Doubt | None:
        """Why no node may be called offline now, if so."""
        return Doubt(self.braked.reason, self.braked.ends_at) if self.braked else None

    def tick(self, signs: Signs, now: float) -> None:
        """Begin or end as the signs say."""
        fresh = self._fresh_offline(signs, now)
        gone, present = signs.missing + fresh, signs.nodes - signs.offline + fresh
        self._pardoned_nodes = min(self._pardoned_nodes, gone)
        self._pardoned_hubs = min(self._pardoned_hubs, signs.hubs_gone)
        if self.braked is None:
            reason = self._reason(gone, present, signs)
            if reason:
                self._begin(reason, signs, now)
        else:
            self._judge_end(self.braked, gone, present, signs, now)

    def _fresh_offline(self, signs: Signs, now: float) -> int:
        """How many of the offline ones went within the window."""
        kept, since = self._offline, now - self.limits.window_seconds
        if not kept or now - kept[-1][0] >= 1.0:
            kept.append((now, signs.offline))
        while len(kept) > 1 and kept[1][0] <= since:
            kept.popleft()
        return max(signs.offline - min(count for _, count in kept), 0)

    def _reason(self, gone: int, present: int, signs: Signs) -> str:
        vanished = gone - self._pardoned_nodes
        there = present - self._pardoned_nodes
        if vanished >= self.limits.nodes_min and vanished > self.limits.share * there:
            return f"{vanished} of {there} nodes fell silent within a short time"
        hubs_gone, hubs = signs.hubs_gone - self._pardoned_hubs, signs.hubs - self._pardoned_hubs
        if hubs_gone and hubs_gone >= self.limits.hubs_share * hubs:
            return f"{hubs_gone} of {hubs} hubs are gone"
        return ""

    def _begin(self, reason: str, signs: Signs, now: float) -> None:
        limits = self.limits
        seconds = max(limits.hold_seconds, limits.hold_intervals * signs.interval_seconds)
        self.braked = Braked(reason, now, now + seconds)
        self._witnessed_since = None
        self.tell(
            "fleet.brake.begin",
            {
                "reason": reason,
                "nodes": signs.nodes,
                "missing": signs.missing,
                "hubs_gone": signs.hubs_gone,
                "hold_seconds": seconds,
            },
        )

    def _judge_end(self, braked: Braked, gone: int, present: int, signs: Signs, now: float) -> None:
        if signs.witnesses == 0:
            self._witnessed_since = None
        elif self._witnessed_since is None:
            self._witnessed_since = now
        if gone <= self.limits.back_share * present and self._has_hubs(signs):
            self._end("they came back", signs, gone, now)
        elif self._is_confirmed(now):
            self._end("other hubs do not hear them either", signs, gone, now)
        elif now >= braked.ends_at:
            self._end("its time is over", signs, gone, now)

    def _has_hubs(self, signs: Signs) -> bool:
        lost = signs.hubs_gone - self._pardoned_hubs
        return not lost or lost < self.limits.hubs_share * (signs.hubs - self._pardoned_hubs)

    def _is_confirmed(self, now: float) -> bool:
        since = self._witnessed_since
        return since is not None and now - since >= self.limits.confirm_seconds

    def _end(self, why: str, signs: Signs, gone: int, now: float) -> None:
        began_at = self.braked.began_at if self.braked else now
        self.braked, self._pardoned_nodes, self._pardoned_hubs = None, gone, signs.hubs_gone
        facts = {"why": why, "seconds": round(now - began_at, 1), "missing": signs.missing}
        self.tell("fleet.brake.end", facts)

    def override(self, who: str, signs: Signs, now: float) -> bool:
        """End the brake by a person's word; False if there is none.

        Those who are silent by now cause none later either: a brake that another hub has is overruled
        here, too, even if this hub is about to begin it.
        """
        gone = signs.missing + self._fresh_offline(signs, now)
        if self.braked is None:
            self._pardoned_nodes, self._pardoned_hubs = gone, signs.hubs_gone
            return False
        self._end(f"{who} ended it", signs, gone, now)
        return True


@dataclass(slots=True)
class ChangeBudget:
    """How many nodes may change hands: in any ten seconds at most max(5 %, 50). Pure."""

    share: float = 0.05
    changes_min: int = 50
    window_seconds: float = 10.0
    _spent: deque[tuple[float, int]] = field(default_factory=deque)

    def allowed(self, nodes: int, now: float) -> int:
        """How many more may change now, in a fleet of so many."""
        while self._spent and self._spent[0][0] <= now - self.window_seconds:
            self._spent.popleft()
        limit = max(int(self.share * nodes), self.changes_min)
        return max(limit - sum(count for _, count in self._spent), 0)

    def spend(self, changes: int, now: float) -> None:
        """Note changes that were made."""
        if changes:
            self._spent.append((now, changes))
