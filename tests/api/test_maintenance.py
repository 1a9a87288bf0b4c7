"""A node that people work on: emptied, and afterwards as it was."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.describe import maintenance_of
from tests.api.conftest import World
from tests.api.machine_world import SPEC, Edge, edge_in, refusal
from tests.api.mesh_world import Network, config_of, opened, running, until


@dataclass
class Fleet:
    """Two hubs, and a node with three VMs of which two run."""

    one: World
    two: World
    edge: Edge

    async def beat(self) -> None:
        for world in (self.one, self.two):
            await self.edge.beat(world)

    def states(self) -> dict[str, str]:
        return {vm["name"]: vm["state"] for vm in self.edge.service.summary()}


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    net, names = Network(), ("hub-1", "hub-2")
    async with AsyncExitStack() as stack, edge_in(tmp_path / "e") as edge:
        configs = [config_of(tmp_path, name, names) for name in names]
        one, two = [await opened(stack, net.apps, each, net.wire(each.hub_id)) for each in configs]
        await stack.enter_async_context(running(one, two))
        for name in ("a", "b", "c"):
            await edge.make(name)
        await edge.service.call("vm.stop", {"vm": "c", "wait_s": 30})
        fleet = Fleet(one, two, edge)
        await fleet.beat()
        async with edge.linked(one):
            yield fleet


async def test_it_stops_what_runs_takes_nothing_new_and_says_by_whom_and_why(fleet: Fleet) -> None:
    order = {"node": "edge-1", "why": "new disk", "wait_s": 30}
    began = await fleet.one.call("node.maintenance", **order)
    said = await refusal(fleet.one, "vm.create", node="edge-1", spec={**SPEC, "name": "d"})
    assert (began["stopping"]["state"], began["stopping"]["progress"]) == ("done", 100)
    assert fleet.states() == {"a": "stopped", "b": "stopped", "c": "stopped"}
    assert (said["kind"], began["draining"]) == ("invalid_state", True)
    told = began["maintenance"]
    assert (told["why"], len(told["vms"]), bool(told["since"])) == ("new disk", 2, True)


async def test_its_end_through_another_hub_starts_those_that_ran_and_no_other(fleet: Fleet) -> None:
    await fleet.one.call("node.maintenance", node="edge-1", wait_s=30)
    await fleet.one.call("node.maintenance", node="edge-1", wait_s=30)
    await fleet.beat()
    await until(lambda: maintenance_of(fleet.two.hub.registry.records["edge-1"]) is not None)
    ended = await fleet.two.call("node.maintenance", node="edge-1", on=False, wait_s=30)
    assert ended["starting"]["counts"] == {"done": 2}
    assert fleet.states() == {"a": "running", "b": "running", "c": "stopped"}
    assert (ended["maintenance"], ended["draining"]) == (None, False)


async def test_its_end_starts_nothing_where_that_is_asked(fleet: Fleet) -> None:
    await fleet.one.call("node.maintenance", node="edge-1", wait_s=30)
    ended = await fleet.one.call("node.maintenance", node="edge-1", on=False, start_vms=False)
    assert "starting" not in ended
    assert set(fleet.states().values()) == {"stopped"}
    again = await fleet.one.call("node.maintenance", node="edge-1", on=False)
    assert "starting" not in again


async def test_a_guest_that_does_not_stop_is_told_with_how_far_it_is(fleet: Fleet) -> None:
    fleet.edge.scripted.is_stubborn = True
    began = await fleet.one.call("node.maintenance", node="edge-1", wait_s=0)
    op_id = began["stopping"]["op_id"]
    shown = began["stopping"]
    while shown["counts"].get("done") != 1:  # The one that was stopped already.
        shown = await fleet.one.call("op.wait", op_id=op_id, timeout_s=0.05)
    assert (shown["state"], shown["progress"], shown["stage"]) == ("running", 33, "1 of 3 VMs")
    forced = await fleet.one.call(
        "vm.bulk", action="stop", ids=["a", "b"], options={"mode": "force"}
    )
    assert forced["counts"] == {"done": 2}
    over = await fleet.one.call("op.wait", op_id=op_id, timeout_s=30)
    assert over["total"] == 3


async def test_a_drain_ends_by_the_same_call(fleet: Fleet) -> None:
    began = await fleet.one.call("node.drain", node="edge-1")
    ended = await fleet.one.call("node.drain", node="edge-1", on=False)
    assert (began["draining"], ended["draining"]) == (True, False)
    said = await refusal(fleet.one, "node.drain", node="edge-1", on=False, stop_vms=True)
    assert said["kind"] == "invalid_params"


async def test_a_node_that_nobody_knows_is_refused(fleet: Fleet) -> None:
    assert (await refusal(fleet.one, "node.maintenance", node="edge-9"))["kind"] == "not_found"
