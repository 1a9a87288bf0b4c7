"""A removed hub that settings still name, under an address of its own for each hub: it counts nowhere."""

from dataclasses import replace
from typing import Any

from hub.app import asgi_app
from hub.hub import Hub
from hub.nodes.grave_part import GravePart
from hub.peering.farewell import Farewell
from hub.peering.farewell_part import FarewellPart
from shared.stamp import Stamp
from tests.api.conftest import Log, World
from tests.api.mesh_world import running, until
from tests.api.test_removed_hubs import is_down, names
from tests.api.test_taken_over_hubs import Cluster, cluster, mixed, take_in

__all__ = ["cluster"]

ALIAS = "http://alias-2"
GONE = Farewell("hub-2", 1, Stamp(1, 0, "hub-3"), gone=True, why="sold", url="http://hub-2")
"""Decided at a hub that knew the removed one under the address which it gave itself."""


def part_of(world: World, kind: type[Any]) -> Any:
    return next(part for part in world.hub.parts if isinstance(part, kind))


async def sent_away(world: World) -> None:
    await part_of(world, FarewellPart)._keep([GONE])


async def first_knows_second(cluster: Cluster) -> tuple[World, World]:
    """Two hubs; the first one's settings name the second by an alias."""
    one, two = await cluster.hub("hub-1", "alias-2"), await cluster.hub("hub-2", "hub-1")
    cluster.apps["alias-2"] = cluster.apps["hub-2"]
    return one, two


async def restarted(cluster: Cluster, world: World, *peers: str, url: str = "") -> World:
    """The same hub in its next life, with other peers in its settings if there are any."""
    config, runtime = world.hub.config, world.hub.runtime
    await world.hub.close()
    if peers:
        config = replace(config, peers=list(peers), url=url or config.url)
    again = World(await Hub.open(config, runtime), world.app, world.client)
    cluster.stack.push_async_callback(again.hub.close)
    return again


async def removed(world: World) -> list[tuple[str, list[str]]]:
    """Who is gone, and which addresses in the settings lead there."""
    told = (await world.hub.fleet.hub_list({}))["removed"]
    return [(each["hub"], each["urls"]) for each in told]


async def counts_nowhere(world: World) -> None:
    """No peer, no copy that is missing, no grave that must wait; what comes in is safe."""
    assert names(world) == set()
    assert world.hub.store.ledger.peers == {}
    assert part_of(world, GravePart).hubs() == set()
    await take_in(world, mixed(Log(), 3))
    assert world.hub.store.ledger.safe_arrival >= world.hub.store.head_arrival > 0


async def test_after_a_restart_the_other_address_of_a_removed_hub_counts_nowhere(
    cluster: Cluster,
) -> None:
    """Nobody answers there any more; that it was hub-2 is remembered."""
    one, two = await first_knows_second(cluster)
    async with running(one, two):
        await until(lambda: names(one) == {"hub-2"})
        cluster.apps.clear()
        await is_down(one, "hub-2")
        await sent_away(one)
        assert await removed(one) == [("hub-2", [ALIAS])]
    again = await restarted(cluster, one)
    async with running(again):
        await until(lambda: names(again) == set())
        assert await removed(again) == [("hub-2", [ALIAS])]
        await counts_nowhere(again)


async def test_whoever_answers_as_a_removed_hub_counts_nowhere_from_then_on(
    cluster: Cluster,
) -> None:
    """The address came into the settings after the removal."""
    first, two = await first_knows_second(cluster)
    first = await restarted(cluster, first, "http://nobody")
    first.hub.peers.by_url.clear()
    first.hub.store.ledger.peers.clear()
    await sent_away(first)
    one = await restarted(cluster, first, ALIAS)
    assert names(one) == {ALIAS}
    async with running(one, two):
        await until(lambda: names(one) == set())
        assert await removed(one) == [("hub-2", [ALIAS])]
        await counts_nowhere(one)
    cluster.apps.clear()
    again = await restarted(cluster, one)
    async with running(again):
        await until(lambda: names(again) == set())
        assert again.hub.store.ledger.peers == {}


async def test_a_removed_hub_that_speaks_where_nobody_reaches_it_counts_nowhere(
    cluster: Cluster,
) -> None:
    """It has moved since, the settings name its new address, and it is refused."""
    first, two = await cluster.hub("hub-1"), await cluster.hub("hub-2", "hub-1")
    await sent_away(first)
    one = await restarted(cluster, first, "http://moved-2")
    cluster.apps["hub-1"] = asgi_app(one.hub)
    two = await restarted(cluster, two, "http://hub-1", url="http://moved-2")
    del cluster.apps["hub-2"]
    async with running(one, two):
        await until(lambda: names(one) == set())
        assert await removed(one) == [("hub-2", ["http://moved-2"])]
        await counts_nowhere(one)


async def test_an_admitted_hub_is_met_again_where_the_settings_name_it(cluster: Cluster) -> None:
    """Where it says that it is, nobody of this hub's network reaches it."""
    one, two = await first_knows_second(cluster)
    async with running(one, two):
        await until(lambda: names(one) == {"hub-2"})
    await sent_away(one)
    del cluster.apps["hub-2"]
    again = await restarted(cluster, one)
    async with running(again):
        await until(lambda: names(again) == set())
        await part_of(again, FarewellPart).admit({"hub": "hub-2"})
        await until(lambda: names(again) == {"hub-2"})
        assert [*again.hub.peers.by_url] == [ALIAS]
        assert await removed(again) == []


async def test_an_address_is_forgotten_once_no_setting_names_it(cluster: Cluster) -> None:
    one, two = await first_knows_second(cluster)
    async with running(one, two):
        await until(lambda: names(one) == {"hub-2"})
    await sent_away(one)
    again = await restarted(cluster, one, "http://nobody")
    assert await removed(again) == [("hub-2", [])]
    assert (await again.hub.fleet.hub_list({}))["removed"][0]["why"] == "sold"
