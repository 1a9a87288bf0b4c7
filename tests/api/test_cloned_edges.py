"""Two live copies of one edge: hubs refuse one with reason, tell of it once, and spread nothing of it."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge.agent import Agent, Host
from edge.buffer import Buffer
from edge.identity import outrank, take_up
from hub.nodes.grave_part import GravePart
from hub.nodes.interval import IntervalLimits
from hub.nodes.verdict import offline_seconds
from shared.liveness import NodeState
from shared.runtime import system_runtime
from tests.api.conftest import CLUSTER_KEY, Log, World, node_headers
from tests.api.exchange_world import Net, agree, meeting, net, nothing_was_wrong, three
from tests.api.mesh_world import Wire, part_in, running, until
from tests.api.test_removed_edge import no_link, put
from tests.unit.core.buffers import SMALL

__all__ = ["net", "three"]

ONE, TWO, THREE = "a" * 16, "b" * 16, "c" * 16


def part_of(world: World) -> GravePart:
    return part_in(world, GravePart)


def events_of(world: World, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the hub tells of copies from now on."""
    told: list[dict[str, Any]] = []
    clones = part_of(world).copies.clones
    monkeypatch.setattr(clones, "report", lambda name, facts: told.append({"name": name, **facts}))
    return told


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run counts for half a second after its last beat."""
    monkeypatch.setattr("hub.nodes.clone_watch.offline_seconds", lambda _: 0.5)


# ---- beats


async def test_a_copy_is_refused_with_reason_and_told_of_once(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = await net.hub("hub-1")
    told = events_of(hub, monkeypatch)
    assert (await hub.beat("edge-1", run=ONE)).status_code == 200
    for beat in range(2, 6):
        refused = await hub.beat("edge-1", run=TWO, beat=100 + beat, facts={"hostname": "copy"})
        assert refused.status_code == 409
        assert "another machine that runs now has the identity of edge-1" in refused.text
        assert "x-headwater-outrank" not in refused.headers
        assert (await hub.beat("edge-1", run=ONE, beat=beat)).status_code == 200
    assert [(each["name"], each["node_id"], each["refused_at"]) for each in told] == [
        ("node.cloned", "edge-1", "127.0.0.1")
    ]
    seen = await hub.call("node.get", node="edge-1")
    assert (seen["facts"], seen["beat"]) == ({"hostname": "edge-1"}, 5)
    assert hub.counted("answers_409") == 4


async def test_nothing_else_of_a_copy_is_taken_either(net: Net) -> None:
    hub, log = await net.hub("hub-1"), Log()
    await hub.beat("edge-1", run=ONE)
    assert (await hub.beat("edge-1", run=TWO)).status_code == 409
    first, second = log.chunks(2)
    copy, known = {"x-headwater-run": TWO}, {"x-headwater-run": ONE}
    assert (await hub.push([first], headers=copy)).status_code == 409
    assert hub.hub.store.chunks == 0
    assert (await hub.push([first], headers=known)).status_code == 200
    assert (await hub.push([second])).status_code == 200
    doors = hub.hub.edge_doors
    assert doors.copy_known("edge-1", TWO) is not None
    assert doors.authentic(node_headers("edge-1")) == "edge-1"


async def test_copies_of_an_edge_that_names_no_run_are_told_of_and_not_refused(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that counts higher is shown; nothing but the beats says that there are two."""
    monkeypatch.setattr("hub.nodes.jumps.LATE_SECONDS", 0.0)
    hub = await net.hub("hub-1")
    told = events_of(hub, monkeypatch)
    for beat in range(1, 10):
        assert (await hub.beat("edge-1", beat=100 + beat)).status_code == 200
        answer = await hub.beat("edge-1", beat=beat, facts={"hostname": "copy"})
        assert answer.status_code == 200
    assert [(each["name"], each["node_id"], each["heard_at"]) for each in told] == [
        ("node.cloned", "edge-1", "127.0.0.1")
    ]
    seen = await hub.call("node.get", node="edge-1")
    assert (seen["facts"], seen["beat"]) == ({"hostname": "edge-1"}, 109)


