"""A driver in a short folder, and the certainty that no QEMU of a test is left."""

import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.vm.console_log import read_console
from edge.vm.driver import Handle, Observed
from edge.vm.model import Spec, State, Vm, VmSettings
from edge.vm.qemu.driver import QemuDriver
from edge.vm.qemu.images import ImageStore, NoImages
from edge.vm.qemu.process import living_process
from edge.vm.tiny import BANNER, TINY
from shared.runtime import Runtime
from tests.unit.vm.waiting import until


def quiet(stage: str, percent: int | None) -> None:
    """Progress that nobody watches."""


def end_machines(folder: Path) -> None:
    """Kill every QEMU of a folder and wait until the kernel agrees."""
    for pid_file in folder.glob("*/pid"):
        process = living_process(pid_file.parent)
        if process is None:
            continue
        os.kill(process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while process.is_alive and time.monotonic() < deadline:
            time.sleep(0.01)


class Lab:
    """One node's driver as a test sees it; `reborn` is the driver of its next agent."""

    def __init__(self, folder: Path, runtime: Runtime, store: ImageStore) -> None:
        self.folder = folder
        self._runtime = runtime
        self._store = store
        self.opened: list[QemuDriver] = []
        self.driver = self.reborn()

    def reborn(self) -> QemuDriver:
        """Another driver on the same folder."""
        driver = QemuDriver(self.folder, self._runtime, VmSettings(), self._store)
        self.opened.append(driver)
        self.driver = driver
        return driver

    def vm(self, name: str = "box", **spec: Any) -> Vm:
        """A record as the service would make it."""
        whole = Spec(**{"name": name, "image": TINY, **spec})
        return Vm(id=name, node_id="edge-1", spec=whole, kind="vm", driver="qemu", created_ms=1)

    async def create(self, name: str = "box", **spec: Any) -> Vm:
        """A machine that was made and not started."""
        vm = self.vm(name, **spec)
        return with_handle(vm, await self.driver.create(vm, quiet))

    async def start(self, vm: Vm) -> Vm:
        """The record after a start."""
        vm = with_handle(vm, await self.driver.create(vm, quiet))
        return with_handle(vm, await self.driver.start(vm))

    async def run(self, name: str = "box", **spec: Any) -> Handle:
        """A machine whose guest has said that it is ready."""
        vm = await self.start(await self.create(name, **spec))
        await self.until_said(vm.handle, BANNER)
        return vm.handle

    def said(self, handle: Handle) -> bytes:
        """All of the console log."""
        return read_console(self.folder / handle["folder"], None, 2**24).data

    async def until_said(self, handle: Handle, words: bytes, times: int = 1) -> bytes:
        """Wait for the console; looking is what makes a driver listen."""

        async def look() -> bytes:
            await self.driver.observe(handle)
            return self.said(handle)

        return await until(look, lambda seen: seen.count(words) >= times)

    async def until_seen(self, handle: Handle, is_good: Callable[[Observed], bool]) -> Observed:
        """Wait for a look that is good."""
        return await until(lambda: self.driver.observe(handle), is_good)

    async def until_over(self, handle: Handle) -> Observed:
        """Wait until the machine is over."""
        return await self.until_seen(handle, lambda seen: seen.state is State.ABSENT)


def with_handle(vm: Vm, handle: Handle) -> Vm:
    """The record with a new handle."""
    import msgspec

    return msgspec.structs.replace(vm, handle=handle)


@pytest.fixture
def store() -> ImageStore:
    return NoImages()


@pytest.fixture
async def lab(folder: Path, runtime: Runtime, store: ImageStore) -> AsyncIterator[Lab]:
    made = Lab(folder, runtime, store)
    try:
        yield made
    finally:
        for driver in made.opened:
            await driver.close()
        end_machines(folder)
