"""The `qemu` driver: one QEMU for each machine, started by us and living on without us."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge.vm.console_log import ConsolePage, read_console
from edge.vm.driver import (
    Capability,
    Console,
    Executed,
    Fingerprint,
    Foreign,
    Handle,
    Observed,
    Progress,
    Sample,
    Snapshot,
)
from edge.vm.image_copy import copy_files
from edge.vm.images import is_program
from edge.vm.model import MIB, Spec, State, Vm, VmSettings
from edge.vm.processes import boot_id
from edge.vm.qemu.argv import Drive
from edge.vm.qemu.checks import check_host, check_ports, host_memory_mib, warnings_of
from edge.vm.qemu.disks import check_disks, drives_of
from edge.vm.qemu.folders import BUILTIN, foreign_folders, key_of, prepare, remove, run
from edge.vm.qemu.hands import Hands
from edge.vm.qemu.host import Host
from edge.vm.qemu.images import Images, ImageStore
from edge.vm.qemu.launch import INSTALL_HINT
from edge.vm.qemu.ports import ports_of, resolve_ports
from edge.vm.qemu.process import Process, living_process, usage_of
from edge.vm.qemu.snapshots import Running, Stopped
from edge.vm.qemu.verdict import ACCEL_FAILED, Verdict
from edge.vm.qemu.words import read_words
from shared.errors import RpcError
from shared.runtime import Runtime

OBSERVE_SECONDS_MAX = 3.0
SILENT_POLL_SECONDS = 0.2
ASK_AGAIN_SECONDS = 5.0
"""A Linux that still boots does not hear its power button; one that stops already ignores it."""

CAPABILITIES = (
    Capability.GRACEFUL_STOP,
    Capability.RESET,
    Capability.PAUSE,
    Capability.DISK_SNAPSHOT,
    Capability.MEMORY_SNAPSHOT,
    Capability.CONSOLE_RW,
    Capability.CLOUD_INIT,
    Capability.USER_NET,
    Capability.SURVIVE_AGENT,
)
LIMITS = {"cpu": False, "memory": True, "disk": True}
"""A guest cannot have more memory or disk than it was given; its share of a core is not bounded."""


class QemuDriver:
    """Runs VMs below a folder of its own, one subfolder for each."""

    name = "qemu"
    kind = "vm"
    ask_again_seconds = ASK_AGAIN_SECONDS

    def __init__(
        self, folder: Path, runtime: Runtime, settings: VmSettings, store: ImageStore
    ) -> None:
        self._folder = folder.absolute()
        self._runtime = runtime
        self._settings = settings
        self._images = Images(store, self._folder / BUILTIN)
        self._host = Host(self._folder / BUILTIN, runtime)
        self._hands = Hands(self._folder, runtime)

    async def fingerprint(self) -> Fingerprint:
        """What works here, found by doing it; at most a minute old."""
        facts = await self._host.facts()
        return Fingerprint(
            name=self.name,
            healthy=facts.is_installed,
            why=facts.why,
            version=facts.version,
            isolation=facts.accel.isolation,
            capabilities=CAPABILITIES,
            images=self._images.names(),
            limits_enforced=LIMITS,
            accel=facts.accel.name,
            hint="" if facts.is_installed else INSTALL_HINT,
            cpus_max=os.cpu_count() or 1,
            memory_mib_max=host_memory_mib(),
        )

    def runs(self, image: str) -> bool:
        """All images but those that are programs of this host."""
        return not is_program(image)

    async def check(self, spec: Spec) -> None:
        """Refuse what this node cannot run: driver_unavailable, not_found, not_supported,
        insufficient, invalid_params."""
        facts = await self._host.facts()
        if not facts.is_installed:
            raise RpcError("driver_unavailable", facts.why, {"hint": INSTALL_HINT})
        check_host(spec)
        check_ports(spec)
        await self._runtime.offload(lambda: check_disks(spec, self._images))

    def warnings(self, spec: Spec) -> Sequence[str]:
        """What a person should know before making such a machine."""
        return warnings_of(spec, self._host.is_emulated)

    async def create(self, vm: Vm, progress: Progress) -> Handle:
        """Make the folder, the disks and the choice of ports; repeatable."""
        folder = self._folder / vm.id
        progress("disks", None)
        await self._runtime.offload(lambda: prepare(vm, folder, self._images))
        ports = ports_of(vm.handle)
        if living_process(folder) is None:  # Else they are taken, by itself.
            ports = resolve_ports(vm.spec, ports)
        mib = vm.spec.console_mib
        return {
            **vm.handle,
            "folder": vm.id,
            "boot_id": boot_id(),
            "console_bytes": mib * MIB if mib else self._settings.console_bytes_max,
            "ports": [msgspec.to_builtins(port) for port in ports],
            "drives": [[d.node, d.path.name, d.readonly] for d in drives_of(vm.spec, folder)],
        }

    async def start(self, vm: Vm) -> Handle:
        """Start it; one that runs already is kept, and one that is over is cleared away first."""
        handle = vm.handle
        async with self._hands.lock(handle):
            process = self._hands.living(handle)
            if process is not None and await self._is_over(handle, process):
                await self._hands.end(handle)
                process = None
            if process is None:
                self._hands.begin_anew(handle)
                process = await self._launch(vm)
        facts = {"pid": process.pid, "start_ticks": process.start_ticks, "accel": process.accel}
        return {**handle, **facts, "boot_id": boot_id(), "started_ms": process.started_ms}

    async def observe(self, handle: Handle) -> Observed:
        """Look once; never raises for a machine that is gone."""
        process = self._hands.living(handle)
        if process is None:
            return await self._gone(handle)
        try:
            async with asyncio.timeout(OBSERVE_SECONDS_MAX), self._hands.lock(handle):
                verdict = await self._look(handle, process)
        except (RpcError, TimeoutError):
            if not process.is_alive:
                return await self._gone(handle)
            return self._seen(handle, process, Verdict(State.RUNNING), is_responsive=False)
        return self._seen(handle, process, verdict, is_responsive=True)

    async def wait_changed(self, handle: Handle) -> None:
        """Return when the machine is over, or may be in another state than at the last look."""
        while (process := self._hands.living(handle)) is not None:
            try:
                async with self._hands.lock(handle):
                    guest = await self._hands.hold(handle, process)
            except RpcError:  # Nobody answers: only the process itself can tell of its end.
                await asyncio.sleep(SILENT_POLL_SECONDS)
                continue
            if not guest.last.ended:
                await guest.wait_news()
            return

    async def clear(self, handle: Handle) -> None:
        """Clear away what is left of a machine that is over; raises RpcError invalid_state for one
        that is not."""
        async with self._hands.lock(handle):
            process = self._hands.living(handle)
            if process is not None and not (await self._look(handle, process)).ended:
                raise RpcError("invalid_state", "the machine is not over")
            await self._hands.end(handle)

    async def ask_to_stop(self, handle: Handle) -> None:
        """Press the power button; a guest that stands still is let go on first."""
        guest = await self._hands.take(handle)
        if guest is None:
            return
        if (await guest.look()).state is State.PAUSED:
            await guest.qmp.execute("cont")
        await guest.qmp.execute("system_powerdown")

    async def kill(self, handle: Handle) -> None:
        """End it, whatever it is doing."""
        async with self._hands.lock(handle):
            await self._hands.end(handle)

    async def reset(self, handle: Handle) -> None:
        """Press the reset button."""
        await self._order(handle, "system_reset")

    async def pause(self, handle: Handle) -> None:
        """Stop its processors."""
        await self._order(handle, "stop")

    async def resume(self, handle: Handle) -> None:
        """Let its processors go on."""
        await self._order(handle, "cont")

    async def destroy(self, handle: Handle, *, keep_disks: bool) -> None:
        """Remove all of it; refuses while it runs. Repeatable."""
        async with self._hands.lock(handle):
            if self._hands.living(handle) is not None:
                raise RpcError("invalid_state", "the machine still runs")
            await self._hands.let_go(handle)
            folder = self._hands.path(handle)
            await self._runtime.offload(lambda: remove(folder, keep_disks))
        self._hands.forget(handle)

    async def copy_disks(self, source: Handle, target: Handle, progress: Progress) -> None:
        """Copies of its overlays, on the same images."""
        names = [file for _, file, _ in source.get("drives", [])]
        old, new = self._hands.path(source), self._hands.path(target)
        await copy_files(old, new, names, self._runtime, progress)

    async def stats(self, handle: Handle) -> Sample:
        """What it uses now; all None for one that does not run."""
        process = self._hands.living(handle)
        usage = usage_of(process.pid) if process else None
        if usage is None:
            return Sample()
        read, written = await self._disk_bytes(handle)
        return Sample(usage.cpu_seconds, usage.memory_bytes, usage.threads, read, written)

    async def console_log(self, handle: Handle, offset: int | None, limit: int) -> ConsolePage:
        """Some bytes of the console, running or not."""
        folder = self._hands.path(handle)
        page: ConsolePage = await self._runtime.offload(lambda: read_console(folder, offset, limit))
        return page

    async def log(self, handle: Handle, lines_max: int) -> Sequence[str]:
        """What QEMU said of itself, over all its starts."""
        folder = self._hands.path(handle)
        found: Sequence[str] = await self._runtime.offload(lambda: read_words(folder, lines_max))
        return found

    async def console_send(self, handle: Handle, text: str) -> int:
        """Type on the console: all of it, or nothing while the guest does not take in what
        waits."""
        guest = await self._hands.must(handle)
        return guest.line.send(text.encode())

    async def console_open(self, handle: Handle) -> Console:
        """A stream from and to the console; its output begins now."""
        return (await self._hands.must(handle)).line.view()

    async def snapshots(self, handle: Handle) -> Sequence[Snapshot]:
        """Those that its disks hold."""
        return await (await self._snapshots(handle)).list()

    async def snapshot_create(
        self, handle: Handle, name: str, *, with_memory: bool, progress: Progress
    ) -> Snapshot:
        """Take one; raises RpcError conflict for a name that is taken."""
        work = await self._snapshots(handle)
        if any(held.name == name for held in await work.list()):
            raise RpcError("conflict", f"there is a snapshot {name!r} already")
        await work.create(name, with_memory, progress)
        return _named(await work.list(), name)

    async def snapshot_restore(self, handle: Handle, name: str, progress: Progress) -> None:
        """Go back to one; raises RpcError not_found, or invalid_state for one without memory while
        the machine runs."""
        work = await self._snapshots(handle)
        await work.restore(_named(await work.list(), name), progress)

    async def snapshot_delete(self, handle: Handle, name: str, progress: Progress) -> None:
        """Remove one; raises RpcError not_found."""
        work = await self._snapshots(handle)
        await work.delete(_named(await work.list(), name).name, progress)

    async def execute(self, handle: Handle, argv: Sequence[str], seconds: float) -> Executed:
        """A VM has no shell that we could reach."""
        raise RpcError("not_supported", "commands can be run in sandboxes only; use the console")

    async def discover(self, known: Sequence[Handle]) -> Sequence[Foreign]:
        """What runs or lies here without a record; nothing is touched."""
        keys = {key_of(handle) for handle in known}
        folders = await self._runtime.offload(lambda: foreign_folders(self._folder, keys))
        return [_foreign(folder) for folder in folders]

    async def close(self) -> None:
        """Let go of all connections; machines go on."""
        await self._hands.close()

    async def _launch(self, vm: Vm) -> Process:
        accel = await self._host.choose()
        folder = self._hands.path(vm.handle)
        work = asyncio.ensure_future(
            self._runtime.offload(lambda: run(vm, folder, accel, self._images))
        )
        try:
            process: Process = await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])  # A forced stop must find the QEMU that it overtook.
            raise
        return process

    async def _look(self, handle: Handle, process: Process) -> Verdict:
        verdict = await (await self._hands.hold(handle, process)).look()
        if verdict.ended == ACCEL_FAILED:
            self._host.condemn()
        return verdict

    async def _is_over(self, handle: Handle, process: Process) -> bool:
        try:
            return bool((await self._look(handle, process)).ended)
        except RpcError:  # It lives and does not answer: that is no reason for a second one.
            return False

    async def _order(self, handle: Handle, command: str) -> None:
        guest = await self._hands.take(handle)
        if guest is not None:  # Gone meanwhile is for the next look to tell.
            await guest.qmp.execute(command)

    async def _disk_bytes(self, handle: Handle) -> tuple[int | None, int | None]:
        try:
            guest = await self._hands.take(handle)
            return await guest.disk_bytes() if guest is not None else (None, None)
        except RpcError:  # A machine that does not answer still uses memory, which is known.
            return None, None

    async def _snapshots(self, handle: Handle) -> Running | Stopped:
        folder = self._hands.path(handle)
        drives = [
            Drive(node, folder / file, readonly=readonly)
            for node, file, readonly in handle.get("drives", [])
        ]
        guest = await self._hands.take(handle)
        return Running(guest, drives) if guest is not None else Stopped(drives, self._runtime)

    async def _gone(self, handle: Handle) -> Observed:
        return Observed(State.ABSENT, ended=await self._hands.how_ended(handle))

    def _seen(
        self, handle: Handle, process: Process, verdict: Verdict, *, is_responsive: bool
    ) -> Observed:
        return Observed(
            state=verdict.state,
            pid=process.pid,
            started_ms=process.started_ms,
            isolation="emulated" if process.accel == "tcg" else "hardware",
            is_responsive=is_responsive,
            limits_enforced=LIMITS,
            ended=verdict.ended,
            accel=process.accel,
            ports=ports_of(handle),
            resets=self._hands.resets(handle),
        )


def _named(snapshots: Sequence[Snapshot], name: str) -> Snapshot:
    for snapshot in snapshots:
        if snapshot.name == name:
            return snapshot
    raise RpcError("not_found", f"there is no snapshot {name!r}", {"snapshot": name})


def _foreign(folder: Path) -> Foreign:
    process = living_process(folder)
    what = "a VM that runs" if process else "the folder of a VM that does not run"
    return Foreign({"folder": folder.name}, f"{what}: {folder}", process.pid if process else None)
