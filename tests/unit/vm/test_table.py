"""Each cell of the table of transitions (design reference, vm 2.1), through the front door."""

import asyncio
from typing import Any

import pytest

from edge.vm.model import Exit

from .fake_driver import FakeDriver, World
from .fake_node import FakeNode, OpenFake
from .waiting import until

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "start": ("vm.start", {}),
    "stop": ("vm.stop", {}),
    "force": ("vm.stop", {"mode": "force"}),
    "reboot": ("vm.reboot", {}),
    "reset": ("vm.reboot", {"mode": "hard"}),
    "pause": ("vm.pause", {}),
    "resume": ("vm.resume", {}),
    "delete": ("vm.delete", {}),
    "destroy": ("vm.delete", {"force": True}),
    "update": ("vm.update", {"patch": {"description": "new", "cpus": 2}}),
    "snapshot": ("vm.snapshot.create", {"name": "one", "memory": True}),
}
STATES = ("stopped", "running", "paused", "failed")

# What the call says, and after the slash the state that follows ("-": deleted).
IDLE = """
start:    changed/running  same/running     changed/running  changed/running
stop:     same/stopped     changed/stopped  changed/stopped  same/failed
force:    same/stopped     changed/stopped  changed/stopped  same/failed
reboot:   refused/stopped  changed/running  refused/paused   refused/failed
reset:    refused/stopped  changed/running  refused/paused   refused/failed
pause:    refused/stopped  changed/paused   same/paused      refused/failed
resume:   refused/stopped  same/running     changed/running  refused/failed
delete:   changed/-        refused/running  refused/paused   changed/-
destroy:  changed/-        changed/-        changed/-        changed/-
update:   changed/stopped  changed/running  changed/paused   changed/failed
snapshot: changed/stopped  changed/running  changed/paused   changed/failed
"""

TASKS = {
    "creating": ("create", "create.before", ""),
    "starting": ("start", "start.before", "stopped"),
    "stopping": ("stop", "stop.before", "running"),
    "killing": ("force", "kill.before", "running"),
    "rebooting": ("reboot", "stop.before", "running"),
    "pausing": ("pause", "pause.before", "running"),
    "resuming": ("resume", "resume.before", "paused"),
    "deleting": ("delete", "destroy.before", "stopped"),
    "destroying": ("destroy", "kill.before", "running"),
    "snapshotting": ("snapshot", "snapshot.before", "running"),
}
"""The call that makes a machine busy, where its work hangs, and in which state it began."""

# join: the same operation is answered; over: it is cancelled and this one has its way.
BUSY = """
          creating starting stopping killing rebooting pausing resuming deleting destroying snapshotting
start:    busy     join     busy     busy    busy      busy    busy     busy     busy       busy
stop:     busy     busy     join     join    busy      busy    busy     busy     busy       busy
force:    over     over     over     join    over      over    over     busy     busy       over
reboot:   busy     busy     busy     busy    busy      busy    busy     busy     busy       busy
pause:    busy     busy     busy     busy    busy      busy    busy     busy     busy       busy
resume:   busy     busy     busy     busy    busy      busy    busy     busy     busy       busy
delete:   busy     busy     busy     busy    busy      busy    busy     join     join       busy
destroy:  over     over     over     over    over      over    over     join     join       over
update:   busy     busy     busy     busy    busy      busy    busy     busy     busy       busy
snapshot: busy     busy     busy     busy    busy      busy    busy     busy     busy       busy
"""


def idle_cells() -> list[tuple[str, str, str, str]]:
    cells = []
    for line in IDLE.strip().splitlines():
        call, _, row = line.partition(":")
        for state, cell in zip(STATES, row.split(), strict=True):
            said, _, after = cell.partition("/")
            cells.append((call, state, said, after))
    return cells


def busy_cells() -> list[tuple[str, str, str]]:
    head, *lines = BUSY.strip("\n").splitlines()
    return [
        (line.partition(":")[0], task, verdict)
        for line in lines
        for task, verdict in zip(head.split(), line.partition(":")[2].split(), strict=True)
    ]


