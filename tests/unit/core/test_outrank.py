"""An edge of which a copy was started counts on and stays; one that cannot, or is a copy, waits."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
import pytest

from edge.agent import Agent, Host
from edge.buffer import Buffer
from edge.heartbeat import CLONED_SECONDS, Heartbeats
from edge.hubs import Hubs, HubView
from edge.identity import Identity, outrank, take_up
from shared.beat import OUTRANK_HEADER, OUTRANK_MAX, Beat
from shared.http import Reply
from shared.runtime import HttpReply, Runtime
from tests.unit.core.answering import Answering
from tests.unit.core.buffers import running

WORDS = "another machine runs as edge-1"


class Hub(Answering):
    """A hub that takes this edge for a copy."""

    def __init__(self, outrank: str | None) -> None:
        self.headers = {} if outrank is None else {OUTRANK_HEADER: outrank}
        self.asked = 0

    def answer(self, url: str, body: bytes) -> HttpReply:
        self.asked += 1
        return Reply(409, self.headers, orjson.dumps({"detail": WORDS}))


async def refused(
    hub: Hub,
    runtime: Runtime,
    outrank: Callable[[int], Awaitable[bool]],
    is_over: Callable[[Hubs], bool],
) -> tuple[Hubs, HubView]:
    """What an edge knows of a hub that refuses it, once something is so."""
    hubs = Hubs("edge-1")
    (view,) = hubs.learn(["http://a"])
    beat = Beat("edge-1", 1, 1, "e", 1, {}, {}, {})
    beats = Heartbeats(hubs, hub, runtime, {}, lambda: beat, lambda _: None, lambda _: None)
    beats.outrank = outrank
    task = asyncio.create_task(beats.run(view))
    try:
        async with asyncio.timeout(60):
            while not is_over(hubs):
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return hubs, view


@pytest.mark.parametrize("header", [None, "7", "", "-1", "x", "9" * 40])
async def test_an_edge_that_cannot_count_on_keeps_its_data_and_asks_seldom(
    runtime: Runtime, header: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub(header)

    async def cannot(incarnation: int) -> bool:
        assert incarnation == 7
        return False

    with caplog.at_level(logging.ERROR, "edge"):
        hubs, view = await refused(hub, runtime, cannot, lambda hubs: bool(hubs.cloned))
    now = asyncio.get_running_loop().time()
    assert WORDS in hubs.cloned
    assert (hubs.removed, view.removed, view.is_away) == ("", "", True)
    assert now + CLONED_SECONDS / 2 < view.circuit.ready_at < now + CLONED_SECONDS * 2
    assert (hub.asked, len(caplog.records)) == (1, 1)


async def test_an_edge_that_counts_on_beats_again_at_once_and_is_not_away(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.heartbeat.OUTRANK_SECONDS", 0.0)
    hub, asked = Hub("7"), []

    async def count(incarnation: int) -> bool:
        asked.append(incarnation)
        return len(asked) < 3

    await refused(hub, runtime, count, lambda hubs: bool(hubs.cloned))
    assert (asked, hub.asked) == ([7, 7, 7], 3)


def test_the_next_start_counts_on_from_there(tmp_path: Path) -> None:
    first = take_up(tmp_path, "edge-1")
    higher = outrank(tmp_path, first, 9)
    assert (higher.incarnation, higher.node_key) == (10, first.node_key)
    assert outrank(tmp_path, higher, 3).incarnation == 10
    assert take_up(tmp_path, "edge-1").incarnation == 11


def agent_with(buffer: Buffer, folder: Path, runtime: Runtime) -> Agent:
    runtime = replace(runtime, http=lambda: Hub(None))
    agent = Agent(take_up(folder, "edge-1"), buffer, runtime, [], "key", Host(dict, dict))
    agent.count_up = partial(outrank, folder)
    return agent


async def test_all_hubs_may_ask_at_once(runtime: Runtime, tmp_path: Path) -> None:
    async with running(tmp_path, runtime) as buffer:
        agent = agent_with(buffer, tmp_path, runtime)
        assert all(await asyncio.gather(*(agent.heartbeats.outrank(n) for n in (4, 4, 2, 4))))
        assert agent.compose().incarnation == 5
    assert take_up(tmp_path, "edge-1").incarnation == 6


async def test_what_no_copy_could_have_is_not_believed(runtime: Runtime, tmp_path: Path) -> None:
    async with running(tmp_path, runtime) as buffer:
        agent = agent_with(buffer, tmp_path, runtime)
        assert not await agent.heartbeats.outrank(OUTRANK_MAX + 2)
        assert agent.compose().incarnation == 1
        agent.count_up = None
        assert not await agent.heartbeats.outrank(4)


async def test_an_edge_whose_disk_does_not_take_it_stays_what_it_is(
    runtime: Runtime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(identity: Identity, incarnation: int) -> Identity:
        raise OSError(28, "no space left on device")

    async with running(tmp_path, runtime) as buffer:
        agent = agent_with(buffer, tmp_path, runtime)
        agent.count_up = fails
        assert not await agent.heartbeats.outrank(4)
        assert agent.compose().incarnation == 1
    assert "no space left on device" in caplog.text


async def test_each_start_of_an_agent_has_a_run_of_its_own(
    runtime: Runtime, tmp_path: Path
) -> None:
    async with running(tmp_path, runtime) as buffer:
        agents = [agent_with(buffer, tmp_path, runtime) for _ in range(2)]
        runs = [agent.compose().run for agent in agents]
        assert runs == [agent.compose().run for agent in agents]
        assert len(set(runs)) == 2
