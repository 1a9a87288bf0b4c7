"""The same contract for every driver: each cell of the table of transitions (design reference, vm 2.1)
with real machines, through the front door."""

import asyncio
import os
import signal
from typing import Any

import pytest

from edge.vm.processes import stat_of
from tests.unit.vm.test_table import CALLS, TASKS, busy_cells, idle_cells
from tests.unit.vm.waiting import until

from .conftest import IMAGES, QEMU, READY, SANDBOX, OpenReal, RealNode

WAIT_S = 60


async def bring_to(node: RealNode, state: str) -> None:
    """A machine `box` in that state."""
    await node.create(start=state != "stopped")
    if state == "paused":
        await node.call("vm.pause", vm="box", wait_s=WAIT_S)
    if state == "failed":
        os.kill((await node.get())["pid"], signal.SIGKILL)
    await node.until_state(state)


async def state_of(node: RealNode) -> str:
    (found,) = (await node.call("vm.list"))["items"] or [{"state": "-"}]
    return str(found["state"])


def lacks(kind: str, call: str) -> bool:
    """A sandbox holds nothing that could be set back."""
    return (kind, call) == (SANDBOX, "snapshot")


def assert_runs(node: RealNode, state: str) -> None:
    """There is one process for a machine that is up, and else none."""
    assert len(node.processes()) == (state in ("running", "paused"))


@pytest.mark.parametrize(("call", "state", "said", "after"), idle_cells())
async def test_an_idle_machine(
    real: RealNode, call: str, state: str, said: str, after: str
) -> None:
    await bring_to(real, state)
    before, deeds = real.processes(), len(real.gates.calls)
    method, params = CALLS[call]
    if said == "refused":
        refused = await real.refusal(method, vm="box", **params)
        assert (refused.kind, refused.data["state"]) == ("invalid_state", state)
        assert "start" in refused.data["allowed"]
    elif lacks(real.kind, call):
        failed = await real.call(method, vm="box", wait_s=WAIT_S, **params)
        assert (failed["state"], failed["error"]["kind"]) == ("failed", "not_supported")
    else:
        done = await real.call(method, vm="box", wait_s=WAIT_S, **params)
        assert (done["state"], done["changed"]) == ("done", said == "changed"), done
    if said in ("same", "refused"):
        assert (real.processes(), len(real.gates.calls)) == (before, deeds)
    assert await state_of(real) == after
    assert_runs(real, after)


async def until_none_is_left(node: RealNode) -> None:
    """A shim that has written down its payload's end needs a moment to end itself."""

    async def look() -> list[int]:
        return node.processes()

    await until(look, lambda seen: not seen)


CELLS = busy_cells()
OVERTAKEN = [(call, task) for call, task, verdict in CELLS if verdict == "over"]


async def make_busy(node: RealNode, task: str) -> dict[str, Any]:
    """A machine whose work hangs in the middle; returns its operation."""
    call, point, state = TASKS[task]
    if state:
        await bring_to(node, state)
    node.gates.holds = {point}
    if call == "create":
        spec = {"name": "box", "image": IMAGES[node.kind]}
        operation = await node.call("vm.create", spec=spec, wait_s=0)
    else:
        method, params = CALLS[call]
        operation = await node.call(method, vm="box", wait_s=0, **params)
    await asyncio.wait_for(node.gates.reached.wait(), WAIT_S)
    return operation


@pytest.mark.parametrize("task", TASKS)
async def test_a_busy_machine_makes_others_wait_or_join(real: RealNode, task: str) -> None:
    """Nobody begins anything else; who asks for the same gets the same operation."""
    first = await make_busy(real, task)
    deeds = len(real.gates.calls)
    for call, _, verdict in (cell for cell in CELLS if cell[1] == task):
        method, params = CALLS[call]
        if verdict == "busy":
            refused = await real.refusal(method, vm="box", **params)
            assert (refused.kind, refused.data["op_id"]) == ("busy", first["op_id"]), call
        elif verdict == "join":
            joined = await real.call(method, vm="box", wait_s=0, **params)
            assert joined["op_id"] == first["op_id"], call
    assert len(real.gates.calls) == deeds
    real.gates.open()
    ended = await real.call("op.wait", op_id=first["op_id"], timeout_s=WAIT_S)
    if lacks(real.kind, TASKS[task][0]):
        assert (ended["state"], ended["error"]["kind"]) == ("failed", "not_supported")
    else:
        assert ended["state"] == "done", ended
    assert_runs(real, await state_of(real))


