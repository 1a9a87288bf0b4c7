"""Takes up machines that lie on this node and are in no record: kept disks, a restored book, a folder
that was copied here. What they are is said by whoever orders it; what they do is looked at."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edge.vm import params as asked
from edge.vm import views
from edge.vm.actions import UP, Actions
from edge.vm.driver import Driver, Foreign, Progress
from edge.vm.drivers import Drivers
from edge.vm.model import Move, Operation, Power, Spec, State, Vm, VmId
from edge.vm.operations import Ask, Operations
from edge.vm.records import Records
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

Answer = dict[str, Any]


class Adopt(asked.Mutating, frozen=True, kw_only=True):
    """vm.adopt; `handle` is that of vm.discover, and stays the machine's id."""

    handle: VmId
    spec: Spec


class Adoption:
    """Answers vm.discover and vm.adopt. Raises RpcError only; nothing that is found is changed before
    it is in a record, and nothing is removed when that fails."""

    def __init__(
        self,
        node_id: str,
        drivers: Drivers,
        records: Records,
        operations: Operations,
        actions: Actions,
        runtime: Runtime,
        check_room: Callable[[Spec], None],
    ) -> None:
        self._node_id = node_id
        self._drivers = drivers
        self._records = records
        self._operations = operations
        self._actions = actions
        self._runtime = runtime
        self._check_room = check_room

    def methods(self) -> Mapping[str, Callable[[Answer], Awaitable[Answer]]]:
        """The methods by name."""
        return {"vm.discover": self._discover, "vm.adopt": self._adopt}

    async def _discover(self, raw: Answer) -> Answer:
        asked.read(raw, asked.Listing, self._node_id)
        items = [
            {
                "handle": _name_of(foreign),
                "driver": driver.name,
                "what": foreign.what,
                "pid": foreign.pid,
            }
            for driver in self._drivers
            for foreign in await self._strangers(driver)
        ]
        return {"node_id": self._node_id, "items": items}

    async def _strangers(self, driver: Driver) -> list[Foreign]:
        return list(await driver.discover([vm.handle for vm in self._records.all()]))

    async def _adopt(self, raw: Answer) -> Answer:
        wish = asked.read(raw, Adopt, self._node_id)
        request_id = wish.request_id or self._runtime.token_hex(16)
        digest = asked.digest_of(wish)
        ask = Ask("vm.adopt", Move.CREATE, request_id, digest, wish.requested_by, wish.via_hub)
        operation = await to_its_end(self._admit(ask, wish))
        return views.operation(await self._operations.wait(operation, wish.wait_s))

    async def _admit(self, ask: Ask, wish: Adopt) -> Operation:
        async with self._operations.lock(""):
            operation = await self._operations.repeated(ask, None)
            if operation is not None:
                return operation
            vm = await self._new_vm(wish)
            return await self._operations.create(
                ask, vm, lambda progress: self._take_up(vm.id, progress)
            )

    async def _new_vm(self, wish: Adopt) -> Vm:
        driver = self._drivers.for_spec(wish.spec)
        self._check_room(wish.spec)
        found = await self._strangers(driver)
        if wish.handle not in map(_name_of, found):
            message = f"{driver.name} sees no machine {wish.handle!r} here that is in no record"
            raise RpcError("not_found", message, {"handle": wish.handle, "driver": driver.name})
        await driver.check(wish.spec)
        observed = await driver.observe({"folder": wish.handle})
        return Vm(
            id=wish.handle,
            node_id=self._node_id,
            spec=wish.spec,
            kind=driver.kind,
            driver=driver.name,
            created_ms=self._runtime.wall_ms(),
            created_by=wish.requested_by,
            # What it does now is what is wanted of it, until somebody says otherwise.
            power=Power.RUNNING if observed.state in UP else Power.STOPPED,
        )

    async def _take_up(self, vm_id: str, progress: Progress) -> None:
        """Let its driver complete the handle, and record what is seen."""
        vm = self._records.find(vm_id)
        driver = self._drivers.of(vm)
        progress("adopting", None)
        observed = await driver.observe(vm.handle)
        handle = await driver.create(vm, progress)
        vm = await self._records.update(vm_id, {"handle": handle, "is_made": True})
        if observed.state is State.ABSENT:
            await self._actions.tell(vm, "vm.adopted", "INFO", f"{vm.name} was adopted, stopped")
            return
        # A start keeps what runs; it is asked for the handle of a machine that was started.
        vm = await self._records.update(vm_id, {"handle": await driver.start(vm)})
        await self._actions.adopt(vm_id, await driver.observe(vm.handle))
        await self._actions.tell(vm, "vm.adopted", "INFO", f"{vm.name} was adopted, running")


def _name_of(foreign: Foreign) -> str:
    return str(foreign.handle.get("folder", ""))
