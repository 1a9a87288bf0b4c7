"""What each operation does to a machine: ask the driver, look, and record what was seen."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from edge.vm.driver import Driver, Observed
from edge.vm.ending import Ending
from edge.vm.model import Failure, State, Vm, VmEvent
from edge.vm.operations import Stage
from edge.vm.records import Records
from shared.errors import HeadwaterError, RpcError
from shared.runtime import Runtime

log = logging.getLogger(__name__)

KILL_SECONDS_MAX = 10.0
UP = (State.RUNNING, State.PAUSED)
DOWN_FIELDS: dict[str, Any] = {"pid": None, "started_ms": None}


class Actions:
    """The work behind the verbs. Every method raises RpcError for what the driver refuses."""

    def __init__(
        self,
        driver: Driver,
        records: Records,
        runtime: Runtime,
        emit: Callable[[VmEvent], Awaitable[None]],
    ) -> None:
        self._driver = driver
        self._records = records
        self._runtime = runtime
        self._emit = emit

    async def create(self, vm_id: str, stage: Stage, start: bool) -> None:
        """Make the machine's folder, and start it when asked."""
        vm = self._records.find(vm_id)
        stage("creating")
        vm = await self._records.update(vm_id, {"handle": await self._driver.create(vm)})
        await self.tell(vm, "vm.created", "INFO", f"{vm.name} was created from {vm.spec.image}")
        if start:
            await self.start(vm_id, stage)

    async def start(self, vm_id: str, stage: Stage) -> None:
        """Run the machine, or let a paused one go on."""
        vm = self._records.find(vm_id)
        if vm.state is State.PAUSED:
            await self.resume(vm_id, stage)
            return
        stage("starting")
        try:
            await self._driver.check(vm.spec)
            # Persisted before the process exists, so that a crash in between is found again.
            vm = await self._records.update(vm_id, {"handle": await self._driver.create(vm)})
            vm = await self._records.update(vm_id, {"handle": await self._driver.start(vm)})
            observed = await self._driver.observe(vm.handle)
            if observed.start_error is not None:
                raise RpcError("driver_error", observed.start_error)
        except RpcError as error:
            await self._record_failed_start(vm, error)
            raise
        vm = await self._record_up(vm_id, observed, "user")
        await self.tell(vm, "vm.started", "INFO", f"{vm.name} was started")

    async def stop(
        self, vm_id: str, stage: Stage, timeout_s: float | None, force_after_s: float | None
    ) -> None:
        """Ask the machine to end and wait; raises RpcError stop_timeout when it does not."""
        vm = self._records.find(vm_id)
        stage("asked to stop")
        await self._driver.ask_to_stop(vm.handle)
        patience = min(s for s in (timeout_s, force_after_s, 3600.0) if s is not None)
        if await self._is_gone_within(vm, patience):
            await self._record_stop(vm_id, "user")
            return
        if force_after_s is None or patience < force_after_s:
            await self._look_again(vm_id)
            message = f"{vm.name} did not stop within {patience:g} s and still runs"
            raise RpcError("stop_timeout", message, {"seconds": patience})
        await self.kill(vm_id, stage)

    async def kill(self, vm_id: str, stage: Stage) -> None:
        """End the machine at once."""
        vm = self._records.find(vm_id)
        stage("killed")
        await self._driver.kill(vm.handle)
        if not await self._is_gone_within(vm, KILL_SECONDS_MAX):
            raise RpcError("driver_error", f"{vm.name} survives its kill")
        await self._record_stop(vm_id, "user")

    async def reboot(self, vm_id: str, stage: Stage, hard: bool) -> None:
        """Stop and start; hard does not ask first."""
        vm = self._records.find(vm_id)
        if hard:
            await self.kill(vm_id, stage)
        else:
            await self.stop(vm_id, stage, vm.spec.stop_timeout_s, None)
        await self.start(vm_id, stage)

    async def pause(self, vm_id: str, stage: Stage) -> None:
        """Freeze the machine."""
        vm = self._records.find(vm_id)
        await self._driver.pause(vm.handle)
        vm = await self._look_again(vm_id)
        await self.tell(vm, "vm.paused", "INFO", f"{vm.name} was paused")

    async def resume(self, vm_id: str, stage: Stage) -> None:
        """Let a frozen machine go on."""
        vm = self._records.find(vm_id)
        await self._driver.resume(vm.handle)
        vm = await self._look_again(vm_id)
        await self.tell(vm, "vm.resumed", "INFO", f"{vm.name} goes on")

    async def delete(self, vm_id: str, stage: Stage) -> None:
        """Remove the machine and its console log; what remains is a tombstone."""
        vm = self._records.find(vm_id)
        if vm.state in UP:
            await self.kill(vm_id, stage)
        await self._driver.destroy(vm.handle)
        changes = {**DOWN_FIELDS, "state": State.ABSENT, "reason": "user", "handle": {}}
        vm = await self._records.update(vm_id, changes)
        await self.tell(vm, "vm.deleted", "INFO", f"{vm.name} was deleted")

    async def record_end(self, vm_id: str, observed: Observed, ending: Ending) -> Vm:
        """Write down an end that nobody asked for."""
        vm = await self._records.update(
            vm_id,
            {
                **DOWN_FIELDS,
                "state": ending.state,
                "reason": ending.reason,
                "power": ending.power,
                "exit": observed.exit,
                "is_restart_due": ending.restart_after_seconds is not None,
            },
        )
        is_failed = ending.state is State.FAILED
        name, severity = ("vm.crashed", "ERROR") if is_failed else ("vm.stopped", "INFO")
        await self.tell(vm, name, severity, f"{vm.name} ended: {ending.reason}")
        return vm

    async def adopt(self, vm_id: str, observed: Observed) -> Vm:
        """Take over a machine that runs, after an agent's restart."""
        vm = await self._record_up(vm_id, observed, None)
        await self.tell(vm, "vm.reattached", "INFO", f"{vm.name} was found running and kept")
        return vm

    async def tell(self, vm: Vm, name: str, severity: str, text: str) -> None:
        """Emit an event; a full event log must not stop the work on machines."""
        attributes = {
            "vm.id": vm.id,
            "vm.name": vm.name,
            "vm.kind": vm.kind,
            "vm.image": vm.spec.image,
            "vm.state": vm.state.value,
            "vm.reason": vm.reason,
        }
        if vm.exit is not None:
            attributes["vm.exit"] = str(vm.exit.code if vm.exit.signal is None else -vm.exit.signal)
        event = VmEvent(self._runtime.wall_ns(), vm.id, vm.name, name, severity, text, attributes)
        try:
            await self._emit(event)
        except HeadwaterError as error:
            log.warning("event %s of %s was lost: %s", name, vm.name, error)

    async def _is_gone_within(self, vm: Vm, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._driver.wait_gone(vm.handle)
        except TimeoutError:
            return False
        return True

    async def _look_again(self, vm_id: str) -> Vm:
        vm = self._records.find(vm_id)
        observed = await self._driver.observe(vm.handle)
        if observed.state is State.ABSENT or not observed.is_responsive:
            return vm  # The watcher hears of an end and judges it.
        return await self._record_up(vm_id, observed, None)

    async def _record_up(self, vm_id: str, observed: Observed, reason: str | None) -> Vm:
        vm = self._records.find(vm_id)
        # A payload that has ended already counts as up until its end is judged, like any other end.
        state = State.RUNNING if observed.state is State.ABSENT else observed.state
        changes: dict[str, Any] = {
            "state": state,
            "reason": reason or vm.reason,
            "pid": observed.pid,
            "started_ms": observed.started_ms,
            "isolation": observed.isolation,
            "limits_enforced": observed.limits_enforced or vm.limits_enforced,
            "exit": None,
        }
        return await self._records.update(vm_id, changes)

    async def _record_stop(self, vm_id: str, reason: str) -> None:
        vm = self._records.find(vm_id)
        observed = await self._driver.observe(vm.handle)
        changes = {**DOWN_FIELDS, "state": State.STOPPED, "reason": reason, "exit": observed.exit}
        vm = await self._records.update(vm_id, changes)
        await self.tell(vm, "vm.stopped", "INFO", f"{vm.name} was stopped")

    async def stop_for_shutdown(self, vm: Vm, grace_s: float, kill_s: float) -> None:
        """Stop a machine because its agent leaves; what people want of it stays as it is."""
        try:
            await self._driver.ask_to_stop(vm.handle)
            if not await self._is_gone_within(vm, grace_s):
                await self._driver.kill(vm.handle)
                if not await self._is_gone_within(vm, kill_s):
                    return  # The next start finds it running and keeps it.
        except RpcError as error:
            log.warning("%s was left running: %s", vm.name, error)
            return
        await self._record_stop(vm.id, "host_shutdown")

    async def _record_failed_start(self, vm: Vm, error: RpcError) -> None:
        failure = Failure(error.kind, str(error), self._runtime.wall_ms())
        changes = {
            **DOWN_FIELDS,
            "state": State.FAILED,
            "reason": "start_failed",
            "last_error": failure,
        }
        vm = await self._records.update(vm.id, changes)
        await self.tell(vm, "vm.start_failed", "ERROR", f"{vm.name} did not start: {error}")
