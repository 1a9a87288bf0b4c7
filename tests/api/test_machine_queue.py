"""Orders that wait for a node that nobody reaches: kept by all hubs, done once, whatever hubs die."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hub.machines.part import MachinePart
from hub.machines.queue_rules import ORDERS_OF_NODE_MAX
from tests.api.conftest import World
from tests.api.machine_world import edge_in, refusal
from tests.api.mesh_world import (
    Network,
    config_of,
    opened,
    own_events,
    part_in,
    running,
    until,
)
from tests.api.test_machine_calls import Fleet


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Two hubs that gossip, and an edge with a machine that runs; no link to either."""
    net, names = Network(), ("hub-1", "hub-2")
    async with AsyncExitStack() as stack, edge_in(tmp_path / "e") as edge:
        configs = [config_of(tmp_path, name, names) for name in names]
        one, two = [await opened(stack, net.apps, each, net.wire(each.hub_id)) for each in configs]
        await stack.enter_async_context(running(one, two))
        await edge.make()
        for world in (one, two):
            await edge.beat(world)
        yield Fleet(one, two, edge, net)


def waits_on(world: World) -> list[str]:
    return [each.id for each in part_in(world, MachinePart).queue.waiting("edge-1")]


def state_of(fleet: Fleet) -> str:
    [machine] = fleet.edge.service.summary()
    return str(machine["state"])


async def stops(fleet: Fleet) -> int:
    listed = await fleet.edge.service.call("op.list", {"vm": "box"})
    return sum(each["method"] == "vm.stop" for each in listed["items"])


async def ended(fleet: Fleet) -> None:
    """Wait until what the edge was told to do is done."""
    listed = await fleet.edge.service.call("op.list", {"vm": "box"})
    for each in listed["items"]:
        await fleet.edge.service.call("op.wait", {"op_id": each["op_id"], "timeout_s": 30})


async def queue_stop(world: World, **more: Any) -> dict[str, Any]:
    order = {"vm": "box", "mode": "force", "queue": True, "request_id": "q-1", **more}
    answer: dict[str, Any] = await world.call("vm.stop", **order)
    return answer


async def test_an_order_waits_shows_and_is_done_once_through_any_hub(fleet: Fleet) -> None:
    """The hub that took it dies; the other one hands it over."""
    order = await queue_stop(fleet.one)
    assert (order["state"], order["queued"], order["request_id"]) == ("queued", True, "q-1")
    assert (order["requested_by"], order["via_hub"]) == ("admin", "hub-1")
    await until(lambda: waits_on(fleet.two) == ["q-1"])
    [shown] = (await fleet.two.call("vm.list"))["items"]
    assert [each["request_id"] for each in shown["intent_pending"]] == ["q-1"]
    [waiting] = (await fleet.two.call("vm.queue.list", vm=shown["id"]))["items"]
    assert (waiting["method"], waiting["node_id"]) == ("vm.stop", "edge-1")
    fleet.net.down.add("hub-1")
    assert await fleet.edge.beat(fleet.two) == ["q-1"]
    await ended(fleet)
    assert (state_of(fleet), await stops(fleet)) == ("stopped", 1)
    assert await fleet.edge.beat(fleet.two) == []
    await until(lambda: waits_on(fleet.two) == [])
    done = await own_events(fleet.two, "vm.order.done")
    assert [each["attributes"]["op.request_id"] for each in done] == ["q-1"]


async def test_both_hubs_hand_it_over_and_it_happens_once(fleet: Fleet) -> None:
    """Also when the agent has forgotten between the two that it was given it."""
    await queue_stop(fleet.one)
    await until(lambda: waits_on(fleet.two) == ["q-1"])
    assert await fleet.edge.beat(fleet.one) == ["q-1"]
    await ended(fleet)
    await fleet.edge.service.call("vm.start", {"vm": "box", "wait_s": 30})
    fleet.edge.queued._taken.clear()
    assert await fleet.edge.beat(fleet.two) == ["q-1"]
    await ended(fleet)
    assert (state_of(fleet), await stops(fleet)) == ("running", 1)


async def test_the_same_order_through_both_hubs_is_one(fleet: Fleet) -> None:
    """While they cannot hear each other."""
    fleet.net.cut.add(frozenset(("hub-1", "hub-2")))
    await queue_stop(fleet.one)
    await queue_stop(fleet.two)
    again = await queue_stop(fleet.two)
    assert again["state"] == "queued"
    fleet.net.cut.clear()
    assert await fleet.edge.beat(fleet.two) == ["q-1"]
    assert await fleet.edge.beat(fleet.one) in (["q-1"], [])
    await ended(fleet)
    assert await stops(fleet) == 1
    await until(lambda: waits_on(fleet.one) == waits_on(fleet.two) == [])
    over = await queue_stop(fleet.one)
    assert (over["state"], over["queued"]) == ("over", False)