@pytest.mark.parametrize(("call", "task"), OVERTAKEN)
async def test_a_forced_request_has_its_way_with_a_busy_machine(
    real: RealNode, call: str, task: str
) -> None:
    first = await make_busy(real, task)
    real.gates.holds.clear()
    method, params = CALLS[call]
    second = await real.call(method, vm="box", wait_s=WAIT_S, **params)
    assert (second["state"], second["op_id"] != first["op_id"]) == ("done", True), second
    assert (await real.call("op.get", op_id=first["op_id"]))["state"] == "cancelled"
    assert await state_of(real) == ("stopped" if call == "force" else "-")
    await until_none_is_left(real)


@pytest.mark.parametrize("call", ["force", "destroy"])
async def test_a_start_that_is_overtaken_late_leaves_nothing_running(
    real: RealNode, call: str
) -> None:
    """The machine runs already, and its record does not know it yet."""
    await bring_to(real, "stopped")
    real.gates.holds = {"start.after"}
    await real.call("vm.start", vm="box", wait_s=0)
    await asyncio.wait_for(real.gates.reached.wait(), WAIT_S)
    assert len(real.processes()) == 1
    real.gates.holds.clear()
    method, params = CALLS[call]
    assert (await real.call(method, vm="box", wait_s=WAIT_S, **params))["state"] == "done"
    await until_none_is_left(real)


async def test_many_starts_at_once_are_one(real: RealNode) -> None:
    await real.create(start=False)
    calls = (real.call("vm.start", vm="box", wait_s=WAIT_S) for _ in range(8))
    answers = await asyncio.gather(*calls)
    assert len({answer["op_id"] for answer in answers}) == 1
    assert {answer["state"] for answer in answers} == {"done"}
    assert real.gates.calls.count("start") == 1
    assert_runs(real, "running")


async def test_a_driver_that_is_asked_to_start_twice_keeps_the_first(real: RealNode) -> None:
    """Also when the record does not know that it runs, as after a crash in between."""
    await real.create()
    before = real.processes()
    drivers = real.service._drivers
    vm = real.service._records.find("box")
    await asyncio.gather(*(drivers.of(vm).start(vm) for _ in range(3)))
    assert real.processes() == before


@pytest.mark.parametrize(("restart", "state"), [("never", "stopped"), ("always", "running")])
async def test_a_guest_that_ends_itself_is_heard_of(
    real: RealNode, restart: str, state: str
) -> None:
    before = await real.create(restart=restart)
    await real.end_guest()
    if state == "running":
        await real.until_said(READY[real.kind], times=2)
    record = await until(
        real.get, lambda seen: seen["state"] == state and seen["pid"] != before["pid"]
    )
    assert (record["power"], record["restarts"]) == (state, int(state == "running"))
    assert record["reason"] == ("user" if state == "running" else "guest_shutdown")
    assert_runs(real, state)


@pytest.mark.parametrize(("restart", "state"), [("never", "failed"), ("on-failure", "running")])
async def test_a_machine_whose_process_is_killed_is_not_taken_for_stopped(
    real: RealNode, restart: str, state: str
) -> None:
    record = await real.create(restart=restart)
    os.kill(record["pid"], signal.SIGKILL)
    if state == "running":
        seen = await until(
            real.get, lambda seen: seen["state"] == state and seen["pid"] != record["pid"]
        )
        assert seen["restarts"] == 1
    else:
        seen = await real.until_state(state)
        assert (seen["reason"], seen["power"]) == ("killed_external", "running")
    assert_runs(real, state)


