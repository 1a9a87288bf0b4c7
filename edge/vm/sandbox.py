"""The `sandbox` driver: a supervised process in namespaces of its own, held by a shim.

Never called a VM by its driver: the record says `kind: sandbox` and which isolation it has.
"""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from edge.vm import cgroups
from edge.vm.cgroups_find import CONTROLLERS
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
from edge.vm.images import image_names, is_program
from edge.vm.launch import SHIM_LOG, load_launch
from edge.vm.model import Spec, State, Vm, VmSettings
from edge.vm.sandbox_ask import refuse, warnings_of
from edge.vm.sandbox_ground import Ground
from edge.vm.sandbox_launch import counts_apart, launch_shim, make_launch
from edge.vm.sandbox_look import limits_enforced, look, strangers
from edge.vm.shim_client import dial_console, execute, living_shim, order, wait_gone
from edge.vm.shim_force import end_by_force
from edge.vm.usage import sample_of
from shared.errors import RpcError
from shared.runtime import Runtime

INSTALL_HINT = "install the package bubblewrap, or set allow_unisolated in this node's settings"
CAPABILITIES = (
    Capability.GRACEFUL_STOP,
    Capability.PAUSE,
    Capability.CONSOLE_RW,
    Capability.SURVIVE_AGENT,
)


LOG_BYTES_MAX = 256 * 1024


