"""The methods that change something: each is admitted once by its request id, and becomes an operation."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edge.vm import params as asked
from edge.vm import views
from edge.vm.actions import Actions
from edge.vm.changes import updated
from edge.vm.driver import Progress
from edge.vm.drivers import Drivers
from edge.vm.image_clone import Clone, Cloner
from edge.vm.model import Move, Operation, Power, Spec, State, Vm, VmSettings
from edge.vm.once import Call, Once
from edge.vm.operations import Ask, Operations
from edge.vm.records import Records
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

Answer = dict[str, Any]
Act = Callable[[str, Progress], Awaitable[Answer | None]]


class Orders:
    """Checks an order, finds its machine, and hands the work to the operations. Raises RpcError."""

    def __init__(
        self,
        node_id: str,
        drivers: Drivers,
        records: Records,
        operations: Operations,
        actions: Actions,
        runtime: Runtime,
        settings: VmSettings,
        once: Once,
    ) -> None:
        self._node_id = node_id
        self._drivers = drivers
        self._records = records
        self._operations = operations
        self._actions = actions
        self._runtime = runtime
        self._settings = settings
        self._once = once
        self._cloner = Cloner(drivers, records, operations, actions, runtime, self.check_room)

    def methods(self) -> Mapping[str, Callable[[Answer], Awaitable[Answer]]]:
        """The methods by name."""
        return {
            "vm.create": self._create,
            "vm.update": self._update,
            "vm.start": self._start,
            "vm.stop": self._stop,
            "vm.reboot": self._reboot,
            "vm.pause": self._pause,
            "vm.resume": self._resume,
            "vm.delete": self._delete,
            "vm.clone": self._clone,
            "vm.snapshot.create": self._snapshot,
            "vm.snapshot.restore": self._restore,
            "vm.snapshot.delete": self._drop_snapshot,
            "vm.console.send": self._console_send,
            "vm.exec": self._execute,
            "op.cancel": self._cancel,
        }

    # ---- a new machine

    async def _create(self, raw: Answer) -> Answer:
        _refuse_free_commands(raw)
        wish = asked.read(raw, asked.Create, self._node_id)
        ask = self._ask("vm.create", Move.CREATE, wish)
        operation = await to_its_end(self._admit_new(ask, wish))
        return views.operation(await self._operations.wait(operation, wish.wait_s))

    async def _admit_new(self, ask: Ask, wish: asked.Create) -> Operation:
        async with self._operations.lock(""):
            operation = await self._operations.repeated(ask, None)
            return operation or await self._create_new(ask, wish)

    async def _create_new(self, ask: Ask, wish: asked.Create) -> Operation:
        vm_id = wish.id or self._runtime.token_hex(16)
        known = self._records.by_id(vm_id)
        if known is not None:
            if known.state is State.ABSENT or known.spec != wish.spec:
                message = f"the id {vm_id!r} belongs to another machine or to a deleted one"
                raise RpcError("conflict", message, {"id": vm_id})
            return await self._operations.nothing_to_do(ask, known)
        self.check_room(wish.spec)
        vm = await self._new_vm(vm_id, wish)
        return await self._operations.create(
            ask, vm, lambda progress: self._actions.create(vm_id, progress, wish.start)
        )

    def check_room(self, spec: Spec) -> None:
        """Refuse a name that is taken, and one machine too many: RpcError conflict, quota."""
        if self._records.by_name(spec.name) is not None:
            message = f"this node already has a machine named {spec.name!r}"
            raise RpcError("conflict", message, {"name": spec.name})
        if len(self._records.all()) >= self._settings.vms_max:
            message = f"this node holds at most {self._settings.vms_max} machines"
            raise RpcError("quota", message, {"limit": self._settings.vms_max})

    async def _new_vm(self, vm_id: str, wish: asked.Create) -> Vm:
        driver = self._drivers.for_spec(wish.spec)
        await driver.check(wish.spec)
        return Vm(
            id=vm_id,
            node_id=self._node_id,
            spec=wish.spec,
            kind=driver.kind,
            driver=driver.name,
            created_ms=self._runtime.wall_ms(),
            created_by=wish.requested_by,
            power=Power.RUNNING if wish.start else Power.STOPPED,
        )

    # ---- one that is there

    async def _start(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Simple, self._node_id)
        return await self._do("vm.start", Move.START, wish.vm, wish, self._actions.start)

    async def _pause(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Simple, self._node_id)
        return await self._do("vm.pause", Move.PAUSE, wish.vm, wish, self._actions.pause)

    async def _resume(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Simple, self._node_id)
        return await self._do("vm.resume", Move.RESUME, wish.vm, wish, self._actions.resume)

    async def _stop(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Stop, self._node_id)
        if wish.mode == "force":
            return await self._do("vm.stop", Move.KILL, wish.vm, wish, self._actions.kill)

        async def stop(vm_id: str, progress: Progress) -> None:
            patience = wish.timeout_s
            if patience is None and wish.force_after is None:
                patience = self._records.find(vm_id).spec.stop_timeout_s
            await self._actions.stop(vm_id, progress, patience, wish.force_after)

        return await self._do("vm.stop", Move.STOP, wish.vm, wish, stop)

    async def _reboot(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Reboot, self._node_id)

        async def reboot(vm_id: str, progress: Progress) -> None:
            await self._actions.reboot(vm_id, progress, wish.mode == "hard")

        return await self._do("vm.reboot", Move.REBOOT, wish.vm, wish, reboot)

    async def _delete(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Delete, self._node_id)
        move = Move.DESTROY if wish.force else Move.DELETE

        async def delete(vm_id: str, progress: Progress) -> None:
            await self._actions.delete(vm_id, progress, wish.keep_disks)

        return await self._do("vm.delete", move, wish.vm, wish, delete)

    async def _clone(self, raw: Answer) -> Answer:
        wish = asked.read(raw, Clone, self._node_id)

        async def clone(vm_id: str, progress: Progress) -> Answer:
            return await self._cloner.clone(vm_id, wish, progress)

        return await self._do("vm.clone", Move.CLONE, wish.vm, wish, clone)

    async def _update(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Update, self._node_id)
        _refuse_free_commands({"spec": wish.patch})

        async def update(vm_id: str, progress: Progress) -> None:
            vm = self._records.find(vm_id)
            changed = updated(vm, wish.patch)
            other = self._records.by_name(changed.spec.name)
            if other is not None and other.id != vm_id:
                message = f"this node already has a machine named {changed.spec.name!r}"
                raise RpcError("conflict", message, {"name": changed.spec.name})
            await self._drivers.of(vm).check(changed.spec)
            await self._actions.change(vm_id, changed)

        return await self._do("vm.update", Move.UPDATE, wish.vm, wish, update)

    # ---- snapshots

    async def _snapshot(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.SnapshotCreate, self._node_id)

        async def snapshot(vm_id: str, progress: Progress) -> None:
            await self._actions.snapshot(vm_id, progress, wish.name, wish.memory)

        return await self._do("vm.snapshot.create", Move.SNAPSHOT, wish.vm, wish, snapshot)

    async def _restore(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.SnapshotOne, self._node_id)

        async def restore(vm_id: str, progress: Progress) -> None:
            await self._actions.restore(vm_id, progress, wish.name)

        return await self._do("vm.snapshot.restore", Move.RESTORE, wish.vm, wish, restore)

    async def _drop_snapshot(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.SnapshotOne, self._node_id)

        async def drop(vm_id: str, progress: Progress) -> None:
            await self._actions.drop_snapshot(vm_id, progress, wish.name)

        return await self._do("vm.snapshot.delete", Move.DROP, wish.vm, wish, drop)

    # ---- what is no operation

    async def _console_send(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.ConsoleSend, self._node_id)
        vm = self._records.find(wish.vm)

        async def send() -> Answer:
            written = await self._drivers.of(vm).console_send(vm.handle, wish.data)
            return {"vm_id": vm.id, "written": written}

        return await self._do_once("vm.console.send", vm, wish, send)

    async def _execute(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Execute, self._node_id)
        vm = self._records.find(wish.vm)

        async def execute() -> Answer:
            done = await self._drivers.of(vm).execute(vm.handle, wish.argv, wish.timeout_s)
            return {"vm_id": vm.id, **views.executed(done)}

        return await self._do_once("vm.exec", vm, wish, execute)

    async def _do_once(
        self,
        method: str,
        vm: Vm,
        wish: asked.Execute | asked.ConsoleSend,
        work: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        if wish.request_id is None:
            return await work()
        digest = f"{vm.id} {asked.digest_of(wish)}"
        return await self._once.answer(Call(method, wish.request_id, digest), work)

    async def _cancel(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Cancel, self._node_id)
        operation = await self._operations.get(wish.op_id)
        return views.operation(await self._operations.cancel(operation))

    # ---- admission

    async def _do(
        self, method: str, move: Move, target: str, wish: asked.Mutating, act: Act
    ) -> Answer:
        """Admit an operation on an existing machine, and wait a little for its end."""
        ask = self._ask(method, move, wish)
        operation = await self._operations.repeated(ask, target)
        if operation is None:
            # An operation that is written down must begin, also when whoever ordered it is gone.
            operation = await to_its_end(self._admit(ask, target, wish, act))
        return views.operation(await self._operations.wait(operation, wish.wait_s))

    async def _admit(self, ask: Ask, target: str, wish: asked.Mutating, act: Act) -> Operation:
        vm = self._target(target, ask.move)
        async with self._operations.lock(vm.id):
            # The same call may have come twice at once, through two hubs.
            operation = await self._operations.repeated(ask, target)
            if operation is not None:
                return operation
            vm = self._target(vm.id, ask.move)
            if vm.state is State.ABSENT:
                return await self._operations.nothing_to_do(ask, vm)
            _check_admitted(vm, ask.move, wish)
            return await self._operations.submit(ask, vm.id, lambda progress: act(vm.id, progress))

    def _target(self, target: str, move: Move) -> Vm:
        """The machine meant; a deleted one only when it is to be deleted."""
        if move in (Move.DELETE, Move.DESTROY):
            return self._records.known(target)
        return self._records.find(target)

    def _ask(self, method: str, move: Move, wish: asked.Mutating) -> Ask:
        request_id = wish.request_id or self._runtime.token_hex(16)
        digest = asked.digest_of(wish)
        return Ask(method, move, request_id, digest, wish.requested_by, wish.via_hub)


def _check_admitted(vm: Vm, move: Move, wish: asked.Mutating) -> None:
    if vm.spec.protected and move in (Move.DELETE, Move.DESTROY):
        raise RpcError("protected", f"{vm.name} is protected against deletion")
    if wish.if_generation is not None and wish.if_generation != vm.generation:
        message = (
            f"{vm.name} is at generation {vm.generation}, not {wish.if_generation}: look again"
        )
        raise RpcError("conflict", message, {"generation": vm.generation})


def _refuse_free_commands(raw: Answer) -> None:
    spec = raw.get("spec")
    if isinstance(spec, dict) and spec.get("argv"):
        raise RpcError(
            "unauthorized",
            "free commands are refused: name a template of this node's settings as the image",
        )
