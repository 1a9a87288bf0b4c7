"""Whether a hub may be pushed to now. Pure: time and luck come in as arguments.

    closed --failure--> open --time, or a heartbeat's answer--> half-open --success--> closed
                         ^------------------------failure-----------|

One failure opens it, since a request lost to a dead hub costs seconds and the first wait is at most
one; each failure in a row doubles the bound of the wait. A heartbeat's answer shows that the hub
lives, but not that it takes data: it ends the wait, and one push at a time may try. What the hub
itself asked for (Retry-After) ends for nothing but time.
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from shared.backoff import Backoff, backoff_seconds


class Phase(StrEnum):
    """What pushes a hub gets."""

    CLOSED = "closed"  # As many as fit.
    OPEN = "open"  # None.
    HALF_OPEN = "half_open"  # One, as a probe.


@dataclass(slots=True)
class Circuit:
    """The state of one hub's circuit. Times are those of the event loop, in seconds."""

    failures: int = 0
    is_proven: bool = False  # Whether a push has ever been answered: until then, one at a time.
    open_until: float = 0.0
    asked_until: float = 0.0
    pushes: int = 0  # Under way now.

    @property
    def ready_at(self) -> float:
        """When the next push may begin, as far as time alone decides."""
        return max(self.open_until, self.asked_until)

    def phase(self, now: float) -> Phase:
        """What pushes the hub gets now."""
        if now < self.ready_at:
            return Phase.OPEN
        return Phase.CLOSED if self.is_proven and not self.failures else Phase.HALF_OPEN

    def allows(self, now: float) -> bool:
        """Whether a push may begin now."""
        phase = self.phase(now)
        return phase is Phase.CLOSED or (phase is Phase.HALF_OPEN and not self.pushes)

    def begin(self) -> None:
        """A push is on its way; `end` follows whatever becomes of it."""
        self.pushes += 1

    def end(self) -> None:
        """A push is no longer on its way."""
        self.pushes -= 1

    def succeed(self) -> None:
        """A push was judged by what is in it: everything works. What the hub asked for still counts."""
        self.failures, self.is_proven, self.open_until = 0, True, 0.0

    def fail(self, now: float, limits: Backoff, rng: Random) -> None:
        """No answer came, or one that says the hub is unwell."""
        self.open_until = max(self.open_until, now + backoff_seconds(self.failures, limits, rng))
        self.failures += 1

    def rest(self, now: float, asked: float | None, limits: Backoff, rng: Random) -> None:
        """The hub sent us away, for `asked` seconds if it said how long; a little more spreads a fleet."""
        jitter = backoff_seconds(self.failures if asked is None else 0, limits, rng)
        self.asked_until = max(self.asked_until, now + (asked or 0.0) + jitter)
        self.failures += 1

    def leave_alone(self, now: float, seconds: float) -> None:
        """The hub takes nothing for now: wait at least so long, or for the answer to a heartbeat."""
        self.open_until = max(self.open_until, now + seconds)

    def hear(self, now: float) -> None:
        """The hub answered a heartbeat, or a person is in a hurry: the wait of our own is over."""
        self.open_until = min(self.open_until, now)
