"""Which data goes next: alerts, then what is made now beside what has waited. Pure rules.

After an outage the newest data must not queue behind hours of backlog, and the backlog must not
starve: both get their share of the bytes. The share of a lane that has nothing to send is the
other's. The hub puts everything in order again by its sequence numbers.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from shared.ranges import NOTHING, Ranges
from shared.records import MIB


class Lane(StrEnum):
    """The lanes, in the order in which they are asked."""

    ALERTS = "alerts"  # Never held, never shared out: they are few and small.
    LIVE = "live"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """When there is a backlog, and what it gets."""

    backlog_bytes_min: int = 4 * MIB  # A few pushes: below this, order is worth more than haste.
    backlog_seconds_min: float = 30.0  # Longer than any ordinary wait for a hub.
    live_share: float = 0.5  # Of the bytes, while both lanes have something to send.
    # Without word from the hubs, a fleet comes back within so many seconds, not in one instant.
    stampede_seconds_max: float = 5.0


@dataclass(slots=True)
class Shares:
    """Weighted fair queueing of two lanes by bytes (Demers, Keshav and Shenker, 1989).

    Each lane has its own clock that runs with the bytes it sends; the lane that is behind goes next.
    """

    live_share: float = 0.5
    _clocks: dict[Lane, float] = field(default_factory=dict)
    _busy: frozenset[Lane] = frozenset()

    def choose(self, waiting: Collection[Lane]) -> Lane:
        """The lane that goes next, of those that have something to send; live wins a tie."""
        newest = max(self._clocks.values(), default=0.0)
        for lane in set(waiting) - self._busy:
            # Who comes back to the queue gets no credit for the time in which it had nothing.
            self._clocks[lane] = newest
        self._busy = frozenset(waiting)
        return min(waiting, key=lambda lane: (self._clocks[lane], lane is Lane.BACKLOG))

    def charge(self, lane: Lane, size_bytes: int) -> None:
        """Note that a lane has sent something."""
        share = self.live_share if lane is Lane.LIVE else 1 - self.live_share
        self._clocks[lane] = self._clocks.get(lane, 0.0) + size_bytes / max(share, 0.01)


@dataclass(slots=True)
class Boundary:
    """Where the backlog ends: at the head of the log when it was found to be too large or too old.

    What is appended later is live. Where there is more of it than its share carries, it becomes old
    itself, and moves the boundary on.
    """

    limits: LaneLimits
    seq: int = 0
    _marks: list[tuple[float, int]] = field(default_factory=list)

    def look(self, now: float, pending: Ranges, head_seq: int, chunk_bytes: float) -> None:
        """Decide again where the backlog ends, given what waits for the hub that is pushed to."""
        backlog, live = self.part(pending)
        is_large = live.count * chunk_bytes >= self.limits.backlog_bytes_min
        if self.is_old(now, live) or (is_large and not backlog):
            self.seq = head_seq
        elif not backlog:
            self.seq = 0

    def part(self, pending: Ranges) -> tuple[Ranges, Ranges]:
        """The backlog and the live part of what is pending."""
        backlog = pending & Ranges(((1, self.seq),)) if self.seq else NOTHING
        return backlog, pending - backlog

    def is_old(self, now: float, seqs: Ranges) -> bool:
        """Whether the first of these was in the log half a minute ago (by our own clock)."""
        return bool(seqs) and any(
            now - at >= self.limits.backlog_seconds_min and head >= seqs.first
            for at, head in self._marks
        )

    def forget(self) -> None:
        """The log has begun a new life, with new numbers."""
        self.seq, self._marks = 0, []

    def mark(self, now: float, head_seq: int) -> None:
        """Note where the log is: a handful of marks is enough, with the newest of the old ones."""
        spacing = self.limits.backlog_seconds_min / 6
        if self._marks and now - self._marks[-1][0] < spacing:
            return
        self._marks.append((now, head_seq))
        while len(self._marks) > 1 and now - self._marks[1][0] >= self.limits.backlog_seconds_min:
            self._marks.pop(0)


@dataclass(slots=True)
class Reunion:
    """When the backlog may flow again after an outage: a fleet must not rush in at one instant."""

    limits: LaneLimits
    backlog_from: float = -math.inf
    _contact_at: float = -math.inf

    def meet(self, now: float, has_credit: bool, rng: Random) -> None:
        """A hub answers. After a long silence, without a pace of its asking, luck draws the moment."""
        is_outage_over = now - self._contact_at > self.limits.backlog_seconds_min
        self._contact_at = now
        if is_outage_over and not has_credit:
            self.backlog_from = now + rng.uniform(0, self.limits.stampede_seconds_max)

    def hurry(self, now: float) -> None:
        """Let the backlog flow now."""
        self.backlog_from = min(self.backlog_from, now)


@dataclass(slots=True)
class Credit:
    """A token bucket for the backlog, filled at the pace that the hub allows; None: no bound.

    A push may take more than there is, and the next one then waits until the debt is paid: pushes
    have the size that suits the wire, not that of the bucket.
    """

    bytes_per_s: float | None = None
    _tokens: float = 0.0
    _at: float = 0.0

    def grant(self, now: float, bytes_per_s: float | None) -> None:
        """Take over what the hub allows from now on; what is nonsense counts as nothing."""
        self._fill(now)
        is_sense = bytes_per_s is None or 0 <= bytes_per_s < math.inf
        self.bytes_per_s = bytes_per_s if is_sense else 0.0

    def spend(self, now: float, size_bytes: int) -> None:
        """Note a push of the backlog."""
        if self.bytes_per_s is not None:
            self._fill(now)
            self._tokens -= size_bytes

    def ready_at(self, now: float) -> float:
        """When the next push of the backlog may begin; infinity when the hub allows none at all."""
        if self.bytes_per_s is None:
            return now
        self._fill(now)
        if self._tokens > -1 and self.bytes_per_s > 0:  # A fraction of a byte is rounding.
            return now
        return now - self._tokens / self.bytes_per_s if self.bytes_per_s > 0 else math.inf

    def _fill(self, now: float) -> None:
        rate = self.bytes_per_s or 0.0
        # One second's worth may be saved up: a burst that the hub has reckoned with anyway.
        self._tokens = min(self._tokens + rate * max(now - self._at, 0.0), rate)
        self._at = now
