"""A machine becomes two: disks first, the record last."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from edge.vm.driver import Handle, Progress
from edge.vm.image_clone import clone_spec
from edge.vm.image_copy import copy_files
from edge.vm.model import Nic, Port, Spec
from edge.vm.qemu.driver import QemuDriver
from edge.vm.sandbox import SandboxDriver
from shared.errors import RpcError
from shared.runtime import Runtime
from tests.unit.vm import needs
from tests.unit.vm.conftest import Node


async def clone(node: Node, **order: Any) -> dict[str, Any]:
    operation = await node.call("vm.clone", **{"vm": "box", "name": "copy", "wait_s": 30, **order})
    assert operation["state"] != "running", operation
    return operation


def test_a_clone_has_its_own_address_and_ports() -> None:
    nic = Nic(mac="52:54:00:00:00:01", ports=(Port(guest=22, host=2222),))
    made = clone_spec(Spec(name="a", image="x", nics=(nic,), cpus=3), "b")
    assert made == Spec(name="b", image="x", nics=(Nic(ports=(Port(guest=22),)),), cpus=3)


async def test_a_stopped_machine_is_cloned_under_another_name(node: Node) -> None:
    source = await node.create(start=False, labels={"role": "web"}, env={"A": "1"})
    operation = await clone(node, requested_by="ann")
    assert operation["state"] == "done", operation
    made = await node.get("copy")
    assert operation["result"]["id"] == made["id"] != source["id"]
    assert made["spec"] == {**source["spec"], "name": "copy"}
    assert (made["state"], made["created_by"]) == ("stopped", "ann")
    assert (await node.get("box"))["task"] is None
    await node.call("vm.start", vm="copy", wait_s=30)
    assert (await node.get("copy"))["state"] == "running"


async def test_the_same_request_makes_one_clone(node: Node) -> None:
    await node.create(start=False)
    first = await clone(node, request_id="r-1")
    assert (await clone(node, request_id="r-1"))["op_id"] == first["op_id"]
    assert len((await node.call("vm.list"))["items"]) == 2


async def test_a_machine_that_runs_is_not_cloned(node: Node) -> None:
    await node.create()
    with pytest.raises(RpcError) as caught:
        await clone(node)
    assert caught.value.kind == "invalid_state"


async def test_a_name_that_is_taken_makes_no_clone(node: Node) -> None:
    await node.create(start=False)
    await node.create("copy", start=False)
    operation = await clone(node)
    assert operation["error"]["kind"] == "conflict"
    assert len((await node.call("vm.list"))["items"]) == 2


async def test_a_driver_with_disks_copies_them_before_there_is_a_record(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str, int]] = []

    async def copy(self: Any, source: Handle, target: Handle, progress: Progress) -> None:
        machines = len((await node.call("vm.list"))["items"])
        seen.append((source["folder"], target["folder"], machines))

    monkeypatch.setattr(SandboxDriver, "copy_disks", copy, raising=False)
    source = await node.create(start=False)
    operation = await clone(node)
    assert operation["state"] == "done", operation
    assert seen == [(source["id"], operation["result"]["id"], 1)]


async def test_a_copy_that_fails_makes_no_machine(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def copy(self: Any, source: Handle, target: Handle, progress: Progress) -> None:
        raise RpcError("insufficient", "no room")

    monkeypatch.setattr(SandboxDriver, "copy_disks", copy, raising=False)
    await node.create(start=False)
    operation = await clone(node)
    assert (operation["state"], operation["error"]["kind"]) == ("failed", "insufficient")
    assert [item["name"] for item in (await node.call("vm.list"))["items"]] == ["box"]


def quiet(stage: str, percent: int | None) -> None:
    """Progress that nobody watches."""


async def test_files_are_copied_whole_with_their_holes(tmp_path: Path, runtime: Runtime) -> None:
    size = 8 << 20
    (tmp_path / "old").mkdir()
    for name in ("root.qcow2", "data.qcow2"):
        with (tmp_path / "old" / name).open("wb") as file:
            file.write(name.encode() * 1000)
            file.truncate(size)
    names = ["root.qcow2", "data.qcow2"]
    await copy_files(tmp_path / "old", tmp_path / "new", names, runtime, quiet)
    for name in names:
        made = tmp_path / "new" / name
        assert made.read_bytes() == (tmp_path / "old" / name).read_bytes()
        assert made.stat().st_blocks * 512 < size // 2
        assert made.stat().st_mode & 0o777 == 0o600


async def test_a_copy_that_is_cut_off_leaves_no_trace(tmp_path: Path, runtime: Runtime) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").write_bytes(b"x" * (4 << 20))
    with pytest.raises(RpcError, match="cannot be written"):
        await copy_files(tmp_path / "old", tmp_path / "new", ["a", "missing"], runtime, quiet)
    assert not (tmp_path / "new").exists()


@needs.qemu()
async def test_the_copy_of_an_overlay_builds_on_the_same_image(
    tmp_path: Path, runtime: Runtime
) -> None:
    """And what was written to one of them later is not seen in the other."""
    base, old = tmp_path / "base.img", tmp_path / "old"
    base.write_bytes(b"\x11" * (1 << 20))
    old.mkdir()
    img("create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(old / "root.qcow2"))
    write(old / "root.qcow2", 0x22, 0)
    await copy_files(old, tmp_path / "new", ["root.qcow2"], runtime, quiet)
    write(old / "root.qcow2", 0x33, 0)
    img("convert", "-O", "raw", str(tmp_path / "new" / "root.qcow2"), str(tmp_path / "seen"))
    seen = (tmp_path / "seen").read_bytes()
    assert seen == b"\x22" * 4096 + b"\x11" * ((1 << 20) - 4096)


async def test_a_sandbox_has_no_disks_of_another_time(node: Node) -> None:
    await node.create(start=False)
    operation = await clone(node, snapshot="before")
    assert operation["error"]["kind"] == "not_supported"
    assert len((await node.call("vm.list"))["items"]) == 1


@needs.qemu()
async def test_a_clone_of_a_snapshot_has_the_disks_of_then(node: Node) -> None:
    """The machine that is cloned keeps what was written since."""
    source = await node.create(start=False, image="builtin:tiny")
    disk = node.folder / "qemu" / source["id"] / "root.qcow2"
    write(disk, 0x22, 65_536)
    await node.call("vm.snapshot.create", vm="box", name="before", wait_s=30)
    write(disk, 0x33, 65_536)
    operation = await clone(node, snapshot="before")
    assert operation["state"] == "done", operation
    copy = node.folder / "qemu" / operation["result"]["id"] / "root.qcow2"
    assert (byte_at(copy, 65_536), byte_at(disk, 65_536)) == (0x22, 0x33)
    started = await node.call("vm.start", vm="copy", wait_s=30)
    assert started["state"] == "done", started
    await node.call("vm.stop", vm="copy", mode="force", wait_s=30)


@needs.qemu()
@pytest.mark.parametrize("is_broken", [False, True])
async def test_a_snapshot_that_is_not_there_or_breaks_makes_no_clone(
    node: Node, monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    async def fail(self: Any, handle: Handle, name: str, progress: Progress) -> None:
        raise RpcError("driver_error", "it broke")

    await node.create(start=False, image="builtin:tiny")
    if is_broken:
        await node.call("vm.snapshot.create", vm="box", name="before", wait_s=30)
        monkeypatch.setattr(QemuDriver, "snapshot_restore", fail)
    operation = await clone(node, snapshot="before")
    assert operation["error"]["kind"] == ("driver_error" if is_broken else "not_found")
    assert len((await node.call("vm.list"))["items"]) == 1
    assert (await node.call("vm.discover"))["items"] == []


def byte_at(disk: Path, offset: int) -> int:
    """What a guest reads there."""
    raw = disk.with_suffix(".raw")
    img("convert", "-O", "raw", str(disk), str(raw))
    return raw.read_bytes()[offset]


def img(*words: str) -> None:
    subprocess.run(["qemu-img", *words], check=True, stdout=subprocess.DEVNULL)


def write(path: Path, value: int, offset: int) -> None:
    order = f"write -P {value} {offset} 4096"
    subprocess.run(["qemu-io", "-c", order, str(path)], check=True, stdout=subprocess.DEVNULL)