async def bring_to(node: FakeNode, state: str) -> None:
    """A machine `box` in that state."""
    node.world.broken = {"start"} if state == "failed" else set()
    spec = {"name": "box", "image": "fake"}
    await node.call("vm.create", spec=spec, start=state != "stopped", wait_s=30)
    node.world.broken = set()
    if state == "paused":
        await node.call("vm.pause", vm="box", wait_s=30)
    assert (await node.get())["state"] == state


async def state_of(node: FakeNode) -> str:
    (found,) = (await node.call("vm.list"))["items"] or [{"state": "-"}]
    return str(found["state"])


@pytest.mark.parametrize(("call", "state", "said", "after"), idle_cells())
async def test_an_idle_machine(
    fake: FakeNode, call: str, state: str, said: str, after: str
) -> None:
    await bring_to(fake, state)
    runs = fake.world.one().runs
    method, params = CALLS[call]
    if said == "refused":
        refused = await fake.refusal(method, vm="box", **params)
        assert (refused.kind, refused.data["state"]) == ("invalid_state", state)
        assert "start" in refused.data["allowed"]
    else:
        done = await fake.call(method, vm="box", wait_s=30, **params)
        assert (done["state"], done["changed"]) == ("done", said == "changed")
        again = await fake.call(method, vm="box", wait_s=30, **params) if said == "same" else done
        assert again["state"] == "done"
    assert await state_of(fake) == after
    if said == "same" or said == "refused":
        assert fake.world.one().runs == runs
    assert fake.world.machines or after == "-"
    assert not (fake.world.machines and after == "-"), "something of it was left"


async def test_a_paused_machine_is_let_go_on_before_it_is_asked_to_stop(fake: FakeNode) -> None:
    await bring_to(fake, "paused")
    await fake.call("vm.stop", vm="box", wait_s=30)
    assert fake.world.one().seen[-2:] == ["running", "stop"]


async def test_a_failed_start_is_forgotten_with_the_next_good_one(fake: FakeNode) -> None:
    await bring_to(fake, "failed")
    record = await fake.get()
    assert (record["reason"], record["last_error"]["kind"]) == ("start_failed", "driver_error")
    await fake.call("vm.start", vm="box", wait_s=30)
    record = await fake.get()
    assert (record["reason"], record["last_error"]) == ("user", None)


@pytest.mark.parametrize(
    ("state", "pending", "has_memory"),
    [("stopped", [], False), ("running", ["cpus"], True), ("paused", ["cpus"], True)],
)
async def test_what_cannot_change_in_a_machine_that_is_up_waits(
    fake: FakeNode, state: str, pending: list[str], has_memory: bool
) -> None:
    await bring_to(fake, state)
    for call in ("update", "snapshot"):
        method, params = CALLS[call]
        await fake.call(method, vm="box", wait_s=30, **params)
    record = await fake.get()
    assert record["pending_changes"] == pending
    assert (record["spec"]["description"], record["spec"]["cpus"]) == ("new", 2)
    assert [kept.has_memory for kept in fake.world.one().snapshots] == [has_memory]


@pytest.mark.parametrize(("call", "task", "verdict"), busy_cells())
async def test_a_busy_machine(
    open_fake: OpenFake, world: World, call: str, task: str, verdict: str
) -> None:
    node = await open_fake()
    first = await make_busy(node, task)
    method, params = CALLS[call]
    world.holds = set() if verdict == "over" else world.holds
    if verdict == "busy":
        refused = await node.refusal(method, vm="box", **params)
        assert (refused.kind, refused.data["op_id"]) == ("busy", first["op_id"])
    else:
        second = await node.call(method, vm="box", wait_s=0 if verdict == "join" else 30, **params)
        assert (second["op_id"] == first["op_id"]) is (verdict == "join")
    world.free.set()
    ended = await node.call("op.wait", op_id=first["op_id"], timeout_s=30)
    assert ended["state"] == ("cancelled" if verdict == "over" else "done")
    if verdict == "over":
        assert second["state"] == "done"
        assert await state_of(node) == ("stopped" if call == "force" else "-")
        assert len(world.machines) == (call == "force" and task != "creating")
        assert all(each.observed.state == "absent" for each in world.machines.values())


