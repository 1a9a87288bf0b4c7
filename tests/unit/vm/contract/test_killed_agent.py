"""Agents that kill themselves in the middle of create, start and stop of real machines: the next one
starts nothing twice, leaves nothing over, and says what is so."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.vm.orphans import everything_of

from .conftest import IMAGES, READY, OpenReal, RealNode, environment

AGENT = """
import asyncio, os, signal, sys, time
from pathlib import Path
from random import Random
from edge.vm.model import VmSettings
from edge.vm.qemu.driver import QemuDriver
from edge.vm.qemu.images import NoImages
from edge.vm.sandbox import SandboxDriver
from edge.vm.service import VmService
from shared.runtime import Runtime

folder, image, ready, call, point = Path(sys.argv[1]), *sys.argv[2:]

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
    drivers = [
        SandboxDriver(folder / "sandboxes", runtime, settings),
        QemuDriver(folder / "qemu", runtime, settings, NoImages()),
    ]
    name, _, when = point.partition(".")
    armed = []
    for driver in drivers:
        setattr(driver, name, deadly(getattr(driver, name), when, armed))
    service = VmService(folder, "edge-1", runtime, settings, emit, lambda: None, drivers)
    await service.open()
    create = {"spec": {"name": "box", "image": image}, "wait_s": 60}
    order = {"vm": "box", "request_id": "r-1", "wait_s": 60}
    if call != "create":
        await service.call("vm.create", {**create, "start": call == "stop"})
    if call == "stop":
        said = ""
        while ready not in said:  # A guest that is not up yet would not hear.
            await service.call("vm.get", {"vm": "box"})
            said = (await service.call("vm.console.log", {"vm": "box"}))["data"]
            await asyncio.sleep(0.02)
    armed.append(True)
    if call == "create":
        await service.call("vm.create", {**create, "request_id": "r-1", "start": True})
    else:
        await service.call("vm." + call, order)

asyncio.run(main())
"""

# The call, where the agent dies, and what the next one finds: the state, how the operation ended.
POINTS = [
    ("create", "create.before", "stopped", "interrupted"),
    ("create", "create.after", "stopped", "interrupted"),
    ("create", "start.before", "stopped", "interrupted"),
    ("create", "start.after", "running", ""),
    ("start", "start.before", "stopped", "interrupted"),
    ("start", "start.after", "running", ""),
    ("stop", "ask_to_stop.before", "running", "interrupted"),
    ("stop", "clear.before", "stopped", ""),
    ("stop", "clear.after", "stopped", ""),
]


@pytest.mark.parametrize(("call", "point", "state", "error"), POINTS)
async def test_the_next_agent_finds_what_is_so(
    folder: Path, kind: str, open_real: OpenReal, call: str, point: str, state: str, error: str
) -> None:
    killed = await asyncio.to_thread(run_to_its_death, folder, kind, call, point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    node = await open_real()
    processes = node.processes()
    record = await node.get()
    assert (record["state"], record["task"]) == (state, None)
    assert len(processes) == (state == "running")
    assert bool(everything_of(record["id"])) == (state == "running")
    assert record["reason"] == ("user" if call == "stop" else "never_started")
    await assert_repeated(node, call, error)
    started = await node.call("vm.start", vm="box", wait_s=60)
    assert (started["state"], started["changed"]) == ("done", state == "stopped")
    if state == "running":
        assert node.processes() == processes
    assert len(node.processes()) == 1
    assert (await node.call("vm.discover"))["items"] == []
    await assert_nothing_is_left(node)


async def assert_repeated(node: RealNode, call: str, error: str) -> None:
    """A hub that asks again under the same id is told how that ended, and begins nothing."""
    if call == "create":
        spec = {"name": "box", "image": IMAGES[node.kind]}
        order: dict[str, Any] = {"spec": spec, "start": True}
    else:
        order = {"vm": "box"}
    again = await node.call(f"vm.{call}", request_id="r-1", wait_s=60, **order)
    assert again["state"] == ("failed" if error else "done")
    assert ((again["error"] or {}).get("kind", "")) == error
    operations = (await node.call("op.list", vm="box"))["items"]
    assert len([each for each in operations if each["request_id"] == "r-1"]) == 1


async def assert_nothing_is_left(node: RealNode) -> None:
    vm_id = (await node.get())["id"]
    deleted = await node.call("vm.delete", vm="box", force=True, wait_s=60)
    assert deleted["state"] == "done", deleted
    assert node.processes() == []
    assert (await node.call("vm.discover"))["items"] == []
    assert everything_of(vm_id) == []


def run_to_its_death(
    folder: Path, kind: str, call: str, point: str
) -> "subprocess.CompletedProcess[str]":
    """An agent of its own process, up to the point where it kills itself."""
    return subprocess.run(
        [sys.executable, "-c", AGENT, str(folder), IMAGES[kind], READY[kind], call, point],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
