"""What is done to a fleet, in which order, and for how long: all of it follows from a seed. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Blow(StrEnum):
    """A way to disturb some hubs and their edges. All kills are SIGKILL."""

    KILL_EDGE = "kill an edge"
    KILL_HUB = "kill a hub"
    KILL_TWO_HUBS = "kill two hubs"
    KILL_ALL_HUBS = "kill all hubs"
    PAUSE_HUB = "pause a hub"
    KILL_EDGE_IN_DRAIN = "kill an edge in a drain"


QUIET_SECONDS = (0.3, 2.0)
"""Between two blows; at most this long nobody is down."""

DOWN_SECONDS = {
    Blow.KILL_EDGE: (0.0, 1.0),
    Blow.KILL_HUB: (0.0, 3.0),
    Blow.KILL_TWO_HUBS: (0.0, 3.0),
    Blow.KILL_ALL_HUBS: (0.5, 4.0),
    Blow.PAUSE_HUB: (1.0, 7.0),  # The longest outlasts the patience of a heartbeat.
    Blow.KILL_EDGE_IN_DRAIN: (0.1, 0.8),
}
"""How long a target stays down or paused; of a drain, how long it runs before the edge dies."""


OF_CHANCE = tuple(blow for blow in Blow if blow != Blow.KILL_HUB)
"""Blows that meet whom chance chooses, once in each round."""


@dataclass(frozen=True, slots=True)
class Act:
    """One blow, and whom it meets."""

    blow: Blow
    targets: tuple[str, ...]
    quiet_seconds: float
    down_seconds: float


def acts(rng: random.Random, hubs: Sequence[str], edges: Sequence[str]) -> Iterator[Act]:
    """Blows without end, in rounds; in each round every hub is killed alone once, and every other kind
    of blow falls once, in an order of its own."""
    while True:
        round_: list[tuple[Blow, tuple[str, ...]]] = [(Blow.KILL_HUB, (hub,)) for hub in hubs]
        round_ += [(blow, _targets(rng, blow, hubs, edges)) for blow in OF_CHANCE]
        rng.shuffle(round_)
        for blow, targets in round_:
            quiet_seconds = rng.uniform(*QUIET_SECONDS)
            yield Act(blow, targets, quiet_seconds, rng.uniform(*DOWN_SECONDS[blow]))


def _targets(
    rng: random.Random, blow: Blow, hubs: Sequence[str], edges: Sequence[str]
) -> tuple[str, ...]:
    match blow:
        case Blow.KILL_EDGE | Blow.KILL_EDGE_IN_DRAIN:
            return (rng.choice(edges),)
        case Blow.PAUSE_HUB:
            return (rng.choice(hubs),)
        case Blow.KILL_TWO_HUBS:
            return tuple(sorted(rng.sample(hubs, 2)))
        case _:
            return tuple(hubs)
