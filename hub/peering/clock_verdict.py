"""Which clock is wrong: the verdicts on hubs, and the median that decides them. Pure.

Only what exceeds the error bound counts: a slow link makes a clock uncertain, never suspect.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hub.peering.clock_samples import Offset

QUARANTINE_FACTOR = 10.0
CALM_RATIO = 0.8
"""A clock is better again when its offset is below this part of the limit, and stays there."""

CALM_SECONDS = 10.0
REFEREES_MIN = 3


class Verdict(StrEnum):
    """What is said of the clock of a hub. Unknown: it was not measured yet."""

    UNKNOWN = "unknown"
    SOUND = "sound"
    SUSPECT = "suspect"
    QUARANTINED = "quarantined"


_RANK = {verdict: rank for rank, verdict in enumerate(Verdict)}


@dataclass(frozen=True, slots=True)
class ClockLimits:
    """How far the clocks of two hubs may be apart."""

    skew_ms_max: float = 500.0  # As CockroachDB; Corrosion says 300.

    @property
    def quarantine_ms(self) -> float:
        """Above this, stamps of the hub are not taken."""
        return self.skew_ms_max * QUARANTINE_FACTOR

    def level(self, off_ms: float) -> Verdict:
        """The verdict on a clock that is off by this much, to either side."""
        if off_ms > self.quarantine_ms:
            return Verdict.QUARANTINED
        return Verdict.SUSPECT if off_ms > self.skew_ms_max else Verdict.SOUND


@dataclass(frozen=True, slots=True)
class Span:
    """A difference between two clocks that is surely between two bounds, in ms."""

    low_ms: float
    high_ms: float

    @property
    def middle_ms(self) -> float:
        """The best guess."""
        return (self.low_ms + self.high_ms) / 2

    @property
    def error_ms(self) -> float:
        """How far the best guess may be off."""
        return (self.high_ms - self.low_ms) / 2

    @property
    def certain_ms(self) -> float:
        """How large the difference is at least, to whichever side."""
        return max(self.low_ms, -self.high_ms, 0.0)

    def minus(self, other: "Span") -> "Span":
        """The difference of two differences."""
        return Span(self.low_ms - other.high_ms, self.high_ms - other.low_ms)


EXACT = Span(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Reference:
    """The time that clocks are held against, as ahead of ours, and whose clocks made it.

    Without referees it is our own clock, and nobody can say whether we are the one who is wrong.
    """

    span: Span
    referees: tuple[str, ...] = ()


def reference(own_id: str, offsets: Mapping[str, Offset], limits: ClockLimits) -> Reference:
    """The median of all clocks, ours included; our own where there are two, or no clock is near it.

    A clock that is not known to within the limit has no vote. With an even number of clocks the
    median may lie between two camps, where no clock is: then none of them is called right.
    """
    votes = {hub: held for hub, held in offsets.items() if held.error_ms <= limits.skew_ms_max}
    spans = {own_id: EXACT} | {hub: Span(v.low_ms, v.high_ms) for hub, v in votes.items()}
    if len(spans) < REFEREES_MIN:
        return Reference(EXACT)
    # The median of lower bounds and that of upper bounds enclose the median of what they bound.
    median = Span(
        statistics.median(span.low_ms for span in spans.values()),
        statistics.median(span.high_ms for span in spans.values()),
    )
    near = [s for s in spans.values() if abs(s.middle_ms - median.middle_ms) <= limits.skew_ms_max]
    return Reference(median, tuple(sorted(spans))) if near else Reference(EXACT)


@dataclass(slots=True)
class Standing:
    """The verdict on one hub, since when (monotonic seconds), and what it rests on."""

    verdict: Verdict = Verdict.UNKNOWN
    since: float = 0.0
    off: Span | None = None
    by: tuple[str, ...] = ()
    _calm_since: float | None = None

    def judge(self, off: Span, by: tuple[str, ...], now: float, limits: ClockLimits) -> bool:
        """Look at how far the clock is off now; returns whether the verdict has changed.

        It grows worse at once, since the bounds are sure, and better only after a calm while.
        """
        self.off, self.by = off, by
        reached = limits.level(off.certain_ms)
        calmed = limits.level(abs(off.middle_ms) / CALM_RATIO)
        if _RANK[reached] > _RANK[self.verdict]:
            return self._turn(reached, now)
        if _RANK[calmed] >= _RANK[self.verdict]:
            self._calm_since = None
            return False
        self._calm_since = now if self._calm_since is None else self._calm_since
        if now - self._calm_since < CALM_SECONDS:
            return False
        return self._turn(calmed, now)

    def _turn(self, verdict: Verdict, now: float) -> bool:
        self.verdict, self.since, self._calm_since = verdict, now, None
        return True
