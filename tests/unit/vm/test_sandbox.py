"""Real sandboxes: the life of one, what it cannot reach, and how it ended."""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from edge.vm import sandbox_ground
from edge.vm.launch import CONSOLE_SOCKET, load_state
from edge.vm.model import VmSettings
from edge.vm.processes import is_alive, stat_of
from edge.vm.shim_client import connected
from shared.errors import RpcError
from shared.runtime import Runtime

from .conftest import Node, OpenNode
from .waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux namespaces")


MARKS = itertools.count(1000)


async def answer_to(node: Node, command: str) -> str:
    """What the shell inside says to a command, between two marks that only it can print."""
    mark = next(MARKS)
    await node.type(f"echo $(({mark}+0))begin; {command}; echo end$(({mark}+0))")
    text = await until(node.console, lambda seen: f"end{mark}" in seen)
    said = text.rpartition(f"{mark}begin")[2].partition(f"end{mark}")[0]
    return said.replace("\r", "").strip()


async def test_a_sandbox_is_created_started_stopped_and_deleted(node: Node) -> None:
    record = await node.create()
    assert (record["state"], record["kind"], record["isolation"]) == (
        "running",
        "sandbox",
        "namespaces",
    )
    assert stat_of(record["pid"]) is not None
    stopped = await node.call("vm.stop", vm="box", wait_s=20)
    assert (stopped["state"], stopped["changed"]) == ("done", True)
    record = await node.get()
    assert (record["state"], record["reason"], record["power"]) == ("stopped", "user", "stopped")
    started = await node.call("vm.start", vm="box", wait_s=20)
    assert started["state"] == "done"
    deleted = await node.call("vm.delete", vm="box", force=True, wait_s=20)
    assert deleted["state"] == "done"
    assert not node.sandbox(record).exists()
    assert (await node.call("vm.list"))["items"] == []
    assert node.event_names() == [
        "vm.created", "vm.started", "vm.stopped", "vm.started", "vm.stopped", "vm.deleted",
    ]  # fmt: skip
    assert node.changes > 0


async def test_the_shell_greets_and_answers(node: Node) -> None:
    await node.create()
    await until(node.console, lambda seen: "Headwater sandbox box" in seen)
    assert await answer_to(node, "echo $HEADWATER_VM; pwd") == "box\n/home/sandbox"


async def test_the_host_is_out_of_reach(node: Node) -> None:
    """Own host name, no network, nothing of the host to write, none of its secrets to see."""
    host = socket.gethostname()
    await node.create()
    assert await answer_to(node, "hostname") == "box"
    assert "Read-only file system" in await answer_to(node, "touch /x")
    assert "Read-only file system" in await answer_to(node, "touch /usr/x")
    devices = await answer_to(node, "ls /sys/class/net; tail -n +3 /proc/net/dev | cut -d: -f1")
    assert [line.strip() for line in devices.splitlines() if "ls:" not in line] == ["lo"]
    assert await answer_to(node, "hostname changed 2>/dev/null || echo refused") == "refused"
    assert "No such file" in await answer_to(node, f"ls {node.folder}")
    assert "No such file" in await answer_to(node, "ls /root /etc/shadow /run/docker.sock")
    assert await answer_to(node, "grep NoNewPrivs /proc/self/status") == "NoNewPrivs:\t1"
    assert await answer_to(node, "env | grep -c CLUSTER_KEY") == "0"
    assert socket.gethostname() == host


async def test_processes_inside_see_only_themselves_and_are_not_root(node: Node) -> None:
    await node.create()
    assert await answer_to(node, "id -u") == "65534"
    pids = await answer_to(node, "ls /proc | grep -c '^[0-9]'")
    assert int(pids) < 12
    inside = (await node.get())["pid"]
    uids = Path(f"/proc/{inside}/status").read_text().partition("Uid:")[2].split()[:4]
    assert "0" not in uids


async def test_a_fork_bomb_meets_its_limit(node: Node) -> None:
    record = await node.create(limits={"pids": 16})
    assert record["limits_enforced"]["pids"] is True
    assert record["limits_enforced"]["memory"] is False
    await node.type("for i in $(seq 40); do sleep 60 & done")
    await until(node.console, lambda seen: "Cannot fork" in seen)
    stopped = await node.call("vm.stop", vm="box", mode="force", wait_s=20)
    assert stopped["state"] == "done"


async def test_scratch_space_is_bounded(node: Node) -> None:
    await node.create(limits={"disk_mib": 1})
    said = await answer_to(node, "head -c 3000000 /dev/zero > /tmp/big")
    assert "No space left" in said


@pytest.mark.parametrize(
    ("command", "state", "reason", "code"),
    [("exit 7", "failed", "crashed", 7), ("exit 0", "stopped", "guest_shutdown", 0)],
)
async def test_the_exit_code_is_kept(
    node: Node, command: str, state: str, reason: str, code: int
) -> None:
    await node.create()
    await node.type(command)
    record = await until(node.get, lambda seen: seen["state"] != "running")
    assert (record["state"], record["reason"]) == (state, reason)
    assert (record["exit"]["code"], record["exit"]["signal"]) == (code, None)


