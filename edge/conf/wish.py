"""Which settings this edge should take on, by what several hubs say. Rules: `now` is monotonic seconds.

Hubs learn of a change one after another, so for a moment they want different things. The word of the
hub that knows most counts (`shared.conf.Age`); two that know the same are told apart by the hash, so an
edge is never pulled to and fro. A hub that knows less than what is applied, such as one with an empty
disk, is not followed until no other has contradicted it for a while.
"""

from dataclasses import dataclass, field

from shared.conf_report import Age, Wanted

HEARD_SECONDS_MAX = (
    1800.0  # Heartbeats are at most ten minutes apart; older words are of dead hubs.
)
PATIENCE_SECONDS = 300.0
RETRY_SECONDS_MIN = 1.0
RETRY_SECONDS_MAX = 60.0
REFUSED_SECONDS = (
    600.0  # A machine may change so that what it refused fits, such as a missing file.
)
HUBS_MAX = 64


@dataclass(frozen=True, slots=True)
class Word:
    """What one hub wants, when it last said so, and since when it says so."""

    wanted: Wanted
    heard_at: float
    since: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this hub for the settings, of which it said that they are these."""

    hub_id: str
    wanted: Wanted


@dataclass(slots=True)
class Wish:
    """What is applied here, and what hubs say that should be."""

    applied: str
    age: Age
    _words: dict[str, Word] = field(default_factory=dict)
    _refused: dict[str, float] = field(default_factory=dict)
    _failures: int = 0
    _not_before: float = 0.0

    def heard(self, hub_id: str, wanted: Wanted, now: float) -> None:
        """A hub said what it wants, in its answer to a heartbeat."""
        held = self._words.get(hub_id)
        if held is None and len(self._words) >= HUBS_MAX:
            return
        if wanted.hash == self.applied:  # Settings of others may have changed meanwhile.
            self.age = max(self.age, wanted.age)
        is_same = held is not None and held.wanted.hash == wanted.hash
        self._words[hub_id] = Word(wanted, now, held.since if held and is_same else now)

    def next_ask(self, now: float) -> Ask | None:
        """What to ask for now; None when there is nothing to ask for, or not yet."""
        if now < self._not_before:
            return None
        best = self._best(now)
        if best is None or best.wanted.hash == self.applied:
            return None
        if now < self._refused.get(best.wanted.hash, now):
            return None
        return best

    def _best(self, now: float) -> Ask | None:
        recent = {
            hub: word
            for hub, word in sorted(self._words.items())
            if now - word.heard_at <= HEARD_SECONDS_MAX
        }
        if not recent:
            return None
        hub_id = max(recent, key=lambda hub: _weight(recent[hub].wanted))
        word = recent[hub_id]
        if word.wanted.age < self.age and now - word.since < PATIENCE_SECONDS:
            return None
        return Ask(hub_id, word.wanted)

    def is_content(self, now: float) -> bool:
        """Whether hubs want what is applied here, and nothing else."""
        best = self._best(now)
        return best is not None and best.wanted.hash == self.applied

    def has_applied(self, applied: str, age: Age) -> None:
        """These settings are applied and on disk."""
        self.applied, self.age = applied, age
        self._refused.clear()
        self._failures, self._not_before = 0, 0.0

    def has_refused(self, refused: str, now: float) -> None:
        """These settings cannot be applied: they are tried again after a while, or when others come."""
        self._refused = {refused: now + REFUSED_SECONDS}

    def has_failed(self, now: float) -> None:
        """The hub did not answer, or with something else: wait a little longer each time."""
        doublings = min(self._failures, 10)
        self._failures += 1
        self._not_before = now + min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2**doublings)

    def forget(self, hub_id: str) -> None:
        """Drop the word of a hub that is gone."""
        self._words.pop(hub_id, None)


def _weight(wanted: Wanted) -> tuple[Age, str]:
    return wanted.age, wanted.hash
