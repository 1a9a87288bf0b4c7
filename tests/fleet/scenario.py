"""The story every seed tells in its own way: a fleet works while the network fails and hubs die."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from random import Random

from shared.errors import RpcError
from shared.merge import to_bytes
from shared.records import Chunk
from tests.fleet.fleet import SimEdge, SimHub, World, check_chain, records_in
from tests.fleet.network import Faults, Network
from tests.fleet.virtual_time import BEGINNING, run

EDGES = 20
STORM_SECONDS = 60.0
QUIET_SECONDS_MAX = 900.0
LOSS = 0.3
ORDERS = 5

Held = dict[tuple[str, str, int], Chunk]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one seed led to; equal for equal seeds."""

    digest: str
    chunks: int
    records: int
    virtual_seconds: float
    happened: dict[str, int]


def play(seed: int, folder: Path, edges: int = EDGES) -> Outcome:
    """Play a seed; raises AssertionError when a promise was broken."""
    return run(_play(seed, folder, edges))


async def _play(seed: int, folder: Path, count: int) -> Outcome:
    rng = Random(f"story {seed}")
    network = Network(Random(f"network {seed}"), Faults(LOSS, LOSS, duplication=0.05))
    world = World(seed, folder, network)
    hubs = [
        SimHub(world, name, [f"http://{other}"], rng.uniform(-2, 2))
        for name, other in (("hub-1", "hub-2"), ("hub-2", "hub-1"))
    ]
    urls = [hub.url for hub in hubs]
    edges = [
        SimEdge(world, f"edge-{number:02d}", urls, rng.uniform(-3600, 3600))
        for number in range(1, count + 1)
    ]
    for hub in hubs:
        await hub.start()
    for edge in edges:
        await edge.start()
    async with asyncio.TaskGroup() as tasks:
        for edge in edges:
            tasks.create_task(_work(edge, Random(f"work {seed} {edge.name}")))
        loses_disk = rng.random() < 0.4
        when = rng.uniform(5, 30), rng.uniform(5, 25)
        tasks.create_task(_crash(hubs[rng.randrange(2)], *when, loses_disk=loses_disk))
        if rng.random() < 0.5:
            tasks.create_task(_crash(edges[rng.randrange(count)], rng.uniform(5, 50), 3.0))
        tasks.create_task(_order(hubs, edges[0], rng))
    network.faults = Faults()
    await _settle(hubs, edges)
    return await _verdict(world, hubs, edges)


async def _work(edge: SimEdge, rng: Random) -> None:
    loop = asyncio.get_running_loop()
    while loop.time() < BEGINNING + STORM_SECONDS:
        await asyncio.sleep(rng.expovariate(0.5))
        if edge.agent is not None:
            # An edge that is killed takes what it had not acknowledged with it.
            writing = asyncio.create_task(edge.write(rng.randrange(1, 20)))
            await asyncio.wait({writing}, timeout=5)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


async def _crash(
    victim: SimHub | SimEdge, at_seconds: float, down_seconds: float, *, loses_disk: bool = False
) -> None:
    await asyncio.sleep(at_seconds)
    await victim.kill()
    if loses_disk and isinstance(victim, SimHub):
        victim.lose_disk()
    await asyncio.sleep(down_seconds)
    await victim.start()


async def _order(hubs: list[SimHub], edge: SimEdge, rng: Random) -> None:
    """Order the same thing through whichever hub answers, until one of them says that it is done."""
    for number in range(ORDERS):
        await asyncio.sleep(rng.uniform(2, 8))
        order = {"vm": "x", "node": edge.name, "request_id": f"order-{number}"}
        while True:
            hub = hubs[rng.randrange(2)].hub
            try:
                if hub is not None:
                    await hub.rpc.call("vm.start", order)
                    break
            except RpcError as error:
                if error.kind not in ("no_path", "outcome_unknown", "not_found"):
                    raise
            await asyncio.sleep(1)


async def _settle(hubs: list[SimHub], edges: list[SimEdge]) -> None:
    """With the faults over, everything must come to rest."""
    async with asyncio.timeout(QUIET_SECONDS_MAX):
        while any(edge.agent is None or edge.agent.buffer.seqs for edge in edges):
            await asyncio.sleep(1)
        while len({len(hub.chunks()) for hub in hubs}) > 1:
            await asyncio.sleep(1)
    for edge in edges:
        await edge.stop()
    await asyncio.sleep(5)


async def _verdict(world: World, hubs: list[SimHub], edges: list[SimEdge]) -> Outcome:
    held, second = (hub.chunks() for hub in hubs)
    _check_equal(held, second)
    records = sum(_check_log(edge, held) for edge in edges)
    assert len(edges[0].effects) == ORDERS, "an order had no effect, or more than one"
    nodes = [_nodes(hub) for hub in hubs]
    assert nodes[0] == nodes[1], "the hubs know different things about the nodes"
    assert len(nodes[0]) == len(edges)
    for hub in hubs:
        await hub.stop()
    lived = asyncio.get_running_loop().time() - BEGINNING
    happened = dict(sorted(world.network.happened.items()))
    digest = hashlib.sha256(f"{happened} {lived:.6f}".encode())
    for piece in (*(held[key].hash for key in sorted(held)), *nodes[0].values()):
        digest.update(piece)
    return Outcome(digest.hexdigest(), len(held), records, lived, happened)


def _check_equal(first: Held, second: Held) -> None:
    assert first.keys() == second.keys(), "the hubs hold different chunks"
    for key, chunk in first.items():
        other = second[key]
        assert (chunk.header_bytes, chunk.body) == (other.header_bytes, other.body), key


def _check_log(edge: SimEdge, held: Held) -> int:
    """What one edge wrote has arrived once, in order; returns how many records that is."""
    log = [held[key] for key in sorted(held) if key[0] == edge.name]
    check_chain(log)
    arrived = list(records_in(iter(log)))
    assert len(arrived) == len(set(arrived)), f"{edge.name}: a record is there twice"
    assert edge.acked <= set(arrived), f"{edge.name}: an acknowledged record is missing"
    assert set(arrived) <= set(range(edge.written)), f"{edge.name}: a record nobody wrote"
    return len(arrived)


def _nodes(hub: SimHub) -> dict[str, bytes]:
    assert hub.hub is not None
    return {name: to_bytes(record) for name, record in sorted(hub.hub.registry.records.items())}
