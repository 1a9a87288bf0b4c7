"""Alerts as a pure machine: values and time in, moves to firing and resolved out.

One state for each rule and attribute set: inactive (which needs no memory), pending until the rule
was broken for long enough, firing until it was not for long enough. Times are seconds of one clock
that never jumps; what is saved for the next process carries wall time instead.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

import msgspec

from edge.receive.alert_rule import AlertRule

STATES_MAX = 1000
"""Pending and firing alerts of one rule; a metric with more series is watched for these."""

BUCKETS_MAX = 60
"""A window of log records is counted in so many steps."""

Attributes = tuple[tuple[str, str], ...]
"""Sorted pairs: what tells the alerts of one rule apart."""


class Phase(Enum):
    """Where an alert stands."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"


class Kind(Enum):
    """What happened to an alert."""

    FIRING = "alert.firing"
    RESOLVED = "alert.resolved"


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert. `since` is when this phase began, `told_at` when it was last told of."""

    phase: Phase = Phase.INACTIVE
    since: float = 0.0
    seen_at: float = 0.0
    told_at: float = 0.0
    clear_since: float | None = None
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Move:
    """A move that people are told of. `reason` is broken, repeat, cleared, no_data or no_rule."""

    kind: Kind
    reason: str
    rule: AlertRule
    attributes: Attributes
    value: float
    lasted_seconds: float = 0.0


class Saved(msgspec.Struct, frozen=True):
    """A firing alert as it is kept over a restart; times are Unix nanoseconds."""

    rule: str
    attributes: Attributes
    value: float
    since_ns: int
    told_ns: int


INACTIVE = AlertState()

Step = tuple[AlertState, tuple[Kind, str] | None]


def judge(rule: AlertRule, state: AlertState, value: float, now: float) -> Step:
    """The state after a value, and what is to be told of it."""
    seen = replace(state, seen_at=now, value=value)
    if state.phase is Phase.FIRING:
        return _judge_firing(rule, seen, now)
    if not rule.is_breached(value):
        return replace(INACTIVE, value=value), None
    if state.phase is Phase.INACTIVE:
        seen = AlertState(Phase.PENDING, since=now, seen_at=now, value=value)
    if now - seen.since < rule.for_seconds:
        return seen, None
    return replace(seen, phase=Phase.FIRING, since=now, told_at=now), (Kind.FIRING, "broken")


def judge_silence(rule: AlertRule, state: AlertState, now: float) -> Step:
    """The state when time has passed and no value has come."""
    if now - state.seen_at < rule.no_data_seconds:
        return _repeat(rule, state, now)
    told = (Kind.RESOLVED, "no_data") if state.phase is Phase.FIRING else None
    return replace(INACTIVE, value=state.value), told


def _judge_firing(rule: AlertRule, state: AlertState, now: float) -> Step:
    if not rule.is_cleared(state.value):
        return _repeat(rule, replace(state, clear_since=None), now)
    since = now if state.clear_since is None else state.clear_since
    if now - since >= rule.clear_for_seconds:
        return replace(INACTIVE, value=state.value), (Kind.RESOLVED, "cleared")
    return _repeat(rule, replace(state, clear_since=since), now)


def _repeat(rule: AlertRule, state: AlertState, now: float) -> Step:
    if state.phase is not Phase.FIRING or now - state.told_at < rule.repeat_seconds:
        return state, None
    return replace(state, told_at=now), (Kind.FIRING, "repeat")


@dataclass(slots=True)
class Window:
    """How many records came within the last seconds, in BUCKETS_MAX steps."""

    seconds: float
    full_at: float
    """Until then records that came before this process began may be missing."""
    _buckets: deque[tuple[int, int]] = field(default_factory=deque)

    def add(self, count: int, now: float) -> None:
        """Records came now."""
        step = self._step(now)
        if self._buckets and self._buckets[-1][0] == step:
            count += self._buckets.pop()[1]
        self._buckets.append((step, count))

    def count(self, now: float) -> int:
        """The records within the window that ends now."""
        while self._buckets and self._buckets[0][0] <= self._step(now) - BUCKETS_MAX:
            self._buckets.popleft()
        return sum(count for _, count in self._buckets)

    def _step(self, now: float) -> int:
        return int(now * BUCKETS_MAX / self.seconds)


class Alerts:
    """The states of all alerts; every verb returns the moves to tell of, in order."""

    def __init__(self, rules: Sequence[AlertRule], now: float) -> None:
        self.beyond = 0
        """Values that could not be watched, since their rule has STATES_MAX alerts already."""
        self._rules = {rule.name: rule for rule in rules}
        self._states: dict[str, dict[Attributes, AlertState]] = {name: {} for name in self._rules}
        self._windows = {
            rule.name: Window(rule.within_seconds, now + rule.within_seconds)
            for rule in rules
            if rule.log
        }

    def restore(self, saved: Iterable[Saved], now: float, wall_ns: int) -> list[Move]:
        """Take up the alerts that were firing before; those without a rule now are resolved."""
        moves = []
        for held in saved:
            lasted_seconds = max(0.0, (wall_ns - held.since_ns) / 1e9)
            rule = self._rules.get(held.rule)
            if rule is None or (rule.log and held.attributes):
                end = (Kind.RESOLVED, "no_rule", AlertRule(held.rule), held.attributes)
                moves.append(Move(*end, held.value, lasted_seconds))
                continue
            # Wall clocks jump, so what they say counts between never and one repetition only.
            told_seconds = min(max(0.0, (wall_ns - held.told_ns) / 1e9), rule.repeat_seconds)
            self._states[rule.name][held.attributes] = AlertState(
                Phase.FIRING, now - lasted_seconds, now, now - told_seconds, None, held.value
            )
        return moves

    def saved(self, now: float, wall_ns: int) -> list[Saved]:
        """The firing alerts, for `restore` in the next process."""

        def wall(moment: float) -> int:
            return wall_ns - int((now - moment) * 1e9)

        return [
            Saved(name, attributes, state.value, wall(state.since), wall(state.told_at))
            for name, attributes, state in self._active()
            if state.phase is Phase.FIRING
        ]

    @property
    def firing(self) -> int:
        """How many alerts are firing."""
        return sum(state.phase is Phase.FIRING for _, _, state in self._active())

    @property
    def needs_time(self) -> bool:
        """Whether `on_time` may find something although no value comes."""
        return bool(self._windows) or any(self._states.values())

    def on_value(self, name: str, attributes: Attributes, value: float, now: float) -> list[Move]:
        """A metric of a rule has a new value."""
        rule, states = self._rules[name], self._states[name]
        state = states.get(attributes, INACTIVE)
        if attributes not in states and rule.is_breached(value) and len(states) >= STATES_MAX:
            self.beyond += 1
            return []
        return self._settle(rule, attributes, state, judge(rule, state, value, now), now)

    def on_records(self, name: str, count: int, now: float) -> list[Move]:
        """So many log records fit a rule."""
        self._windows[name].add(count, now)
        return self._look_at_window(name, now)

    def on_time(self, now: float) -> list[Move]:
        """Time has passed: windows end, silences grow long, repetitions fall due."""
        moves = [move for name in self._windows for move in self._look_at_window(name, now)]
        for name, attributes, state in list(self._active()):
            if name not in self._windows:
                rule = self._rules[name]
                step = judge_silence(rule, state, now)
                moves += self._settle(rule, attributes, state, step, now)
        return moves

    def _look_at_window(self, name: str, now: float) -> list[Move]:
        rule, window = self._rules[name], self._windows[name]
        value, state = float(window.count(now)), self._states[name].get((), INACTIVE)
        if now < window.full_at and state.phase is Phase.FIRING and not rule.is_breached(value):
            return []  # It may still be true of what came before the restart.
        if now < window.full_at and rule.operator.startswith("<"):
            return []  # Too few so far proves nothing.
        return self._settle(rule, (), state, judge(rule, state, value, now), now)

    def _settle(
        self, rule: AlertRule, attributes: Attributes, before: AlertState, step: Step, now: float
    ) -> list[Move]:
        state, told = step
        if state.phase is Phase.INACTIVE:
            self._states[rule.name].pop(attributes, None)
        else:
            self._states[rule.name][attributes] = state
        if told is None:
            return []
        kind, reason = told
        lasted_seconds = 0.0 if reason == "broken" else now - before.since
        return [Move(kind, reason, rule, attributes, state.value, lasted_seconds)]

    def _active(self) -> Iterator[tuple[str, Attributes, AlertState]]:
        for name, states in self._states.items():
            for attributes, state in states.items():
                yield name, attributes, state
