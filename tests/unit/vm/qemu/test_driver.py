"""Real machines in QEMU: the life of one, what outlives an agent, and how each of them ends."""

import asyncio
import json
import os
import signal
from pathlib import Path

import msgspec
import pytest

from edge.vm.driver import Capability
from edge.vm.model import MIB, CloudInit, Disk, Nic, Port, State, Vm
from edge.vm.processes import stat_of
from edge.vm.qemu import guest as guest_module
from edge.vm.qemu.accel import boots
from edge.vm.qemu.disks import virtual_bytes
from edge.vm.tiny import BANNER, tiny_disk
from shared.errors import RpcError
from tests.unit.vm.needs import qemu
from tests.unit.vm.waiting import until

from .conftest import Lab, quiet, with_handle

pytestmark = qemu()

CTRL_D, CTRL_R = "\x04", "\x12"


async def test_a_machine_is_created_started_stopped_and_destroyed(lab: Lab) -> None:
    """Its guest hears the power button, and says farewell."""
    handle = await lab.run()
    seen = await lab.driver.observe(handle)
    assert (seen.state, seen.pid, seen.ended) == (State.RUNNING, handle["pid"], "")
    assert seen.isolation == ("emulated" if seen.accel == "tcg" else "hardware")
    await lab.driver.ask_to_stop(handle)
    async with asyncio.timeout(60):
        await lab.driver.wait_changed(handle)
    seen = await lab.until_over(handle)
    assert seen.ended == "guest_shutdown"
    await lab.driver.clear(handle)
    assert b"power off" in lab.said(handle)
    assert stat_of(handle["pid"]) is None or stat_of(handle["pid"]).letter == "Z"  # type: ignore[union-attr]
    assert await lab.driver.observe(handle) == type(seen)(State.ABSENT)
    await lab.driver.destroy(handle, keep_disks=False)
    assert not (lab.folder / "box").exists()


async def test_a_second_start_keeps_the_first_machine(lab: Lab) -> None:
    """Whoever asks again, also from another agent, gets the same process."""
    vm = await lab.start(await lab.create())
    again = await lab.start(vm)
    other = await lab.reborn().start(vm)
    assert vm.handle["pid"] == again.handle["pid"] == other["pid"]


