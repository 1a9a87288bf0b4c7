"""What the failure detector takes and gives: lives, verdicts, actions, limits. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class PeerState(StrEnum):
    """What a hub says of a peer. Unknown: it has not answered since we began, nor died since."""

    UNKNOWN = "unknown"
    ALIVE = "alive"
    AVOID = "avoid"
    DEAD = "dead"


class Failure(StrEnum):
    """How a request failed."""

    REFUSED = "refused"  # The machine answers, and no hub listens there.
    TIMEOUT = "timeout"
    UNROUTABLE = "unroutable"  # It never left this machine: no route, no name, no free socket.
    UNUSABLE = "unusable"  # A hub answered with an error: it lives, and does not serve.


@dataclass(frozen=True, slots=True)
class Life:
    """A moment in the life of a hub, as the hub itself tells it.

    `incarnation` only grows, over restarts too; `beat` counts within it. What is told twice moves
    neither, so an old message is no sign of life.
    """

    instance: str
    incarnation: int
    beat: int

    @property
    def order(self) -> tuple[int, int]:
        """Later moments are greater."""
        return (self.incarnation, self.beat)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What this hub says of a peer, and why. Ages are in seconds, None for never."""

    peer: str
    state: PeerState
    state_age_s: float
    reached_age_s: float | None
    """Since it last answered us."""
    heard_age_s: float | None
    """Since anything came from it directly: an answer, or a request of its own."""
    lives_age_s: float | None
    """Since the last sign of life that reached us, others' word included."""
    misses: int
    failure: str
    rtt_ms: float | None
    observers: tuple[str, ...]
    """Who misses it, ourselves included; for a dead peer, who did when it was declared dead."""
    life: Life | None


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask this peer for a sign of life now; report sent, and then answered or failed."""

    peer: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the hub `via` to probe the hub `about`; report the answer with `indirect`."""

    via: str
    about: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Refute:
    """We were called dead: save this incarnation, and gossip with everybody now."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class Tell:
    """An event for people."""

    name: str
    facts: Mapping[str, Any]


Action = Probe | Ask | Refute | Tell


@dataclass(frozen=True, slots=True)
class DetectLimits:
    """Times of the detector, in seconds. Dead at the earliest after silent + stable = 7 s.

    A pause of 5 s that begins just before a probe is then over by 1.4 s when peers may say dead, and
    what is left of the promised 8 s covers a lost message and a late tick.
    """

    probe_seconds: float = (
        0.6  # A hub that refuses is avoided by then, one that is silent in 1.2 s.
    )
    late_seconds: float = 0.1  # An answer later than this, or than usual, is asked for once more.
    refused_again_seconds: float = 0.2  # It may be starting again just now.
    dead_probe_seconds: float = 1.0  # Dead hubs are contacted for ever, so every cut heals.
    ask_seconds: float = 1.0
    timeout_seconds_min: float = 0.5
    timeout_seconds_max: float = 2.0
    misses_to_avoid: int = 2
    silent_seconds: float = 6.0
    stable_seconds: float = 1.0
    word_seconds: float = 3.0  # What another hub said counts for this long: three to five rounds.
    observer_silent_seconds: float = 3.0
    isolated_seconds: float = 3.0  # Before silent_seconds: isolated hubs declare nobody dead.
    unanswered_seconds: float = (
        5.0  # The same when others still reach us: lost answers are likelier.
    )
    start_seconds: float = 5.0
    tick_seconds: float = 0.25


LIMITS = DetectLimits()
INCARNATION_MAX = 2**48
"""Larger ones are refused when read: a forged one must leave room to be refuted."""
