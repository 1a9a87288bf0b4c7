"""Machines that no record knows are found, and taken up as they are."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.vm.driver import Observed
from edge.vm.model import State
from tests.api.conftest import World
from tests.api.machine_world import SPEC, Edge, edge_in, refusal
from tests.api.mesh_world import Network, config_of, opened, running
from tests.unit.vm.fake_driver import Machine

LOST = "0123456789abcdef0123456789abcdef"


@dataclass
class Site:
    """Two hubs, and a node that has a machine and two that are in no record: one runs, one does not."""

    one: World
    two: World
    edge: Edge


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    net, names = Network(), ("hub-1", "hub-2")
    async with AsyncExitStack() as stack, edge_in(tmp_path / "e") as edge:
        configs = [config_of(tmp_path, name, names) for name in names]
        one, two = [await opened(stack, net.apps, each, net.wire(each.hub_id)) for each in configs]
        await stack.enter_async_context(running(one, two))
        await edge.make()
        edge.scripted.machines[LOST] = Machine(Observed(State.RUNNING, pid=77, started_ms=5))
        edge.scripted.machines["folder-2"] = Machine()
        for world in (one, two):
            await edge.beat(world)
        async with edge.linked(one):
            yield Site(one, two, edge)


async def test_what_is_in_no_record_is_found_with_its_handle(site: Site) -> None:
    found = await site.one.call("vm.discover", node="edge-1")
    assert {each["handle"] for each in found["items"]} == {LOST, "folder-2"}


async def test_one_that_runs_is_kept_running_and_never_started_twice(site: Site) -> None:
    order = {"node": "edge-1", "handle": LOST, "spec": {**SPEC, "name": "found"}, "wait_s": 30}
    done = await site.one.call("vm.adopt", **order, request_id="r-1")
    again = await site.two.call("vm.adopt", **order, request_id="r-1")
    shown = await site.two.call("vm.get", vm=LOST, node="edge-1")
    assert (done["state"], again["op_id"]) == ("done", done["op_id"])
    assert (shown["name"], shown["state"], shown["power"], shown["pid"]) == (
        "found",
        "running",
        "running",
        77,
    )
    assert site.edge.scripted.machines[LOST].runs == 0
    left = await site.one.call("vm.discover", node="edge-1")
    assert [each["handle"] for each in left["items"]] == ["folder-2"]


async def test_one_that_does_not_run_stays_stopped_and_can_be_started(site: Site) -> None:
    spec = {**SPEC, "name": "found"}
    await site.one.call("vm.adopt", node="edge-1", handle="folder-2", spec=spec, wait_s=30)
    shown = await site.one.call("vm.get", vm="folder-2", node="edge-1")
    assert (shown["state"], shown["power"]) == ("stopped", "stopped")
    await site.one.call("vm.start", vm="folder-2", node="edge-1", wait_s=30)
    assert site.edge.scripted.machines["folder-2"].runs == 1


async def test_what_is_not_there_or_is_known_already_is_refused(site: Site) -> None:
    known = site.edge.service.summary()[0]["id"]
    spec = {**SPEC, "name": "found"}
    for handle in ("nothing-here", known):
        said = await refusal(site.one, "vm.adopt", node="edge-1", handle=handle, spec=spec)
        assert said["kind"] == "not_found"
    said = await refusal(site.one, "vm.adopt", node="edge-1", handle=LOST, spec=SPEC)
    assert said["kind"] == "conflict"  # The name is in use.
    for handle in ("../etc", "a/b", ""):
        said = await refusal(site.one, "vm.adopt", node="edge-1", handle=handle, spec=spec)
        assert said["kind"] == "invalid_params"
    said = await refusal(site.one, "vm.adopt", handle=LOST, spec=spec)
    assert said["kind"] == "invalid_params"
    assert site.edge.scripted.machines.keys() == {known, LOST, "folder-2"}


async def test_what_cannot_be_taken_up_stays_as_it_is(site: Site) -> None:
    site.edge.scripted.broken.add("create")
    spec = {**SPEC, "name": "found"}
    said = await site.one.call("vm.adopt", node="edge-1", handle=LOST, spec=spec, wait_s=30)
    assert (said["state"], said["error"]["kind"]) == ("failed", "driver_error")
    machine = site.edge.scripted.machines[LOST]
    assert (machine.observed.state, machine.seen) == (State.RUNNING, [])
