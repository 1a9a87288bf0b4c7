"""The clocks of all hubs as this one measures them, the verdicts, and what the others say of ours.

Rules only. Feed it our own clocks (`read_own`), every answer (`measured`) and every section (`take`);
it gives back events to tell. Verdicts only say which stamps are taken in (`hub.peering.admission`):
no time-out and no merge ever asks a wall clock.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hub.peering.clock_samples import Echo, Offset, OwnClock, PeerClock, offset_of
from hub.peering.clock_section import BELIEFS_MAX, Belief, ClockSection
from hub.peering.clock_steps import Event, Steps
from hub.peering.clock_verdict import (
    ClockLimits,
    Reference,
    Span,
    Standing,
    Verdict,
    reference,
)
from shared.errors import BadInput

TOLD_SECONDS_MAX = 30.0  # What a hub said longer ago than this counts no more.
SETTLE_SECONDS = 3.0
"""After a start, or a step of any clock, the peers that answer first must not outvote the rest."""


def _nothing_else() -> None:
    """Nobody else measures against our clock."""


@dataclass(frozen=True, slots=True)
class Told:
    """The last section of a peer, and when it came (monotonic seconds)."""

    section: ClockSection
    at: float


@dataclass(slots=True)
class Clocks:
    """All clocks of the mesh as hub `own_id` sees them.

    `on_own_step` is called when our own clock was set, for those who also measure against it.
    """

    own_id: str
    limits: ClockLimits = field(default_factory=ClockLimits)
    on_own_step: Callable[[], None] = _nothing_else
    peers: dict[str, PeerClock] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    steps: Steps = field(init=False)
    _own: OwnClock = field(default_factory=OwnClock)
    _glimpsed_at: dict[str, float] = field(default_factory=dict)
    _begun_at: float | None = None

    def __post_init__(self) -> None:
        self.steps = Steps(self.own_id)

    # ---- measuring

    def read_own(self, now: float, wall_ms: float) -> list[Event]:
        """Hold our two clocks against each other; when ours was set, all samples begin anew."""
        by_ms = self._own.read(now, wall_ms)
        if by_ms is None:
            return []
        for peer in self.peers.values():
            peer.begin_anew()
        self._begun_at = None
        self.on_own_step()
        return self.steps.of_ours(by_ms, now)

    def measured(self, hub_id: str, echo: Echo) -> list[Event]:
        """Take in an answer of a peer; its times may be anything.

        A sample that met a step of our own clock, or one whose times cannot be, is counted and not used.
        """
        now = echo.received_at
        events = self.read_own(now, echo.received_ms)
        if events or self._own.is_doubtful or echo.is_torn:
            self.counters["samples_doubtful"] += 1
            return events
        try:
            sample = offset_of(echo)
        except BadInput:
            self.counters["samples_refused"] += 1
            return events
        self._begun_at = now if self._begun_at is None else self._begun_at
        stepped_ms = self.peers.setdefault(hub_id, PeerClock()).add(sample)
        if stepped_ms is not None and self.steps.of_peer(hub_id, stepped_ms, now):
            self._begun_at = now
        return events + self.judge(now)

    def glimpse(self, hub_id: str, their_ms: float, now: float, wall_ms: float) -> None:
        """A message came from a peer that spoke at `their_ms`; call it before taking anything from it.

        A message takes time and never gains any, so a clock that seems this far ahead is ahead at least
        that far. Its stamps wait until the next answer has measured it.
        """
        if their_ms - wall_ms > self.limits.quarantine_ms:
            self._glimpsed_at[hub_id] = now

    # ---- judging

    def offset(self, hub_id: str, now: float) -> Offset | None:
        """How far a peer's clock is ahead of ours; None when it was not measured."""
        peer = self.peers.get(hub_id)
        return peer.best(now) if peer else None

    def reference(self, now: float) -> Reference:
        """What clocks are held against at `now`."""
        return reference(self.own_id, self._offsets(now), self.limits)

    def _offsets(self, now: float) -> dict[str, Offset]:
        best = {hub: peer.best(now) for hub, peer in self.peers.items()}
        return {hub: held for hub, held in best.items() if held is not None}

    def judge(self, now: float) -> list[Event]:
        """Look at every clock, ours included; returns the verdicts that have changed."""
        if not self._is_settled(now):
            return []
        events = self.steps.settled(len(self.peers), self.limits.skew_ms_max)
        offsets = self._offsets(now)
        held = reference(self.own_id, offsets, self.limits)
        by = held.referees or (self.own_id,)
        for hub_id, offset in offsets.items():
            off = Span(offset.low_ms, offset.high_ms).minus(held.span)
            events += self._judge_one(hub_id, off, by, now)
        if held.referees:
            events += self._judge_one(self.own_id, Span(0.0, 0.0).minus(held.span), by, now)
        else:
            events += self._judge_own_as_told(now)
        return events

    def _is_settled(self, now: float) -> bool:
        return self._begun_at is not None and now - self._begun_at >= SETTLE_SECONDS

    def _judge_own_as_told(self, now: float) -> list[Event]:
        """Where we cannot know whether we are the one, the peer that finds us worst is believed."""
        beliefs = self.beliefs_of(self.own_id, now)
        if not beliefs:
            return []
        spans = {hub: belief.span for hub, belief in beliefs.items()}
        worst = max(spans, key=lambda hub: (spans[hub].certain_ms, hub))
        return self._judge_one(self.own_id, spans[worst], (worst,), now)

    def _judge_one(self, hub_id: str, off: Span, by: tuple[str, ...], now: float) -> list[Event]:
        standing = self.standings.setdefault(hub_id, Standing())
        before = standing.verdict
        if not standing.judge(off, by, now, self.limits):
            return []
        if before is Verdict.UNKNOWN and standing.verdict is Verdict.SOUND:
            return []  # Nothing was wrong.
        return [(f"clock.{standing.verdict}", self._facts(hub_id, standing))]

    def _facts(self, hub_id: str, standing: Standing) -> dict[str, Any]:
        off = standing.off or Span(0.0, 0.0)
        return {
            "hub": hub_id,
            "is_own": hub_id == self.own_id,
            "offset_ms": round(off.middle_ms, 1),
            "error_ms": round(off.error_ms, 1),
            "limit_ms": self.limits.skew_ms_max,
            "by": ", ".join(standing.by),
        }

    def verdict(self, hub_id: str) -> Verdict:
        """What is said of the clock of a hub, ours included."""
        standing = self.standings.get(hub_id)
        return standing.verdict if standing else Verdict.UNKNOWN

    @property
    def is_far_ahead(self) -> bool:
        """Whether our own clock is so far ahead that it makes things look older than they are."""
        standing = self.standings.get(self.own_id)
        if standing is None or standing.off is None:
            return False
        return standing.verdict is Verdict.QUARANTINED and standing.off.middle_ms > 0

    def quarantined(self, now: float, wall_ms: float) -> dict[str, int]:
        """The peers whose stamps are not taken, and since when by our clock (Unix ms).

        Also those that are far off, or must be, and on which there is no verdict yet.
        """
        since = {
            hub_id: standing.since
            for hub_id, standing in self.standings.items()
            if standing.verdict is Verdict.QUARANTINED and hub_id != self.own_id
        }
        for hub_id, at in self._doubted(now).items():
            since.setdefault(hub_id, at)
        return {hub_id: int(wall_ms - (now - at) * 1000) for hub_id, at in since.items()}

    def _doubted(self, now: float) -> dict[str, float]:
        doubted = {
            hub_id: at
            for hub_id, at in self._glimpsed_at.items()
            if at > self._measured_at(hub_id) and now - at < TOLD_SECONDS_MAX
        }
        if self._is_settled(now):
            return doubted
        for hub_id, held in self._offsets(now).items():
            if Span(held.low_ms, held.high_ms).certain_ms > self.limits.quarantine_ms:
                doubted.setdefault(hub_id, self._begun_at or now)
        return doubted

    def _measured_at(self, hub_id: str) -> float:
        peer = self.peers.get(hub_id)
        return peer.samples[-1].at if peer and peer.samples else float("-inf")

    # ---- talking

    def of_mine(self, now: float) -> ClockSection:
        """What this hub believes of every clock it has measured, and of its own."""
        held = [self._belief(hub_id, now) for hub_id in sorted(self.standings)]
        return ClockSection([belief for belief in held if belief][:BELIEFS_MAX])

    def _belief(self, hub_id: str, now: float) -> Belief | None:
        standing, offset = self.standings[hub_id], self.offset(hub_id, now)
        if offset is None and hub_id != self.own_id:
            return None
        peer = self.peers.get(hub_id)
        return Belief(
            hub_id,
            round(offset.offset_ms, 1) if offset else 0.0,
            round(offset.error_ms, 1) if offset else 0.0,
            standing.verdict,
            round(standing.off.middle_ms, 1) if standing.off else 0.0,
            round(peer.drift_ppm, 1) if peer and peer.drift_ppm is not None else None,
            round(max(now - standing.since, 0.0), 1),
            list(standing.by)[:BELIEFS_MAX],
        )

    def take(self, section: ClockSection, from_hub: str, now: float) -> list[Event]:
        """Hear what a peer believes of all clocks.

        Where the median decides, no word changes a verdict: each hub believes its own measurements.
        """
        self.told[from_hub] = Told(section, now)
        if self.reference(now).referees or not self._is_settled(now):
            return []
        return self._judge_own_as_told(now)

    def beliefs_of(self, hub_id: str, now: float) -> dict[str, Belief]:
        """What each peer that spoke lately believes of one hub."""
        fresh = {
            teller: told.section.of(hub_id)
            for teller, told in self.told.items()
            if now - told.at < TOLD_SECONDS_MAX and teller != hub_id
        }
        return {teller: belief for teller, belief in fresh.items() if belief is not None}

    def forget(self, hub_id: str) -> None:
        """Drop a hub that will not come back."""
        self.steps.forget(hub_id)
        for table in (self.peers, self.standings, self.told, self._glimpsed_at):
            table.pop(hub_id, None)
