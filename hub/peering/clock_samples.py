"""How far the clock of another hub is from ours, as each answer to our gossip shows. Pure.

Source: RFC 5905, sections 8 and 10: offset and delay from four times, the sample of least delay of
the last eight, and an error that grows with the age of the sample.
"""

import statistics
from collections import deque
from dataclasses import dataclass, field
from itertools import combinations

from shared.errors import BadInput

SAMPLES_KEPT = 8
ROUNDING_MS = 1.0  # All four times are cut to whole milliseconds.
DRIFT_PPM_MAX = 500.0
"""The most that an operating system corrects a clock by, so what a sound clock may lose between samples."""
LOST_MS_PER_S = DRIFT_PPM_MAX / 1000

STEP_MS_MIN = 100.0
"""Less than this is what a clock that drifts badly does between two answers."""

DRIFT_POINT_SECONDS = 10.0
DRIFT_POINTS_KEPT = 31  # Five minutes.
DRIFT_POINTS_MIN = 7  # One minute.


@dataclass(frozen=True, slots=True)
class Echo:
    """One question and its answer: four wall times (Unix ms), and two of our monotonic clock."""

    sent_at: float
    received_at: float
    sent_ms: float
    received_ms: float
    their_received_ms: float
    their_sent_ms: float

    @property
    def is_torn(self) -> bool:
        """Whether our wall clock was set on the way, so that it is not known which one was measured."""
        by_wall_ms = self.received_ms - self.sent_ms
        return abs(by_wall_ms - (self.received_at - self.sent_at) * 1000) >= STEP_MS_MIN


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a clock is ahead of ours (less than zero: behind), surely within `error_ms`."""

    offset_ms: float
    error_ms: float
    delay_ms: float
    at: float

    @property
    def low_ms(self) -> float:
        """It is ahead by this at least."""
        return self.offset_ms - self.error_ms

    @property
    def high_ms(self) -> float:
        """It is ahead by this at most."""
        return self.offset_ms + self.error_ms

    def aged(self, now: float) -> "Offset":
        """The same, with the error that it has at `now` (monotonic seconds)."""
        lost_ms = max(now - self.at, 0.0) * LOST_MS_PER_S
        return Offset(self.offset_ms, self.error_ms + lost_ms, self.delay_ms, self.at)


def offset_of(echo: Echo) -> Offset:
    """What one answer proves; raises BadInput when its times cannot be.

    How long the answer took is measured by our monotonic clock, so that a step of our own wall clock
    on the way does not look like one of the peer's.
    """
    elapsed_ms = (echo.received_at - echo.sent_at) * 1000
    held_ms = echo.their_sent_ms - echo.their_received_ms
    if not -ROUNDING_MS <= held_ms <= elapsed_ms + 2 * ROUNDING_MS:
        raise BadInput(
            f"a peer says that it had the question for {held_ms:.0f} ms, of {elapsed_ms:.0f} ms in all"
        )
    delay_ms = max(elapsed_ms - held_ms, 0.0)
    ahead_ms = echo.their_received_ms - echo.sent_ms
    back_ms = echo.their_sent_ms - (echo.sent_ms + elapsed_ms)
    error_ms = delay_ms / 2 + ROUNDING_MS
    return Offset((ahead_ms + back_ms) / 2, error_ms, delay_ms, echo.received_at)


@dataclass(slots=True)
class PeerClock:
    """The clock of one peer, from the samples since it was last seen to step."""

    samples: deque[Offset] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))
    points: deque[tuple[float, float]] = field(
        default_factory=lambda: deque(maxlen=DRIFT_POINTS_KEPT)
    )
    drift_ppm: float | None = None
    _best: Offset | None = None

    def add(self, sample: Offset) -> float | None:
        """Take a sample in; returns by how many ms the clock has stepped, if this proves a step.

        Each sample is a bound that no delay can break. So when two of them share no value, the clock
        did not run evenly between them, and what is older says nothing of it any more.
        """
        jump_ms = self._jump_ms(sample)
        if jump_ms:
            self.samples.clear()
        if abs(jump_ms) >= STEP_MS_MIN:
            self.begin_anew()
        self.samples.append(sample)
        # What samples lose by age grows alike, so the best one now is the best until the next comes.
        self._best = min(self.samples, key=lambda held: held.error_ms - held.at * LOST_MS_PER_S)
        self._follow(sample.at)
        return jump_ms if abs(jump_ms) >= STEP_MS_MIN else None

    def _jump_ms(self, sample: Offset) -> float:
        held = self.best(sample.at)
        if (
            held is None
            or abs(sample.offset_ms - held.offset_ms) <= sample.error_ms + held.error_ms
        ):
            return 0.0
        return sample.offset_ms - held.offset_ms

    def best(self, now: float) -> Offset | None:
        """The sample with the least error at `now`; None when there is none."""
        return self._best.aged(now) if self._best else None

    def begin_anew(self) -> None:
        """Forget all samples: one of the two clocks was set."""
        self.samples.clear()
        self.points.clear()
        self.drift_ppm = self._best = None

    def _follow(self, now: float) -> None:
        if self.points and now - self.points[-1][0] < DRIFT_POINT_SECONDS:
            return
        best = self.best(now)
        if best is not None:
            self.points.append((now, best.offset_ms))
            self.drift_ppm = drift_ppm(self.points)


def drift_ppm(points: "deque[tuple[float, float]] | list[tuple[float, float]]") -> float | None:
    """How fast an offset grows, in millionths; None for less than a minute of points.

    The median of all slopes between two points (Theil 1950, Sen 1968): up to three of ten points may
    be far off and change little.
    """
    if len(points) < DRIFT_POINTS_MIN:
        return None
    pairs = combinations(points, 2)
    return statistics.median(1000 * (b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs)


@dataclass(slots=True)
class OwnClock:
    """Notices that our own wall clock was set, by our monotonic clock."""

    _base_ms: float | None = None
    _candidate_ms: float | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether the last reading was off, and the next one has to tell why."""
        return self._candidate_ms is not None

    def read(self, now: float, wall_ms: float) -> float | None:
        """Take one reading of both clocks; returns by how many ms ours was set, once that is sure.

        It takes two readings that agree: a pause of the process between reading the two clocks makes
        one reading wrong, and not the next.
        """
        base_ms, held_ms = wall_ms - now * 1000, self._base_ms
        if held_ms is None or abs(base_ms - held_ms) < STEP_MS_MIN:
            self._base_ms, self._candidate_ms = base_ms, None
            return None
        candidate_ms = self._candidate_ms
        if candidate_ms is None or abs(base_ms - candidate_ms) >= STEP_MS_MIN:
            self._candidate_ms = base_ms
            return None
        self._base_ms, self._candidate_ms = base_ms, None
        return base_ms - held_ms
