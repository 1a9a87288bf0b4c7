"""Makes a second machine of one that does not run: its disks are copied first, and only then there
is a record. A clone with disks of its own that are not the copies would be worse than none."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from edge.vm.actions import Actions
from edge.vm.driver import CopiesDisks, Driver, Progress
from edge.vm.drivers import Drivers
from edge.vm.model import Failure, Move, Name, Nic, OpState, Power, Spec, Vm
from edge.vm.operations import Ask, Operations
from edge.vm.params import Mutating, Target
from edge.vm.records import Records
from edge.vm.views import brief
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

MAKE_SECONDS_MAX = 120.0


class Clone(Mutating, frozen=True, kw_only=True):
    """vm.clone; `name` is the new machine's. With `snapshot` its disks are as they were then; a memory
    that was kept with them is not taken up."""

    vm: Target
    name: Name
    snapshot: Name | None = None


def clone_spec(spec: Spec, name: str) -> Spec:
    """What the new machine is asked to be: the same, but for what only one of two can have, which
    are hardware addresses and ports of the host."""
    nics = tuple(_fresh(nic) for nic in spec.nics)
    return msgspec.structs.replace(spec, name=name, nics=nics)


def _fresh(nic: Nic) -> Nic:
    ports = tuple(msgspec.structs.replace(port, host=0) for port in nic.ports)
    return msgspec.structs.replace(nic, mac=None, ports=ports)


class Cloner:
    """The work behind `vm.clone`; the machine that is cloned is busy meanwhile. Raises RpcError."""

    def __init__(
        self,
        drivers: Drivers,
        records: Records,
        operations: Operations,
        actions: Actions,
        runtime: Runtime,
        check_room: Callable[[Spec], None],
    ) -> None:
        self._drivers = drivers
        self._records = records
        self._operations = operations
        self._actions = actions
        self._runtime = runtime
        self._check_room = check_room

    async def clone(self, vm_id: str, wish: Clone, progress: Progress) -> dict[str, Any]:
        """Copy and enrol; returns the new machine in brief."""
        source = self._records.find(vm_id)
        driver = self._drivers.of(source)
        spec = clone_spec(source.spec, wish.name)
        self._check_room(spec)
        await driver.check(spec)
        vm = self._new(source, spec, wish)
        await self._copy_disks(driver, source, vm, wish.snapshot, progress)
        try:
            await to_its_end(self._enrol(vm, wish))
        except BaseException as error:
            if self._records.by_id(vm.id) is None:
                await to_its_end(_remove(driver, vm))
                raise
            if not isinstance(error, asyncio.CancelledError):
                raise
            # Too late: "cancelled" beside a new machine would not be true.
        return brief(self._records.find(vm.id))

    async def _copy_disks(
        self, driver: Driver, source: Vm, vm: Vm, snapshot: str | None, progress: Progress
    ) -> None:
        if snapshot is not None:
            await _check_snapshot(driver, source, snapshot)
        if isinstance(driver, CopiesDisks):
            await driver.copy_disks(source.handle, vm.handle, progress)
        if snapshot is None:
            return
        # The copies hold the snapshots of the source; its own disks are left as they are.
        copies = {**source.handle, **vm.handle}
        try:
            progress(f"going back to {snapshot}", None)
            await to_its_end(driver.snapshot_restore(copies, snapshot, progress))
        except BaseException:
            await to_its_end(_remove(driver, vm))
            raise

    def _new(self, source: Vm, spec: Spec, wish: Clone) -> Vm:
        vm_id = self._runtime.token_hex(16)
        return Vm(
            id=vm_id,
            node_id=source.node_id,
            spec=spec,
            kind=source.kind,
            driver=source.driver,
            created_ms=self._runtime.wall_ms(),
            created_by=wish.requested_by,
            power=Power.STOPPED,
            handle={"folder": vm_id},
        )

    async def _enrol(self, vm: Vm, wish: Clone) -> None:
        request_id = self._runtime.token_hex(16)
        ask = Ask("vm.clone", Move.CREATE, request_id, "", wish.requested_by, wish.via_hub)
        async with self._operations.lock(""):
            self._check_room(vm.spec)  # Somebody else may have taken the name meanwhile.
            operation = await self._operations.create(
                ask, vm, lambda progress: self._actions.create(vm.id, progress, start=False)
            )
        over = await self._operations.wait(operation, MAKE_SECONDS_MAX)
        if over.state is not OpState.DONE:
            error = over.error or Failure("driver_error", "it was not made in time", 0)
            data = {**error.data, "op_id": over.id}
            raise RpcError(error.kind, f"{vm.name} was not made: {error.message}", data)


async def _check_snapshot(driver: Driver, source: Vm, name: str) -> None:
    if not isinstance(driver, CopiesDisks):
        message = f"{source.name} has no disks that could be cloned as they were"
        raise RpcError("not_supported", message, {"driver": driver.name})
    if name not in [held.name for held in await driver.snapshots(source.handle)]:
        raise RpcError("not_found", f"{source.name} has no snapshot {name!r}", {"snapshot": name})


async def _remove(driver: Driver, vm: Vm) -> None:
    await driver.destroy(vm.handle, keep_disks=False)
