"""How often nodes are asked to beat: the number of nodes over what this hub bears. Pure.

    T = clamp(nodes / budget, 5 s, 60 s), twice that right after a start and down to it within 2 T

The budget is measured: it grows by a step each second while it is what binds and the event loop is
prompt, and halves when the loop lags (additive increase, multiplicative decrease: Chiu and Jain,
1989). Nomad asks for nodes / 50 per region instead, and 410 s pass until a death shows at 10,000.
"""

import zlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class IntervalLimits:
    """Bounds of the interval, and how the budget (beats per second) feels its way."""

    seconds_min: float = 5.0
    seconds_max: float = 60.0
    per_second_start: float = 2_000.0  # A fifth of what one hub takes in on two cores.
    per_second_min: float = 100.0
    per_second_max: float = 10_000.0
    step_per_second: float = 50.0
    lag_low_seconds: float = 0.050
    lag_high_seconds: float = 0.200
    settle_seconds: float = 10.0  # A halved budget needs a round of beats to show.


RAMP_INTERVALS = 2.0
FIRST_SHARE_MIN = 0.2

TOLD_SECONDS_MAX = 3600.0
"""Edges take no longer interval for a sound one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a node is told, and by what its silence is judged; the first beats are spread."""

    told_seconds: float
    judged_seconds: float


@dataclass(slots=True)
class Interval:
    """The interval that one hub hands out. `began_at` is when it began to listen (monotonic)."""

    began_at: float
    limits: IntervalLimits = field(default_factory=IntervalLimits)
    per_second: float = field(init=False)
    halvings: int = 0
    _seen_at: float = field(init=False)
    _settled_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.per_second, self._seen_at = self.limits.per_second_start, self.began_at

    def observe(self, nodes: int, lag_p99_seconds: float, now: float) -> None:
        """Take in how late the event loop has been lately; call about once a second."""
        limits, passed = self.limits, min(max(now - self._seen_at, 0.0), 5.0)
        self._seen_at = now
        if lag_p99_seconds > limits.lag_high_seconds:
            self._halve(now)
        elif lag_p99_seconds < limits.lag_low_seconds and self._binds(nodes, now):
            grown = self.per_second + limits.step_per_second * passed
            self.per_second = min(grown, limits.per_second_max)

    def _halve(self, now: float) -> None:
        if now < self._settled_at:
            return
        self.per_second = max(self.per_second / 2, self.limits.per_second_min)
        self._settled_at = now + self.limits.settle_seconds
        self.halvings += 1

    def _binds(self, nodes: int, now: float) -> bool:
        # A budget that nobody uses would grow without having been tried.
        return now >= self._settled_at and nodes > self.per_second * self.limits.seconds_min

    def steady_seconds(self, nodes: int) -> float:
        """The interval for so many nodes, once the hub has run for a while."""
        wanted = nodes / self.per_second
        return min(max(wanted, self.limits.seconds_min), self.limits.seconds_max)

    def seconds(self, nodes: int, now: float) -> float:
        """The interval to ask for now: longer right after a start, then falling in a line."""
        steady = self.steady_seconds(nodes)
        past = max(now - self.began_at, 0.0) / (RAMP_INTERVALS * steady)
        return min(steady * (1.0 + max(0.0, 1.0 - past)), TOLD_SECONDS_MAX)

    def asked(self, nodes: int, now: float, node_id: str, *, is_first: bool) -> Asked:
        """What to answer a node. A fleet that came at once does not come at once again."""
        seconds = self.seconds(nodes, now)
        if not is_first:
            return Asked(seconds, seconds)
        share = zlib.crc32(node_id.encode()) / 2**32
        return Asked(seconds * (FIRST_SHARE_MIN + (1 - FIRST_SHARE_MIN) * share), seconds)

    def listening_seconds(self, nodes: int) -> float:
        """How long after a start silence proves nothing: until the longest first interval lapsed."""
        return 3.3 * 2.0 * self.steady_seconds(nodes)
