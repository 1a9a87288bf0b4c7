"""Machines that were wanted for a time only: when it is over they are stopped, then deleted."""

import asyncio
import logging
from functools import partial

from edge.vm.actions import KILL_SECONDS_MAX, UP, Actions
from edge.vm.model import Move, State, Vm
from edge.vm.operations import Ask, Operations, Work
from edge.vm.records import Records, patiently
from shared.errors import RpcError
from shared.runtime import Runtime

log = logging.getLogger(__name__)

AT_ONCE_MAX = 8
MARGIN_SECONDS = 5.0
BY = "expiry"


class Expiry:
    """Looks again and again which machines are over; keep `run` running.

    A machine that is protected is stopped and kept. What cannot be done now is tried at the next
    look, and the spec is read again before each step: somebody may have given it more time.
    """

    def __init__(
        self,
        records: Records,
        actions: Actions,
        operations: Operations,
        runtime: Runtime,
        seconds: float,
    ) -> None:
        self._records = records
        self._actions = actions
        self._operations = operations
        self._runtime = runtime
        self._seconds = seconds
        self._told: set[str] = set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(self._seconds)

    async def look(self) -> None:
        """Stop and delete what is over, a few at once."""
        due = [vm for vm in self._records.all() if self._is_due(vm) and _has_work(vm)]
        self._told &= {vm.id for vm in due}
        gate = asyncio.Semaphore(AT_ONCE_MAX)
        await asyncio.gather(*(self._expire_in_turn(vm.id, gate) for vm in due))

    def _is_due(self, vm: Vm) -> bool:
        at_ms = vm.spec.expires_at_ms
        return at_ms is not None and self._runtime.wall_ms() >= at_ms

    async def _expire_in_turn(self, vm_id: str, gate: asyncio.Semaphore) -> None:
        async with gate:
            await patiently(partial(self._expire, vm_id))

    async def _expire(self, vm_id: str) -> None:
        vm = self._records.by_id(vm_id)
        if vm is None:
            return
        await self._tell(vm)
        try:
            if vm.state in UP:
                await self._stop(vm)
            if not vm.spec.protected:
                await self._delete(vm)
        except RpcError as error:  # Busy, or a person was faster: the next look sees what remains.
            log.info("%s has expired and is still there: %s", vm.name, error)

    async def _tell(self, vm: Vm) -> None:
        if vm.id in self._told:
            return
        self._told.add(vm.id)
        fate = "stopped, and kept since it is protected" if vm.spec.protected else "deleted"
        await self._actions.tell(vm, "vm.expired", "WARN", f"{vm.name} has expired and is {fate}")

    async def _stop(self, vm: Vm) -> None:
        patience = vm.spec.stop_timeout_s
        await self._do(
            vm,
            "vm.stop",
            Move.STOP,
            lambda progress: self._actions.stop(vm.id, progress, None, patience),
            patience + KILL_SECONDS_MAX,
        )

    async def _delete(self, vm: Vm) -> None:
        await self._do(
            vm,
            "vm.delete",
            Move.DELETE,
            lambda progress: self._actions.delete(vm.id, progress),
            KILL_SECONDS_MAX,
        )

    async def _do(self, vm: Vm, method: str, move: Move, work: Work, seconds_max: float) -> None:
        ask = Ask(method, move, self._runtime.token_hex(12), "", requested_by=BY)
        async with self._operations.lock(vm.id):
            now = self._records.by_id(vm.id)
            if now is None or now.state is State.ABSENT or not self._is_due(now):
                return
            operation = await self._operations.submit(ask, vm.id, work)
        await self._operations.wait(operation, seconds_max + MARGIN_SECONDS)


def _has_work(vm: Vm) -> bool:
    return vm.state in UP or not vm.spec.protected
