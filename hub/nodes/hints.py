"""Which edges a hub sends home, and at what pace: after restarts the load evens out without a rush.

Each edge has a home, the hub that cares for it by rendezvous order (hub.nodes.adoption). The hub that
an edge is with, and only that one, may hint at another one: its home. So hints cannot swing the load
too far: when all are followed, everybody is at home. The pace is 2 % of the fleet a minute, and
faster while the fullest hub has over 1.25 times the edges of the emptiest. Rules only: time comes in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from msgspec import Meta

from hub.nodes.adoption import duty_of

STAY = ""
"""The hint not to move; a hub that has no hints at all answers None."""


@dataclass(frozen=True, slots=True)
class HintLimits:
    """How fast a hub sends edges home."""

    fleet_share_per_minute: float = 0.02
    per_minute_min: float = 30.0
    per_second_max: float = 100.0  # A hub takes in the first pushes of so many without a pause.
    ratio_max: float = 1.25
    catch_up_seconds: float = 30.0  # The excess shrinks to a seventh within a minute.
    settle_seconds: float = 10.0  # A hub that is back for a moment may be gone again.
    repeat_seconds: float = 300.0  # An edge that does not follow probably cannot.
    stale_seconds: float = 10.0
    gone_seconds: float = 180.0


class LoadSection(msgspec.Struct, frozen=True):
    """How many edges are with a hub."""

    edges: Annotated[int, Meta(ge=0, le=10_000_000)]


@dataclass(slots=True)
class Hints:
    """The hints of one hub. Call `tick` about once a second."""

    hub_id: str
    limits: HintLimits = field(default_factory=HintLimits)
    given: int = 0
    per_second: float = 0.0
    _mine: dict[str, float] = field(default_factory=dict)
    _loads: dict[str, tuple[int, float]] = field(default_factory=dict)
    _stands_since: dict[str, float] = field(default_factory=dict)
    _homes: tuple[str, ...] = ()
    _hinted: dict[str, float] = field(default_factory=dict)
    _tokens: float = 0.0
    _ticked_at: float | None = None

    def of_mine(self) -> LoadSection:
        """What to tell peers."""
        return LoadSection(len(self._mine))

    def take(self, section: LoadSection, from_hub: str, now: float) -> None:
        """Note a peer's load."""
        self._loads[from_hub] = (section.edges, now)

    def stand(self, hubs: Iterable[str], now: float) -> None:
        """Note which hubs edges may be with: live, not isolated, not about to leave; this one too."""
        known = self._stands_since
        self._stands_since = {hub_id: known.get(hub_id, now) for hub_id in hubs}

    def pushed(self, node_id: str, now: float) -> None:
        """Note that an edge pushed here: it is with this hub, even if it does not say so."""
        # Taken out and put in again, so that the oldest stay in front.
        self._mine.pop(node_id, None)
        self._mine[node_id] = now

    def tick(self, now: float) -> None:
        """Reckon the pace anew, and forget edges that went."""
        passed = 1.0 if self._ticked_at is None else min(max(now - self._ticked_at, 0.0), 5.0)
        self._ticked_at = now
        ready = now - self.limits.settle_seconds
        self._homes = tuple(sorted(h for h, since in self._stands_since.items() if since <= ready))
        self.per_second = self._pace(now)
        self._tokens = min(self._tokens + self.per_second * passed, 5 * self.per_second + 1)
        _drop_before(self._hinted, now - self.limits.repeat_seconds)
        _drop_before(self._mine, now - self.limits.gone_seconds)

    def _pace(self, now: float) -> float:
        loads = self._known_loads(now)
        if len(loads) < 2 and self.hub_id in loads:
            return 0.0
        limits, fleet = self.limits, sum(loads.values())
        slow = max(limits.fleet_share_per_minute * fleet, limits.per_minute_min) / 60
        mean = fleet / max(len(loads), 1)
        excess = len(self._mine) - (mean if self.hub_id in loads else 0)
        is_uneven = self.hub_id not in loads or max(loads.values()) > limits.ratio_max * max(
            min(loads.values()), 1
        )
        fast = excess / limits.catch_up_seconds if is_uneven else 0.0
        return min(max(slow, fast), limits.per_second_max)

    def _known_loads(self, now: float) -> dict[str, int]:
        """The edges with each home, this hub's own included; hubs that do not tell are left out."""
        stale = now - self.limits.stale_seconds
        loads = {h: edges for h, (edges, at) in self._loads.items() if at > stale}
        loads[self.hub_id] = len(self._mine)
        return {hub_id: loads[hub_id] for hub_id in self._homes if hub_id in loads}

    def hint(self, node_id: str, uses: str, now: float) -> str:
        """What to answer a beat of an edge that is with the hub `uses`: a hub to go to, or STAY."""
        if uses != self.hub_id:
            self._mine.pop(node_id, None)
            return STAY
        self.pushed(node_id, now)
        if self._tokens < 1 or not self._homes or node_id in self._hinted:
            return STAY
        home = duty_of(node_id, self._homes)
        if home == self.hub_id:
            return STAY
        self._tokens -= 1
        self._hinted[node_id] = now
        self.given += 1
        return home


def _drop_before(times: dict[str, float], at: float) -> None:
    """Drop what is older; the oldest are in front."""
    while times:
        first = next(iter(times))
        if times[first] >= at:
            return
        del times[first]
