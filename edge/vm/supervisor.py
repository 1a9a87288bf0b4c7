"""What happens to machines without a call: reattaching, ends, restarts, autostart, shutdown."""

import asyncio
import logging
from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from edge.vm.actions import DOWN_FIELDS, UP, Actions
from edge.vm.crew import Crew
from edge.vm.driver import Observed
from edge.vm.drivers import Drivers
from edge.vm.ending import (
    KILLED,
    RESTART_SECONDS_INITIAL,
    START_FAILED,
    judge_end,
    judge_failed_start,
    starts_after_boot,
)
from edge.vm.model import (
    Failure,
    HostShutdown,
    Move,
    Operation,
    OpState,
    Power,
    State,
    Vm,
    VmSettings,
)
from edge.vm.moves import is_reached
from edge.vm.operations import Ask, Operations
from edge.vm.order import start_groups, stop_waves
from edge.vm.records import Records, patiently
from shared.errors import RpcError
from shared.runtime import Runtime

log = logging.getLogger(__name__)

RESTARTS_REMEMBERED = 1000
LOOKS_AT_ONCE_MAX = 8
START_SECONDS_MAX = 60.0
RESTART_POLICY, AUTOSTART = "restart policy", "autostart"
"""As whose starts those are shown that nobody ordered."""


