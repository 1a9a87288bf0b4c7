"""Three hubs share the records of nodes: pushed at once, fetched when missed, also by way of a third."""

import asyncio
from itertools import permutations
from typing import Any

from hub.peering.exchange_take import merge_in
from shared.merge import DRAINING, LABELS, Intent, NodeRecord, to_bytes
from shared.stamp import Stamp
from tests.api.conftest import World
from tests.api.exchange_world import (
    Net,
    agree,
    known_to,
    meeting,
    net,
    nothing_was_wrong,
    spread,
    three,
)
from tests.api.mesh_world import NAMES, running, until

__all__ = ["net", "three"]


async def test_what_one_hub_hears_and_is_told_is_pushed_to_all(
    net: Net, three: list[World]
) -> None:
    one, two, _ = three
    async with meeting(*three):
        await one.beat("edge-1")
        await two.call("node.list")
        await until(lambda: all("edge-1" in known_to(each) for each in three))
        await two.call("node.label", node="edge-1", labels={"rack": "7"})
        await until(lambda: agree(*three))
        record = one.hub.registry.records["edge-1"]
        assert record.intent_value(LABELS) == {"rack": "7"}
    assert {(by, to) for by, to, path in net.posts if path == "peer/nodes"} >= {
        ("hub-1", "hub-2"),
        ("hub-1", "hub-3"),
        ("hub-2", "hub-1"),
    }
    assert nothing_was_wrong(*three)


async def test_most_beats_change_no_record_and_the_newest_is_shown_where_it_was_heard(
    three: list[World],
) -> None:
    """Every hub hears every node; a beat that brings no news of its own is not told to the others."""
    one, two, _ = three

    def told() -> int:
        return sum(world.hub.registry.replica.seq for world in three)

    async with meeting(*three):
        for world in three:
            await world.beat("edge-1", beat=1)
        await until(lambda: not any(each.hub.registry.is_missed("edge-1") for each in three))
        before = told()
        for number in range(2, 6):
            for world in three:
                await world.beat("edge-1", beat=number, load={"cpu_ratio": number / 10})
        await until(lambda: agree(*three))
        assert told() == before
        shown = await one.call("node.get", node="edge-1")
        assert (shown["beat"], shown["load"], shown["last_seen_by"]) == (
            5,
            {"cpu_ratio": 0.5},
            "hub-1",
        )
        await one.beat("edge-1", incarnation=2, beat=1)
        await until(
            lambda: two.hub.registry.newest("edge-1") != two.hub.registry.fresh.get("edge-1")
        )
        assert (await two.call("node.get", node="edge-1"))["incarnation"] == 2


async def test_a_node_that_a_peer_does_not_hear_is_told_of_with_every_beat(
    three: list[World],
) -> None:
    one, two, _ = three
    one.hub.registry.is_missed = lambda node: node == "edge-1"
    async with meeting(*three):
        for number in range(1, 4):
            await one.beat("edge-1", beat=number)
            await until(lambda number=number: _beat_at(two, "edge-1") == number)  # type: ignore[misc]


def _beat_at(world: World, node: str) -> int:
    seen = world.hub.registry.newest(node)
    return seen.beat if seen else 0


async def test_changes_find_their_way_around_a_link_that_is_cut(
    net: Net, three: list[World]
) -> None:
    one, _, other = three
    net.cut.add(frozenset(("hub-1", "hub-3")))
    async with running(*three):
        await one.beat("edge-1")
        await other.beat("edge-3")
        await until(lambda: agree(*three) and known_to(one).keys() == {"edge-1", "edge-3"})
        assert not any({by, to} == {"hub-1", "hub-3"} for by, to, _ in net.posts)
    assert nothing_was_wrong(*three)


async def test_what_was_lost_on_its_way_is_asked_for(net: Net, three: list[World]) -> None:
    async with meeting(*three):
        net.lost.add("peer/nodes")
        for number in range(20):
            await three[number % 3].beat(f"edge-{number}")
        ways = {(one, two, "peer/nodes") for one, two in permutations(NAMES, 2)}
        await until(lambda: net.losses == ways)
        net.lost.clear()
        await until(lambda: agree(*three) and len(known_to(three[0])) == 20)
    assert nothing_was_wrong(*three)


async def test_a_hub_that_starts_again_has_what_it_had_and_fetches_the_rest(
    net: Net, three: list[World]
) -> None:
    one, two, third = three
    async with meeting(*three):
        await spread("edge-1", one, *three)
    await third.hub.close()
    del net.apps["hub-3"]
    async with running(one, two):
        await two.beat("edge-2")
        await until(lambda: agree(one, two) and len(known_to(one)) == 2)
        again = await net.hub("hub-3")
        assert known_to(again).keys() == {"edge-1"}
        assert again.hub.registry.replica.own[1] != third.hub.registry.replica.own[1]
        async with running(again):
            await until(lambda: agree(one, two, again))
    assert nothing_was_wrong(one, two, again)


async def test_records_of_an_older_release_are_taken_over(net: Net) -> None:
    """They have no numbers: the hub that has them makes them changes of its own."""
    one = await net.hub("hub-1")
    await one.hub.close()
    old = to_bytes(NodeRecord("edge-1"))
    one = await net.hub("hub-1")
    write = one.hub.saving.database.write
    await write(lambda db: db.execute("INSERT INTO node VALUES ('edge-1', ?)", (old,)).rowcount)
    await one.hub.close()
    one, two = await net.hub("hub-1"), await net.hub("hub-2")
    async with running(one, two):
        await until(lambda: agree(one, two) and known_to(two) == {"edge-1": old})
    assert nothing_was_wrong(one, two)


async def test_a_record_that_differs_though_nothing_says_so_is_repaired_and_reported(
    three: list[World],
) -> None:
    """What must never be: a change that no number stands for. The sweep finds it, and says so."""
    async with meeting(*three):
        await spread("edge-1", three[0], *three)
        replica = three[0].hub.registry.replica
        draining = NodeRecord("edge-1", intent=_order())
        assert merge_in(replica, "edge-1", draining)
        await until(lambda: agree(*three) and _is_draining(three[2]))
        repairs = [sum(each.hub.registry.replica.repaired.values()) for each in three]
        assert sum(repairs) >= 1
        found: list[Any] = []
        async with asyncio.timeout(20):
            while not found:
                for world in three:
                    told = await world.call("event.list", type="gossip.repaired", start="-1h")
                    found += told["items"]
                await asyncio.sleep(0.1)
        assert found[0]["attributes"]["records"] >= 1


def _order() -> dict[str, Any]:
    return {DRAINING: Intent(True, Stamp(1, 0, "hub-1"))}


def _is_draining(world: World) -> bool:
    registry = world.hub.registry
    return registry.is_draining(registry.records["edge-1"])


async def test_the_changes_of_a_hub_that_was_given_up_become_those_of_another(
    net: Net, three: list[World]
) -> None:
    one, two, third = three
    async with meeting(*three):
        await spread("edge-3", third, *three)
    gone = third.hub.registry.replica.own
    del net.apps["hub-3"]
    async with running(one, two):
        await one.hub.mesh.forget(one.hub.peers.by_url["http://hub-3"])
        await until(lambda: gone not in two.hub.registry.replica.vector.ranges)
        await until(lambda: agree(one, two))
        assert known_to(two).keys() == {"edge-3"}
    assert nothing_was_wrong(one, two)