class SandboxDriver:
    """Runs sandboxes below a folder of its own; one subfolder, shim and lock for each."""

    name = "sandbox"
    kind = "sandbox"

    def __init__(self, folder: Path, runtime: Runtime, settings: VmSettings) -> None:
        self._folder = folder
        self._runtime = runtime
        self._settings = settings
        self._ground = Ground(folder, runtime, settings.sandbox_uid)

    async def fingerprint(self) -> Fingerprint:
        """What works here, found by doing it; at most a minute old."""
        isolation = await self._ground.look()
        can_join = await self._ground.can_join()
        held = list(self._ground.hierarchies.parents)
        return Fingerprint(
            name=self.name,
            healthy=isolation is not None or self._settings.allow_unisolated,
            why=self._ground.why,
            version=isolation.version if isolation else "",
            isolation="namespaces" if isolation else "none",
            capabilities=_capabilities(can_join, held),
            images=tuple(image_names(self._settings.templates)),
            limits_enforced=limits_enforced(
                is_isolated=isolation is not None,
                held=held,
                counts_processes=isolation is not None and counts_apart(),
            ),
            hint="" if isolation else INSTALL_HINT,
        )

    async def check(self, spec: Spec) -> None:
        """Refuse what this node cannot run: invalid_params, driver_unavailable, not_found or
        insufficient."""
        refuse(spec, self._settings.templates)
        await self._ground.look()
        self._require_isolation()

    def runs(self, image: str) -> bool:
        """Programs; never an image of a disk."""
        return is_program(image)

    def warnings(self, spec: Spec) -> Sequence[str]:
        """What differs from what a person may expect; complete once this node was looked at."""
        ground = self._ground
        return warnings_of(spec, ground.hierarchies, is_isolated=ground.isolation is not None)

    async def create(self, vm: Vm, progress: Progress) -> Handle:
        """Make the folder; repeatable."""
        folder = self._folder / vm.id
        await self._runtime.offload(lambda: folder.mkdir(mode=0o700, parents=True, exist_ok=True))
        return {"folder": vm.id}

    async def start(self, vm: Vm) -> Handle:
        """Start the shim and with it the payload; a shim that runs already is simply kept."""
        handle = await self.create(vm, _silent)
        isolation = await self._ground.look(is_old_good=True)
        self._require_isolation()
        folder = self._folder / vm.id
        launch = make_launch(vm, folder, isolation, self._ground.hierarchies, self._settings)
        work = asyncio.ensure_future(self._runtime.offload(lambda: launch_shim(folder, launch)))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])  # A forced stop must find the shim that it overtook.
            raise
        except RpcError:
            self._ground.forget()
            raise
        return {
            **handle,
            "isolation": "namespaces" if isolation else "none",
            "memory": launch.address_space_bytes_max is not None,
        }

    async def observe(self, handle: Handle) -> Observed:
        """Look once; never raises for a machine that is gone."""
        return await look(self._path(handle), handle)

    async def wait_changed(self, handle: Handle) -> None:
        """Return once no process of this machine is left: nothing else happens by itself."""
        await wait_gone(self._path(handle))

    async def clear(self, handle: Handle) -> None:
        """Remove the control groups that a killed shim left; nothing else stays but the folder."""
        await self._runtime.offload(lambda: _clear(self._path(handle)))

    async def ask_to_stop(self, handle: Handle) -> None:
        """Send the image's stop signals to everything inside."""
        await self._order(handle, "stop")

    async def kill(self, handle: Handle) -> None:
        """End everything inside, whatever it is doing, and a shim that hears nothing with it."""
        try:
            await self._order(handle, "kill")
        except RpcError:
            await self._runtime.offload(lambda: end_by_force(self._path(handle)))

    async def pause(self, handle: Handle) -> None:
        """Freeze every process inside."""
        await self._order(handle, "pause")

    async def resume(self, handle: Handle) -> None:
        """Let every process inside go on."""
        await self._order(handle, "resume")

    async def reset(self, handle: Handle) -> None:
        """A process has no reset button."""
        raise _cannot("be reset")

    async def destroy(self, handle: Handle, *, keep_disks: bool) -> None:
        """Remove the folder, which holds no disks; refuses while a shim lives in it."""
        folder = self._path(handle)
        if living_shim(folder) is not None:
            raise RpcError("invalid_state", "the sandbox still runs")
        await self._runtime.offload(lambda: _clear(folder))
        await self._runtime.offload(lambda: _remove(folder))

    async def console_log(self, handle: Handle, offset: int | None, limit: int) -> ConsolePage:
        """Some bytes of the console, running or not."""
        folder = self._path(handle)
        page: ConsolePage = await self._runtime.offload(lambda: read_console(folder, offset, limit))
        return page

    async def log(self, handle: Handle, lines_max: int) -> Sequence[str]:
        """What its shim had to say beside the console."""
        path = self._path(handle) / SHIM_LOG
        found: Sequence[str] = await self._runtime.offload(lambda: _tail(path, lines_max))
        return found

    async def console_send(self, handle: Handle, text: str) -> int:
        """Type on the console; returns how many bytes the terminal took."""
        if living_shim(self._path(handle)) is None:
            raise RpcError("invalid_state", "the sandbox does not run")
        return int((await order(self._path(handle), "send", text=text))["written"])

    async def console_open(self, handle: Handle) -> Console:
        """A stream from and to the terminal; raises RpcError invalid_state when it does not run."""
        if living_shim(self._path(handle)) is None:
            raise RpcError("invalid_state", "the sandbox does not run")
        return await dial_console(self._path(handle))

    async def stats(self, handle: Handle) -> Sample:
        """What the processes inside use together."""
        shim = living_shim(self._path(handle))
        if shim is None:
            return Sample()
        sample: Sample = await self._runtime.offload(lambda: sample_of(shim.shim_pid))
        return sample

    async def snapshots(self, handle: Handle) -> Sequence[Snapshot]:
        """A sandbox has none."""
        return ()

    async def snapshot_create(
        self, handle: Handle, name: str, *, with_memory: bool, progress: Progress
    ) -> Snapshot:
        """A sandbox keeps nothing that could be set back."""
        raise _cannot("be kept as a snapshot")

    async def snapshot_restore(self, handle: Handle, name: str, progress: Progress) -> None:
        """See snapshot_create."""
        raise _cannot("be set back to a snapshot")

    async def snapshot_delete(self, handle: Handle, name: str, progress: Progress) -> None:
        """See snapshot_create."""
        raise _cannot("have snapshots")

    async def execute(self, handle: Handle, argv: Sequence[str], seconds: float) -> Executed:
        """Run a command inside; with all that it starts it is over when its time is."""
        folder = self._path(handle)
        if handle.get("isolation") != "namespaces" or not await self._ground.can_join():
            raise RpcError("not_supported", "this node cannot run commands in its sandboxes")
        seen = await look(folder, handle)
        if seen.state is not State.RUNNING:
            message = f"the sandbox is {seen.state}: a command needs one that runs"
            raise RpcError("invalid_state", message, {"state": str(seen.state)})
        return await execute(folder, argv, seconds)

    async def discover(self, known: Sequence[Handle]) -> Sequence[Foreign]:
        """Folders of this driver that no record names."""
        names = {str(handle.get("folder")) for handle in known}
        found: Sequence[Foreign] = await self._runtime.offload(
            lambda: strangers(self._folder, names)
        )
        return found

    async def close(self) -> None:
        """Nothing is held open between two orders."""

    async def _order(self, handle: Handle, do: str) -> None:
        folder = self._path(handle)
        try:
            await order(folder, do)
        except RpcError:
            if living_shim(folder) is not None:  # Gone meanwhile is what every order ends in.
                raise

    def _require_isolation(self) -> None:
        if self._ground.isolation is None and not self._settings.allow_unisolated:
            message = f"{self._ground.why}; {INSTALL_HINT}"
            raise RpcError("driver_unavailable", message, {"hint": INSTALL_HINT})

    def _path(self, handle: Handle) -> Path:
        return self._folder / str(handle.get("folder") or "none")


def _tail(path: Path, lines_max: int) -> list[str]:
    """Blocking."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES_MAX))
            return file.read().decode("utf-8", "replace").splitlines()[-lines_max:]
    except FileNotFoundError:  # It was never started.
        return []


def _silent(stage: str, percent: int | None) -> None:
    """Nobody waits for such a short step."""


def _cannot(what: str) -> RpcError:
    return RpcError("not_supported", f"a sandbox is a process: it cannot {what}")


def _capabilities(can_join: bool, held: Sequence[str]) -> tuple[Capability, ...]:
    joining = (Capability.EXEC,) if can_join else ()
    limiting = (Capability.HARD_LIMITS,) if set(held) >= set(CONTROLLERS) else ()
    return (*CAPABILITIES, *joining, *limiting)


def _clear(folder: Path) -> None:
    """Blocking."""
    if living_shim(folder) is not None:
        return
    try:
        launch = load_launch(folder)
    except (OSError, ValueError, TypeError):  # It was never started.
        return
    cgroups.remove(launch.groups)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
