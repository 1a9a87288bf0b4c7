"""All machines that this agent holds on to, and the one way in which each of them is ended."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from edge.vm.driver import Handle
from edge.vm.qemu.folders import console_bytes, key_of, tidy
from edge.vm.qemu.guest import LOOP_FILE, Guest, hold
from edge.vm.qemu.process import Process, living_process
from edge.vm.qemu.verdict import BOOT_LOOP
from edge.vm.qemu.words import is_long, shorten
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

QUIT_SECONDS_MAX = 2.0
GONE_SECONDS_MAX = 5.0
GONE_POLL_SECONDS = 0.01
VANISHED = "killed_external"


class Hands:
    """One Guest for each machine, made when it is needed. What is said to need the lock of a
    machine is to be called with it."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self._folder = folder
        self._runtime = runtime
        self._guests: dict[str, Guest] = {}
        self._vanished: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}

    def path(self, handle: Handle) -> Path:
        """The folder of a machine."""
        return self._folder / key_of(handle)

    def lock(self, handle: Handle) -> asyncio.Lock:
        """Held while a machine is started, taken hold of, or ended."""
        return self._locks.setdefault(key_of(handle), asyncio.Lock())

    def living(self, handle: Handle) -> Process | None:
        """Its QEMU, if there is one."""
        return living_process(self.path(handle))

    async def hold(self, handle: Handle, process: Process) -> Guest:
        """Take hold of it, or keep hold; needs its lock. Raises RpcError driver_error."""
        key, folder = key_of(handle), self.path(handle)
        if is_long(folder):
            await to_its_end(self._runtime.offload(lambda: shorten(folder)))
        guest = self._guests.get(key)
        if guest is not None and guest.is_held and guest.process == process:
            return guest
        await self.let_go(handle)
        guest = await hold(folder, key, process, self._runtime, console_bytes(handle))
        self._guests[key] = guest
        return guest

    async def take(self, handle: Handle) -> Guest | None:
        """Hold of it, or None when it is gone. Raises RpcError driver_error."""
        async with self.lock(handle):
            process = self.living(handle)
            return await self.hold(handle, process) if process is not None else None

    async def must(self, handle: Handle) -> Guest:
        """Hold of it; raises RpcError invalid_state when it is gone."""
        guest = await self.take(handle)
        if guest is None:
            raise RpcError("invalid_state", "the machine does not run")
        return guest

    async def let_go(self, handle: Handle) -> None:
        """Hang up; the machine goes on."""
        guest = self._guests.pop(key_of(handle), None)
        if guest is not None:
            await guest.close()

    async def end(self, handle: Handle) -> None:
        """Make sure that no QEMU is left, and tidy up; needs its lock. Raises RpcError driver_error
        when one survives."""
        process = self.living(handle)
        if process is not None:
            await self._quit(handle, process)
            if process.is_alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                await _wait_gone(process, GONE_SECONDS_MAX)
            if process.is_alive:
                raise RpcError("driver_error", f"QEMU (process {process.pid}) survives its kill")
        await self.let_go(handle)
        folder, size = self.path(handle), console_bytes(handle)
        await self._runtime.offload(lambda: tidy(folder, size))

    async def how_ended(self, handle: Handle) -> str:
        """Why a machine without a QEMU is over, as far as that is known."""
        key = key_of(handle)
        if key in self._guests:
            # Nobody but us ends a QEMU: it waits even when its guest has powered off.
            self._vanished.add(key)
            await self.let_go(handle)
        if (self.path(handle) / LOOP_FILE).exists():
            return BOOT_LOOP
        return VANISHED if key in self._vanished else ""

    def begin_anew(self, handle: Handle) -> None:
        """Forget how it ended before."""
        self._vanished.discard(key_of(handle))

    def resets(self, handle: Handle) -> int:
        """How often the guest was reset while we looked."""
        guest = self._guests.get(key_of(handle))
        return guest.resets.count if guest is not None else 0

    def forget(self, handle: Handle) -> None:
        """The machine is no more."""
        self.begin_anew(handle)
        self._locks.pop(key_of(handle), None)

    async def close(self) -> None:
        """Let go of all; machines go on."""
        guests, self._guests = list(self._guests.values()), {}
        await asyncio.gather(*(guest.close() for guest in guests))

    async def _quit(self, handle: Handle, process: Process) -> None:
        with contextlib.suppress(RpcError):  # Silent or gone: the next step is force.
            guest = await self.hold(handle, process)
            await guest.qmp.execute("quit", seconds=QUIT_SECONDS_MAX)
            await _wait_gone(process, QUIT_SECONDS_MAX)


async def _wait_gone(process: Process, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while process.is_alive and loop.time() < deadline:  # noqa: ASYNC110 -- not our child.
        await asyncio.sleep(GONE_POLL_SECONDS)
