"""What a hub must remember of who lives, and what it finds out anew: a restart is not news of nodes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shared.merge import REMOVED
from tests.api.conftest import World
from tests.api.liveness_world import (
    OFFLINE_SECONDS,
    PACE,
    beating,
    live,
    node,
    noted,
    quick,
    see,
    told,
)
from tests.api.mesh_world import Wire, config_of, opened, running, until
from tests.api.swift import SwiftLoop

LOOP = SwiftLoop


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as fast as usual."""
    quick(monkeypatch)


async def alone(stack: AsyncExitStack, folder: Path) -> World:
    """A hub without peers; it does not run."""
    apps: dict[str, Any] = {}
    return await opened(stack, apps, config_of(folder, "hub-1", (), **PACE), Wire(apps))


@asynccontextmanager
async def life(folder: Path) -> AsyncIterator[World]:
    """One run of a hub that is alone, from its start until it was stopped in order."""
    async with AsyncExitStack() as stack:
        world = await alone(stack, folder)
        async with running(world):
            yield world


async def judges(world: World) -> None:
    """Wait until the hub has listened long enough to call anybody offline."""
    await until(lambda: bool(live(world).watch.adoption.standing))


async def both_die(folder: Path) -> None:
    """A run in which two nodes come, die, and are told to be offline."""
    async with life(folder) as world:
        async with beating(world, "edge-1", "edge-2"):
            await judges(world)
        for node_id in ("edge-1", "edge-2"):
            await noted([world], node_id, offline=True)
        assert len(await told(world, "node.offline")) == 2


async def hears(world: World, verdicts: set[tuple[str, str]]) -> None:
    """Wait until the hub has told whoever listens of these verdicts, after the events about them."""
    heard: set[tuple[str, str]] = set()
    live(world).ground.on_verdict.append(lambda node, state, why: heard.add((node, state)))
    await until(lambda: verdicts <= heard)


async def test_a_death_is_told_once_however_often_the_hub_restarts(tmp_path: Path) -> None:
    await both_die(tmp_path)
    for _ in range(2):
        async with life(tmp_path) as world:
            assert world.hub.registry.state("edge-1") == "unknown"
            await hears(world, {("edge-1", "offline"), ("edge-2", "offline")})
            assert len(await told(world, "node.offline")) == 2
            assert await told(world, "node.online") == []


async def test_a_death_while_the_hub_was_down_is_told_when_it_has_listened(tmp_path: Path) -> None:
    async with life(tmp_path) as world, beating(world, "edge-1"):
        await see([world], "online")
    async with life(tmp_path) as world:
        await noted([world], "edge-1", offline=True)
        assert [each["node_id"] for each in await told(world, "node.offline")] == ["edge-1"]


async def test_a_return_after_a_restart_is_told_although_the_hub_has_not_judged_yet(
    tmp_path: Path,
) -> None:
    await both_die(tmp_path)
    async with life(tmp_path) as world:
        async with beating(world, "edge-1"):
            await see([world], "online")
            await judges(world)
            await until(lambda: "edge-1" not in live(world).watch.offline)
        assert [each["node_id"] for each in await told(world, "node.online")] == ["edge-1"]
        assert list(live(world).watch.offline.since_ms) == ["edge-2"]


async def test_a_removed_node_leaves_nothing_behind_that_a_restart_would_need(
    tmp_path: Path,
) -> None:
    """It is in no verdict, no duty and no list of the dead, before the restart and after it."""
    await both_die(tmp_path)
    async with life(tmp_path) as world:
        await world.hub.intend("edge-2", REMOVED, True)
        await judges(world)
        await until(lambda: "edge-2" not in live(world).watch.offline)
    async with life(tmp_path) as world:
        await judges(world)
        await see([world], "offline")
        watch = live(world).watch
        assert watch.life.watched == {"edge-1"}
        assert watch.life.verdict("edge-2") is None
        assert list(watch.offline.since_ms) == ["edge-1"]
        assert (watch.home_of("edge-1"), watch.home_of("edge-2")) == ("hub-1", "")
        assert watch.life.gone == []
        assert len(await told(world, "node.offline")) == 2


async def test_a_node_that_was_removed_just_before_the_hub_died_is_not_among_the_dead(
    tmp_path: Path,
) -> None:
    await both_die(tmp_path)
    async with AsyncExitStack() as stack:
        world = await alone(stack, tmp_path)
        await world.hub.intend("edge-2", REMOVED, True)  # No loop runs: nothing is tidied up.
    async with life(tmp_path) as world:
        await judges(world)
        assert list(live(world).watch.offline.since_ms) == ["edge-1"]


async def test_a_node_that_is_silent_since_the_start_shows_who_heard_it_last_by_the_record(
    tmp_path: Path,
) -> None:
    async with life(tmp_path) as world, beating(world, "edge-1"):
        await see([world], "online")
    async with life(tmp_path) as world:
        before = await node(world)
        assert (before["state"], before["last_heard_by"]) == ("unknown", world.hub.config.hub_id)
        await noted([world], "edge-1", offline=True)
        shown = await node(world)
        assert (shown["state"], shown["last_heard_by"]) == ("offline", world.hub.config.hub_id)
        assert shown["age_s"] >= OFFLINE_SECONDS
        (listed,) = (await world.call("node.list"))["items"]
        assert (listed["age_s"] >= shown["age_s"], listed["hubs"]) == (True, {})
