"""A node's machines in a short folder, and the certainty that no process of a test is left."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import pytest

from edge.vm import cgroups
from edge.vm.launch import load_launch, load_state
from edge.vm.model import VmEvent, VmSettings
from edge.vm.processes import below, is_alive
from edge.vm.service import Telemetry, VmService
from shared.runtime import Runtime

from .fake_driver import World
from .fake_node import FakeNode, OpenFake


def nothing(*_: Any) -> NoReturn:
    raise AssertionError("machines need no network")


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(time.time_ns, Random(7), nothing, nothing)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder; whatever still runs below it is ended with the test."""
    path = Path(tempfile.mkdtemp(prefix="hw-"))
    yield path
    for state_file in path.glob("**/state.json"):
        end_shim(state_file.parent)
        cgroups.remove(load_launch(state_file.parent).groups)
    shutil.rmtree(path)


def end_shim(sandbox: Path) -> None:
    """Kill a shim and everything below it, and wait until the kernel agrees."""
    state = load_state(sandbox)
    if state is None or not is_alive(state.shim_pid, state.shim_start_ticks):
        return
    # The shim first: one that outlives its payload by a moment writes down how that ended.
    for pid in (state.shim_pid, *below(state.shim_pid)):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + 5
    while is_alive(state.shim_pid, state.shim_start_ticks) and time.monotonic() < deadline:
        time.sleep(0.01)


class Node:
    """One node's service as a test sees it: calls, and what it told the world."""

    def __init__(self, folder: Path, runtime: Runtime, settings: VmSettings) -> None:
        self.folder = folder
        self.events: list[VmEvent] = []
        self.changes = 0
        self.service = VmService(folder, "edge-1", runtime, settings, self._emit, self._changed)

    async def _emit(self, event: VmEvent) -> None:
        self.events.append(event)

    def _changed(self) -> None:
        self.changes += 1

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.service.call(method, params)

    async def create(self, name: str = "box", start: bool = True, **spec: Any) -> dict[str, Any]:
        """Create a machine and return its record."""
        spec = {"name": name, "image": "builtin:shell", **spec}
        operation = await self.call("vm.create", spec=spec, start=start, wait_s=30)
        assert operation["state"] == "done", operation
        return await self.call("vm.get", vm=name)

    async def get(self, vm: str = "box") -> dict[str, Any]:
        return await self.call("vm.get", vm=vm)

    async def console(self, vm: str = "box") -> str:
        return str((await self.call("vm.console.log", vm=vm))["data"])

    async def type(self, text: str, vm: str = "box") -> None:
        """Type one line on the console."""
        written = await self.call("vm.console.send", vm=vm, data=text + "\n")
        assert written["written"] == len(text) + 1

    def sandbox(self, record: dict[str, Any]) -> Path:
        return self.folder / "sandboxes" / str(record["id"])

    def event_names(self) -> list[str]:
        return [event.name for event in self.events]


OpenNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def world() -> World:
    """Scripted machines, which outlive agents."""
    return World()


@pytest.fixture
async def open_fake(folder: Path, runtime: Runtime, world: World) -> AsyncIterator[OpenFake]:
    """Opens an agent on the same folder and the same scripted machines, as often as asked."""
    opened: list[FakeNode] = []

    async def open_one(telemetry: Telemetry | None = None, **settings: Any) -> FakeNode:
        node = FakeNode(folder, runtime, world, VmSettings(**settings), telemetry)
        await node.service.open()
        opened.append(node)
        return node

    yield open_one
    for node in opened:
        await node.service.close()


@pytest.fixture
async def fake(open_fake: OpenFake) -> FakeNode:
    return await open_fake()


@pytest.fixture
async def open_node(folder: Path, runtime: Runtime) -> AsyncIterator[OpenNode]:
    """Opens the service on the same folder, as often as a test restarts its agent."""
    opened: list[Node] = []

    async def open_one(**settings: Any) -> Node:
        node = Node(folder, runtime, VmSettings(**settings))
        await node.service.open()
        opened.append(node)
        return node

    yield open_one
    for node in opened:
        await node.service.close()


@pytest.fixture
async def node(open_node: OpenNode) -> Node:
    return await open_node()
