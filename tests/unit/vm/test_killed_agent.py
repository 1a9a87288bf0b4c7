"""Agents that are killed in the middle of create, start and stop: nothing runs twice, nothing is
left over, and the record says what is so."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge.vm.launch import load_state
from edge.vm.model import Exit

from .conftest import OpenNode
from .fake_driver import World
from .fake_node import FakeNode, OpenFake
from .waiting import until

SHELL = {"name": "box", "image": "fake"}

# Call, where the agent dies, and then: the state, its reason, how the operation ended, how often the
# machine was started in all once it was asked for again.
POINTS = [
    ("create", "create.before", "stopped", "never_started", "interrupted", 1),
    ("create", "create.after", "stopped", "never_started", "interrupted", 1),
    ("create", "start.before", "stopped", "never_started", "interrupted", 1),
    ("create", "start.after", "running", "never_started", "done", 1),
    ("start", "create.before", "stopped", "never_started", "interrupted", 1),
    ("start", "create.after", "stopped", "never_started", "interrupted", 1),
    ("start", "start.before", "stopped", "never_started", "interrupted", 1),
    ("start", "start.after", "running", "never_started", "done", 1),
    ("stop", "stop.before", "running", "user", "interrupted", 1),
    ("stop", "stop.after", "stopped", "user", "done", 2),
    ("stop", "clear.before", "stopped", "user", "done", 2),
    ("force", "kill.before", "running", "user", "interrupted", 1),
]


async def order(node: FakeNode, call: str, wait_s: float) -> dict[str, Any]:
    """The call under one request id, as hubs repeat it."""
    again = {"request_id": "r-1", "wait_s": wait_s}
    if call == "create":
        return await node.call("vm.create", spec=SHELL, id="vm-1", start=True, **again)
    mode = {"mode": "force"} if call == "force" else {}
    method = "vm.stop" if call == "force" else f"vm.{call}"
    return await node.call(method, vm="box", **mode, **again)


@pytest.mark.parametrize(("call", "point", "state", "reason", "outcome", "runs"), POINTS)
async def test_the_next_agent_finds_what_is_so(
    open_fake: OpenFake,
    world: World,
    call: str,
    point: str,
    state: str,
    reason: str,
    outcome: str,
    runs: int,
) -> None:
    node = await open_fake()
    if call != "create":
        await node.create(start=call in ("stop", "force"))
    world.holds = {point}
    first = await order(node, call, wait_s=0)
    await asyncio.wait_for(world.reached.wait(), 30)
    await node.die()

    node = await open_fake()
    record = await node.get()
    assert (record["state"], record["reason"], record["task"]) == (state, reason, None)
    again = await order(node, call, wait_s=30)
    assert again["op_id"] == first["op_id"], "a repeated request is never another operation"
    failed = outcome == "interrupted"
    assert again["state"] == ("failed" if failed else outcome)
    assert ((again["error"] or {}).get("kind")) == ("interrupted" if failed else None)
    assert (await node.call("vm.start", vm="box", wait_s=30))["state"] == "done"
    assert world.one().runs == runs
    assert (await node.call("vm.discover"))["items"] == []
    deleted = await node.call("vm.delete", vm="box", force=True, wait_s=30)
    assert deleted["state"] == "done"
    assert world.machines == {}


@pytest.mark.parametrize("point", ["clear.before", "destroy.before", "destroy.after"])
async def test_a_deletion_that_was_cut_off_is_finished(
    open_fake: OpenFake, world: World, point: str
) -> None:
    """Half a machine must not be started: its disks would be new ones."""
    node = await open_fake()
    record = await node.create(start=False)
    world.holds = {point}
    first = await node.call("vm.delete", vm="box", wait_s=0)
    await asyncio.wait_for(world.reached.wait(), 30)
    await node.die()
    node = await open_fake()
    assert (await node.call("vm.list"))["items"] == []
    assert world.machines == {}
    assert (await node.call("op.get", op_id=first["op_id"]))["state"] == "done"
    assert (await node.call("vm.delete", vm=record["id"]))["changed"] is False


async def test_a_machine_that_is_half_deleted_cannot_be_started(fake: FakeNode) -> None:
    await fake.create(start=False)
    fake.world.broken = {"destroy"}
    failed = await fake.call("vm.delete", vm="box", wait_s=30)
    assert (failed["state"], failed["error"]["kind"]) == ("failed", "driver_error")
    started = await fake.call("vm.start", vm="box", wait_s=30)
    assert (started["state"], started["error"]["kind"]) == ("failed", "invalid_state")
    fake.world.broken = set()
    assert (await fake.call("vm.delete", vm="box", wait_s=30))["state"] == "done"


async def test_a_machine_that_ended_before_its_start_was_written_down_is_judged(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    await node.create(start=False)
    world.holds = {"start.after"}
    await node.call("vm.start", vm="box", wait_s=0)
    await world.reached.wait()
    await node.die()
    world.end(world.one(), Exit(3, None, 4_000_000_000_000))
    record = await (await open_fake()).get()
    assert (record["state"], record["reason"], record["exit"]["code"]) == ("failed", "crashed", 3)


async def test_a_machine_of_a_driver_that_is_gone_keeps_no_agent_from_starting(
    open_fake: OpenFake, open_node: OpenNode
) -> None:
    node = await open_fake()
    await node.create()
    await node.die()
    other = await open_node()  # This version knows sandboxes only.
    assert (await other.get())["state"] == "running"


async def test_a_machine_that_does_not_answer_is_kept_and_not_started_again(
    open_fake: OpenFake, world: World
) -> None:
    node = await open_fake()
    await node.create()
    await node.die()
    answering = world.one().observed
    silent = type(answering)(answering.state, pid=7, is_responsive=False)
    world.show(world.one(), silent)
    node = await open_fake(observe_seconds=0.01)
    record = await node.get()
    assert (record["state"], record["health"]) == ("running", "unresponsive")
    assert (await node.call("vm.start", vm="box"))["changed"] is False
    async with node.running():
        world.show(world.one(), answering)
        await until(node.get, lambda seen: seen["health"] == "")
    assert world.one().runs == 1


# ---- the same for real: a process that kills itself at that point

AGENT = """
import asyncio, os, signal, sys, time
from pathlib import Path
from random import Random
from edge.vm.model import VmSettings
from edge.vm.sandbox import SandboxDriver
from edge.vm.service import VmService
from shared.runtime import Runtime

