"""A fleet in a storm: what goes wrong and when, all drawn from one seed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

START = 3.0
"""Seconds that the fleet has to find itself before anything but the network goes wrong."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a simulation."""

    hubs: int = 2
    edges: int = 20
    storm_seconds: float = 30.0
    log_pause_seconds: float = 1.5
    orders: int = 40
    rest_seconds_max: float = 900.0

    @property
    def hub_names(self) -> list[str]:
        """hub-1, hub-2 and so on."""
        return [f"hub-{number + 1}" for number in range(self.hubs)]

    @property
    def edge_names(self) -> list[str]:
        """edge-1, edge-2 and so on."""
        return [f"edge-{number + 1}" for number in range(self.edges)]


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that goes wrong at a time, for a while.

    `restart` ends in good order; `power` is a crash in the middle of a write, `battery` one after which
    the clock is back in the past, `lose` one from which the machine comes back with an empty disk, and
    `restore` one from which it comes back with an old copy of its own; `silence` is a partition in which
    only what `others` send arrives; `step` sets a clock by `for_seconds`, which may be negative;
    `others` are the far side of a partition.
    """

    kind: str
    """crash, power, battery, lose, restore, restart, full, slow, freeze, part, silence or step."""
    at_seconds: float
    for_seconds: float
    name: str
    others: tuple[str, ...] = ()


def mishaps(plan: Plan, rng: Random) -> list[Mishap]:
    """What goes wrong: a hub crashes in every run, and in most something more.

    A hub that loses its disk is the only mishap of its run: what only it had is gone with it, and
    two hubs that fail promise no more.
    """
    end = plan.storm_seconds
    if plan.hubs > 1 and rng.random() < 0.3:
        name = rng.choice(plan.hub_names)
        return [Mishap("lose", rng.uniform(START, end / 2), rng.uniform(0.1, end / 3), name)]
    drawn = [*_hub_crashes(plan, rng, end), *_edge_crashes(plan, rng, end)]
    drawn += [*_partitions(plan, rng, end), *_clock_steps(plan, rng, end)]
    drawn += _full_disks(plan, rng, end, {mishap.name for mishap in drawn})
    return sorted(drawn, key=lambda mishap: mishap.at_seconds)


def _hub_crashes(plan: Plan, rng: Random, end: float) -> Iterator[Mishap]:
    at = first = START + rng.uniform(1, end / 4)
    for name in rng.sample(plan.hub_names, rng.choice((1, 1, 1, plan.hubs))):
        kind = "crash" if at == first else _fall(rng)
        yield Mishap(kind, at, (gone := rng.uniform(0.1, end / 3)), name)
        # Two hubs may be down at a time, now and then.
        at += gone * rng.choice((0.5, 1.1))


def _edge_crashes(plan: Plan, rng: Random, end: float) -> Iterator[Mishap]:
    for name in rng.sample(plan.edge_names, rng.choice((0, min(1, plan.edges), plan.edges // 4))):
        yield Mishap(_fall(rng), rng.uniform(START, end * 0.8), rng.uniform(0.1, 8), name)


def _fall(rng: Random) -> str:
    return rng.choice(("crash", "crash", "restart"))


def _partitions(plan: Plan, rng: Random, end: float) -> Iterator[Mishap]:
    at = rng.uniform(START, end / 2)
    match rng.choice(("none", "hubs", "edges from a hub", "hub alone")):
        case "hubs" if plan.hubs > 1:
            yield Mishap("part", at, rng.uniform(1, end / 2), "hub-1", ("hub-2",))
        case "edges from a hub":
            some = rng.sample(plan.edge_names, plan.edges // 2)
            hub = rng.choice(plan.hub_names)
            yield Mishap("part", at, rng.uniform(1, end / 2), hub, tuple(some))
        case "hub alone":
            hub = rng.choice(plan.hub_names)
            others = {*plan.hub_names, *plan.edge_names} - {hub}
            yield Mishap("part", at, rng.uniform(1, end / 2), hub, tuple(sorted(others)))


def _clock_steps(plan: Plan, rng: Random, end: float) -> Iterator[Mishap]:
    for name in rng.sample([*plan.hub_names, *plan.edge_names], rng.choice((0, 2))):
        yield Mishap("step", rng.uniform(START, end), rng.uniform(-7200, 7200), name)


@dataclass(frozen=True, slots=True)
class Layout:
    """Who is told of whom at the start; the rest they must learn from each other."""

    masters: dict[str, list[str]]
    peers: dict[str, list[str]]
    small: tuple[str, ...]  # Edges whose buffers are soon full.

    @property
    def is_plain(self) -> bool:
        """Whether every hub is told of every other, so that none ever thinks itself alone."""
        return all(len(peers) == len(self.peers) - 1 for peers in self.peers.values())


def url_of(name: str) -> str:
    """The address under which a hub tells others to reach it."""
    return f"http://{name}:8470"


def alias_of(name: str) -> str:
    """A second address of the same hub, as people write into settings."""
    return f"http://{name}.example:8470"


def layout(plan: Plan, rng: Random, coming: Iterable[Mishap]) -> Layout:
    """Draw who is told of whom: of all, or of one hub only; by its own address or by another.

    Where a disk will be lost, no hub may begin alone: what it calls safe before it has met the others
    is safe on one disk only, and that is all it promises.
    """
    address = {name: rng.choice((url_of, alias_of))(name) for name in plan.hub_names}
    masters = {name: list(address.values()) for name in plan.edge_names}
    peers = {
        name: [url for other, url in address.items() if other != name] for name in plan.hub_names
    }
    if rng.random() < 0.3:
        masters = {name: [rng.choice(urls)] for name, urls in masters.items()}
    if rng.random() < 0.3 and all(mishap.kind != "lose" for mishap in coming):
        peers[plan.hub_names[0]] = []
    small = rng.sample(plan.edge_names, min(3, plan.edges))
    return Layout(masters, peers, tuple(small))


def _full_disks(plan: Plan, rng: Random, end: float, others: set[str]) -> Iterator[Mishap]:
    """Of machines that stay up: one that starts on a full disk says so and ends, and rightly so."""
    spared = [name for name in (*plan.hub_names, *plan.edge_names) if name not in others]
    hubs = [name for name in spared if name in plan.hub_names]
    some = hubs[: rng.choice((0, 1))] + rng.sample(spared, min(rng.choice((0, 3)), len(spared)))
    for name in dict.fromkeys(some):
        yield Mishap("full", rng.uniform(START, end * 0.8), rng.uniform(1, end / 2), name)


async def settled(condition: Callable[[], bool], seconds_max: float) -> bool:
    """Wait until a condition holds, looking twice a second; returns whether it came true."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds_max
    while not condition():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(0.5)
    return True


async def at(began: float, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Do something so many seconds after the beginning."""
    await asyncio.sleep(max(began + seconds - asyncio.get_running_loop().time(), 0))
    await act()
