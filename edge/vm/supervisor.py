"""What happens to machines without a call: reattaching, ends, restarts, autostart, shutdown."""

import asyncio
from collections import deque
from functools import partial
from typing import Any

import msgspec

from edge.vm.actions import DOWN_FIELDS, UP, Actions
from edge.vm.crew import Crew
from edge.vm.driver import Driver
from edge.vm.ending import RESTART_SECONDS_INITIAL, judge_end, starts_after_boot
from edge.vm.model import Failure, Move, Operation, OpState, Power, State, Vm, VmSettings
from edge.vm.moves import is_reached
from edge.vm.operations import Ask, Operations
from edge.vm.records import Records, patiently
from shared.errors import RpcError
from shared.runtime import Runtime

RESTARTS_REMEMBERED = 1000
START_SECONDS_MAX = 60.0


class Supervisor:
    """Keeps records true and policies kept, from `recover` until the crew is closed."""

    def __init__(
        self,
        driver: Driver,
        records: Records,
        actions: Actions,
        crew: Crew,
        runtime: Runtime,
        settings: VmSettings,
    ) -> None:
        self._driver = driver
        self._records = records
        self._actions = actions
        self._crew = crew
        self._runtime = runtime
        self._settings = settings
        self._watched: set[str] = set()
        self._restarts: dict[str, deque[float]] = {}
        self._to_start: list[str] = []

    def serve(self, operations: Operations) -> None:
        """Say through which door starts go; the two need each other."""
        self._operations = operations

    async def recover(self, is_new_boot: bool) -> None:
        """After an agent's start: keep what runs, judge what ended, close what was cut off."""
        for vm in self._records.all():
            await self._recover_one(vm, is_new_boot)
        for operation in await self._records.read(lambda ledger: ledger.unfinished()):
            await self._close_operation(operation)
        self._to_start.sort(key=self._start_order)

    async def autostart(self) -> None:
        """Start what must run again, one after the other in its order, with its delays."""
        while self._to_start:
            vm = self._records.by_id(self._to_start.pop(0))
            if vm is None or vm.state in UP or vm.state is State.ABSENT:
                continue
            await asyncio.sleep(vm.spec.start_delay_s)
            await patiently(partial(self._start, vm.id, "autostart"))

    async def look_after(self) -> None:
        """Compare every record with the world, again and again: the net below the watchers."""
        while True:
            await asyncio.sleep(self._settings.observe_seconds)
            for vm in self._records.all():
                await patiently(partial(self._reconcile, vm.id))

    def watch(self, vm_id: str) -> None:
        """Hear of the end of a machine that is up; called after every operation."""
        vm = self._records.by_id(vm_id)
        if vm is not None and vm.state in UP and vm.task is None and vm_id not in self._watched:
            self._watched.add(vm_id)
            self._crew.start(self._watch(vm))

    async def stop_all(self) -> None:
        """Stop everything because the agent leaves, within the time for that."""
        seconds = self._settings.close_seconds_max
        up = [vm for vm in self._records.all() if vm.state in UP]
        await asyncio.gather(
            *(self._actions.stop_for_shutdown(vm, seconds * 0.6, seconds * 0.3) for vm in up)
        )

    async def _watch(self, vm: Vm) -> None:
        try:
            await self._driver.wait_gone(vm.handle)
        finally:
            self._watched.discard(vm.id)
        await patiently(lambda: self._reconcile(vm.id))

    async def _reconcile(self, vm_id: str) -> None:
        async with self._operations.lock(vm_id):
            vm = self._records.by_id(vm_id)
            if vm is None or vm.task is not None or vm.state is State.ABSENT:
                return
            observed = await self._driver.observe(vm.handle)
            if observed.state is State.ABSENT:
                if vm.state in UP:
                    await self._judge_end(vm)
            elif observed.is_responsive and observed.state is not vm.state:
                await self._actions.adopt(vm_id, observed)
            self.watch(vm_id)

    async def _judge_end(self, vm: Vm) -> None:
        observed = await self._driver.observe(vm.handle)
        history = self._restarts.setdefault(vm.id, deque(maxlen=RESTARTS_REMEMBERED))
        now = asyncio.get_running_loop().time()
        ending = judge_end(vm.spec, vm.power, observed.exit, history, now)
        vm = await self._actions.record_end(vm.id, observed, ending)
        if ending.restart_after_seconds is not None:
            history.append(now)
            self._restart_in(vm.id, ending.restart_after_seconds)

    def _restart_in(self, vm_id: str, seconds: float) -> None:
        self._crew.start(patiently(lambda: self._restart_later(vm_id, seconds)))

    async def _restart_later(self, vm_id: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        vm = self._records.by_id(vm_id)
        if vm is None or not vm.is_restart_due or vm.state in UP:
            return  # Somebody decided otherwise meanwhile.
        await self._records.update(vm_id, {"restarts": vm.restarts + 1})
        await self._start(vm_id, "restart policy")

    async def _start(self, vm_id: str, by: str) -> None:
        ask = Ask("vm.start", Move.START, self._runtime.token_hex(12), "", requested_by=by)
        try:
            async with self._operations.lock(vm_id):
                operation = await self._operations.submit(
                    ask, vm_id, lambda stage: self._actions.start(vm_id, stage)
                )
        except RpcError:  # Deleted or busy meanwhile: a person was faster.
            return
        await self._operations.wait(operation, START_SECONDS_MAX)

    async def _recover_one(self, vm: Vm, is_new_boot: bool) -> None:
        observed = await self._driver.observe(vm.handle)
        if observed.state is not State.ABSENT:
            await self._records.update(vm.id, {"task": None, "op_id": None})
            await self._actions.adopt(vm.id, observed)
            self.watch(vm.id)
            return
        was_up = vm.state in UP
        changes: dict[str, Any] = {"task": None, "op_id": None}
        if was_up and is_new_boot:
            changes |= {**DOWN_FIELDS, "state": State.STOPPED, "reason": "host_shutdown"}
        vm = await self._records.update(vm.id, changes)
        if is_new_boot or vm.reason == "host_shutdown":
            if starts_after_boot(vm.spec, vm.power):
                self._to_start.append(vm.id)
        elif was_up:
            await self._judge_end(vm)
        elif vm.is_restart_due:
            self._restart_in(vm.id, RESTART_SECONDS_INITIAL)

    async def _close_operation(self, operation: Operation) -> None:
        vm = self._records.by_id(operation.vm_id)
        now_ms = self._runtime.wall_ms()
        if vm is not None and _is_done(operation, vm):
            ended = msgspec.structs.replace(
                operation, state=OpState.DONE, progress=100, changed=True, updated_ms=now_ms
            )
        else:
            text = "the agent ended while this was running; look at the machine and ask again"
            ended = msgspec.structs.replace(
                operation,
                state=OpState.FAILED,
                error=Failure("interrupted", text, now_ms),
                updated_ms=now_ms,
            )
        await self._records.write(ended)

    def _start_order(self, vm_id: str) -> int:
        vm = self._records.by_id(vm_id)
        return vm.spec.start_order if vm is not None else 0


def _is_done(operation: Operation, vm: Vm) -> bool:
    if operation.move is Move.CREATE:
        return bool(vm.handle) and (vm.power is Power.STOPPED or vm.state is State.RUNNING)
    return is_reached(operation.move, vm.state)