async def test_a_holder_that_is_killed_leaves_nothing_that_looks_alive(real: RealNode) -> None:
    """The process that we started ourselves, the shim of a sandbox, dies with all below it."""
    pid = (await real.create())["pid"]
    (holder,) = real.processes()
    os.kill(holder, signal.SIGKILL)
    record = await until(real.get, lambda seen: seen["state"] != "running")
    assert (record["state"], record["reason"]) == ("failed", "killed_external")
    await until(lambda: is_over(pid), bool)
    assert (await real.call("vm.start", vm="box", wait_s=WAIT_S))["state"] == "done"
    assert_runs(real, "running")


async def is_over(pid: int) -> bool:
    stat = stat_of(pid)
    return stat is None or stat.letter in "ZX"


async def test_a_machine_that_stands_still_is_unresponsive_and_can_be_forced(
    real: RealNode,
) -> None:
    """Its holder is stopped by a signal: the state is kept, nothing is started, force still works."""
    pid = (await real.create())["pid"]
    (holder,) = real.processes()
    supervising = asyncio.create_task(real.service.run())
    try:
        os.kill(holder, signal.SIGSTOP)
        record = await until(real.get, lambda seen: seen["health"] == "unresponsive")
        assert record["state"] == "running"
        assert (await real.call("vm.start", vm="box", wait_s=WAIT_S))["changed"] is False
        assert real.processes() == [holder]
        forced = await real.call("vm.stop", vm="box", mode="force", wait_s=WAIT_S)
        assert forced["state"] == "done", forced
        assert (await real.get())["state"] == "stopped"
        assert real.processes() == []
        await until(lambda: is_over(pid), bool)
    finally:
        supervising.cancel()


async def test_the_next_agent_keeps_what_runs(open_real: OpenReal) -> None:
    node = await open_real()
    before = await node.create()
    processes = node.processes()
    await node.service.close()
    node = await open_real()
    after = await node.get()
    assert (after["state"], after["pid"], after["started_at"]) == (
        "running",
        before["pid"],
        before["started_at"],
    )
    assert "vm.reattached" in node.event_names()
    assert (await node.call("vm.start", vm="box"))["changed"] is False
    assert node.processes() == processes
    assert (await node.call("vm.stop", vm="box", wait_s=WAIT_S))["state"] == "done"
    assert node.processes() == []


async def test_a_pause_outlives_the_agent(open_real: OpenReal) -> None:
    node = await open_real()
    await bring_to(node, "paused")
    await node.service.close()
    node = await open_real()
    assert (await node.get())["state"] == "paused"
    assert (await node.call("vm.resume", vm="box", wait_s=WAIT_S))["state"] == "done"
    assert await state_of(node) == "running"


async def test_a_guest_that_ends_itself_while_no_agent_looks_is_known_later(
    open_real: OpenReal,
) -> None:
    """A VM's process waits to be asked; a sandbox's shim wrote down how it ended."""
    node = await open_real()
    await node.create()
    await node.end_guest()
    await node.service.close()
    node = await open_real()
    record = await node.until_state("stopped")
    assert (record["reason"], record["power"]) == ("guest_shutdown", "stopped")
    await until(lambda: none_lives(node), bool)


async def none_lives(node: RealNode) -> bool:
    return node.processes() == []


async def test_a_process_that_was_killed_while_no_agent_looked_is_not_called_running(
    open_real: OpenReal,
) -> None:
    node = await open_real()
    record = await node.create()
    await node.service.close()
    os.kill(record["pid"], signal.SIGKILL)
    await until(lambda: is_over(record["pid"]), bool)
    await until(lambda: none_lives(node), bool)
    node = await open_real()
    record = await node.get()
    known = {SANDBOX: ("failed", "killed_external"), QEMU: ("stopped", "lost_while_agent_down")}
    assert (record["state"], record["reason"]) == known[node.kind]
    assert (await node.call("vm.start", vm="box", wait_s=WAIT_S))["state"] == "done"
    assert_runs(node, "running")
