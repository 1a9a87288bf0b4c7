"""A real edge that people remove and register again: it waits, says so, and loses nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.agent import Agent, Host
from edge.buffer import Buffer
from edge.identity import take_up
from edge.push import Next
from shared.errors import Unreachable
from shared.records import Signal
from shared.runtime import Duplex, system_runtime
from tests.api.conftest import CLUSTER_KEY, World
from tests.api.exchange_world import Net, net
from tests.api.mesh_world import Wire, running, until
from tests.unit.core.buffers import SMALL, fill

__all__ = ["net"]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge that was sent away asks again ten times a second."""
    monkeypatch.setattr("edge.heartbeat.REMOVED_SECONDS", 0.1)


async def no_link(url: str, headers: dict[str, str]) -> Duplex:
    """There are no WebSockets in this process."""
    raise Unreachable(url, "there are no links here", sent=False)


@asynccontextmanager
async def edge_at(folder: Path, net: Net) -> AsyncIterator[Agent]:
    """A running edge with what its folder holds."""
    folder.mkdir(exist_ok=True)
    runtime = replace(system_runtime(), http=lambda: Wire(net.apps), dial=no_link)
    identity = take_up(folder, "edge-1")
    buffer = await Buffer.open(folder, identity.node_id, runtime, SMALL)
    host = Host(lambda: {"hostname": "edge-1"}, dict)
    agent = Agent(identity, buffer, runtime, ["http://hub-1"], CLUSTER_KEY, host)
    loops = asyncio.create_task(agent.run())
    yield agent
    loops.cancel()
    await asyncio.gather(loops, return_exceptions=True)
    buffer.close()


async def put(buffer: Buffer, chunks: int) -> None:
    await fill(buffer, Signal.LOGS, chunks)


async def epoch_at(hub: World) -> dict[str, Any]:
    """What the hub has of the edge's log, which began no new life."""
    told = await hub.call("ledger.show", node="edge-1")
    (epoch,) = told["epochs"]
    assert told["complete"]
    assert told["conflicts"] == []
    return dict(epoch)


async def test_an_edge_that_was_removed_and_registered_again_loses_and_doubles_nothing(
    net: Net, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await net.hub("hub-1")
    async with running(hub), edge_at(tmp_path / "edge", net) as edge:
        await put(edge.buffer, 4)
        await until(lambda: hub.hub.store.chunks >= 4)
        await hub.call("node.remove", node="edge-1", force=True, who="ada", why="sold")
        with caplog.at_level(logging.INFO, "edge"):
            edge.heartbeats.beat_now()
            await until(lambda: bool(edge.hubs.removed))
            await put(edge.buffer, 5)
            refused = hub.counted("answers_410")
            await until(lambda: hub.counted("answers_410") >= refused + 5)
        assert edge.describe_buffer()["removed"].endswith(
            "`headwater nodes register edge-1` lets it back"
        )
        told = await edge.answer("edge.buffer", {})
        assert (told["pending_chunks"], [each["removed"] for each in told["hubs"]]) == (5, [True])
        said = [each.message for each in caplog.records if "removed by ada (sold)" in each.message]
        assert [each for each in said if "all data stays in the buffer" in each] == said[:1]
        assert (await epoch_at(hub))["held"]["chunks"] == 4
        await hub.call("node.register", node="edge-1")
        await until(lambda: not edge.pending())
        assert edge.describe_buffer()["removed"] is None
        epoch = await epoch_at(hub)
        assert (epoch["held"]["chunks"], epoch["holes"]["count"]) == (9, 0)
    assert hub.counted("chunks_accepted") == 9
    assert hub.counted("chunks_duplicate") == 0
    assert edge.shipper.verdicts[Next.SPLIT] == 0


async def test_an_edge_that_restarts_while_it_is_removed_comes_back_whole(
    net: Net, tmp_path: Path
) -> None:
    """Its incarnation grows at each start, and the hub counts its life anew; the log goes on."""
    hub = await net.hub("hub-1")
    async with running(hub):
        async with edge_at(tmp_path / "edge", net) as edge:
            await put(edge.buffer, 3)
            await until(lambda: not edge.pending())
            await hub.call("node.remove", node="edge-1", force=True)
            await put(edge.buffer, 2)
        async with edge_at(tmp_path / "edge", net) as edge:
            await put(edge.buffer, 2)
            await until(lambda: bool(edge.hubs.removed))
            assert (await epoch_at(hub))["held"]["chunks"] == 3
            await hub.call("node.register", node="edge-1", labels={"rack": "7"})
            await until(lambda: not edge.pending())
            seen = await hub.call("node.get", node="edge-1")
            assert (seen["labels"], seen["facts"]) == ({"rack": "7"}, {"hostname": "edge-1"})
            assert (await epoch_at(hub))["held"]["chunks"] == 7
