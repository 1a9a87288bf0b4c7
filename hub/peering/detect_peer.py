"""What one hub has seen and heard of one peer: the evidence behind a verdict. Rules only.

All times are seconds in which this hub listened (LocalHealth.listening), so our own stalls never
count against a peer.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from hub.peering.detect_values import DetectLimits, Failure, Life, PeerState, Verdict

RTTS_KEPT = 100
TIMEOUT_RTTS = 4.0
"""A time-out is this many times the 99th percentile of what answers took."""


@dataclass(slots=True)
class Word:
    """What another hub said last of a peer that it misses."""

    at: float
    silent_seconds: float
    noes: int = 0


@dataclass(slots=True)
class Watch:
    """One peer as seen from here."""

    peer: str
    known_at: float
    state: PeerState = PeerState.UNKNOWN
    since: float = 0.0
    life: Life | None = None
    reached_at: float | None = None
    heard_at: float | None = None
    lives_at: float | None = None
    probed_at: float = -math.inf
    probe_at: float = -math.inf
    asked_at: float = -math.inf
    asks: int = 0
    misses: int = 0
    failure: Failure | None = None
    doomed_at: float | None = None
    buried_by: tuple[str, ...] = ()
    words: dict[str, Word] = field(default_factory=dict)
    rtts: deque[float] = field(default_factory=lambda: deque(maxlen=RTTS_KEPT))

    def __post_init__(self) -> None:
        self.since = self.known_at

    # ---- what happens

    def sent(self, at: float, limits: DetectLimits) -> None:
        """A request has left for the peer: the next one has time, unless the answer is late."""
        self.probed_at = at
        match self.state:
            case PeerState.ALIVE:
                late = max(TIMEOUT_RTTS * self.rtt_p99_seconds, limits.late_seconds)
                self.probe_at = at + min(late, limits.probe_seconds)
            case PeerState.DEAD:
                self.probe_at = at + limits.dead_probe_seconds
            case _:
                self.probe_at = at + limits.probe_seconds

    def answered(self, at: float, rtt_seconds: float, life: Life, limits: DetectLimits) -> None:
        """The peer answered us: whatever was said of it, it is alive."""
        self.reached_at = at
        self.lives(at, life, direct=True)
        self.misses, self.failure = 0, None
        self.rtts.append(rtt_seconds)
        self.turn(PeerState.ALIVE, at)
        self.probe_at = self.probed_at + limits.probe_seconds

    def failed(self, at: float, failure: Failure, limits: DetectLimits) -> None:
        """A request failed."""
        self.misses += 1
        self.failure = failure
        if failure is Failure.UNUSABLE:
            self.heard_at = self.lives_at = at
            self.rise(at)
        if self.is_missed(limits) and self.state is PeerState.ALIVE:
            self.turn(PeerState.AVOID, at)
            if failure is Failure.REFUSED:
                self.probe_at = min(self.probe_at, at + limits.refused_again_seconds)

    def is_missed(self, limits: DetectLimits) -> bool:
        """Whether we do not reach the peer: two misses in a row, or the word of its machine."""
        return self.misses >= limits.misses_to_avoid or self.failure is Failure.REFUSED

    def lives(self, at: float, life: Life, *, direct: bool) -> None:
        """A sign of life from the moment `at`, from the peer itself or in another hub's row."""
        if direct:
            self.heard_at = at
            if self.life is None or life.instance != self.life.instance:
                self.life = life
        if self.life is None or life.order > self.life.order:
            self.life = life
        self.lives_at = at if self.lives_at is None else max(at, self.lives_at)
        if direct or at > self.since:
            self.rise(at)

    def rise(self, at: float) -> None:
        """A dead peer that lives is contacted at once; it is alive when it answers us."""
        if self.state is PeerState.DEAD:
            self.turn(PeerState.AVOID, max(at, self.since))
            self.probe_at = -math.inf

    def turn(self, state: PeerState, at: float) -> None:
        """Take on a state; the same state again keeps its beginning."""
        if state is not self.state:
            self.state, self.since = state, at
            self.doomed_at = None

    def misses_it(self, observer: str, at: float, silent_seconds: float) -> None:
        """Another hub says that it does not reach the peer."""
        self.words[observer] = Word(at, silent_seconds)

    def said_no(self, observer: str, at: float) -> None:
        """Another hub probed the peer for us, in vain."""
        word = self.words.setdefault(observer, Word(at, 0.0))
        word.at, word.noes = at, word.noes + 1

    # ---- what follows

    def overtook(self, sent_at: float) -> bool:
        """Whether the peer has answered us since this moment."""
        return self.reached_at is not None and self.reached_at >= sent_at

    def silent_seconds(self, at: float) -> float:
        """How long nobody whose word reached us has heard of the peer."""
        return at - (self.known_at if self.lives_at is None else self.lives_at)

    def observers(self, at: float, trusted: Iterable[str], limits: DetectLimits) -> list[str]:
        """The other hubs among `trusted` that lately said, with grounds, that they miss the peer."""
        return sorted(name for name in trusted if self._agrees(name, at, limits))

    def _agrees(self, name: str, at: float, limits: DetectLimits) -> bool:
        word = self.words.get(name)
        if word is None or at - word.at > limits.word_seconds:
            return False
        silent = word.silent_seconds >= limits.observer_silent_seconds
        return silent or word.noes >= limits.misses_to_avoid

    def timeout_seconds(self, limits: DetectLimits, factor: float) -> float:
        """How long a probe may take: by what answers took, and by how we are ourselves."""
        usual = TIMEOUT_RTTS * self.rtt_p99_seconds
        return min(max(usual, limits.timeout_seconds_min), limits.timeout_seconds_max) * factor

    @property
    def rtt_p99_seconds(self) -> float:
        """The 99th percentile of the last answers; 0 before the first."""
        return sorted(self.rtts)[math.ceil(len(self.rtts) * 0.99) - 1] if self.rtts else 0.0

    def verdict(self, at: float, observers: tuple[str, ...]) -> Verdict:
        """The state and its evidence, for people and for the row."""
        return Verdict(
            self.peer,
            self.state,
            at - self.since,
            _age(at, self.reached_at),
            _age(at, self.heard_at),
            _age(at, self.lives_at),
            self.misses,
            self.failure.value if self.failure else "",
            round(self.rtts[-1] * 1000, 2) if self.rtts else None,
            observers,
            self.life,
        )


def _age(at: float, then: float | None) -> float | None:
    return None if then is None else max(at - then, 0.0)
