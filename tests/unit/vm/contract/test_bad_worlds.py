"""The contract where the world is unkind: machines that never get up, floods, full disks, taken ports,
and orders that no node can carry out. Each ends in an error of the table, and the node works on."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge.vm.qemu.gap import gap_size
from edge.vm.sandbox_ask import FOR_VMS
from shared.records import MIB
from tests.system.disks import SmallDisk, fill, small_disks
from tests.unit.vm.waiting import until

from .conftest import IMAGES, QEMU, SANDBOX, OpenReal, RealNode
from .guests import BLOCK_BYTES, RESETS_FOR_EVER, OneImage, prints

WAIT_S = 60
FLOOD_BYTES = {SANDBOX: 100 * MIB, QEMU: 4 * MIB}
"""An emulated guest prints by single bytes, a hundred thousand in a second: 100 MB would take long."""

FLOOD = f"head -c {FLOOD_BYTES[SANDBOX]} /dev/zero | tr '\\0' x; echo '!'; read end"
LOG_BYTES_MAX = 64 * 1024
GROWTH_BYTES_MAX = 48 * MIB


@contextlib.asynccontextmanager
async def supervised(node: RealNode) -> AsyncIterator[None]:
    """While the agent follows what its machines do."""
    task = asyncio.create_task(node.service.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def still_works(node: RealNode) -> None:
    """Another machine is made, started and deleted."""
    spec = {"name": "next", "image": IMAGES[node.kind]}
    before = len(node.processes())
    made = await node.call("vm.create", spec=spec, start=True, wait_s=WAIT_S)
    assert made["state"] == "done", made
    assert len(node.processes()) == before + 1
    gone = await node.call("vm.delete", vm="next", force=True, wait_s=WAIT_S)
    assert gone["state"] == "done", gone


# ---- a machine that never gets up


async def test_a_machine_that_never_gets_up_is_given_up_with_the_reason(
    folder: Path, open_real: OpenReal, kind: str
) -> None:
    """A guest resets for ever; a program ends as soon as it is started, however often."""
    store = OneImage(folder / "odd.img", RESETS_FOR_EVER)
    node = await open_real(images=store, templates={"odd": ("/bin/false",)})
    image = {SANDBOX: "template:odd", QEMU: "odd"}[kind]
    spec = {"name": "box", "image": image, "restart": "always", "restart_max": 1}
    async with supervised(node):
        await node.call("vm.create", spec=spec, start=True, wait_s=WAIT_S)
        wanted = {SANDBOX: "restart_limit", QEMU: "boot_loop"}[kind]
        record = await until(node.get, lambda seen: seen["reason"] == wanted)
        assert record["state"] == "failed"
        await until(lambda: none_lives(node), bool)
        await still_works(node)


async def none_lives(node: RealNode) -> bool:
    return node.processes() == []


# ---- ports


@contextlib.contextmanager
def listener() -> Iterator[int]:
    """A stranger that listens on a port of this host."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield int(made.getsockname()[1])


def with_port(number: int) -> dict[str, Any]:
    return {"nics": [{"ports": [{"host": number, "guest": 22}]}]}


async def test_a_port_that_a_stranger_holds_is_named_and_free_again_later(real: RealNode) -> None:
    if real.kind == SANDBOX:
        spec = {"name": "box", "image": IMAGES[SANDBOX], **with_port(2222)}
        refused = await real.refusal("vm.create", spec=spec)
        assert (refused.kind, refused.data["field"]) == ("invalid_params", "nics")
        return
    with listener() as number:
        await real.create(start=False, **with_port(number))
        failed = await real.call("vm.start", vm="box", wait_s=WAIT_S)
        assert (failed["state"], failed["error"]["kind"]) == ("failed", "insufficient")
        assert "not enough ports" in failed["error"]["message"]
        assert str(number) in failed["error"]["message"]
        record = await real.get()
        assert (record["state"], record["reason"]) == ("failed", "start_failed")
        assert real.processes() == []
    assert (await real.call("vm.start", vm="box", wait_s=WAIT_S))["state"] == "done"
    assert len(real.processes()) == 1


