"""Agents come and go; sandboxes do not notice, and nothing is started twice."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.vm.launch import load_state
from edge.vm.ledger import Ledger
from edge.vm.model import Move, Operation, OpState
from edge.vm.shim import COMMAND

from .conftest import Node, OpenNode, end_shim
from .waiting import until

AGENT = """
import asyncio, sys, time
from pathlib import Path
from random import Random
from edge.vm.model import VmSettings
from edge.vm.service import VmService
from shared.runtime import Runtime

async def main():
    async def emit(event): pass
    runtime = Runtime(time.time_ns, Random(), None, None)
    service = VmService(Path(sys.argv[1]), "edge-1", runtime, VmSettings(), emit, lambda: None)
    await service.open()
    params = {"start": True, "request_id": "r-1", "wait_s": 30}
    params["spec"] = {"name": "box", "image": "builtin:shell"}
    await service.call("vm.create", params)
    print("up", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def started_agent(folder: Path) -> "subprocess.Popen[str]":
    """A real agent process that has started one sandbox."""
    root = Path(__file__).resolve().parents[3]
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(folder)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdout is not None
    assert agent.stdout.readline() == "up\n"
    return agent


async def test_a_sandbox_outlives_the_kill_of_its_agent(folder: Path, open_node: OpenNode) -> None:
    with await asyncio.to_thread(started_agent, folder) as agent:
        agent.send_signal(signal.SIGKILL)
    shims = [load_state(path.parent) for path in folder.glob("**/state.json")]
    node = await open_node()
    record = await node.get()
    assert record["state"] == "running"
    assert "vm.reattached" in node.event_names()
    await node.type("echo still$((1+1))")
    await until(node.console, lambda seen: "still2" in seen)
    started = await node.call("vm.start", vm="box")
    assert started["changed"] is False
    again = await node.call(
        "vm.create", spec={"name": "box", "image": "builtin:shell"}, start=True, request_id="r-1"
    )
    assert (again["state"], again["vm_id"]) == ("done", record["id"])
    assert [load_state(path.parent) for path in folder.glob("**/state.json")] == shims


async def test_an_end_while_nobody_looked_is_known_later(open_node: OpenNode) -> None:
    node = await open_node()
    record = await node.create()
    await node.service.close()
    sandbox = node.sandbox(record)
    os.kill(record["pid"], signal.SIGKILL)

    async def state() -> object:
        return load_state(sandbox)

    await until(state, lambda seen: seen.exit is not None)  # type: ignore[attr-defined]
    record = await (await open_node()).get()
    assert (record["state"], record["reason"], record["exit"]["signal"]) == (
        "failed",
        "killed_external",
        9,
    )


async def test_a_lost_shim_is_not_taken_for_a_running_machine(open_node: OpenNode) -> None:
    node = await open_node()
    record = await node.create()
    await node.service.close()
    end_shim(node.sandbox(record))
    record = await (await open_node()).get()
    assert (record["state"], record["reason"]) == ("stopped", "lost_while_agent_down")


async def test_an_agent_told_to_stop_its_machines_brings_them_back(open_node: OpenNode) -> None:
    node = await open_node(on_stop="stop")
    await node.create("box")
    await node.create("idle", start=False)
    before = (await node.get())["pid"]
    started = asyncio.get_running_loop().time()
    await node.service.close()
    assert asyncio.get_running_loop().time() - started < 3.5
    node = await open_node(on_stop="stop")
    record = await node.get()
    assert (record["state"], record["reason"], record["power"]) == (
        "stopped",
        "host_shutdown",
        "running",
    )
    running = asyncio.create_task(node.service.run())
    try:
        record = await until(node.get, lambda seen: seen["state"] == "running")
        assert record["pid"] != before
        assert (await node.get("idle"))["state"] == "stopped"
    finally:
        running.cancel()


async def test_after_a_boot_machines_start_in_their_order(open_node: OpenNode) -> None:
    """A new boot id means that nothing can run any more, whatever the pids say."""
    node = await open_node()
    records = [
        await node.create("second", start_order=2),
        await node.create("first", start_order=1),
        await node.create("manual", autostart="never"),
    ]
    await node.service.close()
    for record in records:
        end_shim(node.sandbox(record))
    ledger = Ledger(node.folder / "vm.db")
    ledger.set_meta("boot_id", "an earlier boot")
    ledger.close()
    node = await open_node()

    async def started_names() -> list[str]:
        return [event.vm_name for event in node.events if event.name == "vm.started"]

    assert {vm["reason"] for vm in node.service.summary()} == {"host_shutdown"}
    running = asyncio.create_task(node.service.run())
    try:
        await until(started_names, lambda seen: len(seen) == 2)
        assert await started_names() == ["first", "second"]
        assert (await node.get("manual"))["state"] == "stopped"
    finally:
        running.cancel()


@pytest.mark.parametrize(
    ("move", "state", "kind"),
    [(Move.START, OpState.DONE, None), (Move.STOP, OpState.FAILED, "interrupted")],
)
async def test_an_interrupted_operation_is_judged_by_what_was_reached(
    open_node: OpenNode, move: Move, state: OpState, kind: str | None
) -> None:
    node = await open_node()
    record = await node.create()
    await node.service.close()
    ledger = Ledger(node.folder / "vm.db")
    cut = Operation(
        id="cut", request_id="r", vm_id=record["id"], vm_name="box", node_id="edge-1",
        method=f"vm.{move}", move=move, created_ms=1, updated_ms=1,
    )  # fmt: skip
    ledger.save(None, [cut], None)
    ledger.close()
    node = await open_node()
    operation = await node.call("op.get", op_id="cut")
    assert operation["state"] == state
    assert (operation["error"] or {}).get("kind") == kind
    assert (await node.get())["task"] is None


async def test_a_second_start_of_the_same_folder_is_refused_by_the_lock(node: Node) -> None:
    record = await node.create()
    root = Path(__file__).resolve().parents[3]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *COMMAND, str(node.sandbox(record))],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "already_running" in done.stdout
    assert (await node.get())["state"] == "running"