class Supervisor:
    """Keeps records true and policies kept, from `recover` until the crew is closed."""

    def __init__(
        self,
        drivers: Drivers,
        records: Records,
        actions: Actions,
        crew: Crew,
        runtime: Runtime,
        settings: VmSettings,
    ) -> None:
        self._drivers = drivers
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
        cut_off = await self._records.read(lambda ledger: ledger.unfinished())
        by_vm = {operation.vm_id: operation for operation in cut_off}
        for vm in self._records.all():
            await self._recover_one(vm, by_vm.get(vm.id), is_new_boot)
        for operation in cut_off:
            await self._close_operation(operation)

    async def autostart(self) -> None:
        """Start what must run again: by its order, and a few at once of those that share one."""
        found = [self._records.by_id(vm_id) for vm_id in self._to_start]
        self._to_start.clear()
        for group in start_groups(vm for vm in found if vm is not None):
            gate = asyncio.Semaphore(self._settings.starts_at_once_max)
            await asyncio.gather(*(self._autostart_one(vm, gate) for vm in group))

    async def look_after(self) -> None:
        """Compare every record with the world, again and again: the net below the watchers."""
        while True:
            await asyncio.sleep(self._settings.observe_seconds)
            vms = self._records.all()
            for ended in self._restarts.keys() - {vm.id for vm in vms}:
                del self._restarts[ended]
            gate = asyncio.Semaphore(LOOKS_AT_ONCE_MAX)
            await asyncio.gather(*(self._look_at(vm.id, gate) for vm in vms))

    def watch(self, vm_id: str) -> None:
        """Hear of the end of a machine that is up; called after every operation."""
        vm = self._records.by_id(vm_id)
        if vm is not None and vm.state in UP and vm.task is None and vm_id not in self._watched:
            self._watched.add(vm_id)
            self._crew.start(self._watch(vm))

    async def stop_all(self) -> None:
        """Stop everything because the agent leaves, within the time for that: the last started is
        the first, and each wave has its share of the time that is left."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._settings.close_seconds_max
        waves = stop_waves(
            filter(_stops_with_host, self._records.all()), self._settings.stops_at_once_max
        )
        for done, wave in enumerate(waves):
            seconds = max(0.0, until - clock()) / (len(waves) - done)
            await asyncio.gather(
                *(self._actions.stop_for_shutdown(vm, seconds * 0.6, seconds * 0.3) for vm in wave)
            )

    async def _watch(self, vm: Vm) -> None:
        try:
            await self._drivers.of(vm).wait_changed(vm.handle)
        finally:
            self._watched.discard(vm.id)
        await patiently(lambda: self._reconcile(vm.id))

    async def _look_at(self, vm_id: str, gate: asyncio.Semaphore) -> None:
        async with gate:
            await patiently(partial(self._reconcile, vm_id))

    async def _reconcile(self, vm_id: str) -> None:
        async with self._operations.lock(vm_id):
            vm = self._records.by_id(vm_id)
            if vm is None or vm.task is not None or vm.state is State.ABSENT:
                return
            try:
                await self._compare(vm)
            except RpcError as error:  # Its driver is not there, or could not clear up.
                log.warning("%s cannot be looked after: %s", vm.name, error)
                return
            self.watch(vm_id)

    async def _compare(self, vm: Vm) -> None:
        observed = await self._drivers.of(vm).observe(vm.handle)
        if observed.state is State.ABSENT:
            if vm.state in UP:
                # Nobody was away who could have missed an end in order.
                is_cut_short = observed.exit is None and not observed.ended
                ended = KILLED if is_cut_short else observed.ended
                await self._judge_end(vm, replace(observed, ended=ended))
        elif not observed.is_responsive:
            if not vm.health:
                await self._actions.record_silence(vm)
        elif observed.state is not vm.state or vm.health:
            await self._actions.adopt(vm.id, observed)

    async def _judge_end(self, vm: Vm, observed: Observed) -> None:
        history, now = self._history(vm.id), asyncio.get_running_loop().time()
        ending = judge_end(vm.spec, vm.power, observed.exit, history, now, observed.ended)
        vm = await self._actions.record_end(vm.id, observed, ending)
        if ending.restart_after_seconds is not None:
            history.append(now)
            self._restart_in(vm.id, ending.restart_after_seconds)

    async def _judge_failed_start(self, vm_id: str) -> None:
        async with self._operations.lock(vm_id):
            vm = self._records.by_id(vm_id)
            if vm is None or vm.task is not None or vm.power is Power.STOPPED:
                return  # Somebody decided otherwise meanwhile.
            if (vm.state, vm.reason) != (State.FAILED, START_FAILED):
                return
            history, now = self._history(vm_id), asyncio.get_running_loop().time()
            ending = judge_failed_start(vm.spec, history, now)
            await self._actions.record_restart(vm_id, ending)
        if ending.restart_after_seconds is not None:
            history.append(now)
            self._restart_in(vm_id, ending.restart_after_seconds)

    def _history(self, vm_id: str) -> deque[float]:
        """The monotonic times of its restarts."""
        return self._restarts.setdefault(vm_id, deque(maxlen=RESTARTS_REMEMBERED))

    def _restart_in(self, vm_id: str, seconds: float) -> None:
        self._crew.start(patiently(lambda: self._restart_later(vm_id, seconds)))

    async def _restart_later(self, vm_id: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        vm = self._records.by_id(vm_id)
        if vm is None or not vm.is_restart_due or vm.state in UP:
            return  # Somebody decided otherwise meanwhile.
        await self._records.update(vm_id, {"restarts": vm.restarts + 1})
        await self._start(vm_id, RESTART_POLICY)

    async def _autostart_one(self, vm: Vm, gate: asyncio.Semaphore) -> None:
        await asyncio.sleep(vm.spec.start_delay_s)
        async with gate:
            await patiently(partial(self._start, vm.id, AUTOSTART))

    async def _start(self, vm_id: str, by: str) -> None:
        ask = Ask("vm.start", Move.START, self._runtime.token_hex(12), "", requested_by=by)
        try:
            async with self._operations.lock(vm_id):
                vm = self._records.find(vm_id)
                if not vm.is_restart_due or vm.state in UP:
                    return  # Somebody decided otherwise meanwhile.
                operation = await self._operations.submit(
                    ask, vm_id, lambda progress: self._actions.start(vm_id, progress)
                )
        except RpcError:  # Deleted or busy meanwhile: a person was faster.
            return
        while not operation.is_over:
            operation = await self._operations.wait(operation, START_SECONDS_MAX)
        if operation.state is OpState.FAILED:
            await patiently(partial(self._judge_failed_start, vm_id))

    async def _recover_one(self, vm: Vm, cut_off: Operation | None, is_new_boot: bool) -> None:
        idle: dict[str, Any] = {"task": None, "op_id": None}
        try:
            observed = await self._drivers.of(vm).observe(vm.handle)
        except RpcError as error:
            log.error("%s stays as it was: %s", vm.name, error)
            await self._records.update(vm.id, idle)
            return
        vm = await self._records.update(vm.id, idle)
        if vm.removal:
            await self._finish_delete(vm)
        elif observed.state is not State.ABSENT:
            await self._take_over(vm, observed)
        elif is_new_boot:
            await self._recover_after_boot(vm)
        else:
            await self._recover_ended(vm, cut_off, observed)

    async def _finish_delete(self, vm: Vm) -> None:
        try:
            await self._actions.finish_delete(vm.id)
        except RpcError as error:  # A person can ask again.
            log.warning("the rest of %s could not be removed: %s", vm.name, error)

    async def _take_over(self, vm: Vm, observed: Observed) -> None:
        if observed.is_responsive:
            await self._actions.adopt(vm.id, observed)
        else:
            await self._actions.record_silence(vm)
        self.watch(vm.id)

    async def _recover_after_boot(self, vm: Vm) -> None:
        changes: dict[str, Any] = {}
        if vm.state in UP:
            changes = {**DOWN_FIELDS, "state": State.STOPPED, "reason": "host_shutdown"}
        await self._prepare_start(await self._records.update(vm.id, changes))

    async def _prepare_start(self, vm: Vm) -> None:
        if starts_after_boot(vm.spec, vm.power):
            # Written down, so that an agent that dies on the way is reminded by its successor.
            await self._records.update(vm.id, {"is_restart_due": True})
            self._to_start.append(vm.id)

    async def _recover_ended(self, vm: Vm, cut_off: Operation | None, observed: Observed) -> None:
        if vm.state in UP:
            await self._judge_end(vm, observed)
        elif cut_off is not None and _ran_meanwhile(cut_off, observed):
            if observed.start_error is None:
                await self._judge_end(vm, observed)
            else:
                error = RpcError("driver_error", observed.start_error)
                await self._actions.record_failed_start(vm, error)
        elif vm.reason == "host_shutdown":
            await self._prepare_start(vm)
        elif vm.is_restart_due or _is_owed(cut_off, vm):
            await self._records.update(vm.id, {"is_restart_due": True})
            self._restart_in(vm.id, RESTART_SECONDS_INITIAL)

    async def _close_operation(self, operation: Operation) -> None:
        vm = self._records.by_id(operation.vm_id)
        now_ms = self._runtime.wall_ms()
        if vm is not None and _is_done(operation, vm):
            ended = msgspec.structs.replace(
                operation, state=OpState.DONE, progress=100, changed=True, updated_ms=now_ms
            )
            await self._records.write(ended)
            return
        text = "the agent ended while this was running; look at the machine and ask again"
        failure = Failure("interrupted", text, now_ms)
        ended = msgspec.structs.replace(
            operation, state=OpState.FAILED, error=failure, updated_ms=now_ms
        )
        if vm is None or vm.state is State.ABSENT:
            await self._records.write(ended)
        else:
            known = vm.last_error
            is_newer = known is not None and known.at_ms >= operation.created_ms
            await self._records.update(vm.id, {"last_error": known if is_newer else failure}, ended)


def _stops_with_host(vm: Vm) -> bool:
    """One that is on its way up counts as well."""
    is_up = vm.state in UP or (vm.task is not None and vm.power is Power.RUNNING)
    return is_up and vm.spec.on_host_shutdown is not HostShutdown.LEAVE


def _ran_meanwhile(cut_off: Operation, observed: Observed) -> bool:
    """A start that was cut off had come so far that something ran, and has ended since."""
    is_start = cut_off.move in (Move.START, Move.REBOOT, Move.CREATE)
    return is_start and observed.exit is not None and observed.exit.at_ms >= cut_off.created_ms


def _is_owed(cut_off: Operation | None, vm: Vm) -> bool:
    """A start that its policy ordered did not come to its end, and nobody but us can repeat it."""
    by = cut_off.requested_by if cut_off is not None else ""
    return vm.power is Power.RUNNING and by in (RESTART_POLICY, AUTOSTART)


def _is_done(operation: Operation, vm: Vm) -> bool:
    if operation.move is Move.CREATE:
        return vm.is_made and (vm.power is Power.STOPPED or vm.state is State.RUNNING)
    return is_reached(operation.move, vm.state)
