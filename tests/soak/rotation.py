"""What is done to a fleet, in which order, and for how long: all of it follows from a seed. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Blow(StrEnum):
    """A way to disturb two hubs and their edges. All kills are SIGKILL."""

    KILL_EDGE = "kill an edge"
    KILL_HUB_1 = "kill hub-1"
    KILL_HUB_2 = "kill hub-2"
    KILL_BOTH_HUBS = "kill both hubs"
    PAUSE_HUB = "pause a hub"
    KILL_EDGE_IN_DRAIN = "kill an edge in a drain"


QUIET_SECONDS = (0.3, 2.0)
"""Between two blows; at most this long nobody is down."""

DOWN_SECONDS = {
    Blow.KILL_EDGE: (0.0, 1.0),
    Blow.KILL_HUB_1: (0.0, 3.0),
    Blow.KILL_HUB_2: (0.0, 3.0),
    Blow.KILL_BOTH_HUBS: (0.5, 4.0),
    Blow.PAUSE_HUB: (1.0, 7.0),  # The longest outlasts the patience of a heartbeat.
    Blow.KILL_EDGE_IN_DRAIN: (0.1, 0.8),
}
"""How long a target stays down or paused; of a drain, how long it runs before the edge dies."""


@dataclass(frozen=True, slots=True)
class Act:
    """One blow: `target` is the edge or, of a pause, the hub that it meets."""

    blow: Blow
    target: str
    quiet_seconds: float
    down_seconds: float


def acts(rng: random.Random, hubs: Sequence[str], edges: Sequence[str]) -> Iterator[Act]:
    """Blows without end, in rounds; each round has every kind once, in an order of its own."""
    while True:
        round_ = list(Blow)
        rng.shuffle(round_)
        for blow in round_:
            yield Act(
                blow,
                _target(rng, blow, hubs, edges),
                rng.uniform(*QUIET_SECONDS),
                rng.uniform(*DOWN_SECONDS[blow]),
            )


def _target(rng: random.Random, blow: Blow, hubs: Sequence[str], edges: Sequence[str]) -> str:
    match blow:
        case Blow.KILL_HUB_1:
            return hubs[0]
        case Blow.KILL_HUB_2:
            return hubs[1]
        case Blow.KILL_EDGE | Blow.KILL_EDGE_IN_DRAIN:
            return rng.choice(edges)
        case Blow.PAUSE_HUB:
            return rng.choice(hubs)
        case Blow.KILL_BOTH_HUBS:
            return " and ".join(hubs)
