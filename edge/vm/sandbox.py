"""The `sandbox` driver: a supervised process in namespaces of its own, held by a shim.

Never called a VM by its driver: the record says `kind: sandbox` and which isolation it has.
"""

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import edge.vm.shim
from edge.vm.console_log import ConsolePage, read_console
from edge.vm.driver import Fingerprint, Handle, Observed
from edge.vm.images import image_names, program_of
from edge.vm.isolation import HOME, MIB, Isolation, Room, command, probe
from edge.vm.launch import Launch, ShimState, load_state, save_launch
from edge.vm.model import Exit, Spec, State, Vm, VmSettings
from edge.vm.shim_client import living_shim, order, wait_gone
from shared.errors import RpcError
from shared.runtime import Runtime

START_SECONDS_MAX = 20.0
PROBE_AGE_SECONDS_MAX = 60.0
FILES_MAX = 1024
SHIM_STOP_SECONDS_MAX = 10.0
CODE_ROOT = str(Path(edge.vm.shim.__file__).resolve().parents[2])
INSTALL_HINT = "install the package bubblewrap, or set allow_unisolated in this node's settings"
CAPABILITIES = ("graceful_stop", "pause", "console_rw", "survive_agent")


class SandboxDriver:
    """Runs sandboxes below a folder of its own; one subfolder, shim and lock for each."""

    name = "sandbox"
    kind = "sandbox"

    def __init__(self, folder: Path, runtime: Runtime, settings: VmSettings) -> None:
        self._folder = folder
        self._runtime = runtime
        self._settings = settings
        self._isolation: Isolation | None = None
        self._why = ""
        self._probed_at: float | None = None

    async def fingerprint(self) -> Fingerprint:
        """What works here, found by doing it; at most a minute old."""
        isolation = await self._probe()
        kind = "namespaces" if isolation else "none"
        return Fingerprint(
            name=self.name,
            healthy=isolation is not None or self._settings.allow_unisolated,
            why=self._why,
            version=isolation.version if isolation else "",
            isolation=kind,
            capabilities=CAPABILITIES,
            images=tuple(image_names(self._settings.templates)),
            limits_enforced=_limits_enforced(
                isolation is not None, isolation is not None and _counts_apart()
            ),
        )

    async def check(self, spec: Spec) -> None:
        """Refuse what this node cannot run: driver_unavailable, not_found or insufficient."""
        program_of(spec.image, self._settings.templates)
        fingerprint = await self.fingerprint()
        if not fingerprint.healthy:
            raise RpcError("driver_unavailable", f"{fingerprint.why}; {INSTALL_HINT}")
        cpus, memory_mib = os.cpu_count() or 1, _memory_mib()
        asked_mib = max(spec.memory_mib or 0, spec.limits.memory_mib or 0)
        if spec.cpus > cpus:
            raise _insufficient("cpus", spec.cpus, cpus)
        if asked_mib > memory_mib:
            raise _insufficient("memory_mib", asked_mib, memory_mib)

    async def create(self, vm: Vm) -> Handle:
        """Make the folder; repeatable."""
        folder = self._folder / vm.id
        await self._runtime.offload(lambda: folder.mkdir(mode=0o700, parents=True, exist_ok=True))
        return {"folder": vm.id}

    async def start(self, vm: Vm) -> Handle:
        """Start the shim and with it the payload; a shim that runs already is simply kept."""
        handle = await self.create(vm)
        isolation = await self._probe()
        if isolation is None and not self._settings.allow_unisolated:
            raise RpcError("driver_unavailable", f"{self._why}; {INSTALL_HINT}")
        folder = self._folder / vm.id
        launch = self._launch(vm, isolation)
        work = asyncio.ensure_future(self._runtime.offload(lambda: _launch_shim(folder, launch)))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])  # A forced stop must find the shim that it overtook.
            raise
        isolated = "namespaces" if isolation else "none"
        return {
            **handle,
            "isolation": isolated,
            "memory": launch.address_space_bytes_max is not None,
        }

    async def observe(self, handle: Handle) -> Observed:
        """Look once; never raises for a machine that is gone."""
        folder = self._path(handle)
        if living_shim(folder) is None:
            return _gone(folder, handle)
        try:
            status = await order(folder, "status")
        except RpcError:
            shim = living_shim(folder)  # It may have ended while it was asked.
            return (
                _gone(folder, handle) if shim is None else _seen(shim, {}, handle, responsive=False)
            )
        shim = living_shim(folder)
        return (
            _gone(folder, handle) if shim is None else _seen(shim, status, handle, responsive=True)
        )

    async def wait_gone(self, handle: Handle) -> None:
        """Return once no process of this machine is left."""
        await wait_gone(self._path(handle))

    async def ask_to_stop(self, handle: Handle) -> None:
        """Send the image's stop signals to everything inside."""
        await self._order(handle, "stop")

    async def kill(self, handle: Handle) -> None:
        """End everything inside, whatever it is doing."""
        await self._order(handle, "kill")

    async def pause(self, handle: Handle) -> None:
        """Freeze every process inside."""
        await self._order(handle, "pause")

    async def resume(self, handle: Handle) -> None:
        """Let every process inside go on."""
        await self._order(handle, "resume")

    async def destroy(self, handle: Handle) -> None:
        """Remove the folder; refuses while a shim lives in it."""
        folder = self._path(handle)
        if living_shim(folder) is not None:
            raise RpcError("invalid_state", "the sandbox still runs")
        await self._runtime.offload(lambda: _remove(folder))

    async def console_log(self, handle: Handle, offset: int | None, limit: int) -> ConsolePage:
        """Some bytes of the console, running or not."""
        folder = self._path(handle)
        page: ConsolePage = await self._runtime.offload(lambda: read_console(folder, offset, limit))
        return page

    async def console_send(self, handle: Handle, text: str) -> int:
        """Type on the console; returns how many bytes the terminal took."""
        if living_shim(self._path(handle)) is None:
            raise RpcError("invalid_state", "the sandbox does not run")
        return int((await order(self._path(handle), "send", text=text))["written"])

    async def _order(self, handle: Handle, do: str) -> None:
        folder = self._path(handle)
        try:
            await order(folder, do)
        except RpcError:
            if living_shim(folder) is not None:  # Gone meanwhile is what every order ends in.
                raise

    async def _probe(self) -> Isolation | None:
        now = asyncio.get_running_loop().time()
        if self._probed_at is None or now - self._probed_at > PROBE_AGE_SECONDS_MAX:
            uid = self._settings.sandbox_uid
            self._isolation, self._why = await self._runtime.offload(lambda: probe(uid))
            self._probed_at = now
        return self._isolation

    def _path(self, handle: Handle) -> Path:
        return self._folder / str(handle.get("folder") or "none")

    def _launch(self, vm: Vm, isolation: Isolation | None) -> Launch:
        program = program_of(vm.spec.image, self._settings.templates)
        limits = vm.spec.limits
        env = _environment(
            vm, HOME if isolation else str(self._folder / vm.id), isolation is not None
        )
        argv = list(program.argv)
        if isolation is not None:
            hidden = (str(self._folder.parent.resolve()),)
            room = Room(vm.name, env, limits.disk_mib, self._settings.readable_paths, hidden)
            argv = command(isolation, room, argv)
        memory_mib = limits.memory_mib or vm.spec.memory_mib
        return Launch(
            vm_id=vm.id,
            argv=argv,
            env={} if isolation is not None else env,
            uid=isolation.uid if isolation is not None else None,
            isolated=isolation is not None,
            address_space_bytes_max=memory_mib * MIB if memory_mib else None,
            files_max=FILES_MAX,
            processes_max=limits.pids if isolation is not None and _counts_apart() else None,
            console_bytes_max=self._settings.console_bytes_max,
            stop_signals=list(program.stop_signals),
            stop_seconds_max=SHIM_STOP_SECONDS_MAX,
        )