async def test_qemu_itself_refuses_a_second_one(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when the first is not found: it holds the lock of its pid file, and stays whole."""
    vm = await lab.start(await lab.create())
    with monkeypatch.context() as blind:
        for module in ("launch", "hands"):
            blind.setattr(f"edge.vm.qemu.{module}.living_process", lambda folder: None)
        with pytest.raises(RpcError, match="lock") as refusal:
            await lab.driver.start(vm)
    assert refusal.value.kind == "driver_error"
    seen = await lab.driver.observe(vm.handle)
    assert (seen.pid, seen.is_responsive) == (vm.handle["pid"], True)


async def test_what_is_made_again_while_it_runs_stays_as_it_is(lab: Lab) -> None:
    """A start always makes first; the ports of a machine that runs are its own."""
    vm = await lab.start(await lab.create(nics=(Nic(ports=(Port(guest=22),)),)))
    assert await lab.driver.create(vm, quiet) == vm.handle


async def test_a_trial_of_an_accelerator_tells_a_guest_that_boots_from_one_that_does_not(
    folder: Path,
) -> None:
    disk, empty = tiny_disk(folder), folder / "empty"
    empty.write_bytes(bytes(2**20))
    assert await asyncio.to_thread(boots, "tcg", disk, 60.0)
    assert not await asyncio.to_thread(boots, "tcg", empty, 0.5)
    assert not await asyncio.to_thread(boots, "none-such", disk, 60.0)


async def test_pause_stops_the_guest_and_resume_lets_it_go_on(lab: Lab) -> None:
    handle = await lab.run()
    await lab.driver.pause(handle)
    assert (await lab.driver.observe(handle)).state is State.PAUSED
    await lab.driver.resume(handle)
    assert (await lab.driver.observe(handle)).state is State.RUNNING
    await lab.driver.console_send(handle, "\r")
    await lab.until_said(handle, b"01> ")


async def test_a_paused_guest_is_let_go_on_to_hear_the_power_button(lab: Lab) -> None:
    handle = await lab.run()
    await lab.driver.pause(handle)
    await lab.driver.ask_to_stop(handle)
    assert (await lab.until_over(handle)).ended == "guest_shutdown"


async def test_reset_and_reboot_start_the_guest_anew(lab: Lab) -> None:
    """One by the button, one by the guest; neither ends the machine."""
    handle = await lab.run()
    await lab.driver.reset(handle)
    await lab.until_said(handle, BANNER, times=2)
    await lab.driver.console_send(handle, CTRL_R)
    await lab.until_said(handle, BANNER, times=3)
    seen = await lab.driver.observe(handle)
    assert (seen.state, seen.pid) == (State.RUNNING, handle["pid"])
    assert seen.resets >= 1


async def test_a_change_is_told_without_asking(lab: Lab) -> None:
    """Whoever waits hears of a guest that powers itself off."""
    handle = await lab.run()
    await lab.driver.observe(handle)
    waiting = asyncio.ensure_future(lab.driver.wait_changed(handle))
    await lab.driver.console_send(handle, CTRL_D)
    async with asyncio.timeout(60):
        await waiting
    assert (await lab.until_over(handle)).ended == "guest_shutdown"


async def test_a_killed_process_is_an_end_from_outside(lab: Lab) -> None:
    handle = await lab.run()
    os.kill(handle["pid"], signal.SIGKILL)
    async with asyncio.timeout(60):
        await lab.driver.wait_changed(handle)
    assert (await lab.until_over(handle)).ended == "killed_external"
    vm = await lab.start(with_handle(lab.vm(), handle))  # What it left behind stops nobody.
    await lab.until_said(vm.handle, BANNER, times=2)


async def test_a_process_that_stands_still_is_unresponsive_and_can_be_killed(lab: Lab) -> None:
    handle = await lab.run()
    os.kill(handle["pid"], signal.SIGSTOP)
    seen = await lab.driver.observe(handle)
    assert (seen.state, seen.is_responsive) == (State.RUNNING, False)
    await lab.driver.kill(handle)
    assert (await lab.driver.observe(handle)).state is State.ABSENT


async def test_a_handle_of_before_the_start_finds_the_machine_too(lab: Lab) -> None:
    """An agent that died between the start and its record is not a second chance to start."""
    vm = await lab.create()
    started = await lab.start(vm)
    seen = await lab.reborn().observe(vm.handle)
    assert (seen.state, seen.pid) == (State.RUNNING, started.handle["pid"])


async def test_a_power_off_while_no_agent_is_there_is_learnt_later(lab: Lab) -> None:
    handle = await lab.run()
    await lab.driver.close()
    _, writer = await asyncio.open_unix_connection(str(lab.folder / "box" / "serial.sock"))
    writer.write(CTRL_D.encode())
    gap = lab.folder / "box" / "gap.log"
    await until(lambda: asyncio.to_thread(gap.read_bytes), lambda said: b"power off" in said)
    writer.close()
    lab.reborn()
    assert (await lab.until_over(handle)).ended == "guest_shutdown"
    await lab.driver.clear(handle)
    assert b"power off" in lab.said(handle)


async def test_clear_does_not_end_a_machine_that_lives(lab: Lab) -> None:
    handle = await lab.run()
    with pytest.raises(RpcError) as refusal:
        await lab.driver.clear(handle)
    assert refusal.value.kind == "invalid_state"
    with pytest.raises(RpcError) as refusal:
        await lab.driver.destroy(handle, keep_disks=False)
    assert refusal.value.kind == "invalid_state"
    assert (await lab.driver.observe(handle)).state is State.RUNNING


async def test_a_memory_snapshot_brings_back_the_guest_as_it_was(lab: Lab) -> None:
    """The guest counts lines in its memory only."""
    handle = await lab.run()
    await lab.driver.console_send(handle, "\r")
    await lab.until_said(handle, b"01> ")
    taken = await lab.driver.snapshot_create(handle, "one", with_memory=True, progress=quiet)
    assert (taken.name, taken.has_memory) == ("one", True)
    await lab.driver.console_send(handle, "\r\r")
    await lab.until_said(handle, b"03> ")
    await lab.driver.snapshot_restore(handle, "one", quiet)
    assert (await lab.driver.observe(handle)).state is State.RUNNING
    await lab.driver.console_send(handle, "\r")
    await lab.until_said(handle, b"02> ", times=2)
    with pytest.raises(RpcError) as refusal:
        await lab.driver.snapshot_create(handle, "one", with_memory=True, progress=quiet)
    assert refusal.value.kind == "conflict"
    await lab.driver.snapshot_delete(handle, "one", quiet)
    assert await lab.driver.snapshots(handle) == []


async def test_disk_snapshots_work_while_it_runs_and_while_it_does_not(lab: Lab) -> None:
    vm = await lab.create(disks=(Disk(name="data", size_mib=1),))
    taken = await lab.driver.snapshot_create(vm.handle, "off", with_memory=False, progress=quiet)
    assert not taken.has_memory
    vm = await lab.start(vm)
    await lab.driver.snapshot_create(vm.handle, "on", with_memory=False, progress=quiet)
    assert [held.name for held in await lab.driver.snapshots(vm.handle)] == ["off", "on"]
    with pytest.raises(RpcError) as refusal:
        await lab.driver.snapshot_restore(vm.handle, "off", quiet)
    assert refusal.value.kind == "invalid_state"
    await lab.driver.kill(vm.handle)
    await lab.driver.snapshot_restore(vm.handle, "off", quiet)
    await lab.driver.snapshot_delete(vm.handle, "on", quiet)
    assert [held.name for held in await lab.driver.snapshots(vm.handle)] == ["off"]
    with pytest.raises(RpcError) as refusal:
        await lab.driver.snapshot_restore(vm.handle, "none", quiet)
    assert refusal.value.kind == "not_found"


async def test_a_machine_with_all_devices_starts(lab: Lab) -> None:
    """Cards, ports, several disks and a seed are understood by QEMU."""
    cards = (
        Nic(ports=(Port(guest=22), Port(guest=53, proto="udp"))),
        Nic(model="e1000", mac="52:54:00:00:00:01"),
        Nic(mode="none"),
    )
    disks = (Disk(name="root", size_mib=4), Disk(name="data", size_mib=2))
    seed = CloudInit(user_data="#cloud-config\n", network="version: 2\n")
    handle = await lab.run(nics=cards, disks=disks, cloud_init=seed, cpus=2)
    seen = await lab.driver.observe(handle)
    assert [port.guest for port in seen.ports] == [22, 53]
    assert all(port.host for port in seen.ports)
    sample = await lab.driver.stats(handle)
    assert sample.disk_read_bytes is not None
    assert sample.disk_read_bytes >= 512
    assert sample.cpu_seconds is not None
    await lab.driver.kill(handle)
    assert (await lab.driver.stats(handle)).memory_bytes is None
    again = await lab.start(with_handle(lab.vm(nics=cards, disks=disks), handle))
    assert (await lab.driver.observe(again.handle)).ports == seen.ports


async def test_a_port_that_is_taken_is_named_as_what_is_missing(lab: Lab) -> None:
    first = await lab.run("one", nics=(Nic(ports=(Port(guest=22),)),))
    taken = (await lab.driver.observe(first)).ports[0].host
    with pytest.raises(RpcError) as refusal:
        await lab.run("two", nics=(Nic(ports=(Port(guest=22, host=taken),)),))
    assert (refusal.value.kind, refusal.value.data["what"]) == ("insufficient", "ports")


async def test_a_disk_that_is_to_be_larger_is_so_from_the_next_start(lab: Lab) -> None:
    """It keeps what it holds, its snapshots too; one that is to be smaller stays as it is."""

    def with_disk(vm: Vm, mib: int) -> Vm:
        disks = (Disk(name="data", size_mib=mib),)
        return msgspec.structs.replace(vm, spec=msgspec.structs.replace(vm.spec, disks=disks))

    path = lab.folder / "box" / "data.qcow2"
    vm = await lab.create(disks=(Disk(name="data", size_mib=1),))
    await lab.driver.snapshot_create(vm.handle, "one", with_memory=False, progress=quiet)
    vm = await lab.start(with_disk(vm, 3))
    assert virtual_bytes(path, "qcow2") == 3 * MIB
    vm = await lab.start(with_disk(vm, 4))
    assert virtual_bytes(path, "qcow2") == 3 * MIB, "a machine that runs keeps its disks"
    await lab.driver.kill(vm.handle)
    await lab.start(with_disk(vm, 2))
    assert virtual_bytes(path, "qcow2") == 3 * MIB
    assert [one.name for one in await lab.driver.snapshots(vm.handle)] == ["one"]


async def test_kept_disks_outlive_their_machine(lab: Lab) -> None:
    vm = await lab.create()
    await lab.driver.destroy(vm.handle, keep_disks=True)
    assert [path.name for path in (lab.folder / "box").iterdir()] == ["root.qcow2"]
    assert [found.handle for found in await lab.driver.discover([])] == [{"folder": "box"}]


async def test_strangers_are_discovered_and_left_alone(lab: Lab) -> None:
    known, stranger = await lab.run("one"), await lab.run("two")
    found = await lab.driver.discover([known])
    assert [one.pid for one in found] == [stranger["pid"]]
    assert (await lab.driver.observe(stranger)).state is State.RUNNING


async def test_what_a_host_lacks_is_refused_before_anything_is_made(lab: Lab) -> None:
    fingerprint = await lab.driver.fingerprint()
    assert (fingerprint.healthy, fingerprint.images[0]) == (True, "builtin:tiny")
    assert Capability.MEMORY_SNAPSHOT in fingerprint.capabilities
    for kind, spec in {
        "not_found": lab.vm(image="debian-12").spec,
        "insufficient": lab.vm(memory_mib=2**24).spec,
        "not_supported": lab.vm(arch="aarch64").spec,
        "invalid_params": lab.vm(disks=(Disk(name="data"),)).spec,
    }.items():
        with pytest.raises(RpcError) as refusal:
            await lab.driver.check(spec)
        assert refusal.value.kind == kind
    await lab.driver.check(lab.vm().spec)
    assert lab.driver.runs("debian-12")
    assert not lab.driver.runs("builtin:shell")


class BootStore:
    """A store with one image: a guest of a few instructions that never says a word."""

    def __init__(self, path: Path, code: str) -> None:
        path.write_bytes(bytes.fromhex(code).ljust(510, b"\0") + b"\x55\xaa" + bytes(2**20 - 512))
        self._path = path

    def names(self) -> tuple[str, ...]:
        return (self._path.stem,)

    def path_of(self, name: str) -> Path:
        return self._path

    def format_of(self, name: str) -> str:
        return "raw"


class TestBootLoop:
    @pytest.fixture
    def store(self, folder: Path) -> BootStore:
        # mov al,6; mov dx,0xcf9; out dx,al; jmp $
        return BootStore(folder / "loop.img", "b006baf90ceeebfe")

    async def test_a_guest_that_resets_for_ever_is_over(self, lab: Lab) -> None:
        """It is stopped, so that it burns no core, and a later agent knows why."""
        vm = await lab.start(await lab.create(image="loop"))
        seen = await lab.until_over(vm.handle)
        assert (seen.ended, seen.pid) == ("boot_loop", vm.handle["pid"])
        await lab.driver.close()
        assert (await lab.reborn().observe(vm.handle)).ended == "boot_loop"
        await lab.driver.clear(vm.handle)
        assert not (lab.folder / "box" / "pid").exists()
        assert (lab.folder / "box" / guest_module.LOOP_FILE).exists()


class TestPanic:
    @pytest.fixture
    def store(self, folder: Path) -> BootStore:
        # mov al,1; mov dx,0x505; out dx,al; jmp $ -- as a Linux kernel does it that panics.
        return BootStore(folder / "panic.img", "b001ba0505eeebfe")

    async def test_a_guest_that_panics_is_over_and_says_so(self, lab: Lab) -> None:
        """Also to an agent that was away."""
        vm = await lab.start(await lab.create(image="panic"))
        seen = await lab.until_over(vm.handle)
        assert (seen.ended, seen.pid) == ("guest_panic", vm.handle["pid"])
        await lab.driver.close()
        assert (await lab.reborn().observe(vm.handle)).ended == "guest_panic"
        await lab.driver.clear(vm.handle)
        assert not (lab.folder / "box" / "pid").exists()


async def test_a_start_that_fails_says_why_in_the_words_of_qemu(lab: Lab) -> None:
    vm = await lab.create()
    (lab.folder / "box" / "root.qcow2").write_bytes(b"no disk at all")
    with pytest.raises(RpcError) as refusal:
        await lab.driver.start(vm)
    assert refusal.value.kind == "driver_error"
    assert "qcow2" in str(refusal.value)


async def test_handles_can_be_written_down(lab: Lab) -> None:
    handle = await lab.run()
    assert json.loads(json.dumps(handle)) == handle