async def test_a_kill_from_outside_is_told_from_a_crash(node: Node) -> None:
    record = await node.create()
    os.kill(record["pid"], 9)
    record = await until(node.get, lambda seen: seen["state"] == "failed")
    assert (record["reason"], record["exit"]["signal"]) == ("killed_external", 9)


async def test_pause_freezes_and_resume_goes_on(node: Node) -> None:
    record = await node.create()
    assert (await node.call("vm.pause", vm="box"))["state"] == "done"
    paused = await node.get()
    stat = stat_of(record["pid"])
    assert paused["state"] == "paused"
    assert stat is not None
    assert stat.letter == "T"
    assert (await node.call("vm.pause", vm="box"))["changed"] is False
    assert (await node.call("vm.resume", vm="box"))["state"] == "done"
    assert await answer_to(node, "echo alive") == "alive"


async def test_a_paused_sandbox_can_be_stopped(node: Node) -> None:
    await node.create()
    await node.call("vm.pause", vm="box")
    assert (await node.call("vm.stop", vm="box", wait_s=20))["state"] == "done"
    assert (await node.get())["state"] == "stopped"


DEAF = "trap '' TERM HUP; echo deaf$((1+1)); while :; do sleep 1; done"


async def test_a_deaf_sandbox_times_out_and_still_runs(open_node: OpenNode) -> None:
    node = await open_node(templates={"deaf": ("/bin/sh", "-c", DEAF)})
    await node.create(image="template:deaf")
    await until(node.console, lambda seen: "deaf2" in seen)
    operation = await node.call("vm.stop", vm="box", timeout_s=0.3, wait_s=20)
    assert operation["error"]["kind"] == "stop_timeout"
    assert (await node.get())["state"] == "running"
    operation = await node.call("vm.stop", vm="box", force_after=0.3, wait_s=20)
    assert (operation["state"], (await node.get())["state"]) == ("done", "stopped")


async def test_force_takes_the_place_of_a_slow_stop(open_node: OpenNode) -> None:
    node = await open_node(templates={"deaf": ("/bin/sh", "-c", DEAF)})
    await node.create(image="template:deaf")
    await until(node.console, lambda seen: "deaf2" in seen)
    slow = await node.call("vm.stop", vm="box", timeout_s=60, wait_s=0)
    assert slow["state"] == "running"
    joined = await node.call("vm.stop", vm="box", wait_s=0)
    assert joined["op_id"] == slow["op_id"]
    with pytest.raises(RpcError) as refusal:
        await node.call("vm.start", vm="box")
    assert (refusal.value.kind, refusal.value.data["op_id"]) == ("busy", slow["op_id"])
    forced = await node.call("vm.stop", vm="box", mode="force", wait_s=20)
    assert forced["state"] == "done"
    assert (await node.call("op.get", op_id=slow["op_id"]))["state"] == "cancelled"
    assert (await node.get())["state"] == "stopped"


async def test_a_graceful_stop_lets_a_program_clean_up(open_node: OpenNode) -> None:
    script = "trap 'echo bye$((1+1)); exit 0' TERM; echo ready$((1+1)); while :; do sleep 0.1; done"
    node = await open_node(templates={"tidy": ("/bin/sh", "-c", script)})
    await node.create(image="template:tidy")
    await until(node.console, lambda seen: "ready2" in seen)
    await node.call("vm.stop", vm="box", wait_s=20)
    assert "bye2" in await node.console()
    assert (await node.get())["exit"]["code"] == 0


async def test_a_program_that_is_not_there_is_a_failure_with_its_text(open_node: OpenNode) -> None:
    node = await open_node(templates={"none": ("/no/such/program",)})
    await node.create(image="template:none", start=False)
    await node.call("vm.start", vm="box", wait_s=20)
    record = await until(node.get, lambda seen: seen["state"] == "failed")
    assert record["reason"] in ("crashed", "start_failed")
    assert "/no/such/program" in await node.console()


async def test_crashes_are_restarted_until_the_limit(open_node: OpenNode) -> None:
    node = await open_node(templates={"bad": ("/bin/sh", "-c", "exit 3")})
    await node.create(image="template:bad", restart="on-failure", restart_max=1)
    record = await until(node.get, lambda seen: seen["reason"] == "restart_limit")
    assert (record["state"], record["restarts"], record["exit"]["code"]) == ("failed", 1, 3)


async def test_a_stop_cancels_a_restart_that_waits(open_node: OpenNode) -> None:
    node = await open_node(templates={"bad": ("/bin/sh", "-c", "exit 3")})
    await node.create(image="template:bad", restart="always")
    await until(node.get, lambda seen: "restarting" in seen["status"])
    stopped = await node.call("vm.stop", vm="box")
    assert stopped["changed"] is False
    await asyncio.sleep(1.2)
    record = await node.get()
    assert (record["power"], record["restarts"], record["state"]) == ("stopped", 0, "failed")


