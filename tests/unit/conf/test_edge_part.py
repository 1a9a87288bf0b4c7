"""An agent and the settings from its hubs: what it asks, says of them, and starts with."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.agent import Agent, Host
from edge.conf import part
from edge.conf.last_good import write_last_good
from edge.conf.part import begin_with, follow_hubs
from edge.identity import Identity
from edge.settings import EdgeSettings
from shared.beat import BeatReply, read_beat, write
from shared.conf import EMPTY_HASH, Document, write_document
from shared.conf_report import Age, Report, Wanted
from shared.errors import Unreachable
from shared.http import Reply
from shared.runtime import system_runtime
from tests.unit.core.buffers import running

WANTED = Document({"buffer_policy": "shed", "log_level": "error"}, Age(7, 0))


@dataclass
class HubHttp:
    """One hub, as the client of an edge meets it."""

    status: int = 200
    hub_id: str = "hub-1"
    wanted: Wanted | None = field(default_factory=lambda: Wanted(WANTED.hash, WANTED.age))
    told: list[Report] = field(default_factory=list)
    asked: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Any = None, **_: Any
    ) -> Reply:
        """A heartbeat, or the question for settings."""
        if url.endswith("/edge/heartbeat"):
            self.told.append(read_beat(body).conf)
            reply = BeatReply(self.hub_id, 5.0, [], [], {}, conf=self.wanted)
            return Reply(200, {}, write(reply))
        self.asked.append((f"{method} {url}", body, headers))
        return Reply(self.status, {}, write_document(WANTED))

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The log levels that the edge takes, in place of this process."""
    taken: list[str] = []
    monkeypatch.setattr(part, "SETTERS", {"log_level": taken.append})
    return taken


@asynccontextmanager
async def agent_of(own: EdgeSettings, hub: HubHttp) -> AsyncIterator[Agent]:
    """An agent that follows its hub, as its owner wants it; its loops do not run."""
    runtime = system_runtime()
    async with running(own.data, runtime) as buffer:
        identity = Identity("edge-1", "key", 1)
        told = replace(runtime, http=lambda: hub)
        agent = Agent(identity, buffer, told, ["http://hub-1"], "secret", Host(dict, dict))
        agent.hubs.learn(agent.masters)
        follow_hubs(agent, own, begin_with(own))
        yield agent


async def beat(agent: Agent) -> None:
    (view,) = agent.hubs.views.values()
    await agent.heartbeats._beat(view)
    if agent.follower is not None:
        await agent.follower.step()


def owned(folder: Path, **settings: Any) -> EdgeSettings:
    return EdgeSettings(node_id="edge-1", data=folder, **settings)


async def test_an_edge_asks_the_hub_that_knows_more_applies_it_and_says_so(
    tmp_path: Path, levels: list[str]
) -> None:
    hub = HubHttp()
    async with agent_of(owned(tmp_path), hub) as agent:
        await beat(agent)
        await beat(agent)
    ((question, body, headers),) = hub.asked
    assert question == "POST http://hub-1/edge/config"
    assert msgspec.json.decode(body) == {"node_id": "edge-1"}
    assert headers["authorization"] == "Bearer secret"
    assert headers["x-headwater-node-key"] == "key"
    assert levels == ["error"]
    assert hub.told == [Report(EMPTY_HASH), Report(WANTED.hash, waiting=["buffer_policy"])]
    # And the next start begins with it.
    begun = begin_with(owned(tmp_path))
    assert (begun.settings.buffer_policy, begun.settings.log_level) == ("shed", "error")
    assert levels == ["error", "error"]


async def test_an_edge_whose_owner_wants_none_neither_asks_nor_takes_nor_reports(
    tmp_path: Path, levels: list[str]
) -> None:
    write_last_good(tmp_path, WANTED)  # Of a time when the owner thought otherwise.
    hub, own = HubHttp(), owned(tmp_path, cluster_settings=False)
    assert begin_with(own).settings == own
    async with agent_of(own, hub) as agent:
        await beat(agent)
    assert (hub.told, hub.asked, levels) == ([Report()], [], [])


async def test_a_hub_that_refuses_is_asked_again_and_nothing_changes(
    tmp_path: Path, levels: list[str]
) -> None:
    hub = HubHttp(status=503)
    async with agent_of(owned(tmp_path), hub) as agent:
        await beat(agent)
        assert agent.follower is not None
        with pytest.raises(Unreachable, match="HTTP 503"):
            await agent.ask_hub("hub-1", "/edge/config", b"", 100)
        with pytest.raises(Unreachable, match="not known any more"):
            await agent.ask_hub("hub-2", "/edge/config", b"", 100)
        assert agent.follower.report() == Report(EMPTY_HASH)
    assert levels == []


async def test_the_word_of_a_hub_that_is_no_longer_there_counts_no_more(
    tmp_path: Path, levels: list[str]
) -> None:
    """Another hub answers at its address, and wants nothing."""
    hub = HubHttp(status=503)
    async with agent_of(owned(tmp_path), hub) as agent:
        await beat(agent)
        hub.hub_id, hub.wanted, hub.status = "hub-2", None, 200
        await beat(agent)
        assert agent.follower is not None
        assert agent.follower.wish.next_ask(1e9) is None
        assert not agent.follower.wish.is_content(0.0)
    assert len(hub.asked) == 1
