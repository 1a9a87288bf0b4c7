"""What this hub writes into its own log of observations: changes only, and few of a node that flaps.

A conversation without I/O: verdicts come in, lines to be stored come out. After a start the hub first
listens (`begin` ends that); what it said before it went down is carried over where it is true again, so
that a restart with 100,000 nodes writes a line for those only of which it now says something else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hub.nodes.history import BEGAN, FAILED, FLAPPING, LIVENESS, REASON_CHARS_MAX, UNKNOWN, Change

Key = tuple[str, str]

CHANGES_AT_ONCE = 12.0
SECONDS_PER_CHANGE = (
    900.0  # With the burst above: at most 108 lines a day of a subject, plus folds.
)
CALM_SECONDS = 1_800.0  # A node that flapped must hold one state so long before it has lines again.
CLOCK_STEP_MS = 5_000  # As the limit beyond which peers quarantine a hub's clock.
PENDING_MAX = 200_000


@dataclass(slots=True)
class Held:
    """What was last said of a subject, and how many lines it may still have."""

    state: str
    reason: str = ""
    tokens: float = CHANGES_AT_ONCE
    moved_at: float = 0.0
    folded: int = 0
    is_folding: bool = False


@dataclass(slots=True)
class Observing:
    """The log that this hub writes. `number` and `attendance` are the last ones that were used."""

    number: int
    attendance: int
    attended_ms: int
    """Until when the hub surely observed; of the attendance before, until `begin`."""
    has_begun: bool = False
    refused: int = 0
    """Changes that were not taken because too many waited for the disk; they come again."""
    _held: dict[Key, Held] = field(default_factory=dict)
    _recalled: dict[str, Held] = field(default_factory=dict)
    """By state what was said before this start, of many subjects each: never changed in place."""
    _early: dict[Key, tuple[str, str]] = field(default_factory=dict)
    _last_early: tuple[str, str] = ("", "")
    """Shared, since most nodes are told to be well."""
    _folding: set[Key] = field(default_factory=set)
    _failing: set[Key] = field(default_factory=set)
    _pending: list[Change] = field(default_factory=list)
    _clock: tuple[float, int] = (0.0, 0)
    _since_ms: int = 0

    def recall(self, states: Iterable[tuple[str, str, str]]) -> None:
        """Take in what was last said of each (node, subject, state) before this start."""
        for node, subject, state in states:
            # One for all, until something is said anew of one of them.
            held = self._recalled.get(state) or self._recalled.setdefault(state, Held(state))
            self._held[node, subject] = held
            self._note_failing((node, subject), state)

    def begin(self, now: float, wall_ms: int) -> None:
        """Open an attendance: from here on this hub has opinions. Call it once it has listened.

        What a check said last holds until it runs again, as it does while a hub runs.
        """
        self._open(now, wall_ms)
        self.has_begun = True
        early, self._early = self._early, {}
        for key in list(self._held):
            is_silent = key[1] == LIVENESS and key not in early
            if is_silent and self._held[key].state != UNKNOWN:
                self.note(*key, UNKNOWN, "not heard since this hub began", now, wall_ms)
        for (node, subject), (state, reason) in early.items():
            self.note(node, subject, state, reason, now, wall_ms)

    def _open(self, now: float, wall_ms: int) -> None:
        self.attendance += 1
        self._clock, self._since_ms = (now, wall_ms), wall_ms
        self._append(("", LIVENESS), BEGAN, "", 0, self.attended_ms)
        self.attended_ms = wall_ms

    def note(
        self, node: str, subject: str, state: str, reason: str, now: float, wall_ms: int
    ) -> None:
        """A verdict about a node, or of one of its checks; repeating what was said costs nothing."""
        key = (node, subject)
        if not self.has_begun:
            if self._last_early != (state, reason):
                self._last_early = (state, reason)
            self._early[key] = self._last_early
            return
        held = self._held.get(key)
        if (held.state if held else UNKNOWN) == state:
            return
        if len(self._pending) >= PENDING_MAX:
            self.refused += 1
            return
        if held is None:
            held = self._held[key] = Held(UNKNOWN, moved_at=now)
        elif held is self._recalled.get(held.state):
            held = self._held[key] = Held(held.state)
        self._move(key, held, state, reason, now, wall_ms)

    def _move(
        self, key: Key, held: Held, state: str, reason: str, now: float, wall_ms: int
    ) -> None:
        refill = max(now - held.moved_at, 0.0) / SECONDS_PER_CHANGE
        held.tokens = min(held.tokens + refill, CHANGES_AT_ONCE)
        held.state, held.reason, held.moved_at = state, reason, now
        self._note_failing(key, state)
        self._since_ms = max(self._since_ms, wall_ms)
        if held.is_folding:
            held.folded += 1
        elif held.tokens >= 1:
            held.tokens -= 1
            self._append(key, state, reason)
        else:
            held.is_folding, held.folded = True, 1
            self._folding.add(key)
            self._append(key, FLAPPING, "it changes too often for a line each")

    def _note_failing(self, key: Key, state: str) -> None:
        if state == FAILED:
            self._failing.add(key)
        else:
            self._failing.discard(key)

    def _append(
        self, key: Key, state: str, reason: str, folded: int = 0, ended_ms: int = 0
    ) -> None:
        self.number += 1
        said = reason[:REASON_CHARS_MAX]
        line = (self.number, *key, self.attendance, state, self._since_ms, said, folded, ended_ms)
        self._pending.append(Change(*line))

    def tick(self, now: float, wall_ms: int) -> None:
        """Attend until now; call it each second. A clock that was set opens a new attendance."""
        if not self.has_begun:
            return
        began_at, began_ms = self._clock
        expected_ms = began_ms + round((now - began_at) * 1000)
        if abs(wall_ms - expected_ms) > CLOCK_STEP_MS:
            self._open(now, wall_ms)
            return
        self.attended_ms = max(self.attended_ms, wall_ms)
        # Anchored anew each time, so that an oscillator that drifts is no step after a month.
        self._clock = (now, wall_ms)

    def settle(self, now: float, wall_ms: int) -> None:
        """Say again what is so of those that flapped and are calm now; call it once a minute."""
        self._since_ms = max(self._since_ms, wall_ms)
        for key in sorted(self._folding):
            held = self._held[key]
            if now - held.moved_at >= CALM_SECONDS:
                self._append(key, held.state, held.reason, held.folded)
                held.is_folding, held.folded = False, 0
                self._folding.discard(key)

    def forget(self, node: str, subjects: Iterable[str]) -> None:
        """Say nothing more of a node that is gone, or of checks that nobody wants any more."""
        for subject in subjects:
            self._held.pop((node, subject), None)
            self._early.pop((node, subject), None)
            self._folding.discard((node, subject))
            self._failing.discard((node, subject))

    def checks(self) -> list[Key]:
        """The nodes and checks of which something was said."""
        return [key for key in self._held if key[1] != LIVENESS]

    def state_of(self, node: str, subject: str = LIVENESS) -> str:
        """What this hub last said."""
        held = self._held.get((node, subject))
        return held.state if held else UNKNOWN

    @property
    def failing(self) -> int:
        """How many checks fail as this hub ran them."""
        return len(self._failing)

    def take_pending(self) -> list[Change]:
        """The lines to be stored, in one transaction and in their order, each of them once."""
        lines, self._pending = self._pending, []
        return lines

    def put_back(self, lines: list[Change]) -> None:
        """Take back lines that the disk did not take, before all others."""
        self._pending[:0] = lines