async def test_a_killed_shim_takes_its_sandbox_with_it(node: Node) -> None:
    record = await node.create()
    state = load_state(node.sandbox(record))
    inside = stat_of(record["pid"])
    assert state is not None
    assert inside is not None
    os.kill(state.shim_pid, 9)

    async def is_gone() -> bool:
        return not is_alive(inside.pid, inside.start_ticks)

    await until(is_gone, bool)
    record = await until(node.get, lambda seen: seen["state"] != "running")
    assert record["reason"] == "killed_external"


async def test_a_deep_data_folder_does_not_matter(folder: Path, runtime: Runtime) -> None:
    """Unix socket paths hold 107 bytes; folders may hold more."""
    deep = folder / ("d" * 100) / ("e" * 60)
    deep.mkdir(parents=True)
    node = Node(deep, runtime, VmSettings())
    await node.service.open()
    try:
        await node.create()
        assert await answer_to(node, "echo here") == "here"
        assert (await node.call("vm.stop", vm="box", wait_s=20))["state"] == "done"
    finally:
        await node.service.close()


async def test_a_flooding_console_stays_bounded(open_node: OpenNode) -> None:
    node = await open_node(console_bytes_max=64 * 1024)
    record = await node.create()
    await node.type("seq 100000; echo flood$((1+1))")
    await until(node.console, lambda seen: "flood2" in seen)
    files = list(node.sandbox(record).glob("console-*.log"))
    assert sum(path.stat().st_size for path in files) <= 64 * 1024
    page = await node.call("vm.console.log", vm="box", offset=0, limit=1000)
    assert page["truncated"] is True
    assert page["next"] == page["offset"] + 1000


async def test_two_consoles_see_the_same_output(node: Node) -> None:
    sandbox = node.sandbox(await node.create())
    async with (
        connected(sandbox, CONSOLE_SOCKET) as (one, typist),
        connected(sandbox, CONSOLE_SOCKET) as (two, _),
    ):
        typist.write(b"echo shared$((1+1))\n")
        async with asyncio.timeout(60):
            assert b"shared2" in await one.readuntil(b"shared2")
            assert b"shared2" in await two.readuntil(b"shared2")


async def test_garbage_on_the_control_socket_disturbs_nothing(node: Node) -> None:
    sandbox = node.sandbox(await node.create())
    async with connected(sandbox) as (reader, writer):
        writer.write(b"[]\n{}\n\xff\xfe\n")
        async with asyncio.timeout(60):
            answers = [json.loads(await reader.readline()) for _ in range(3)]
        assert [answer["ok"] for answer in answers] == [False] * 3
        writer.write(b"x" * 200_000)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
    assert await answer_to(node, "echo alive") == "alive"


async def test_a_terminated_shim_stops_its_sandbox_in_order(node: Node) -> None:
    """Hosts send SIGTERM to everything when they go down."""
    state = load_state(node.sandbox(await node.create()))
    assert state is not None
    os.kill(state.shim_pid, 15)
    record = await until(node.get, lambda seen: seen["state"] != "running")
    assert record["exit"] is not None


async def test_unisolated_payloads_leave_no_process_behind(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a namespace, daemons that left the session are still found and ended."""
    monkeypatch.setattr(sandbox_ground, "probe", lambda uid: (None, "no namespaces here"))
    node = await open_node(allow_unisolated=True)
    await node.create()
    assert "WITHOUT isolation" in await until(node.console, lambda seen: "host itself" in seen)
    daemon = int(await answer_to(node, "setsid -w sh -c 'sleep 300 >/dev/null 2>&1 & echo $!'"))
    stat = stat_of(daemon)
    assert stat is not None
    await node.call("vm.stop", vm="box", mode="force", wait_s=20)
    assert not is_alive(stat.pid, stat.start_ticks)


async def test_a_console_shows_and_takes_bytes_for_several_viewers(node: Node) -> None:
    """Both see what one of them types; who only looks on cannot type."""
    await node.create()
    typist = await node.service.open_console({"vm": "box"})
    looker = await node.service.open_console({"vm": "box", "mode": "ro"})
    await typist.resize(123, 45)
    await typist.write(b"stty size\n")
    for console in (typist, looker):
        seen = b""
        while b"45 123" not in seen:
            seen += await console.read()
    with pytest.raises(RpcError, match="look on only"):
        await looker.write(b"x")
    await node.call("vm.stop", vm="box", mode="force", wait_s=30)
    for console in (typist, looker):
        while await console.read():
            continue
        await console.close()
    with pytest.raises(RpcError, match="does not run"):
        await node.service.open_console({"vm": "box"})


async def test_what_a_sandbox_uses_is_measured(node: Node) -> None:
    await node.create()
    used = await node.call("vm.stats", vm="box")
    assert used["processes"] >= 1
    assert used["memory_bytes"] > 100_000
    await node.call("vm.stop", vm="box", mode="force", wait_s=30)
    assert (await node.call("vm.stats", vm="box"))["memory_bytes"] is None
