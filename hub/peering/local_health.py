"""How far a hub may trust its own time-outs (Lifeguard, arXiv 1707.00788). Pure: `now` comes in.

A hub that stalls, or that has lost most of its peers at once, is more likely ill than surrounded by
the dead: it multiplies its time-outs by a factor of 1 (well) to 8.
"""

import math
from dataclasses import dataclass

FACTOR_MAX = 8.0
LAG_FREE_SECONDS = 0.2  # A busy machine is late by this much every day.
LAG_STEP_SECONDS = 0.2
LAG_FADES_SECONDS = 3.0
STALL_TICKS = 3
"""No tick for as long as so many take: what should have arrived meanwhile proves nothing about others."""


@dataclass(slots=True)
class LocalHealth:
    """The health of this process as its own ticks and its contacts show it.

    The time that others are judged by is the time in which we listened: `listening` leaves out
    stalls, so that our own pause never makes a peer look silent.
    """

    seen_at: float
    due_at: float
    stalled_seconds: float = 0.0
    resumed_at: float = -math.inf
    stalls: int = 0
    _lag_seconds: float = 0.0
    _lag_at: float = 0.0
    _alone_since: float | None = None

    def listening(self, now: float, tick_seconds: float) -> float:
        """Note that this process runs at `now`; returns the seconds that it has listened, so far."""
        gap = now - self.seen_at
        if gap > STALL_TICKS * tick_seconds:
            self.stalled_seconds += gap - tick_seconds
            self.resumed_at = now
            self.stalls += 1
        late = max(now - self.due_at, 0.0)
        if late > self.lag_seconds(now):
            self._lag_seconds, self._lag_at = late, now
        self.seen_at = max(now, self.seen_at)
        return now - self.stalled_seconds

    def slept(self, sent_at: float) -> bool:
        """Whether we stalled after `sent_at`: a time-out since then may be our own doing."""
        return sent_at < self.resumed_at

    def lag_seconds(self, now: float) -> float:
        """The worst lateness of a tick, fading."""
        return self._lag_seconds * math.exp(-max(now - self._lag_at, 0.0) / LAG_FADES_SECONDS)

    def contacts(self, silent: int, watched: int, now: float) -> None:
        """Note how many of the peers that we watch are silent without having refused us."""
        if silent < 2 or 2 * silent <= watched:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now

    def factor(self, now: float) -> float:
        """By how much our own time-outs are multiplied: 1 when we are well, at most 8."""
        lag = max(self.lag_seconds(now) - LAG_FREE_SECONDS, 0.0) / LAG_STEP_SECONDS
        alone = now - self._alone_since if self._alone_since is not None else 0.0
        return min(1.0 + max(lag, alone, 0.0), FACTOR_MAX)
