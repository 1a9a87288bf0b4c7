"""A machine that runs, as long as this agent holds on to it: its QMP session and its console."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge.vm.model import State
from edge.vm.qemu.argv import QMP_SOCKET, SERIAL, identity_of
from edge.vm.qemu.console import SerialLine
from edge.vm.qemu.process import Process
from edge.vm.qemu.qmp import Qmp, connect
from edge.vm.qemu.resets import Resets
from edge.vm.qemu.verdict import BOOT_LOOP, Verdict, judge
from shared.errors import RpcError
from shared.runtime import Runtime

log = logging.getLogger(__name__)

LOOP_FILE = "boot-loop"
"""Left in the folder of a guest that was stopped for it, since QEMU itself only says "paused"."""

TELLING = frozenset(
    {"STOP", "RESUME", "SHUTDOWN", "GUEST_PANICKED", "BLOCK_IO_ERROR", "SUSPEND", "WAKEUP"}
)
"""Events after which a machine may be in another state."""


class Guest:
    """Made by `hold`. `news` counts what may have changed the state, `seen` is its count at the
    last look."""

    def __init__(self, folder: Path, process: Process, qmp: Qmp, line: SerialLine) -> None:
        self.process = process
        self.qmp = qmp
        self.line = line
        self.resets = Resets()
        self.last = Verdict(State.RUNNING)
        self._folder = folder
        self._changed = asyncio.Condition()
        self._busy = 0
        self.news = 0
        self.seen = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_held(self) -> bool:
        """False once QEMU hung up."""
        return self.qmp.is_open and self.process.is_alive

    def begin(self) -> None:
        """Listen to events and to the console from now on."""
        for work in (self._follow(), self._listen()):
            task = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(_tell_failure)
            self._tasks.append(task)

    async def look(self) -> Verdict:
        """The state now; raises RpcError driver_error when QEMU does not say."""
        if self._busy:  # QEMU answers nobody while it saves or loads.
            return self.last
        self.seen = self.news
        if (self._folder / LOOP_FILE).exists():
            self.last = Verdict(State.ABSENT, BOOT_LOOP)
            return self.last
        said = await self.qmp.execute("query-status", seconds=1.0)
        self.last = judge(str(said["status"]), self.process.accel)
        return self.last

    async def wait_news(self) -> None:
        """Return once something happened since the last look, or QEMU hung up."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.news != self.seen or not self.qmp.is_open)

    async def disk_bytes(self) -> tuple[int, int]:
        """(read, written) by the guest since its start; raises RpcError driver_error."""
        said: list[dict[str, Any]] = await self.qmp.execute("query-blockstats", seconds=1.0)
        stats = [disk["stats"] for disk in said]
        return sum(one["rd_bytes"] for one in stats), sum(one["wr_bytes"] for one in stats)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """While something keeps QEMU from answering, looks are answered with the last one."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    async def close(self) -> None:
        """Hang up; the machine goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.line.close()
        await self.qmp.close()

    async def _listen(self) -> None:
        await self.line.listen()
        await self.line.close()

    async def _follow(self) -> None:
        async for name, data in self.qmp.events():
            if name == "RESET" and data.get("guest"):
                await self._on_reset()
            elif name in TELLING:
                await self._tell()
        await self._tell()

    async def _on_reset(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.resets.note(now, self.line.size):
            return
        (self._folder / LOOP_FILE).touch()
        try:
            await self.qmp.execute("stop")
        except RpcError as error:
            log.warning("a guest that resets for ever was not stopped: %s", error)
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self.news += 1
            self._changed.notify_all()


async def hold(
    folder: Path, vm_id: str, process: Process, runtime: Runtime, log_bytes: int
) -> Guest:
    """Take hold of a machine that runs. Raises RpcError driver_error (Gone when nobody answers)."""
    qmp = await connect(folder, QMP_SOCKET)
    line = SerialLine(folder, runtime, log_bytes)
    try:
        said = await qmp.execute("query-uuid")
        if said["UUID"] != str(identity_of(vm_id)):
            raise RpcError("driver_error", f"another machine answers: {said['UUID']}")
        await line.open(lambda: _is_serial_open(qmp))
    except BaseException:
        await line.close()
        await qmp.close()
        raise
    guest = Guest(folder, process, qmp, line)
    guest.begin()
    return guest


async def _is_serial_open(qmp: Qmp) -> bool:
    devices: list[dict[str, Any]] = await qmp.execute("query-chardev")
    names = [str(device["filename"]) for device in devices if device["label"] == SERIAL]
    return bool(names) and not names[0].startswith("disconnected:")


def _tell_failure(task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("a machine is no longer listened to", exc_info=error)
