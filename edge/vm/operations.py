"""Work on machines: one operation at a time for each, repeatable by request id, always with an end.

An operation that was cut off by the agent's own end stays open in the ledger; the next start
judges it.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from edge.vm.crew import Crew
from edge.vm.ledger import Request
from edge.vm.model import Failure, Move, Operation, OpState, State, Vm
from edge.vm.moves import POWER_AFTER, Verdict, allowed, judge
from edge.vm.records import Records, patiently
from edge.vm.views import brief
from shared.errors import RpcError
from shared.runtime import Runtime

log = logging.getLogger(__name__)

Stage = Callable[[str], None]
Work = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ask:
    """One mutating call, ready to be admitted. `digest` covers everything that has an effect but
    the machine's name, which is compared with the operation's."""

    method: str
    move: Move
    request_id: str
    digest: str
    requested_by: str = ""
    via_hub: str = ""


@dataclass(slots=True)
class _Running:
    operation: Operation
    task: asyncio.Task[None]


class Operations:
    """Admits, runs and remembers operations; their tasks belong to the crew."""

    def __init__(
        self,
        records: Records,
        runtime: Runtime,
        node_id: str,
        crew: Crew,
        ended: Callable[[str], None],
    ) -> None:
        self._records = records
        self._runtime = runtime
        self._node_id = node_id
        self._crew = crew
        self._ended = ended
        self._running: dict[str, _Running] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, vm_id: str) -> asyncio.Lock:
        """Held while somebody decides about a machine; "" is for machines that do not exist yet."""
        return self._locks.setdefault(vm_id, asyncio.Lock())

    async def repeated(self, ask: Ask, vm: str | None) -> Operation | None:
        """The operation that this request id already made; raises RpcError conflict when it was
        used for something else."""
        request = await self._records.read(lambda ledger: ledger.request(ask.request_id))
        if request is None:
            return None
        operation = await self.get(request.op_id)
        is_same_vm = vm is None or vm in (operation.vm_id, operation.vm_name)
        if (request.method, request.digest) != (ask.method, ask.digest) or not is_same_vm:
            raise RpcError(
                "conflict",
                f"request_id {ask.request_id!r} was already used for another call",
                {"op_id": operation.id},
            )
        return operation

    async def create(self, ask: Ask, vm: Vm, work: Work) -> Operation:
        """Write a new machine and begin to make it; the caller holds lock("")."""
        operation = self._new(ask, vm)
        vm = msgspec.structs.replace(vm, task=ask.move, op_id=operation.id)
        try:
            await self._records.add(vm, operation, self._request(ask, operation))
        except sqlite3.IntegrityError as error:
            raise RpcError("conflict", "the name or the request_id is already in use") from error
        return self._begin(operation, work)

    async def submit(self, ask: Ask, vm_id: str, work: Work) -> Operation:
        """Judge a request and act on the judgement; the caller holds the machine's lock.

        Raises RpcError busy or invalid_state.
        """
        vm = self._records.find(vm_id)
        verdict = judge(ask.move, vm.state, vm.task)
        if verdict is Verdict.BUSY:
            message = f"{vm.name} is busy with another operation"
            raise RpcError("busy", message, {"op_id": vm.op_id, "task": vm.task})
        if verdict is Verdict.REFUSE:
            message = f"{vm.name} is {vm.state}: {ask.move} is not possible"
            data = {"state": vm.state.value, "allowed": allowed(vm.state)}
            raise RpcError("invalid_state", message, data)
        if verdict is Verdict.JOIN:
            return await self._join(ask, vm)
        if verdict is Verdict.NO_CHANGE:
            return await self.nothing_to_do(ask, vm)
        if verdict is Verdict.OVERRIDE:
            await self._cut_off(vm)
        return await self._run(ask, self._records.find(vm_id), work)

    async def nothing_to_do(self, ask: Ask, vm: Vm) -> Operation:
        """Record a request for the state that is there already; it may still change what is
        wanted."""
        result = brief(vm)
        done = msgspec.structs.replace(
            self._new(ask, vm), state=OpState.DONE, progress=100, result=result
        )
        request = self._request(ask, done)
        if vm.state is State.ABSENT:
            await self._records.write(done, request=request)
            return done
        changes: dict[str, Any] = {"power": POWER_AFTER.get(ask.move, vm.power)}
        if ask.move in (Move.STOP, Move.KILL):
            changes["is_restart_due"] = False
        await self._records.update(vm.id, changes, done, request=request)
        return done

    async def get(self, op_id: str) -> Operation:
        """One operation as it is now; raises RpcError not_found."""
        for running in self._running.values():
            if running.operation.id == op_id:
                return running.operation
        found = await self._records.read(lambda ledger: ledger.operation(op_id))
        if found is None:
            raise RpcError("not_found", f"this node has no operation {op_id!r}")
        return found

    async def wait(self, operation: Operation, seconds_max: float) -> Operation:
        """The operation when it is over, or as it is after that time."""
        running = self._running.get(operation.vm_id)
        if running is None or running.operation.id != operation.id:
            return await self.get(operation.id)
        await asyncio.wait([running.task], timeout=seconds_max)
        return await self.get(operation.id)

    async def _join(self, ask: Ask, vm: Vm) -> Operation:
        operation = await self.get(vm.op_id or "")
        await self._records.write(request=self._request(ask, operation))
        return operation

    async def _run(self, ask: Ask, vm: Vm, work: Work) -> Operation:
        operation = self._new(ask, vm)
        changes: dict[str, Any] = {
            "task": ask.move,
            "op_id": operation.id,
            "power": POWER_AFTER.get(ask.move, vm.power),
            "is_restart_due": False,
        }
        await self._records.update(vm.id, changes, operation, request=self._request(ask, operation))
        return self._begin(operation, work)

    def _begin(self, operation: Operation, work: Work) -> Operation:
        task = self._crew.start(self._carry_out(operation, work))
        self._running[operation.vm_id] = _Running(operation, task)
        return operation

    async def _carry_out(self, operation: Operation, work: Work) -> None:
        def stage(text: str) -> None:
            running = self._running.get(operation.vm_id)
            if running is not None:
                running.operation = msgspec.structs.replace(
                    running.operation, stage=text, updated_ms=self._runtime.wall_ms()
                )

        failure: Failure | None = None
        try:
            await work(stage)
        except RpcError as error:
            failure = Failure(error.kind, str(error), self._runtime.wall_ms())
        except Exception as error:  # An operation must get an end in the ledger, whatever failed.
            log.exception("operation %s (%s) failed", operation.id, operation.method)
            text = f"{type(error).__name__}: {error}"
            failure = Failure("internal", text, self._runtime.wall_ms())
        await self._end(operation, failure)

    async def _end(self, operation: Operation, failure: Failure | None) -> None:
        vm = self._records.by_id(operation.vm_id)
        over = msgspec.structs.replace(
            operation,
            state=OpState.FAILED if failure else OpState.DONE,
            progress=None if failure else 100,
            changed=failure is None,
            error=failure,
            result=brief(msgspec.structs.replace(vm, task=None)) if vm and not failure else None,
            updated_ms=self._runtime.wall_ms(),
        )
        changes: dict[str, Any] = {"task": None, "op_id": None, "last_error": failure}
        await patiently(lambda: self._records.update(operation.vm_id, changes, over))
        self._running.pop(operation.vm_id, None)
        self._ended(operation.vm_id)

    async def _cut_off(self, vm: Vm) -> None:
        running = self._running.pop(vm.id, None)
        if running is None:
            return
        running.task.cancel()
        await asyncio.wait([running.task])
        found = await self.get(running.operation.id)
        if found.is_over:  # It ended in the very moment.
            return
        text = "a forced request took its place"
        cancelled = msgspec.structs.replace(
            running.operation,
            state=OpState.CANCELLED,
            stage=text,
            updated_ms=self._runtime.wall_ms(),
        )
        await self._records.update(vm.id, {"task": None, "op_id": None}, cancelled)

    def _new(self, ask: Ask, vm: Vm) -> Operation:
        now_ms = self._runtime.wall_ms()
        return Operation(
            id=self._runtime.token_hex(12),
            request_id=ask.request_id,
            vm_id=vm.id,
            vm_name=vm.name,
            node_id=self._node_id,
            method=ask.method,
            move=ask.move,
            created_ms=now_ms,
            updated_ms=now_ms,
            requested_by=ask.requested_by,
            via_hub=ask.via_hub,
        )

    def _request(self, ask: Ask, operation: Operation) -> Request:
        now_ms = self._runtime.wall_ms()
        return Request(ask.request_id, operation.id, ask.method, ask.digest, now_ms)