async def test_two_machines_that_want_one_port_do_not_hurt_each_other(real: RealNode) -> None:
    """What is not asked for by number never clashes."""
    if real.kind == SANDBOX:
        assert "nics" in FOR_VMS  # It has no cards: see the test above.
        return
    with listener() as number:
        pass
    for name in ("one", "two"):
        await real.call(
            "vm.create",
            spec={"name": name, "image": IMAGES[QEMU], **with_port(number)},
            wait_s=WAIT_S,
        )
    assert (await real.call("vm.start", vm="one", wait_s=WAIT_S))["state"] == "done"
    before = real.processes()
    failed = await real.call("vm.start", vm="two", wait_s=WAIT_S)
    assert (failed["state"], failed["error"]["kind"]) == ("failed", "insufficient")
    assert real.processes() == before
    assert (await real.get("one"))["state"] == "running"
    await real.call("vm.stop", vm="one", mode="force", wait_s=WAIT_S)
    assert (await real.call("vm.start", vm="two", wait_s=WAIT_S))["state"] == "done"


# ---- a flood


@pytest.mark.timeout(240)
async def test_a_console_that_is_flooded_costs_a_bounded_log_and_no_agent(
    folder: Path, open_real: OpenReal, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 MB of a sandbox: the newest is kept, all is counted, and others are answered meanwhile."""
    monkeypatch.setattr("edge.vm.qemu.gap.FLOOD_BYTES_MAX", MIB)
    store = OneImage(folder / "odd.img", prints(FLOOD_BYTES[QEMU] // BLOCK_BYTES))
    node = await open_real(
        images=store,
        templates={"odd": ("/bin/sh", "-c", FLOOD)},
        console_bytes_max=LOG_BYTES_MAX,
    )
    image = {SANDBOX: "template:odd", QEMU: "odd"}[kind]
    agent = psutil.Process()
    before = agent.memory_info().rss
    async with supervised(node):
        await node.call(
            "vm.create", spec={"name": "box", "image": image}, start=True, wait_s=WAIT_S
        )
        page = await until(lambda: log_of(node), lambda seen: seen["size"] > FLOOD_BYTES[kind], 200)
        assert page["data"].rstrip().endswith("!")
        assert agent.memory_info().rss - before < GROWTH_BYTES_MAX
        logs, gaps = kept_bytes(node)
        assert logs <= 2 * LOG_BYTES_MAX
        assert gaps <= 2 * MIB
        assert (await node.get())["state"] == "running"
        await still_works(node)


async def log_of(node: RealNode) -> dict[str, Any]:
    await node.get()
    return await node.call("vm.console.log", vm="box", limit=4096)


def kept_bytes(node: RealNode) -> tuple[int, int]:
    """Of the console, on disk: the logs, and what QEMU itself keeps for the next agent."""
    logs = sum(path.stat().st_size for path in node.folder.glob("*/*/console-*.log"))
    gaps = [gap_size(path.parent) for path in node.folder.glob("qemu/*/pid")]
    return logs, sum(gaps)


# ---- a full disk


@pytest.fixture
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """The folder of a driver on a real file system of a few megabytes."""
    with small_disks(folder) as mount:
        yield mount


async def test_a_full_disk_is_named_as_what_is_missing(
    small_disk: SmallDisk, open_real: OpenReal, kind: str
) -> None:
    """And once there is room again the same order is carried out."""
    disk = small_disk({SANDBOX: "sandboxes", QEMU: "qemu"}[kind], 16 * MIB)
    node = await open_real()
    await node.call("node.drivers")  # What a driver keeps for itself is there.
    ballast = fill(disk, 0)
    spec = {"name": "box", "image": IMAGES[kind]}
    failed = await node.call("vm.create", spec=spec, start=True, wait_s=WAIT_S)
    assert (failed["state"], failed["error"]["kind"]) == ("failed", "insufficient"), failed
    assert "No space left" in failed["error"]["message"]
    assert node.processes() == []
    ballast.unlink()
    for each in (await node.call("vm.list"))["items"]:
        await node.call("vm.delete", vm=each["name"], force=True, wait_s=WAIT_S)
    await still_works(node)
    assert node.processes() == []


# ---- senseless orders

BAD_NAMES = [
    "../up",
    "a/b",
    "/etc/passwd",
    "a\nb",
    "a\x00b",
    "a\x1b[2J",
    "\u202ebox",
    "..",
    "a" * 64,
]
ABSURD: list[tuple[dict[str, Any], str]] = [
    ({"cpus": 10**9}, "invalid_params"),
    ({"cpus": -1}, "invalid_params"),
    ({"cpus": 1000}, "insufficient"),
    ({"memory_mib": 2**63}, "invalid_params"),
    ({"memory_mib": 900 * 1024}, "insufficient"),
    ({"limits": {"pids": 10**12}}, "invalid_params"),
    ({"limits": {"disk_mib": -5}}, "invalid_params"),
    ({"env": {f"A{n}": "x" for n in range(100_000)}}, "invalid_params"),
    ({"labels": {"a": "b" * 10_000}}, "invalid_params"),
    ({"description": "x" * 10**6}, "invalid_params"),
    ({"stop_timeout_s": 10**12}, "invalid_params"),
    ({"disks": [{"name": "d", "size_mib": 10**15}]}, "invalid_params"),
    ({"disks": [{"name": "../d", "size_mib": 1}]}, "invalid_params"),
    ({"nics": [{"ports": [{"host": 70_000, "guest": 22}]}]}, "invalid_params"),
    ({"nics": [{}] * 1000}, "invalid_params"),
]


async def test_senseless_orders_are_refused_by_name_and_leave_nothing(real: RealNode) -> None:
    before = files_below(real.folder)
    for name in BAD_NAMES:
        refused = await real.refusal("vm.create", spec={"name": name, "image": IMAGES[real.kind]})
        assert refused.kind == "invalid_params", name
    for change, kind in ABSURD:
        spec = {"name": "box", "image": IMAGES[real.kind], **change}
        refused = await real.refusal("vm.create", spec=spec)
        assert refused.kind == kind, change
        assert len(str(refused)) < 1000
    assert (await real.call("vm.list"))["items"] == []
    assert files_below(real.folder) == before
    await still_works(real)


def files_below(folder: Path) -> set[str]:
    """What drivers keep of machines."""
    found = (path for place in ("sandboxes", "qemu") for path in folder.glob(f"{place}/*/*"))
    return {str(path) for path in found if path.parent.name != "builtin"}


async def test_a_request_id_is_for_one_body(real: RealNode) -> None:
    spec = {"name": "box", "image": IMAGES[real.kind]}
    made = await real.call("vm.create", spec=spec, request_id="r-1", wait_s=WAIT_S)
    again = await real.call("vm.create", spec=spec, request_id="r-1", wait_s=WAIT_S)
    assert again["op_id"] == made["op_id"]
    others: dict[str, dict[str, Any]] = {
        "vm.create": {"spec": {**spec, "name": "other"}},
        "vm.start": {"vm": "box"},
        "vm.delete": {"vm": "box"},
    }
    for method, params in others.items():
        refused = await real.refusal(method, request_id="r-1", **params)
        assert refused.kind == "conflict", method
    assert [each["name"] for each in (await real.call("vm.list"))["items"]] == ["box"]
    assert real.processes() == []


# ---- a driver that is not there


async def test_without_qemu_its_images_are_refused_with_the_line_that_installs_it(
    folder: Path, open_real: OpenReal, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And sandboxes work on."""
    empty = folder / "empty"
    empty.mkdir()
    if kind == QEMU:
        monkeypatch.setenv("PATH", str(empty))
    node = await open_real()
    if kind == SANDBOX:
        await still_works(node)
        return
    refused = await node.refusal("vm.create", spec={"name": "box", "image": IMAGES[QEMU]})
    assert refused.kind == "driver_unavailable"
    assert refused.data["hint"].startswith("apt-get install")
    assert "qemu-system-x86" in refused.data["hint"]
    known = {each["name"]: each for each in (await node.call("node.drivers"))["drivers"]}
    assert (known["qemu"]["healthy"], known["qemu"]["hint"]) == (False, refused.data["hint"])
    assert os.environ["PATH"] == str(empty)
