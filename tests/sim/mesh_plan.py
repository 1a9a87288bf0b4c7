"""A small mesh in a short storm: how large it is and what goes wrong in it, all drawn from one seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from tests.sim.network import Weather
from tests.sim.scenario import Mishap

START_SECONDS = 1.5
"""What a mesh has to find itself before anything but the network goes wrong."""

STORM_SECONDS = 6.0
LONG_STORM_SECONDS = 14.5
"""Long enough for a hub to call a node offline: it listens for 9.9 s first, and then waits for 5 s."""

BEAT_SECONDS = 1.5
DRIFT_MAX = 0.015
"""Of monotonic clocks; elections promise to bear 2 %. Quartz is off by a hundredth of this."""

SHORT = (
    *("crash", "power", "battery", "restart", "part", "part", "silence", "slow", "freeze"),
    *("step", "edge"),
)
"""What may go wrong in a short storm; some of it more often."""


@dataclass(frozen=True, slots=True)
class MeshPlan:
    """One mesh, and its storm."""

    hubs: int
    edges: int
    leader: str
    storm_seconds: float
    weather: Weather
    mishaps: tuple[Mishap, ...]
    removes: bool
    """Whether a person removes a node that has left for good."""

    @property
    def hub_names(self) -> list[str]:
        """hub-1, hub-2 and so on."""
        return [f"hub-{number + 1}" for number in range(self.hubs)]

    @property
    def edge_names(self) -> list[str]:
        """edge-1, edge-2 and so on; the last one leaves for good when `removes`."""
        return [f"edge-{number + 1}" for number in range(self.edges)]

    @property
    def staying(self) -> list[str]:
        """The edges that are there at the end."""
        return self.edge_names[:-1] if self.removes else self.edge_names


def draw(rng: Random) -> MeshPlan:
    """The mesh of one seed."""
    hubs, edges = rng.choice((3, 3, 3, 3, 2)), rng.choice((2, 2, 3, 4))
    leader = rng.choice(("quorum", "quorum", "quorum", "quorum", "static", "none"))
    plan = MeshPlan(hubs, edges, leader, STORM_SECONDS, _weather(rng), (), rng.random() < 0.5)
    kind = rng.choice(("short", "short", "short", "short", "offline", "disk", "long freeze"))
    if kind == "offline":
        plan = replace(plan, storm_seconds=LONG_STORM_SECONDS)
    if kind == "disk" and leader == "quorum" and hubs < 3:
        # A vote that may be forgotten does not count, and no settings let two hubs elect for that.
        plan = replace(plan, leader="none")
    chosen = sorted(_mishaps(plan, kind, rng), key=lambda mishap: mishap.at_seconds)
    return replace(plan, mishaps=tuple(chosen))


def _weather(rng: Random) -> Weather:
    """From fair to foul, each kind of trouble by itself."""
    return Weather(
        request_loss=rng.choice((0.0, 0.05, 0.2, 0.35)),
        reply_loss=rng.choice((0.0, 0.05, 0.2, 0.35)),
        repeats=rng.choice((0.0, 0.1, 0.3)),
        silent_share=rng.choice((0.0, 0.3, 0.6)),
        link_cuts=rng.choice((0.0, 0.05, 0.2)),
        delay_seconds_max=rng.choice((0.01, 0.05, 0.15)),
        slow_share=rng.choice((0.0, 0.05, 0.1)),
    )


def _mishaps(plan: MeshPlan, kind: str, rng: Random) -> Iterator[Mishap]:
    match kind:
        case "offline":
            yield from _edges_cut_off(plan, rng)
        case "long freeze":
            name = rng.choice(plan.hub_names)
            yield Mishap("freeze", START_SECONDS + rng.random(), rng.uniform(4, 9), name)
        case "disk":
            name = rng.choice(plan.hub_names)
            at, seconds = rng.uniform(START_SECONDS + 1, 4), rng.uniform(0.1, 2)
            yield Mishap(rng.choice(("lose", "restore")), at, seconds, name)
        case _:
            yield from _short_ones(plan, rng)


def _edges_cut_off(plan: MeshPlan, rng: Random) -> Iterator[Mishap]:
    """One hub hears some edges no more, and others do; or an edge is gone indeed."""
    at, hub = rng.uniform(START_SECONDS, 4), rng.choice(plan.hub_names)
    some = tuple(rng.sample(plan.staying, rng.randint(1, len(plan.staying))))
    if rng.random() < 0.25:
        yield Mishap("crash", at, LONG_STORM_SECONDS - at, some[0])
        return
    yield Mishap(rng.choice(("part", "silence")), at, LONG_STORM_SECONDS - at, hub, some)
    if rng.random() < 0.4:
        other = rng.choice([name for name in plan.hub_names if name != hub])
        yield Mishap("crash", rng.uniform(at, 8), rng.uniform(0.5, 3), other)


def _short_ones(plan: MeshPlan, rng: Random) -> Iterator[Mishap]:
    """Up to four of them, each on a machine of its own as far as there are machines."""
    hubs, edges = list(plan.hub_names), list(plan.staying)
    rng.shuffle(hubs)
    rng.shuffle(edges)
    for kind in rng.sample(SHORT, rng.choice((1, 2, 3, 4))):
        at, seconds = rng.uniform(START_SECONDS, 5), rng.uniform(0.1, 2.5)
        if kind in ("part", "silence"):
            yield _partition(kind, at, rng.uniform(1, 4), plan, rng)
        elif kind == "edge" and edges:
            yield Mishap(rng.choice(("crash", "power", "restart")), at, seconds, edges.pop())
        elif kind == "step":
            name = rng.choice([*plan.hub_names, *plan.staying])
            yield Mishap("step", at, rng.choice((-1, 1)) * 10 ** rng.uniform(-1, 4), name)
        elif kind != "edge" and hubs:
            yield Mishap(kind, at, seconds, hubs.pop())


def _partition(kind: str, at: float, seconds: float, plan: MeshPlan, rng: Random) -> Mishap:
    """Between hubs, between a hub and some edges, or a machine from all others."""
    hub = rng.choice(plan.hub_names)
    hubs = [name for name in plan.hub_names if name != hub]
    others = rng.choice((hubs[:1], hubs, rng.sample(plan.staying, 1), [*hubs, *plan.staying]))
    return Mishap(kind, at, seconds, hub, tuple(others))
