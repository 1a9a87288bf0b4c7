"""A hub that people have sent away stays away: everywhere, after restarts, until it is admitted."""

from pathlib import Path

import pytest

from hub.hub import Hub
from hub.store.farewell_table import load_farewells
from tests.api.conftest import Log, World
from tests.api.mesh_world import running, until
from tests.api.test_taken_over_hubs import Cluster, cluster, mixed, take_in

__all__ = ["cluster"]


def names(world: World) -> set[str]:
    """The peers that a hub has."""
    return {peer.key for peer in world.hub.peers.by_url.values()}


async def three(cluster: Cluster) -> tuple[World, World, World]:
    one = await cluster.hub("hub-1", "hub-2", "hub-3")
    return one, await cluster.hub("hub-2", "hub-1"), await cluster.hub("hub-3", "hub-1")


async def is_down(world: World, hub: str) -> None:
    peer = world.hub.peers.by_id(hub)
    assert peer is not None
    await until(lambda: peer.verdict in {"avoid", "dead"})


async def test_a_removed_hub_is_gone_everywhere_and_kept_out_until_it_is_admitted(
    cluster: Cluster,
) -> None:
    """Told at one hub; the others do not teach it again, and its own word is refused."""
    one, two, three_ = await three(cluster)
    async with running(one, two, three_):
        await until(lambda: names(two) == {"hub-1", "hub-3"})
        async with cluster.away("hub-3"):
            await is_down(one, "hub-3")
            answer = await one.call("peers.remove", hub="hub-3", why="it was sold")
            assert answer == {"removed": "hub-3"}
            await until(lambda: names(one) == {"hub-2"} and names(two) == {"hub-1"})
        await until(
            lambda: "was removed from this mesh through hub-1 (it was sold)" in said(three_)
        )
        assert names(one) == {"hub-2"}
        assert names(two) == {"hub-1"}
        status = await two.call("hub.status")
        assert [each["hub"] for each in status["removed_hubs"]] == ["hub-3"]
        assert await two.call("peers.admit", hub="hub-3") == {"admitted": "hub-3"}
        await until(lambda: names(one) == {"hub-2", "hub-3"} and names(two) == {"hub-1", "hub-3"})


def said(world: World) -> str:
    """What the peers of a hub have answered it."""
    return " ".join(peer.error for peer in world.hub.peers.by_url.values())


async def test_nothing_waits_for_the_copies_of_a_removed_hub(cluster: Cluster) -> None:
    """What was unsafe for want of it is safe at once."""
    one, two = await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2", "hub-1")
    async with running(one, two):
        await until(lambda: names(one) == {"hub-2"})
        async with cluster.away("hub-2"):
            await is_down(one, "hub-2")
            await take_in(one, mixed(Log(), 3))
            assert one.hub.store.ledger.safe_arrival == 0
            await one.call("peers.remove", hub="hub-2")
            assert one.hub.store.ledger.safe_arrival >= one.hub.store.head_arrival > 0


async def test_a_hub_with_chunks_that_never_came_is_not_removed_by_mistake(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2", "hub-1")
    async with running(one, two):
        await until(lambda: names(one) == {"hub-2"})
        async with cluster.away("hub-2"):
            await is_down(one, "hub-2")
            peer = one.hub.peers.by_id("hub-2")
            assert peer is not None
            peer.head_arrival = peer.pulled_arrival + 7
            refused = await one.refusal("peers.remove", hub="hub-2")
            assert "7 chunks of hub-2 never came here" in refused["message"]
            assert refused["data"]["kind"] == "invalid_state"
            await one.call("peers.remove", hub="hub-2", lose=True)


async def test_who_cannot_be_removed_is_said(cluster: Cluster) -> None:
    """A live hub, the hub that is asked, one that nobody knows; and nobody is admitted by mistake."""
    one, two = await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2", "hub-1")
    async with running(one, two):
        peer_is_alive = lambda: any(p.verdict == "alive" for p in one.hub.peers.by_url.values())  # noqa: E731
        await until(peer_is_alive)
        for hub, words in {
            "hub-1": "is this hub",
            "hub-2": "is alive: stop it first",
            "hub-9": "is unknown",
            "a b": "hub",
        }.items():
            assert words in (await one.refusal("peers.remove", hub=hub))["message"]
        assert "was removed" in (await one.refusal("peers.admit", hub="hub-2"))["message"]


async def test_a_restart_does_not_let_it_in(cluster: Cluster, tmp_path: Path) -> None:
    """Not even where the settings name its address."""
    one, two = await cluster.hub("hub-1", "hub-2"), await cluster.hub("hub-2", "hub-1")
    async with running(one, two):
        await until(lambda: names(one) == {"hub-2"})
        async with cluster.away("hub-2"):
            await is_down(one, "hub-2")
            await one.call("peers.remove", hub="hub-2")
    config, runtime = one.hub.config, one.hub.runtime
    await one.hub.close()
    again = await Hub.open(config, runtime)
    cluster.stack.push_async_callback(again.close)
    with again.footing.database.reading() as connection:
        assert [word.hub for word in load_farewells(connection)] == ["hub-2"]
    assert again.mesh.refusal("hub-2")
