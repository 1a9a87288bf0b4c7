"""Hubs that come back at another address: found by what they say, whoever names the old one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from hub.store.hub_table import load_peers
from tests.api.conftest import World
from tests.api.mesh_world import NAMES, Network, config_of, opened, running, until
from tests.api.test_cloned_edges import edge_at
from tests.api.watch_world import quick_watch

OLD, NEW = "http://hub-3", "http://hub-3b"


@pytest.fixture
async def net(monkeypatch: pytest.MonkeyPatch) -> Network:
    quick_watch(monkeypatch)
    monkeypatch.setattr("hub.mesh.GOSSIP_SECONDS", 0.1)
    return Network()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as held:
        yield held


def known(world: World) -> dict[str, str]:
    """Each hub that answers, and where."""
    return {p.hub_id: p.url for p in world.hub.peers.by_url.values() if p.is_alive and p.hub_id}


def stored(world: World) -> dict[str, str]:
    """The same as a restart would find it."""
    with world.hub.footing.database.reading() as connection:
        return {peer.hub_id: peer.url for peer in load_peers(connection)}


async def hub_at(
    net: Network, stack: AsyncExitStack, folder: Path, name: str, *names: str
) -> World:
    return await opened(stack, net.apps, config_of(folder, name, names), net.wire(name))


async def moved(net: Network, stack: AsyncExitStack, folder: Path) -> World:
    """The third hub with its own disk, at a new address, told of the first hub alone."""
    config = replace(config_of(folder, "hub-3", ["hub-1"]), url=NEW)
    world = await opened(stack, net.apps, config, net.wire("hub-3"))
    net.apps["hub-3b"] = net.apps.pop("hub-3")
    return world


async def apart(net: Network, world: World) -> None:
    """This hub is stopped, and nobody listens at its address any more."""
    await world.hub.close()
    net.apps.pop("hub-3")


@pytest.mark.parametrize("configured", [True, False])
async def test_all_hubs_find_one_that_moved(
    net: Network, stack: AsyncExitStack, tmp_path: Path, configured: bool
) -> None:
    """Also those whose settings name its old address: they go on to ask who is there."""
    others = NAMES if configured else NAMES[:2]
    one, two = [await hub_at(net, stack, tmp_path, name, *others) for name in NAMES[:2]]
    three = await hub_at(net, stack, tmp_path, "hub-3", "hub-1")
    async with running(one, two):
        async with running(three):
            await until(lambda: known(one).get("hub-3") == known(two).get("hub-3") == OLD)
        await apart(net, three)
        again = await moved(net, stack, tmp_path)
        async with running(again):
            await until(lambda: known(one).get("hub-3") == known(two).get("hub-3") == NEW)
            await until(lambda: stored(one)["hub-3"] == stored(two)["hub-3"] == NEW)
            for world in (one, two):
                peers = world.hub.peers.by_url
                assert (OLD in peers) == configured
                assert [peer.url for peer in peers.values() if peer.hub_id == "hub-3"] == [NEW]


async def test_a_hub_that_returns_to_the_address_in_the_settings_is_known_there_alone(
    net: Network, stack: AsyncExitStack, tmp_path: Path
) -> None:
    one = await hub_at(net, stack, tmp_path, "hub-1", "hub-3")
    three = await hub_at(net, stack, tmp_path, "hub-3", "hub-1")
    async with running(one):
        async with running(three):
            await until(lambda: known(one) == {"hub-3": OLD})
        await apart(net, three)
        away = await moved(net, stack, tmp_path)
        async with running(away):
            await until(lambda: known(one) == {"hub-3": NEW})
        await away.hub.close()
        net.apps.pop("hub-3b")
        back = await hub_at(net, stack, tmp_path, "hub-3", "hub-1")
        async with running(back):
            await until(lambda: known(one) == {"hub-3": OLD})
            await until(lambda: [*one.hub.peers.by_url] == [OLD])
            assert set(one.hub.store.ledger.peers) == {"hub-3"}


async def test_a_hub_that_starts_with_the_old_address_hears_of_the_new_one_from_another(
    net: Network, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """It was stopped while the other one moved."""
    one, two = [await hub_at(net, stack, tmp_path, name, *NAMES) for name in NAMES[:2]]
    three = await hub_at(net, stack, tmp_path, "hub-3", "hub-1")
    async with running(one):
        async with running(two, three):
            await until(lambda: known(one).get("hub-3") == known(two).get("hub-3") == OLD)
            await until(lambda: "hub-3" in stored(two))
        await two.hub.close()
        await apart(net, three)
        again = await moved(net, stack, tmp_path)
        async with running(again):
            await until(lambda: known(one).get("hub-3") == NEW)
            late = await hub_at(net, stack, tmp_path, "hub-2", "hub-1", "hub-3")
            async with running(late):
                await until(lambda: known(late) == {"hub-1": "http://hub-1", "hub-3": NEW})


async def test_one_that_answers_is_not_known_under_a_second_address(
    net: Network, stack: AsyncExitStack, tmp_path: Path
) -> None:
    """It says that it is where it is not found under another name of the same machine."""
    one = await hub_at(net, stack, tmp_path, "hub-1", "hub-3")
    config = replace(config_of(tmp_path, "hub-3", ["hub-1"]), url=NEW)
    three = await opened(stack, net.apps, config, net.wire("hub-3"))
    net.apps["hub-3b"] = net.apps["hub-3"]
    async with running(one, three):
        await until(lambda: known(one) == {"hub-3": OLD})
        one.hub.mesh.meet({"hub-3": NEW})
        assert [*one.hub.peers.by_url] == [OLD]


@pytest.mark.parametrize("told_of", [["http://hub-1"], ["http://hub-1", OLD]])
async def test_edges_follow_a_hub_that_moved(
    net: Network, stack: AsyncExitStack, tmp_path: Path, told_of: list[str]
) -> None:
    """One hub that they still reach tells them; an address in their settings is asked on who is there."""
    one = await hub_at(net, stack, tmp_path, "hub-1")
    three = await hub_at(net, stack, tmp_path, "hub-3", "hub-1")
    (tmp_path / "edge").mkdir()
    async with running(one), edge_at(tmp_path / "edge", net.apps, told_of) as edge:

        def answering() -> dict[str, str]:
            edge.heartbeats.beat_now()
            return {v.hub_id: v.url for v in edge.hubs.views.values() if v.is_answering}

        async with running(three):
            await until(lambda: answering().get("hub-3") == OLD)
        await apart(net, three)
        again = await moved(net, stack, tmp_path)
        async with running(again):
            await until(lambda: answering() == {"hub-1": "http://hub-1", "hub-3": NEW})
            assert (OLD in edge.hubs.views) == (OLD in told_of)
            await until(lambda: again.counted("heartbeats") > 5 and answering().get("hub-3") == NEW)
