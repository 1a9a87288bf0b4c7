"""Hubs in this process that agree on who lives, ten times as fast as usual, and what is asked of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hub.nodes.live_part import LivePart
from tests.api.conftest import ADMIN_TOKEN, World, bearer
from tests.api.mesh_world import own_events, part_in, until
from tests.api.watch_world import QUICK, Mesh, detector_of, quick_watch, watchful

T = 0.5
OFFLINE_SECONDS = 3.3 * T
PACE: dict[str, Any] = {
    "heartbeat_seconds_min": T,
    "heartbeat_seconds_max": T,
    "leave_hold_seconds": 20.0,
}
"""What these hubs are told."""

DEAD_SECONDS = QUICK.silent_seconds + QUICK.stable_seconds


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hubs of this test hear, judge and talk faster than they usually do."""
    quick_watch(monkeypatch)
    monkeypatch.setattr("hub.nodes.verdict.SLOW_REQUEST_SECONDS", 0.0)
    monkeypatch.setattr("hub.nodes.verdict_doubt.PEER_REPORT_SECONDS", 1.0)
    monkeypatch.setattr("hub.nodes.live_watch.TICK_SECONDS", 0.05)
    monkeypatch.setattr("hub.nodes.live_watch.LOOK_SECONDS", 0.1)


@pytest.fixture
async def mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mesh]:
    """Three hubs that ask for ten times as many beats as usual, and have listened long enough."""
    quick(monkeypatch)
    async with watchful(tmp_path, **PACE) as made:
        await until(lambda: all(live(world).watch.adoption.standing for world in made.worlds))
        yield made


def live(world: World) -> LivePart:
    """The part of a hub that is tested here."""
    return part_in(world, LivePart)


@asynccontextmanager
async def beating(world: World, *nodes: str) -> AsyncIterator[None]:
    """Nodes that beat to one hub only, while this lasts."""

    async def beat() -> None:
        for number in count(round(asyncio.get_running_loop().time() * 100)):
            for node_id in nodes:
                assert (await world.beat(node_id, beat=number)).status_code == 200
            await asyncio.sleep(T / 5)

    beats = asyncio.create_task(beat())
    try:
        yield
    finally:
        beats.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beats


async def node(world: World, node_id: str = "edge-1") -> dict[str, Any]:
    """What a hub says of a node."""
    found: dict[str, Any] = await world.call("node.get", node=node_id)
    return found


async def see(worlds: Sequence[World], state: str, node_id: str = "edge-1") -> None:
    """Wait until all these hubs say so."""
    await until(lambda: all(w.hub.registry.state(node_id) == state for w in worlds))


async def noted(worlds: list[World], node_id: str, *, offline: bool) -> None:
    """Wait until all these hubs have told whom it concerns that the node is offline, or is no longer."""
    await until(lambda: all((node_id in live(w).watch.offline) is offline for w in worlds))


async def told(world: World, kind: str) -> list[dict[str, Any]]:
    """The facts of the events of this type that a hub itself has told."""
    return [each["attributes"] for each in await own_events(world, kind)]


async def figures(world: World) -> dict[str, float]:
    """The metrics of a hub, by name and labels."""
    shown = await world.client.get("/metrics", headers=bearer(ADMIN_TOKEN))
    pairs = (line.rsplit(" ", 1) for line in shown.text.splitlines() if line[:1] != "#")
    return {name.removeprefix("headwater_hub_"): float(value) for name, value in pairs}


def silence_of(world: World, hub_id: str) -> float:
    """For how long nobody has heard of a hub."""
    verdicts = detector_of(world).verdicts(asyncio.get_running_loop().time())
    (verdict,) = [each for each in verdicts if each.peer == hub_id]
    assert verdict.lives_age_s is not None
    return verdict.lives_age_s
