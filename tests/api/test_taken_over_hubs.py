"""A hub with a new disk: what retention took elsewhere is no hole here, and what somebody holds comes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.retention import POLICIES
from hub.store import dropped
from shared.http import Reply
from shared.ranges import Ranges
from shared.receipt import Outcome
from shared.records import Chunk, Signal
from tests.api.conftest import Log, World
from tests.api.mesh_world import Wire, config_of, opened, running, until
from tests.api.test_ledger_of_two_hubs import KEY

OLD_MS = 30 * 86_400_000
"""Logs as old as this are dropped, events are not."""


@dataclass
class Cluster:
    """Hubs that find each other by name; one that is away answers nobody."""

    folder: Path
    stack: AsyncExitStack
    apps: dict[str, Any] = field(default_factory=dict)
    worlds: dict[str, World] = field(default_factory=dict)

    async def hub(self, name: str, *peers: str) -> World:
        """A hub with an empty disk that is told of these peers."""
        config = config_of(self.folder, name, peers)
        world = self.worlds[name] = await opened(self.stack, self.apps, config, Wire(self.apps))
        world.hub.upkeep.keeper.is_clock_sound = lambda: True
        world.hub.upkeep.keeper.policies = POLICIES
        return world

    @asynccontextmanager
    async def away(self, name: str) -> AsyncIterator[None]:
        """Nobody hears this hub."""
        app = self.apps.pop(name)
        yield
        self.apps[name] = app


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    for name, seconds in (("SETTLE", 0.05), ("SWEEP", 0.1), ("RETRY", 0.1)):
        monkeypatch.setattr(f"hub.sweep.{name}_SECONDS", seconds)
    async with AsyncExitStack() as stack:
        yield Cluster(tmp_path, stack)


def mixed(log: Log, count: int, every: int = 4) -> list[Chunk]:
    """Logs, with an event now and then."""
    signals = [Signal.LOGS if n % every else Signal.EVENTS for n in range(count)]
    return [log.chunk(signal=signal) for signal in signals]


async def take_in(world: World, chunks: list[Chunk], age_ms: int = OLD_MS) -> None:
    at_ms = world.hub.runtime.wall_ms() - age_ms
    outcomes = await world.hub.store.keep(chunks, "edge-1", [at_ms] * len(chunks))
    assert {each.outcome for each in outcomes} == {Outcome.ACCEPTED}


def has_all(world: World, other: World) -> bool:
    return world.hub.store.have(KEY) == other.hub.store.have(KEY)


async def swept(world: World, peer: str, times: int = 3) -> None:
    """Wait for some more sweeps of a peer."""
    known = world.hub.peers.by_url[f"http://{peer}"]
    before = world.hub.mesh.sweeper.count(known).sweeps
    await until(lambda: world.hub.mesh.sweeper.count(known).sweeps >= before + times)


async def is_here(world: World, seq: int) -> bool:
    page = await world.hub.store.read({KEY: Ranges(((seq, seq),))}, 2**20, 10)
    return bool(page.chunks)


async def test_what_a_hub_that_is_away_holds_is_waited_for_and_fetched(cluster: Cluster) -> None:
    """One dropped it, another holds it and comes back: never taken over before, and not lost."""
    chunks = mixed(Log(), 12)
    full, keeper = await cluster.hub("hub-1", "hub-3"), await cluster.hub("hub-3", "hub-1")
    await take_in(full, chunks)
    await take_in(keeper, chunks)
    keeper.hub.upkeep.keeper.policies = {}
    await full.hub.upkeep.keeper.step()
    async with running(full, keeper):
        await until(lambda: full.hub.peers.by_id("hub-3") is not None)
        fresh = await cluster.hub("hub-2", "hub-1")
        async with cluster.away("hub-3"), running(fresh):
            await until(lambda: "http://hub-3" in fresh.hub.peers.by_url)
            await swept(fresh, "hub-1")
            assert fresh.hub.store.have(KEY) == Ranges(((1, 1), (5, 5), (9, 9)))
            assert fresh.hub.store.holes == 6
        async with running(fresh):
            await until(lambda: has_all(fresh, full))
            assert [await is_here(fresh, seq) for seq in range(1, 13)] == [True] * 12
            await swept(fresh, "hub-1")
    assert await fresh.hub.store.reading(dropped.dropped_chunks) == 0


async def test_a_hub_with_a_new_disk_ends_with_the_same_ranges_and_no_holes(
    cluster: Cluster,
) -> None:
    chunks = mixed(Log(), 40)
    full = await cluster.hub("hub-1")
    await take_in(full, chunks[:30])
    await full.hub.upkeep.keeper.step()
    await take_in(full, chunks[30:], age_ms=0)
    fresh = await cluster.hub("hub-2", "hub-1")
    told: list[tuple[str, Any]] = []
    fresh.hub.mesh.sweeper.tell = lambda name, facts: told.append((name, dict(facts)))
    async with running(full, fresh):
        await until(lambda: has_all(fresh, full))
        one, two = full.hub.store, fresh.hub.store
        assert two.have(KEY) == Ranges(((1, 40),))
        assert (two.holes, two.chunks, two.records) == (0, one.chunks, one.records)
        shown = await fresh.call("ledger.show", node="edge-1")
        assert shown["complete"] is True
        assert shown["epochs"][0]["holes"]["count"] == 0
        verdict = await fresh.call("ledger.verify", node="edge-1")
        assert verdict["verdict"] == "verified"
        rows = [await store.reading(lambda db: dropped.dropped_of(db, KEY)) for store in (one, two)]
        assert rows[0] == rows[1], "all of it at once: the sums are exact"
        assert ("retention.adopted", {"peer": "hub-1", "origin": "edge-1", "chunks": 22}) in told
        await until(lambda: one.held == two.held)
        (peer,) = fresh.hub.peers.by_url.values()
        assert fresh.hub.mesh.sweeper.count(peer).in_vain == {}


async def test_a_second_new_hub_hears_it_from_the_first(cluster: Cluster) -> None:
    """What was taken over is dropped there, too, and may be passed on."""
    full = await cluster.hub("hub-1")
    await take_in(full, mixed(Log(), 12))
    await full.hub.upkeep.keeper.step()
    fresh = await cluster.hub("hub-2", "hub-1")
    async with running(full, fresh):
        await until(lambda: has_all(fresh, full))
        await fresh.hub.mesh.forget(fresh.hub.peers.by_url["http://hub-1"])
    third = await cluster.hub("hub-3", "hub-2")
    del cluster.apps["hub-1"]
    fresh.hub.peers.by_url.clear()
    async with running(fresh, third):
        await until(lambda: has_all(third, full))
    assert third.hub.store.holes == 0
    assert await third.hub.store.reading(dropped.dropped_chunks) == 9


async def test_a_chunk_that_was_taken_over_may_still_come(cluster: Cluster) -> None:
    """From an edge that never heard the answer: it is a duplicate, and the log goes on behind it."""
    log = Log()
    chunks = mixed(log, 12)
    full = await cluster.hub("hub-1")
    await take_in(full, chunks)
    await full.hub.upkeep.keeper.step()
    fresh = await cluster.hub("hub-2", "hub-1")
    async with running(full, fresh):
        await until(lambda: has_all(fresh, full))
        answer = await fresh.push([chunks[11], *log.chunks(2)])
        assert answer.status_code == 200
        assert fresh.hub.store.have(KEY) == Ranges(((1, 14),))
        await until(lambda: has_all(fresh, full))
        assert (await fresh.call("ledger.verify", node="edge-1"))["verdict"] == "verified"
        (outcome,) = await fresh.hub.store.keep(chunks[1:2], "hub-9", [1])
        assert outcome.outcome == Outcome.DUPLICATE
    assert not await is_here(fresh, 2)


async def test_with_a_hub_of_an_older_version_holes_stay_and_all_else_goes_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = await cluster.hub("hub-1")
    await take_in(full, mixed(Log(), 12))
    await full.hub.upkeep.keeper.step()
    fresh = await cluster.hub("hub-2", "hub-1")
    sound = fresh.hub.client.request

    async def request(method: str, url: str, **options: Any) -> Any:
        is_new = url.endswith("/peer/fates")
        return Reply(404, {}, b"Not Found") if is_new else await sound(method, url, **options)

    monkeypatch.setattr(fresh.hub.client, "request", request)
    async with running(full, fresh):
        await until(lambda: fresh.hub.store.have(KEY).count == 3)
        await swept(fresh, "hub-1")
        (peer,) = fresh.hub.peers.by_url.values()
        count = fresh.hub.mesh.sweeper.count(peer)
        assert (fresh.hub.store.holes, count.failed, count.error) == (6, 0, "")
        assert fresh.hub.mesh.puller.standing(peer).trouble == ""
        await full.push(Log("edge-2").chunks(2), "edge-2")
        await until(lambda: fresh.hub.store.have(("edge-2", "e1")).count == 2)


# ---- the door


def spans(*pairs: tuple[int, int]) -> list[list[int]]:
    return [[first, last] for first, last in pairs]


async def test_a_hub_tells_what_became_of_numbers(cluster: Cluster) -> None:
    full = await cluster.hub("hub-1")
    await take_in(full, mixed(Log(), 12))
    await full.hub.upkeep.keeper.step()
    wanted = [[*KEY, spans((2, 5), (11, 20))], ["edge-9", "e1", spans((1, 9))]]
    told = (await full.peer("/peer/fates", {"wanted": wanted})).json()
    ours, nobodys = told["logs"]
    assert (ours["held"], ours["dropped"]) == (spans((5, 5)), spans((2, 4), (11, 12)))
    assert ours["judged"] == wanted[0][2]
    assert (ours["went"][:2], ours["went"][3]) == ([2, 12], 9)
    assert (nobodys["held"], nobodys["dropped"], nobodys["went"]) == ([], [], None)
    assert nobodys["judged"] == spans((1, 9))


def garbage() -> Iterator[tuple[str, Any]]:
    yield "nothing", {}
    yield "another version", {"version": 2, "wanted": []}
    yield "no list", {"wanted": 5}
    yield "no pairs", {"wanted": [[*KEY, [[1, 2, 3]]]]}
    yield "a range that goes back", {"wanted": [[*KEY, [[5, 2]]]]}
    yield "too many ranges", {"wanted": [[*KEY, [[n * 2, n * 2] for n in range(1, 6000)]]]}


@pytest.mark.parametrize(("name", "message"), list(garbage()))
async def test_what_no_hub_would_ask_is_refused(world: World, name: str, message: Any) -> None:
    answer = await world.peer("/peer/fates", message)
    assert answer.status_code == 400, name
    await world.still_works()


async def test_hubs_that_are_in_step_are_not_asked(cluster: Cluster) -> None:
    full = await cluster.hub("hub-1")
    fresh = await cluster.hub("hub-2", "hub-1")
    asked: list[str] = []
    sound = fresh.hub.client.request

    async def request(method: str, url: str, **options: Any) -> Any:
        asked.append(url)
        return await sound(method, url, **options)

    fresh.hub.client.request = request  # type: ignore[method-assign]
    await full.push(Log().chunks(3))
    async with running(full, fresh):
        await until(lambda: fresh.hub.store.have(KEY).count == 3)
        await swept(fresh, "hub-1")
        await asyncio.sleep(0)
    assert not [url for url in asked if url.endswith("/peer/fates")]
