"""What can be asked of a VM: by its state and by what its driver can do, with the reason."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hub.machines.action_rules import NEEDS, STATES, actions_of
from tests.api.conftest import World
from tests.api.machine_world import Edge, edge_in, refusal
from tests.api.mesh_world import Network, config_of, opened, running

LIVE = {"node_id": "n", "driver": "sandbox", "freshness": "live", "task": None}


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[World, Edge]]:
    net = Network()
    async with AsyncExitStack() as stack, edge_in(tmp_path / "e") as edge:
        config = config_of(tmp_path, "hub-1", ("hub-1",))
        world = await opened(stack, net.apps, config, net.wire("hub-1"))
        await stack.enter_async_context(running(world))
        await edge.make()
        await edge.beat(world)
        yield world, edge


@pytest.mark.parametrize("state", ["stopped", "running", "paused", "failed"])
@pytest.mark.parametrize("action", STATES)
def test_the_state_decides_where_the_driver_can(state: str, action: str) -> None:
    told = actions_of({**LIVE, "state": state}, list(NEEDS.values()))[action]
    possible = state in STATES[action]
    assert told == (
        {"possible": True} if possible else {"possible": False, "why": f"it is {state}"}
    )


@pytest.mark.parametrize("action", NEEDS)
def test_what_its_driver_cannot_do_is_never_possible(action: str) -> None:
    for state in ("stopped", "running", "paused", "failed"):
        told = actions_of({**LIVE, "state": state}, [])[action]
        assert told == {"possible": False, "why": "the driver sandbox cannot do this"}


def test_a_busy_machine_can_only_be_ended_and_a_silent_one_nothing() -> None:
    busy = actions_of({**LIVE, "state": "running", "task": "stopping"}, None)
    assert [name for name, each in busy.items() if each["possible"]] == ["stop_force"]
    silent = actions_of({**LIVE, "state": "running", "freshness": "unreachable"}, None)
    assert {each["why"] for each in silent.values()} == {"n is silent: no order arrives there now"}


async def test_one_and_all_are_told_where_that_is_asked(pair: tuple[World, Edge]) -> None:
    world, edge = pair
    async with edge.linked(world):
        one = await world.call("vm.get", vm="box", actions=True)
        (listed,) = (await world.call("vm.list", actions=True))["items"]
        plain = await world.call("vm.get", vm="box")
    assert one["actions"] == listed["actions"]
    assert one["actions"]["stop"] == {"possible": True}
    assert one["actions"]["start"] == {"possible": False, "why": "it is running"}
    assert "actions" not in plain
    said = await refusal(world, "vm.list", actions=True, fields=["state"])
    assert said["kind"] == "invalid_params"
