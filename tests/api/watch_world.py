"""Three hubs of this process that watch each other, at a quick pace."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hub.peering.detect_values import LIMITS
from hub.peering.detector import Detector
from hub.peering.watch_part import WatchPart
from tests.api.conftest import ADMIN_TOKEN, World, bearer
from tests.api.mesh_world import NAMES, Network, config_of, opened, part_in, running, until
from tests.api.web_html import Html

QUICK = replace(
    LIMITS,
    probe_seconds=0.1,
    silent_seconds=1.2,
    stable_seconds=0.2,
    observer_silent_seconds=0.6,
    isolated_seconds=0.8,
    unanswered_seconds=1.0,
    start_seconds=1.0,
    ask_seconds=0.2,
    dead_probe_seconds=0.2,
)


def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hubs hear and judge each other faster than they usually do."""
    monkeypatch.setattr("hub.peering.watch_part.LIMITS", QUICK)
    monkeypatch.setattr("hub.mesh.GOSSIP_SECONDS", 0.2)


@dataclass
class Mesh:
    """Three hubs and the network between them."""

    net: Network
    worlds: list[World]

    def states(self, world: World) -> dict[str, str]:
        """What a hub says of the others."""
        return {peer.key: peer.verdict for peer in world.hub.peers.by_url.values()}

    async def see(self, name: str, state: str) -> None:
        """Wait until all others say this of a hub."""
        others = [world for world in self.worlds if world.hub.config.hub_id != name]
        await until(lambda: all(self.states(each).get(name) == state for each in others))

    async def until_all_are_well(self) -> None:
        """Wait until every hub calls every other alive."""
        for name in NAMES:
            await self.see(name, "alive")


@asynccontextmanager
async def watchful(folder: Path, **changes: Any) -> AsyncIterator[Mesh]:
    """Three hubs that run and call each other alive; `changes` are of what they are told."""
    async with AsyncExitStack() as stack:
        net = Network()
        worlds = [
            await opened(stack, net.apps, config_of(folder, name, **changes), net.wire(name))
            for name in NAMES
        ]
        async with running(*worlds):
            made = Mesh(net, worlds)
            await made.until_all_are_well()
            yield made


def detector_of(world: World) -> Detector:
    """What a hub believes of its peers."""
    return part_in(world, WatchPart).watcher.detector


async def page(world: World, path: str) -> str:
    """A page as an administrator sees it; it is sound for browsers and screen readers."""
    shown = await world.client.get(path, headers={**bearer(ADMIN_TOKEN), "accept": "text/html"})
    assert shown.status_code == 200, shown.text
    assert Html(shown.text).problems() == []
    return shown.text
