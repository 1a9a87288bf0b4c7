"""The machines of this node behind one `call`: the methods, their admission, and their life."""

import codecs
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from edge.vm import params as asked
from edge.vm import views
from edge.vm.actions import Actions
from edge.vm.crew import Crew
from edge.vm.driver import Driver
from edge.vm.images import program_of
from edge.vm.model import Move, Operation, Power, State, Vm, VmEvent, VmSettings
from edge.vm.operations import Ask, Operations, Stage, Work
from edge.vm.processes import boot_id
from edge.vm.records import Records
from edge.vm.sandbox import SandboxDriver
from edge.vm.supervisor import Supervisor
from shared.errors import RpcError
from shared.runtime import Runtime

Answer = dict[str, Any]


class VmService:
    """Runs machines for one node; the only writer of their records. `call` raises RpcError only."""

    def __init__(
        self,
        folder: Path,
        node_id: str,
        runtime: Runtime,
        settings: VmSettings,
        emit: Callable[[VmEvent], Awaitable[None]],
        changed: Callable[[], None],
        driver: Driver | None = None,
    ) -> None:
        self._node_id = node_id
        self._runtime = runtime
        self._settings = settings
        self._driver = driver or SandboxDriver(folder / "sandboxes", runtime, settings)
        self._crew = Crew()
        self._records = Records(folder / "vm.db", runtime, settings.operations_max, changed)
        self._actions = Actions(self._driver, self._records, runtime, emit)
        self._supervisor = Supervisor(
            self._driver, self._records, self._actions, self._crew, runtime, settings
        )
        self._operations = Operations(
            self._records, runtime, node_id, self._crew, self._supervisor.watch
        )
        self._supervisor.serve(self._operations)
        self._methods: dict[str, Callable[[Answer], Awaitable[Answer]]] = {
            "vm.list": self._list,
            "vm.get": self._get,
            "vm.create": self._create,
            "vm.start": self._start,
            "vm.stop": self._stop,
            "vm.reboot": self._reboot,
            "vm.pause": self._pause,
            "vm.resume": self._resume,
            "vm.delete": self._delete,
            "vm.console.log": self._console_log,
            "vm.console.send": self._console_send,
            "op.get": self._op_get,
            "op.list": self._op_list,
            "op.wait": self._op_wait,
            "node.drivers": self._drivers,
        }

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method that `call` knows."""
        return tuple(self._methods)

    async def open(self) -> None:
        """Open the book and reattach what runs; raises sqlite3.Error when the book is broken."""
        await self._records.open()
        boot = boot_id()
        last = await self._records.read(lambda ledger: ledger.meta("boot_id", boot))
        await self._supervisor.recover(is_new_boot=last != boot)
        await self._records.read(lambda ledger: ledger.set_meta("boot_id", boot))

    async def run(self) -> None:
        """Supervise for ever: autostart, restarts, and a regular look at the world."""
        self._crew.start(self._supervisor.autostart())
        self._crew.start(self._supervisor.look_after())
        await self._crew.first_failure()

    async def close(self) -> None:
        """Leave; sandboxes are left running or stopped, as the settings say."""
        await self._crew.close()
        if self._settings.on_stop == "stop":
            await self._supervisor.stop_all()
        await self._records.close()

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Answer one call; raises RpcError with a kind of the table in shared.jsonrpc."""
        handler = self._methods.get(method)
        if handler is None:
            raise RpcError("method_not_found", f"this node has no method {method!r}")
        try:
            return await handler(params)
        except sqlite3.Error as error:
            message = f"this node cannot write its book of machines: {error}"
            raise RpcError("internal", message) from error

    def summary(self) -> list[dict[str, Any]]:
        """Every machine in brief, for the heartbeat."""
        return [views.brief(vm) for vm in self._records.all()]

    # Reading

    async def _list(self, raw: Answer) -> Answer:
        asked.read(raw, asked.Listing, self._node_id)
        now_ms = self._runtime.wall_ms()
        return {"items": [views.record(vm, now_ms) for vm in self._records.all()]}

    async def _get(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OneVm, self._node_id)
        return views.record(self._records.find(wish.vm), self._runtime.wall_ms())

    async def _drivers(self, raw: Answer) -> Answer:
        asked.read(raw, asked.Listing, self._node_id)
        found = views.fingerprint(await self._driver.fingerprint())
        return {"node_id": self._node_id, "drivers": [found]}

    async def _console_log(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.ConsoleLog, self._node_id)
        vm = self._records.find(wish.vm)
        page = await self._driver.console_log(vm.handle, wish.offset, wish.limit)
        # A character that is not complete yet is left for the next page.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(page.data)
        held = len(decoder.getstate()[0])
        if held == len(page.data):
            text, held = page.data.decode("utf-8", "replace"), 0
        return {
            "vm_id": vm.id,
            "offset": page.offset,
            "next": page.offset + len(page.data) - held,
            "size": page.size,
            "truncated": page.offset > (wish.offset or 0)
            if wish.offset is not None
            else page.first > 0,
            "data": text,
        }

    async def _console_send(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.ConsoleSend, self._node_id)
        vm = self._records.find(wish.vm)
        return {"vm_id": vm.id, "written": await self._driver.console_send(vm.handle, wish.data)}

    async def _op_get(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OneOp, self._node_id)
        return views.operation(await self._operations.get(wish.op_id))

    async def _op_wait(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OneOp, self._node_id)
        operation = await self._operations.get(wish.op_id)
        return views.operation(await self._operations.wait(operation, wish.timeout_s))

    async def _op_list(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OpList, self._node_id)
        vm_id = None
        if wish.vm is not None:
            found = self._records.tombstone(wish.vm)
            vm_id = (
                found.id
                if found and not self._is_there(wish.vm)
                else self._records.find(wish.vm).id
            )
        rows = await self._records.read(lambda ledger: ledger.operations(vm_id, wish.limit))
        return {"items": [views.operation(row) for row in rows]}

    def _is_there(self, id_or_name: str) -> bool:
        return any(id_or_name in (vm.id, vm.name) for vm in self._records.all())

    # Changing

    async def _create(self, raw: Answer) -> Answer:
        self._refuse_free_commands(raw)
        wish = asked.read(raw, asked.Create, self._node_id)
        ask = self._ask("vm.create", Move.CREATE, wish)
        async with self._operations.lock(""):
            operation = await self._operations.repeated(ask, None)
            if operation is None:
                operation = await self._create_new(ask, wish)
        return views.operation(await self._operations.wait(operation, wish.wait_s))

    def _refuse_free_commands(self, raw: Answer) -> None:
        spec = raw.get("spec")
        if not isinstance(spec, dict):
            return
        if spec.get("argv"):
            raise RpcError(
                "unauthorized",
                "free commands are refused: name a template of this node's settings as the image",
            )
        if isinstance(spec.get("image"), str):
            # Judged before the rest: a hypervisor's spec has fields that a sandbox does not know.
            program_of(spec["image"], self._settings.templates)

    async def _create_new(self, ask: Ask, wish: asked.Create) -> Operation:
        vm_id = wish.id or self._runtime.token_hex(16)
        known = self._records.by_id(vm_id)
        if known is not None:
            if known.state is State.ABSENT or known.spec != wish.spec:
                message = f"the id {vm_id!r} belongs to another machine or to a deleted one"
                raise RpcError("conflict", message, {"id": vm_id})
            return await self._operations.nothing_to_do(ask, known)
        if self._records.by_name(wish.spec.name) is not None:
            message = f"this node already has a machine named {wish.spec.name!r}"
            raise RpcError("conflict", message, {"name": wish.spec.name})
        if len(self._records.all()) >= self._settings.vms_max:
            message = f"this node holds at most {self._settings.vms_max} machines"
            raise RpcError("quota", message, {"limit": self._settings.vms_max})
        await self._driver.check(wish.spec)
        vm = self._new_vm(vm_id, wish)
        return await self._operations.create(
            ask, vm, lambda stage: self._actions.create(vm_id, stage, wish.start)
        )

    def _new_vm(self, vm_id: str, wish: asked.Create) -> Vm:
        return Vm(
            id=vm_id,
            node_id=self._node_id,
            spec=wish.spec,
            kind=self._driver.kind,
            driver=self._driver.name,
            created_ms=self._runtime.wall_ms(),
            created_by=wish.requested_by,
            power=Power.RUNNING if wish.start else Power.STOPPED,
        )

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

        async def stop(vm_id: str, stage: Stage) -> None:
            patience = wish.timeout_s
            if patience is None and wish.force_after is None:
                patience = self._records.find(vm_id).spec.stop_timeout_s
            await self._actions.stop(vm_id, stage, patience, wish.force_after)

        return await self._do("vm.stop", Move.STOP, wish.vm, wish, stop)

    async def _reboot(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Reboot, self._node_id)

        async def reboot(vm_id: str, stage: Stage) -> None:
            await self._actions.reboot(vm_id, stage, wish.mode == "hard")

        return await self._do("vm.reboot", Move.REBOOT, wish.vm, wish, reboot)

    async def _delete(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Delete, self._node_id)
        move = Move.DESTROY if wish.force else Move.DELETE
        return await self._do("vm.delete", move, wish.vm, wish, self._actions.delete)

    async def _do(
        self,
        method: str,
        move: Move,
        target: str,
        wish: asked.Mutating,
        act: Callable[[str, Stage], Awaitable[None]],
    ) -> Answer:
        """Admit an operation on an existing machine, and wait a little for its end."""
        ask = self._ask(method, move, wish)
        operation = await self._operations.repeated(ask, target)
        if operation is None:
            operation = await self._admit(ask, target, act)
        return views.operation(await self._operations.wait(operation, wish.wait_s))

    async def _admit(
        self, ask: Ask, target: str, act: Callable[[str, Stage], Awaitable[None]]
    ) -> Operation:
        vm = self._target(target, ask.move)
        async with self._operations.lock(vm.id):
            # The same call may have come twice at once, through two hubs.
            operation = await self._operations.repeated(ask, target)
            if operation is not None:
                return operation
            vm = self._target(vm.id, ask.move)
            if vm.state is State.ABSENT:
                return await self._operations.nothing_to_do(ask, vm)
            if vm.spec.protected and ask.move in (Move.DELETE, Move.DESTROY):
                raise RpcError("protected", f"{vm.name} is protected against deletion")
            work: Work = lambda stage: act(vm.id, stage)  # noqa: E731
            return await self._operations.submit(ask, vm.id, work)

    def _target(self, target: str, move: Move) -> Vm:
        """The machine meant; a deleted one only when it is to be deleted."""
        if move in (Move.DELETE, Move.DESTROY) and not self._is_there(target):
            gone = self._records.tombstone(target)
            if gone is not None:
                return gone
        return self._records.find(target)

    def _ask(self, method: str, move: Move, wish: asked.Mutating) -> Ask:
        request_id = wish.request_id or self._runtime.token_hex(16)
        digest = asked.digest_of(wish)
        return Ask(method, move, request_id, digest, wish.requested_by, wish.via_hub)