async def make_busy(node: FakeNode, task: str) -> dict[str, Any]:
    """A machine whose work hangs in the middle; returns its operation."""
    call, point, state = TASKS[task]
    if state:
        await bring_to(node, state)
    node.world.holds = {point}
    if call == "create":
        spec = {"name": "box", "image": "fake"}
        operation = await node.call("vm.create", spec=spec, wait_s=0)
    else:
        method, params = CALLS[call]
        operation = await node.call(method, vm="box", wait_s=0, **params)
    await asyncio.wait_for(node.world.reached.wait(), 30)
    return operation


@pytest.mark.parametrize("call", ["force", "destroy"])
async def test_a_start_that_is_overtaken_late_leaves_nothing_running(
    fake: FakeNode, call: str
) -> None:
    """The machine runs already, and its record does not know it yet."""
    await bring_to(fake, "stopped")
    fake.world.holds = {"start.after"}
    await fake.call("vm.start", vm="box", wait_s=0)
    await fake.world.reached.wait()
    assert fake.world.one().observed.state == "running"
    method, params = CALLS[call]
    done = await fake.call(method, vm="box", wait_s=30, **params)
    assert done["state"] == "done"
    assert all(each.observed.state == "absent" for each in fake.world.machines.values())


async def test_a_guest_that_does_not_stop_is_told_of_and_runs_on(fake: FakeNode) -> None:
    fake.world.is_stubborn = True
    await fake.create()
    failed = await fake.call("vm.stop", vm="box", timeout_s=0.01, wait_s=30)
    assert (failed["state"], failed["error"]["kind"]) == ("failed", "stop_timeout")
    assert (await fake.get())["state"] == "running"
    done = await fake.call("vm.stop", vm="box", force_after=0.01, wait_s=30)
    assert done["state"] == "done"
    assert fake.world.one().seen[-1] == "kill"


@pytest.fixture
def asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver is one whose guests may miss a request."""
    monkeypatch.setattr(FakeDriver, "ask_again_seconds", 0.01, raising=False)


@pytest.mark.usefixtures("asks_again")
async def test_a_guest_that_missed_a_request_to_stop_is_asked_again(fake: FakeNode) -> None:
    """One that still boots does not hear its power button."""
    await fake.create()
    fake.world.deaf_asks = 2
    done = await fake.call("vm.stop", vm="box", wait_s=30)
    assert (done["state"], fake.world.one().seen) == ("done", ["stop"] * 3)


@pytest.mark.usefixtures("asks_again")
async def test_a_request_that_fails_when_it_is_repeated_does_not_save_a_guest_from_its_end(
    fake: FakeNode,
) -> None:
    fake.world.is_stubborn = True

    async def asked() -> list[str]:
        return fake.world.one().seen

    async def gone() -> bool:
        return bool((await fake.get())["state"] == "stopped")

    await fake.create()
    await fake.call("vm.stop", vm="box", force_after=0.5, wait_s=0)
    await until(asked, bool)
    fake.world.broken = {"stop"}
    await until(gone, bool)
    assert fake.world.one().seen[-1] == "kill"


async def test_a_guest_that_may_take_a_second_request_for_force_is_asked_once(
    fake: FakeNode,
) -> None:
    fake.world.is_stubborn = True
    await fake.create()
    await fake.call("vm.stop", vm="box", timeout_s=0.1, wait_s=30)
    assert fake.world.one().seen == ["stop"]


async def test_what_a_guest_does_by_itself_says_what_is_wanted_of_it(fake: FakeNode) -> None:
    await fake.create()
    fake.world.end(fake.world.one(), Exit(0, None, 1))
    record = await until(fake.get, lambda seen: seen["state"] == "stopped")
    assert (record["reason"], record["power"]) == ("guest_shutdown", "stopped")
