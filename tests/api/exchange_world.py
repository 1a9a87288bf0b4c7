"""Hubs of this process that share the records of nodes, and what is asked of them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.peering.talk import Talk
from hub.peering.talk_part import TalkPart
from shared.merge import to_bytes
from tests.api.conftest import World
from tests.api.mesh_world import NAMES, Network, config_of, opened, part_in, running, until


@dataclass(kw_only=True)
class Net(Network):
    """Hubs, each with a folder of its own, and what passes between them."""

    folder: Path
    stack: AsyncExitStack

    async def hub(self, name: str) -> World:
        """A hub, with what its folder holds."""
        config = config_of(self.folder, name, synchronous="NORMAL")
        return await opened(self.stack, self.apps, config, self.wire(name))


@pytest.fixture
async def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Net]:
    """Hubs that do everything ten times as often."""
    monkeypatch.setattr("hub.mesh.GOSSIP_SECONDS", 0.1)
    monkeypatch.setattr("hub.peering.talk.ROUND_SECONDS", 0.1)
    monkeypatch.setattr("hub.peering.talk.SWEEP_SECONDS", 0.5)
    monkeypatch.setattr("hub.peering.exchange_pull.WAIT_SECONDS", 0.08)
    async with AsyncExitStack() as stack:
        yield Net(folder=tmp_path, stack=stack)


@pytest.fixture
async def three(net: Net) -> list[World]:
    """All three; they do not run yet."""
    return [await net.hub(name) for name in NAMES]


def talk_of(world: World) -> Talk:
    """The part of a hub that is tested here."""
    return part_in(world, TalkPart).talk


def known_to(world: World) -> dict[str, bytes]:
    """The records of a hub, as bytes."""
    return {node: to_bytes(record) for node, record in world.hub.registry.records.items()}


def agree(*worlds: World) -> bool:
    """All have the same records, and say that the same changes are in them."""
    replicas = [world.hub.registry.replica for world in worlds]
    same_vector = len({each.vector.digest() for each in replicas}) == 1
    return same_vector and all(known_to(each) == known_to(worlds[0]) for each in worlds)


async def until_met(*worlds: World) -> None:
    """Each hub has heard of all others what they have."""
    others = len(worlds) - 1
    await until(lambda: all(len(talk_of(each).exchange.peers) >= others for each in worlds))


@asynccontextmanager
async def meeting(*worlds: World) -> AsyncIterator[None]:
    """The loops of some hubs, once each has heard of all others what they have."""
    async with running(*worlds):
        await until_met(*worlds)
        yield


async def spread(node: str, heard_by: World, *worlds: World) -> None:
    """Have a node beat to one of the hubs, and wait until all of them know it."""
    await heard_by.beat(node)
    await until(lambda: agree(*worlds) and node in known_to(heard_by))


def nothing_was_wrong(*worlds: World) -> bool:
    """None of them has repaired anything, or put anything aside."""
    replicas = [world.hub.registry.replica for world in worlds]
    return not any(sum(each.repaired.values()) or each.parked.total for each in replicas)
