"""A driver of machines that are only values: what they do is scripted, and where they hang too.

The `World` is what outlives an agent: its machines go on when a service is closed and another one
is opened on the same folder.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge.vm.console_log import ConsolePage
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
from edge.vm.model import Exit, Spec, State, Vm
from shared.errors import RpcError


@dataclass(slots=True)
class Machine:
    """One machine of a world. `runs` counts how often it was started, `seen` are all orders."""

    observed: Observed = field(default_factory=lambda: Observed(State.ABSENT))
    runs: int = 0
    snapshots: list[Snapshot] = field(default_factory=list)
    console: bytes = b""
    dropped_bytes: int = 0
    seen: list[str] = field(default_factory=list)
    is_starting: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class World:
    """Everything that is there, whatever agents come and go.

    `holds` are the points at which work hangs, "start.before" or "start.after"; `reached` is set
    when it does. `stubborn` machines do not hear a request to stop, `broken` orders fail, with
    `error` when there is one. `deaf_asks` are the requests to stop that no machine hears.
    """

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}
        self.holds: set[str] = set()
        self.reached = asyncio.Event()
        self.free = asyncio.Event()
        self.broken: set[str] = set()
        self.error: RpcError | None = None
        self.is_stubborn = False
        self.deaf_asks = 0
        self.now_ms = 0
        self.starting = 0
        self.starting_max = 0
        self.order: list[str] = []

    async def at(self, point: str) -> None:
        """Hang here when that is scripted, until everything is set free."""
        if point in self.holds:
            self.reached.set()
            await self.free.wait()

    def one(self) -> Machine:
        """The only machine there is."""
        (machine,) = self.machines.values()
        return machine

    def show(self, machine: Machine, observed: Observed) -> None:
        """The machine is in another state now."""
        machine.observed = observed
        machine.changed.set()
        machine.changed = asyncio.Event()

    def end(self, machine: Machine, exit_: Exit | None = None, ended: str = "") -> None:
        """The guest is over."""
        self.show(machine, Observed(State.ABSENT, exit=exit_, ended=ended))


class FakeDriver:
    """See edge.vm.driver.Driver."""

    name = "fake"
    kind = "vm"

    def __init__(self, world: World) -> None:
        self.world = world

    async def fingerprint(self) -> Fingerprint:
        return Fingerprint(
            name=self.name,
            healthy=True,
            why="",
            version="1",
            isolation="none",
            capabilities=tuple(Capability),
            images=("fake",),
            limits_enforced={},
        )

    def runs(self, image: str) -> bool:
        return image == "fake"

    async def check(self, spec: Spec) -> None:
        self._fail("check")

    def warnings(self, spec: Spec) -> Sequence[str]:
        return ()

    async def create(self, vm: Vm, progress: Progress) -> Handle:
        await self._enter("create")
        self.world.machines.setdefault(vm.id, Machine())
        await self.world.at("create.after")
        return {**vm.handle, "folder": vm.id, "made": True}

    async def start(self, vm: Vm) -> Handle:
        await self._enter("start")
        machine = self._machine(vm.handle)
        assert not machine.is_starting, "two starts of one machine at once"
        machine.is_starting = True
        self.world.starting += 1
        self.world.starting_max = max(self.world.starting_max, self.world.starting)
        try:
            await asyncio.sleep(0)
        finally:
            self.world.starting -= 1
            machine.is_starting = False
        if machine.observed.state is State.ABSENT:
            machine.runs += 1
            self.world.order.append(f"start {vm.name}")
            self.world.show(machine, Observed(State.RUNNING, pid=7, started_ms=self.world.now_ms))
        await self.world.at("start.after")
        return {**vm.handle, "started": True}

    async def observe(self, handle: Handle) -> Observed:
        machine = self.world.machines.get(str(handle.get("folder")))
        return machine.observed if machine else Observed(State.ABSENT)

    async def wait_changed(self, handle: Handle) -> None:
        machine = self._machine(handle)
        if machine.observed.state is not State.ABSENT:
            await machine.changed.wait()

    async def clear(self, handle: Handle) -> None:
        await self._enter("clear")

    async def ask_to_stop(self, handle: Handle) -> None:
        await self._enter("stop")
        machine = self._machine(handle)
        machine.seen.append("stop")
        if self.world.deaf_asks:
            self.world.deaf_asks -= 1
        elif not self.world.is_stubborn and machine.observed.state is State.RUNNING:
            self.world.order.append(f"stop {handle['folder']}")
            self.world.end(machine, Exit(0, None, self.world.now_ms))
        await self.world.at("stop.after")

    async def kill(self, handle: Handle) -> None:
        await self._enter("kill")
        machine = self.world.machines.get(str(handle.get("folder")))
        if machine is not None and machine.observed.state is not State.ABSENT:
            machine.seen.append("kill")
            self.world.order.append(f"kill {handle['folder']}")
            self.world.end(machine, Exit(None, 9, self.world.now_ms))

    async def reset(self, handle: Handle) -> None:
        await self._enter("reset")
        self._machine(handle).seen.append("reset")

    async def pause(self, handle: Handle) -> None:
        await self._enter("pause")
        self._turn(handle, State.PAUSED)

    async def resume(self, handle: Handle) -> None:
        await self._enter("resume")
        self._turn(handle, State.RUNNING)

    async def destroy(self, handle: Handle, *, keep_disks: bool) -> None:
        await self._enter("destroy")
        machine = self.world.machines.get(str(handle.get("folder")))
        if machine is not None and machine.observed.state is not State.ABSENT:
            raise RpcError("invalid_state", "it still runs")
        self.world.machines.pop(str(handle.get("folder")), None)
        await self.world.at("destroy.after")

    async def stats(self, handle: Handle) -> Sample:
        self._fail("stats")
        return Sample(1.5, 4096, 3, 10, 20, None, None)

    async def console_log(self, handle: Handle, offset: int | None, limit: int) -> ConsolePage:
        self._fail("console")
        machine = self._machine(handle)
        first, size = machine.dropped_bytes, machine.dropped_bytes + len(machine.console)
        begin = max(first, size - limit if offset is None else min(offset, size))
        data = machine.console[begin - first : begin - first + limit]
        return ConsolePage(begin, first, size, data)

    async def console_send(self, handle: Handle, text: str) -> int:
        return len(text)

    async def console_open(self, handle: Handle) -> Console:
        raise RpcError("not_supported", "nobody looks")

    async def snapshots(self, handle: Handle) -> Sequence[Snapshot]:
        return self._machine(handle).snapshots

    async def snapshot_create(
        self, handle: Handle, name: str, *, with_memory: bool, progress: Progress
    ) -> Snapshot:
        await self._enter("snapshot")
        found = Snapshot(name, self.world.now_ms, with_memory)
        self._machine(handle).snapshots.append(found)
        return found

    async def snapshot_restore(self, handle: Handle, name: str, progress: Progress) -> None:
        await self._enter("restore")

    async def snapshot_delete(self, handle: Handle, name: str, progress: Progress) -> None:
        await self._enter("drop")

    async def execute(self, handle: Handle, argv: Sequence[str], seconds: float) -> Executed:
        return Executed(0, None, b"", b"")

    async def discover(self, known: Sequence[Handle]) -> Sequence[Foreign]:
        names = {str(handle.get("folder")) for handle in known}
        return [
            Foreign({"folder": name}, "a machine") for name in self.world.machines.keys() - names
        ]

    async def log(self, handle: Handle, lines_max: int) -> Sequence[str]:
        return self._machine(handle).seen[-lines_max:]

    async def close(self) -> None:
        """Nothing is held open."""

    async def _enter(self, order: str) -> None:
        self._fail(order)
        await self.world.at(f"{order}.before")

    def _fail(self, order: str) -> None:
        if order in self.world.broken:
            raise self.world.error or RpcError("driver_error", f"{order} is broken")

    def _machine(self, handle: Handle) -> Machine:
        return self.world.machines[str(handle["folder"])]

    def _turn(self, handle: Handle, state: State) -> None:
        machine = self._machine(handle)
        machine.seen.append(state.value)
        self.world.show(machine, replace(machine.observed, state=state))
