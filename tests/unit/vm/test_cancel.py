"""What cancelling means for each operation (design reference, vm 2.2)."""

import asyncio
from typing import Any

import pytest

from edge.vm.model import Exit

from .fake_driver import World
from .fake_node import FakeNode, OpenFake
from .waiting import until

CLEAN = Exit(0, None, 1)


async def begun(node: FakeNode, method: str, **params: Any) -> str:
    """An operation that has come to where it hangs."""
    node.world.reached.clear()
    operation = await node.call(method, **{"wait_s": 0, **params})
    return str(operation["op_id"])


async def test_a_cancelled_stop_leaves_the_machine_running_and_wanted(fake: FakeNode) -> None:
    await fake.create()
    fake.world.is_stubborn = True
    op_id = await begun(fake, "vm.stop", vm="box", timeout_s=600)
    assert (await fake.get())["power"] == "stopped"
    over = await fake.call("op.cancel", op_id=op_id)
    assert (over["state"], over["changed"]) == ("cancelled", False)
    assert "may have heard" in over["stage"]
    record = await fake.get()
    assert (record["state"], record["power"], record["task"]) == ("running", "running", None)


@pytest.mark.parametrize(
    ("restart", "state", "power", "runs"),
    [("never", "stopped", "stopped", 1), ("always", "running", "running", 2)],
)
async def test_a_guest_that_ends_after_all_is_judged_like_any_that_ends_by_itself(
    fake: FakeNode, restart: str, state: str, power: str, runs: int
) -> None:
    """The request to stop cannot be taken back from a guest that has heard it."""
    await fake.create(restart=restart)
    fake.world.is_stubborn = True
    await fake.call("op.cancel", op_id=await begun(fake, "vm.stop", vm="box", timeout_s=600))
    fake.world.end(fake.world.one(), CLEAN)
    record = await until(
        fake.get, lambda seen: (seen["state"], seen["restarts"]) == (state, runs - 1)
    )
    (ended,) = [event for event in fake.events if event.name == "vm.stopped"]
    assert ended.attributes["vm.reason"] == "guest_shutdown"
    assert (record["power"], fake.world.one().runs) == (power, runs)


@pytest.mark.parametrize("point", ["clear.before", "kill.before"])
async def test_a_cancellation_that_comes_too_late_is_not_said_to_have_worked(
    fake: FakeNode, world: World, point: str
) -> None:
    await fake.create(restart="always")
    world.is_stubborn = point == "kill.before"
    world.holds = {point}
    op_id = await begun(fake, "vm.stop", vm="box", force_after=0)
    await world.reached.wait()
    cancelling = asyncio.create_task(fake.call("op.cancel", op_id=op_id))
    await asyncio.sleep(0.05)  # Whatever came of it without waiting would have come by then.
    assert not cancelling.done()
    world.holds.clear()
    world.free.set()
    over = await cancelling
    assert (over["state"], over["changed"]) == ("done", True)
    assert "asked to stop" in [line["text"] for line in over["log"]]
    record = await fake.get()
    assert (record["state"], record["power"], record["reason"]) == ("stopped", "stopped", "user")


async def test_a_cancelled_create_is_not_started_by_the_next_boot(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    world.holds = {"create.before"}
    spec = {"name": "box", "image": "fake"}
    op_id = await begun(node, "vm.create", spec=spec, start=True)
    await world.reached.wait()
    over = await node.call("op.cancel", op_id=op_id)
    assert over["state"] == "cancelled"
    record = await node.get()
    assert (record["state"], record["power"], record["task"]) == ("stopped", "stopped", None)
    world.holds.clear()
    started = await node.call("vm.start", vm="box", wait_s=30)
    assert started["state"] == "done", started


@pytest.mark.parametrize(
    ("method", "point"),
    [("vm.start", "start.before"), ("vm.reboot", "stop.before"), ("vm.delete", "destroy.before")],
)
async def test_what_cannot_be_left_half_done_goes_on(
    fake: FakeNode, world: World, method: str, point: str
) -> None:
    await fake.create(start=method == "vm.reboot")
    world.holds = {point}
    op_id = await begun(fake, method, vm="box")
    await world.reached.wait()
    refused = await fake.refusal("op.cancel", op_id=op_id)
    assert (refused.kind, refused.data["op_id"]) == ("invalid_state", op_id)
    world.holds.clear()
    world.free.set()
    over = await fake.call("op.wait", op_id=op_id)
    assert over["state"] == "done"
    again = await fake.call("op.cancel", op_id=op_id)
    assert again["state"] == "done"
