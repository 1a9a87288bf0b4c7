"""Finds two hubs that call themselves by one name, from what both of them say. Pure.

A hub that starts again has a new instance, so a new one alone proves nothing. But whoever answers a
question that was sent *after* another instance of the same name had spoken, lives beside it. When the
two have taken turns three times, which no late message does, it is certain: the one that answers at
the address known for the name keeps it, and the other is refused.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from hub.peering.refusals import Double

NAMES_MAX = 64
STRANGERS_MAX = 8
TURNS_ENOUGH = 3


@dataclass(slots=True)
class Stranger:
    """Another instance that has spoken under a name: when (monotonic seconds), unless the bearer has
    answered since, and how often the two took turns."""

    heard_at: float | None
    turns: int = 0


@dataclass(slots=True)
class Bearer:
    """Who answers under one name, and who else has spoken under it."""

    instance: str = ""
    strangers: OrderedDict[str, Stranger] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class Doubles:
    """What one hub knows of all names."""

    _bearers: OrderedDict[str, Bearer] = field(default_factory=OrderedDict)

    def answered(self, hub_id: str, instance: str, sent_at: float) -> bool:
        """An instance answered a question that was sent at `sent_at`; returns whether that proves a
        double, which it does once for each."""
        bearer = self._bearer(hub_id)
        if instance != bearer.instance:  # It started again, or the address leads elsewhere now.
            bearer.instance = instance
            bearer.strangers.pop(instance, None)
            return False
        is_proven = False
        for stranger in bearer.strangers.values():
            if stranger.heard_at is not None and stranger.heard_at < sent_at:
                stranger.heard_at = None
                stranger.turns += 1
                is_proven = is_proven or stranger.turns == TURNS_ENOUGH
        return is_proven

    def heard(self, hub_id: str, instance: str, now: float) -> None:
        """An instance spoke to us; raises Double for one that is proven not to be the bearer."""
        bearer = self._bearers.get(hub_id)
        if bearer is None or not bearer.instance or instance == bearer.instance:
            return
        stranger = bearer.strangers.setdefault(instance, Stranger(now))
        if stranger.heard_at is None:
            stranger.heard_at = now
        if stranger.turns >= TURNS_ENOUGH:
            raise Double(hub_id, two_of(hub_id))
        if len(bearer.strangers) > STRANGERS_MAX:
            bearer.strangers.popitem(last=False)

    def has_two(self, hub_id: str) -> bool:
        """Whether this name is proven to have two bearers."""
        bearer = self._bearers.get(hub_id)
        return bearer is not None and any(
            stranger.turns >= TURNS_ENOUGH for stranger in bearer.strangers.values()
        )

    def forget(self, hub_id: str) -> None:
        """Drop what is known of a name."""
        self._bearers.pop(hub_id, None)

    def _bearer(self, hub_id: str) -> Bearer:
        bearer = self._bearers.setdefault(hub_id, Bearer())
        self._bearers.move_to_end(hub_id)
        if len(self._bearers) > NAMES_MAX:
            self._bearers.popitem(last=False)
        return bearer


def two_of(hub_id: str) -> str:
    """What people are told."""
    return (
        f"two hubs call themselves {hub_id}: the one that answers at the known address keeps the name,"
        " rename the other"
    )