folder, call, point = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def deadly(method, when, armed):
    async def run(*args, **kwargs):
        if armed and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await method(*args, **kwargs)
        if armed:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return run

async def main():
    async def emit(event): pass
    runtime, settings = Runtime(time.time_ns, Random(), None, None), VmSettings()
    driver = SandboxDriver(folder / "sandboxes", runtime, settings)
    name, _, when = point.partition(".")
    armed = []
    setattr(driver, name, deadly(getattr(driver, name), when, armed))
    service = VmService(folder, "edge-1", runtime, settings, emit, lambda: None, [driver])
    await service.open()
    spec = {"name": "box", "image": "builtin:shell"}
    if call != "create":
        start = call == "stop"
        await service.call("vm.create", {"spec": spec, "start": start, "wait_s": 30})
    armed.append(True)
    if call == "create":
        await service.call("vm.create", {"spec": spec, "start": True, "wait_s": 30})
    else:
        await service.call("vm." + call, {"vm": "box", "wait_s": 30})

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("call", "point", "state"),
    [
        ("create", "create.before", "stopped"),
        ("create", "start.after", "running"),
        ("start", "start.before", "stopped"),
        ("start", "start.after", "running"),
        ("stop", "ask_to_stop.before", "running"),
        ("stop", "ask_to_stop.after", "either"),
    ],
)
async def test_a_real_sandbox_outlives_the_kill_without_a_second_one(
    folder: Path, open_node: OpenNode, call: str, point: str, state: str
) -> None:
    killed = await asyncio.to_thread(run_to_its_death, folder, call, point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    shims = [load_state(path.parent) for path in folder.glob("**/state.json")]
    node = await open_node()
    record = await node.get()
    assert record["task"] is None
    assert record["state"] == state or state == "either"
    done = await node.call("vm.start", vm="box", wait_s=30)
    assert done["state"] == "done"
    assert done["changed"] is (record["state"] == "stopped")
    if state == "running":
        assert [load_state(path.parent) for path in folder.glob("**/state.json")] == shims
    assert (await node.call("vm.discover"))["items"] == []
    deleted = await node.call("vm.delete", vm="box", force=True, wait_s=30)
    assert deleted["state"] == "done"
    assert list((folder / "sandboxes").iterdir()) == []


def run_to_its_death(folder: Path, call: str, point: str) -> "subprocess.CompletedProcess[str]":
    root = Path(__file__).resolve().parents[3]
    return subprocess.run(
        [sys.executable, "-c", AGENT, str(folder), call, point],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
