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
from edge.vm.driver import Progress
from edge.vm.failing import failure_of
from edge.vm.ledger import Request
from edge.vm.model import Failure, Move, Operation, OpLine, OpState, Power, State, Vm
from edge.vm.moves import ENDED, KILLED, POWER_AFTER, Verdict, allowed, judge
from edge.vm.records import Records, patiently
from edge.vm.views import brief
from shared.errors import RpcError
from shared.runtime import Runtime

log = logging.getLogger(__name__)

Work = Callable[[Progress], Awaitable[dict[str, Any] | None]]
"""What it returns is the operation's result; None: the machine in brief."""


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


LOG_LINES_MAX = 100
END_SECONDS_MAX = 5.0
"""How long a request waits until work that cannot be taken back is over and written down."""

CANCELLABLE = frozenset({Move.CREATE, Move.STOP, Move.SNAPSHOT, Move.CLONE})
"""What may be left half done: the machine is then as if it had not been asked for, or not yet."""

CANCELLED = {
    Move.STOP: "it was cancelled; the guest may have heard that it is to end, and end by itself"
}
"""What a person must know of a cancelled one."""


def noted(operation: Operation, stage: str, percent: int | None, now_ms: int) -> Operation:
    """The operation at another stage; a stage that only went on is no new line of its log."""
    log_ = operation.log
    if stage != operation.stage and len(log_) < LOG_LINES_MAX:
        log_ = (*log_, OpLine(now_ms, stage))
    return msgspec.structs.replace(
        operation, stage=stage, progress=percent, updated_ms=now_ms, log=log_
    )


def _is_too_late(operation: Operation) -> bool:
    return operation.move is Move.STOP and operation.stage in (ENDED, KILLED)