async def test_an_order_is_cancelled_through_any_hub(fleet: Fleet) -> None:
    await queue_stop(fleet.one)
    await until(lambda: waits_on(fleet.two) == ["q-1"])
    gone = await fleet.two.call("vm.queue.cancel", request_id="q-1")
    assert (gone["cancelled"], gone["vm_id"] != "") == (True, True)
    await until(lambda: waits_on(fleet.one) == [])
    assert await fleet.edge.beat(fleet.one) == []
    assert (state_of(fleet), await stops(fleet)) == ("running", 0)
    said = await refusal(fleet.one, "vm.queue.cancel", request_id="q-1")
    assert said["kind"] == "not_found"
    assert len(await own_events(fleet.two, "vm.order.cancelled")) == 1


async def test_an_order_that_comes_too_late_is_dropped_and_told(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue_stop(fleet.one, queue_s=60)
    queue = part_in(fleet.one, MachinePart).queue
    later = queue.wall_ms() + 61_000
    monkeypatch.setattr(queue, "wall_ms", lambda: later)
    assert await fleet.edge.beat(fleet.one) == []
    await queue.step()
    record = fleet.one.hub.registry.records["edge-1"]
    assert record.intent_value(queue.field_name) == {"orders": [], "over": {}}
    [told] = await own_events(fleet.one, "vm.order.expired")
    assert (told["attributes"]["op.request_id"], await stops(fleet)) == ("q-1", 0)


async def test_what_the_node_refuses_is_over_and_says_why(fleet: Fleet) -> None:
    """Asked of a machine that is gone by then."""
    await queue_stop(fleet.one)
    await fleet.edge.service.call("vm.delete", {"vm": "box", "force": True, "wait_s": 30})
    assert await fleet.edge.beat(fleet.one) == ["q-1"]
    assert await fleet.edge.beat(fleet.one) == []
    await until(lambda: waits_on(fleet.one) == [])
    [told] = await own_events(fleet.one, "vm.order.refused")
    assert "not_found" in told["attributes"]["why"]


async def test_a_node_that_is_reached_is_not_made_to_wait(fleet: Fleet) -> None:
    async with fleet.edge.linked(fleet.two):
        done = await queue_stop(fleet.one, wait_s=30)
    assert (done["state"], done["path"]["served_by"]) == ("done", "hub-2")
    assert waits_on(fleet.one) == []


async def test_an_order_whose_answer_was_lost_may_wait_and_happens_once(fleet: Fleet) -> None:
    async with fleet.edge.linked(fleet.one, "answers"):
        order = await queue_stop(fleet.one)
    assert order["state"] == "queued"
    assert await fleet.edge.beat(fleet.one) == ["q-1"]
    await ended(fleet)
    assert await stops(fleet) == 1


async def test_what_waits_is_bounded_and_one_id_is_one_order(fleet: Fleet) -> None:
    for number in range(ORDERS_OF_NODE_MAX):
        await queue_stop(fleet.one, request_id=f"q-{number}")
    said = await refusal(fleet.one, "vm.stop", vm="box", queue=True, mode="force")
    assert (said["kind"], said["limit"]) == ("quota", ORDERS_OF_NODE_MAX)
    other = await refusal(fleet.one, "vm.start", vm="box", queue=True, request_id="q-1")
    assert other["kind"] == "conflict"


async def test_a_bulk_order_may_wait_as_well(fleet: Fleet) -> None:
    order = {"action": "stop", "ids": ["box"], "options": {"queue": True, "mode": "force"}}
    done = await fleet.one.call("vm.bulk", **order, wait_s=30)
    assert (done["state"], done["counts"]) == ("done", {"queued": 1})
    assert await fleet.edge.beat(fleet.one) == [done["items"][0]["request_id"]]


async def test_nothing_waits_for_a_node_that_was_removed(fleet: Fleet) -> None:
    """Also when it is let back: whoever removed it did not mean that it goes on."""
    await queue_stop(fleet.one)
    await fleet.one.call("node.remove", node="edge-1", force=True)
    assert waits_on(fleet.one) == []
    said = await refusal(fleet.one, "vm.stop", vm="box", node="edge-1", queue=True)
    assert (said["kind"], "lets it back" in said["message"]) == ("not_found", True)
    await fleet.one.call("node.register", node="edge-1")
    assert waits_on(fleet.one) == []


async def test_a_hub_that_starts_again_still_has_what_waits(tmp_path: Path) -> None:
    net = Network()
    async with edge_in(tmp_path / "e") as edge:
        await edge.make()
        async with AsyncExitStack() as stack:
            config = config_of(tmp_path, "hub-1", ())
            world = await opened(stack, net.apps, config, net.wire("hub-1"))
            await edge.beat(world)
            await queue_stop(world)
        async with AsyncExitStack() as stack:
            world = await opened(stack, net.apps, config, net.wire("hub-1"))
            assert waits_on(world) == ["q-1"]
            assert await edge.beat(world) == ["q-1"]
