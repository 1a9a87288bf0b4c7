"""One node with its real drivers, and a machine of each kind that the contract is held against."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge.vm.driver import Driver
from edge.vm.launch import load_state
from edge.vm.model import VmEvent, VmSettings
from edge.vm.processes import is_alive
from edge.vm.qemu.driver import QemuDriver
from edge.vm.qemu.images import ImageStore, NoImages
from edge.vm.qemu.process import living_process
from edge.vm.sandbox import SandboxDriver
from edge.vm.service import VmService
from shared.errors import RpcError
from shared.runtime import Runtime
from tests.unit.vm.conftest import Node
from tests.unit.vm.needs import qemu
from tests.unit.vm.qemu.conftest import end_machines
from tests.unit.vm.waiting import until

from .gates import Gates

SANDBOX, QEMU = "sandbox", "qemu"
IMAGES = {SANDBOX: "builtin:shell", QEMU: "builtin:tiny"}
READY = {SANDBOX: "Headwater sandbox", QEMU: "headwater tiny ready"}
"""What a machine shows once it hears those who ask it to stop."""

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes need Linux namespaces")
KINDS = [pytest.param(SANDBOX, marks=LINUX), pytest.param(QEMU, marks=qemu())]


def drivers_of(
    folder: Path, runtime: Runtime, settings: VmSettings, images: ImageStore
) -> list[Driver]:
    """The real ones, where the service itself would put them."""
    return [
        SandboxDriver(folder / "sandboxes", runtime, settings),
        QemuDriver(folder / "qemu", runtime, settings, images),
    ]


class RealNode(Node):
    """One agent's life with real machines of one kind."""

    def __init__(
        self,
        folder: Path,
        runtime: Runtime,
        kind: str,
        gates: Gates,
        images: ImageStore | None = None,
        **settings: Any,
    ) -> None:
        self.folder, self.kind, self.gates = folder, kind, gates
        self.events: list[VmEvent] = []
        self.changes = 0
        chosen = VmSettings(**{"observe_seconds": 0.2, **settings})
        made = drivers_of(folder, runtime, chosen, images or NoImages())
        drivers = [gates.guard(driver) for driver in made]
        self.service = VmService(
            folder, "edge-1", runtime, chosen, self._emit, self._changed, drivers
        )

    async def refusal(self, method: str, **params: Any) -> RpcError:
        """What a call is refused with."""
        with pytest.raises(RpcError) as caught:
            await self.call(method, **params)
        return caught.value

    async def create(self, name: str = "box", start: bool = True, **spec: Any) -> dict[str, Any]:
        """A machine; one that was started hears what it is asked."""
        record = await super().create(name, start, **{"image": IMAGES[self.kind], **spec})
        if start:
            await self.until_said(READY[self.kind])
        return record

    async def until_said(self, words: str, times: int = 1, vm: str = "box") -> None:
        """Wait for the console; that it was looked at is what makes a driver listen."""

        async def look() -> str:
            await self.get(vm)
            return str((await self.call("vm.console.log", vm=vm))["data"])

        await until(look, lambda seen: seen.count(words) >= times)

    async def until_state(self, state: str) -> dict[str, Any]:
        return await until(self.get, lambda seen: seen["state"] == state)

    async def end_guest(self) -> None:
        """The guest ends itself, in order."""
        data = "exit\n" if self.kind == SANDBOX else "\x04"
        await self.call("vm.console.send", vm="box", data=data)

    def processes(self) -> list[int]:
        """The process of each machine that lives, of a shim for a sandbox."""
        return sorted([*living_shims(self.folder), *living_qemus(self.folder)])


def living_shims(folder: Path) -> list[int]:
    """The shims below a node's folder."""
    states = [load_state(file.parent) for file in folder.glob("sandboxes/*/state.json")]
    return [
        state.shim_pid
        for state in states
        if state is not None and is_alive(state.shim_pid, state.shim_start_ticks)
    ]


def living_qemus(folder: Path) -> list[int]:
    """The QEMUs below a node's folder."""
    found = [living_process(file.parent) for file in folder.glob("qemu/*/pid")]
    return [process.pid for process in found if process is not None]


OpenReal = Callable[..., Awaitable[RealNode]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which driver the contract is held against."""
    return str(request.param)


@pytest.fixture
async def gates() -> Gates:
    return Gates()


@pytest.fixture
async def open_real(
    folder: Path, runtime: Runtime, kind: str, gates: Gates
) -> AsyncIterator[OpenReal]:
    """Opens an agent on the same folder, as often as a test restarts it."""
    opened: list[RealNode] = []

    async def open_one(**more: Any) -> RealNode:
        node = RealNode(folder, runtime, kind, gates, **more)
        await node.service.open()
        opened.append(node)
        return node

    try:
        yield open_one
    finally:
        gates.open()
        for node in opened:
            await node.service.close()
        end_machines(folder / "qemu")


@pytest.fixture
async def real(open_real: OpenReal) -> RealNode:
    return await open_real()


def environment() -> dict[str, str]:
    """What an agent of its own process needs."""
    root = str(Path(__file__).resolve().parents[4])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