@dataclass(slots=True)
class _Running:
    """`power` is what was wanted before it, and is again once it is cut off."""

    operation: Operation
    task: asyncio.Task[None]
    power: Power
    is_ending: bool = False


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
        operation = await self._read_operation(request.op_id)
        if operation is None:
            message = f"request_id {ask.request_id!r} was carried out; its operation is forgotten"
            raise RpcError("conflict", message, {"op_id": request.op_id})
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
        # The handle is there before anything is made, or a crash in between would leave an orphan.
        handle = {"folder": vm.id}
        vm = msgspec.structs.replace(vm, task=ask.move, op_id=operation.id, handle=handle)
        try:
            await self._records.add(vm, operation, self._request(ask, operation))
        except sqlite3.IntegrityError as error:
            raise RpcError("conflict", "the name or the request_id is already in use") from error
        return self._begin(operation, work)

    async def begin_job(self, ask: Ask, subject: str, work: Work) -> Operation:
        """Begin work on something that is no machine; the caller holds lock(subject).

        Raises RpcError busy while other work on it goes on.
        """
        running = self._running.get(subject)
        if running is not None:
            data = {"op_id": running.operation.id}
            raise RpcError("busy", f"{subject} is busy with another operation", data)
        operation = self._new_for(ask, subject, subject)
        await self._records.write(operation, request=self._request(ask, operation))
        return self._begin(operation, work)

    def note_bytes(self, subject: str, done: int, total: int | None) -> None:
        """Say how far work that moves bytes is, as its result so far."""
        running = self._running.get(subject)
        if running is not None:
            running.operation = msgspec.structs.replace(
                running.operation, result={"done_bytes": done, "total_bytes": total}
            )

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
            await self._cut_off(vm.id)
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
            if vm.reason == "host_shutdown":  # From now on it is somebody's wish.
                changes["reason"] = "user"
        await self._records.update(vm.id, changes, done, request=request)
        return done

    async def get(self, op_id: str) -> Operation:
        """One operation as it is now; raises RpcError not_found."""
        found = await self._read_operation(op_id)
        if found is None:
            raise RpcError("not_found", f"this node has no operation {op_id!r}")
        return found

    async def _read_operation(self, op_id: str) -> Operation | None:
        for running in self._running.values():
            if running.operation.id == op_id:
                return running.operation
        return await self._records.read(lambda ledger: ledger.operation(op_id))

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
        return self._begin(operation, work, vm.power)

    def _begin(self, operation: Operation, work: Work, power: Power = Power.STOPPED) -> Operation:
        task = self._crew.start(self._carry_out(operation, work))
        self._running[operation.vm_id] = _Running(operation, task, power)
        return operation

    async def _carry_out(self, operation: Operation, work: Work) -> None:
        def progress(stage: str, percent: int | None) -> None:
            running = self._running.get(operation.vm_id)
            if running is not None and running.operation.id == operation.id:
                running.operation = noted(
                    running.operation, stage, percent, self._runtime.wall_ms()
                )

        failure: Failure | None = None
        result: dict[str, Any] | None = None
        try:
            result = await work(progress)
        except RpcError as error:
            failure = failure_of(error, self._runtime.wall_ms())
        except Exception as error:  # An operation must get an end in the ledger, whatever failed.
            log.exception("operation %s (%s) failed", operation.id, operation.method)
            text = f"{type(error).__name__}: {error}"
            failure = Failure("internal", text, self._runtime.wall_ms())
        await self._end(operation, failure, result)

    async def _end(
        self, operation: Operation, failure: Failure | None, result: dict[str, Any] | None
    ) -> None:
        vm, running = self._records.by_id(operation.vm_id), self._running.get(operation.vm_id)
        if running is not None and running.operation.id == operation.id:
            operation, running.is_ending = running.operation, True  # With its stages.
        if result is None and vm is not None and failure is None:
            result = brief(msgspec.structs.replace(vm, task=None))
        over = msgspec.structs.replace(
            operation,
            state=OpState.FAILED if failure else OpState.DONE,
            progress=None if failure else 100,
            changed=failure is None,
            error=failure,
            result=result,
            updated_ms=self._runtime.wall_ms(),
        )
        await patiently(lambda: self._write_end(over))
        self._running.pop(operation.vm_id, None)
        self._ended(operation.vm_id)

    async def _write_end(self, over: Operation, more: dict[str, Any] | None = None) -> None:
        if self._records.by_id(over.vm_id) is None:
            await self._records.write(over)
            return
        changes: dict[str, Any] = {"task": None, "op_id": None, **(more or {})}
        if over.state is not OpState.CANCELLED:
            changes["last_error"] = over.error
        await self._records.update(over.vm_id, changes, over)

    async def cancel(self, operation: Operation) -> Operation:
        """Stop work that may be left half done, and wait for its end; what it had done stays, and what
        was wanted of the machine before is wanted again.

        Work that was over, or could not be taken back any more, is answered as done. Raises RpcError
        invalid_state for an operation that cannot be cancelled.
        """
        if operation.is_over:
            return operation
        if not operation.may_cancel:
            message = f"{operation.method} of {operation.vm_name} cannot be left half done"
            raise RpcError("invalid_state", message, {"op_id": operation.id})
        async with self.lock(operation.vm_id):
            running = self._running.get(operation.vm_id)
            if running is not None and running.operation.id == operation.id:
                await self._cut_off(
                    operation.vm_id, CANCELLED.get(operation.move, "it was cancelled")
                )
        self._ended(operation.vm_id)
        return await self.get(operation.id)

    async def _cut_off(self, vm_id: str, text: str = "a forced request took its place") -> None:
        running = self._running.get(vm_id)
        if running is None:
            return
        if running.is_ending or _is_too_late(running.operation):
            await asyncio.wait([running.task], timeout=END_SECONDS_MAX)
        running.task.cancel()
        await asyncio.wait([running.task])
        self._running.pop(vm_id, None)
        found = await self.get(running.operation.id)
        if found.is_over:  # It ended in the very moment.
            return
        cancelled = msgspec.structs.replace(
            running.operation,
            state=OpState.CANCELLED,
            stage=text,
            result=None,
            updated_ms=self._runtime.wall_ms(),
        )
        await self._write_end(cancelled, {"power": running.power})

    def _new(self, ask: Ask, vm: Vm) -> Operation:
        return self._new_for(ask, vm.id, vm.name)

    def _new_for(self, ask: Ask, subject_id: str, name: str) -> Operation:
        now_ms = self._runtime.wall_ms()
        return Operation(
            id=self._runtime.token_hex(12),
            request_id=ask.request_id,
            vm_id=subject_id,
            vm_name=name,
            node_id=self._node_id,
            method=ask.method,
            move=ask.move,
            created_ms=now_ms,
            updated_ms=now_ms,
            requested_by=ask.requested_by,
            via_hub=ask.via_hub,
            may_cancel=ask.move in CANCELLABLE,
        )

    def _request(self, ask: Ask, operation: Operation) -> Request:
        now_ms = self._runtime.wall_ms()
        return Request(ask.request_id, operation.id, ask.method, ask.digest, now_ms)