async def test_a_restart_is_never_refused_and_its_late_beats_are_nothing(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = await net.hub("hub-1")
    told = events_of(hub, monkeypatch)
    for incarnation, run in enumerate((ONE, TWO, THREE), 1):
        fresh: dict[str, Any] = {"run": run, "incarnation": incarnation}
        pushed = await hub.push([Log(epoch=run).chunk()], headers={"x-headwater-run": run})
        assert pushed.status_code == 200
        assert (await hub.beat("edge-1", **fresh)).status_code == 200
        for late, old in enumerate((ONE, TWO, THREE)[: incarnation - 1], 1):
            answer = await hub.beat("edge-1", run=old, incarnation=late, beat=900)
            assert answer.status_code == 409
        assert (await hub.beat("edge-1", **fresh, beat=2)).status_code == 200
    assert told == []
    assert (await hub.call("node.get", node="edge-1"))["beat"] == 2


async def test_a_copy_of_a_disk_in_use_gives_way_to_the_original_that_counts_on(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its incarnation is the higher one: what tells the two apart is that the original beats on."""
    hub = await net.hub("hub-1")
    told = events_of(hub, monkeypatch)
    await hub.beat("edge-1", run=ONE, incarnation=5)
    assert (await hub.beat("edge-1", run=TWO, incarnation=9)).status_code == 200
    asked = await hub.beat("edge-1", run=ONE, incarnation=5, beat=2)
    assert (asked.status_code, asked.headers["x-headwater-outrank"]) == (409, "9")
    assert (await hub.push([Log().chunk()], headers={"x-headwater-run": ONE})).status_code == 200
    assert (await hub.beat("edge-1", run=ONE, incarnation=10, beat=3)).status_code == 200
    refused = await hub.beat("edge-1", run=TWO, incarnation=9, beat=2)
    assert (refused.status_code, "x-headwater-outrank" in refused.headers) == (409, False)
    assert (await hub.beat("edge-1", run=ONE, incarnation=10, beat=4)).status_code == 200
    assert [each["name"] for each in told] == ["node.cloned"]


@pytest.mark.usefixtures("brief")
async def test_a_copy_takes_over_when_the_original_is_gone(net: Net) -> None:
    """It is a restart from a copy, or the disk was put into another machine."""
    hub = await net.hub("hub-1")
    await hub.beat("edge-1", run=ONE)
    assert (await hub.beat("edge-1", run=TWO)).status_code == 409
    async with asyncio.timeout(60):
        while (await hub.beat("edge-1", run=TWO, beat=7)).status_code != 200:
            await asyncio.sleep(0.05)
    assert (await hub.push([Log().chunk()], headers={"x-headwater-run": TWO})).status_code == 200


async def test_the_window_is_the_one_of_liveness(net: Net) -> None:
    """As long as a node is online, its run counts."""
    hub = await net.hub("hub-1")
    interval = hub.hub.registry.life.interval_seconds
    assert part_of(hub).copies.window_seconds == offline_seconds(interval)


async def test_a_node_that_was_let_back_is_no_copy_of_what_it_was(net: Net) -> None:
    hub = await net.hub("hub-1")
    await hub.beat("edge-1", run=ONE, incarnation=70)
    await hub.call("node.remove", node="edge-1", force=True)
    assert (await hub.beat("edge-1", run=TWO)).status_code == 410
    await hub.call("node.register", node="edge-1")
    assert (await hub.beat("edge-1", run=TWO, key="another")).status_code == 200


async def test_a_run_that_cannot_be_read_is_bad_input(net: Net) -> None:
    hub = await net.hub("hub-1")
    for run in ("x", "A" * 16, "a" * 17, 7, None):
        assert (await hub.beat("edge-1", run=run)).status_code == 400
    assert (await hub.push([Log().chunk()], headers={"x-headwater-run": "x"})).status_code == 200


async def test_of_three_hubs_one_tells_and_the_records_stay_those_of_the_original(
    net: Net, three: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with meeting(*three):
        told = [events_of(world, monkeypatch) for world in three]
        for beat in range(1, 4):
            for world in three:
                assert (await world.beat("edge-1", run=ONE, beat=beat)).status_code == 200
                copy = await world.beat("edge-1", run=TWO, beat=90 + beat, facts={"copy": True})
                assert copy.status_code == 409
        await until(lambda: agree(*three))
        for world in three:
            assert (await world.call("node.get", node="edge-1"))["facts"] == {"hostname": "edge-1"}
    assert [each["name"] for hub in told for each in hub] == ["node.cloned"]
    assert nothing_was_wrong(*three)


async def test_copies_that_no_hub_hears_both_of_are_told_of_by_what_hubs_share(
    net: Net, three: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hub goes on with the copy that it hears: neither can know which was there first."""
    one, two, _ = three
    async with meeting(*three):
        told = [events_of(world, monkeypatch) for world in three]
        assert (await one.beat("edge-1", run=ONE)).status_code == 200
        await until(lambda: agree(*three) and "edge-1" in two.hub.registry.records)
        for beat in range(2, 6):  # Each tells something new, so that hubs share it at once.
            new: dict[str, Any] = {"beat": beat, "facts_number": beat}
            answers = [
                await two.beat("edge-1", run=TWO, facts={"at": 2, "n": beat}, **new),
                await one.beat("edge-1", run=ONE, facts={"at": 1, "n": beat}, **new),
            ]
            assert [each.status_code for each in answers] == [200, 200]
        await until(lambda: any(told))
        await until(lambda: agree(*three))
    for each in told:
        assert [event["name"] for event in each] in ([], ["node.cloned"])
        assert all(event["heard_by"] in ("hub-1", "hub-2") for event in each)
    assert nothing_was_wrong(*three)


# ---- edges


@asynccontextmanager
async def edge_at(
    folder: Path, apps: Mapping[str, Any], hubs: Sequence[str] = ("http://hub-1",)
) -> AsyncIterator[Agent]:
    """A running edge with what its folder holds, told of these hubs."""
    runtime = replace(system_runtime(), http=lambda: Wire(apps), dial=no_link)
    identity = take_up(folder, "edge-1")
    buffer = await Buffer.open(folder, identity.node_id, runtime, SMALL)
    host = Host(lambda: {"hostname": "edge-1"}, dict)
    agent = Agent(identity, buffer, runtime, [*hubs], CLUSTER_KEY, host)
    agent.count_up = partial(outrank, folder)
    loops = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        loops.cancel()
        await asyncio.gather(loops, return_exceptions=True)
        buffer.close()


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a run counts after its last beat, to be changed; edges ask ten times a second."""
    monkeypatch.setattr("edge.heartbeat.CLONED_SECONDS", 0.1)
    monkeypatch.setattr("edge.heartbeat.OUTRANK_SECONDS", 0.1)
    seconds = [60.0]
    monkeypatch.setattr("hub.nodes.clone_watch.offline_seconds", lambda _: seconds[0])
    return seconds


def is_answered(edge: Agent) -> bool:
    """Whether the hub takes what this edge sends."""
    return any(view.is_answering for view in edge.hubs.views.values())


async def busy_hub(net: Net) -> World:
    """A hub that asks for five beats a second."""
    hub = await net.hub("hub-1")
    hub.hub.registry.life.interval.limits = IntervalLimits(seconds_min=0.2)
    return hub


@pytest.mark.usefixtures("window")
@pytest.mark.parametrize("is_in_use", [False, True])
async def test_an_edge_that_was_copied_goes_on_and_loses_nothing(
    net: Net,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    is_in_use: bool,
) -> None:
    """Copied while it was stopped, or while it ran: then the copy has the higher incarnation."""
    hub, folder, other = await busy_hub(net), tmp_path / "edge", tmp_path / "copy"
    told = events_of(hub, monkeypatch)
    folder.mkdir()
    async with running(hub):
        async with edge_at(folder, net.apps) as edge:
            await put(edge.buffer, 3)
            await until(lambda: not edge.pending())
        if not is_in_use:
            shutil.copytree(folder, other)
        async with edge_at(folder, net.apps) as edge:
            await until(lambda: is_answered(edge))
            if is_in_use:
                shutil.copytree(folder, other)
            run = edge.compose().run
            with caplog.at_level(logging.INFO, "edge"):
                async with edge_at(other, net.apps) as copy:
                    await until(lambda: bool(copy.hubs.cloned) and bool(told))
                    await put(edge.buffer, 4)
                    await put(copy.buffer, 2)
                    await until(lambda: not edge.pending())
                    refused = hub.counted("answers_409")
                    await until(lambda: hub.counted("answers_409") >= refused + 5)
                    state = await copy.answer("edge.buffer", {})
                    assert edge.describe_buffer()["cloned"] is None
            assert "another machine that runs now" in state["cloned"]
            assert state["last_error"] == state["cloned"]
            assert [each["cloned"] for each in state["hubs"]] == [True]
            assert state["pending_chunks"] >= 2
            assert edge.compose().run == run
            assert run_of(hub) == run
            await until(lambda: hub.hub.registry.state("edge-1") is NodeState.ONLINE)
            shown = await hub.call("ledger.show", node="edge-1")
            assert (shown["complete"], shown["conflicts"]) == (True, [])
            assert sum(each["held"]["chunks"] for each in shown["epochs"]) == 7
    said = [each.message for each in caplog.records if "all data stays in the" in each.message]
    assert len(said) == 1
    assert [each["name"] for each in told] == ["node.cloned"]


def run_of(hub: World) -> str | None:
    """The run of edge-1 that this hub heard last."""
    seen = hub.hub.registry.fresh.get("edge-1")
    return seen.run if seen else None


async def test_a_copy_that_takes_over_brings_all_that_it_kept(
    net: Net, tmp_path: Path, window: list[float]
) -> None:
    hub, folder, other = await busy_hub(net), tmp_path / "edge", tmp_path / "copy"
    folder.mkdir()
    async with running(hub), AsyncExitStack() as copies:
        async with edge_at(folder, net.apps) as edge:
            await put(edge.buffer, 3)
            await until(lambda: not edge.pending())
        shutil.copytree(folder, other)
        async with edge_at(folder, net.apps) as edge:
            await until(lambda: is_answered(edge))
            copy = await copies.enter_async_context(edge_at(other, net.apps))
            await until(lambda: bool(copy.hubs.cloned))
            await put(copy.buffer, 2)
            await put(edge.buffer, 1)
            await until(lambda: not edge.pending())
            assert copy.pending().count >= 2
        window[0] = 0.5
        await until(lambda: not copy.pending() and not copy.hubs.cloned)
        assert run_of(hub) == copy.compose().run
        shown = await hub.call("ledger.show", node="edge-1")
        assert sum(each["held"]["chunks"] for each in shown["epochs"]) >= 6