def _environment(vm: Vm, home: str, isolated: bool) -> dict[str, str]:
    """Nothing of the agent's own environment, which may hold keys."""
    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    base = {"PATH": path, "HOME": home, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    ours = {"HEADWATER_VM": vm.name, "HEADWATER_ISOLATION": "namespaces" if isolated else "none"}
    return {**base, "PS1": f"{vm.name}:$ ", **ours, **vm.spec.env}


def _launch_shim(folder: Path, launch: Launch) -> None:
    """Blocking. Raises RpcError driver_error with what the shim said."""
    if living_shim(folder) is not None:
        return
    command_line = [sys.executable, "-S", "-P", "-m", "edge.vm.shim", str(folder)]
    try:
        save_launch(folder, launch)
        done = subprocess.run(
            command_line,
            env={"PYTHONPATH": CODE_ROOT, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS_MAX,
            start_new_session=True,
            check=False,
        )
        word: dict[str, Any] = json.loads(done.stdout or "{}")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise RpcError("driver_error", f"the sandbox's shim did not start: {error}") from error
    if not word.get("ok") and word.get("kind") != edge.vm.shim.ALREADY_RUNNING:
        said = word.get("message") or done.stderr.strip()[-500:] or "no reason given"
        raise RpcError("driver_error", f"the sandbox's shim did not start: {said}")


def _seen(shim: ShimState, status: dict[str, Any], handle: Handle, *, responsive: bool) -> Observed:
    return Observed(
        state=State.PAUSED if status.get("paused") else State.RUNNING,
        pid=int(status.get("pid", shim.child_pid)),
        started_ms=shim.started_ms,
        isolation=handle.get("isolation"),
        is_responsive=responsive,
        limits_enforced={
            **_limits_enforced(handle.get("isolation") == "namespaces", shim.processes_enforced),
            "memory_per_process": bool(handle.get("memory")),
        },
    )


def _gone(folder: Path, handle: Handle) -> Observed:
    state = load_state(folder)
    if state is None or state.exit is None:
        return Observed(State.ABSENT, isolation=handle.get("isolation"))
    end = Exit(state.exit["code"], state.exit["signal"], state.exit["at_ms"])
    error = None if state.exit["started"] else _last_words(folder)
    isolation = handle.get("isolation")
    return Observed(State.ABSENT, None, state.started_ms, end, error, isolation)


def _last_words(folder: Path) -> str:
    words = read_console(folder, None, 500).data.decode(errors="replace").strip()
    return words.rpartition("\n")[2].strip() or "the sandbox ended before its program started"


def _limits_enforced(isolated: bool, pids: bool) -> dict[str, bool]:
    """Without a delegated control group nothing bounds the sum over processes, so we do not say
    so."""
    return {"cpu": False, "memory": False, "pids": pids, "disk": isolated}


def _counts_apart() -> bool:
    """Before Linux 5.14 the process limit counted all processes of the user, inside and outside."""
    major, _, rest = os.uname().release.partition(".")
    minor = "".join(itertools.takewhile(str.isdigit, rest))
    return (int(major), int(minor or 0)) >= (5, 14)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB


def _insufficient(what: str, asked: int, there: int) -> RpcError:
    data = {"what": what, "asked": asked, "available": there}
    return RpcError("insufficient", f"asked for {asked} {what}, but this node has {there}", data)
