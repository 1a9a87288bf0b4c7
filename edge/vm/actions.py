"""What each operation does to a machine: ask the driver, look, and record what was seen."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from edge.vm.driver import AsksAgain, Capability, Observed, Progress
from edge.vm.drivers import Drivers
from edge.vm.ending import RESTART_LIMIT, START_FAILED, Ending
from edge.vm.failing import failure_of
from edge.vm.model import HostShutdown, State, Vm, VmEvent
from edge.vm.moves import ENDED, KILLED
from edge.vm.records import Records
from shared.errors import HeadwaterError, RpcError
from shared.runtime import Runtime

log = logging.getLogger(__name__)

KILL_SECONDS_MAX = 10.0
UP = (State.RUNNING, State.PAUSED)
DOWN_FIELDS: dict[str, Any] = {"pid": None, "started_ms": None, "ports": (), "health": ""}


class Actions:
    """The work behind the verbs. Every method raises RpcError for what the driver refuses."""

    def __init__(
        self,
        drivers: Drivers,
        records: Records,
        runtime: Runtime,
        emit: Callable[[VmEvent], Awaitable[None]],
    ) -> None:
        self._drivers = drivers
        self._records = records
        self._runtime = runtime
        self._emit = emit

    async def create(self, vm_id: str, progress: Progress, start: bool) -> None:
        """Make the machine's folder, and start it when asked."""
        vm = self._records.find(vm_id)
        progress("creating", None)
        handle = await self._drivers.of(vm).create(vm, progress)
        vm = await self._records.update(vm_id, {"handle": handle, "is_made": True})
        await self.tell(vm, "vm.created", "INFO", f"{vm.name} was created from {vm.spec.image}")
        if start:
            await self.start(vm_id, progress)

    async def start(self, vm_id: str, progress: Progress) -> None:
        """Run the machine, or let a paused one go on."""
        vm = self._records.find(vm_id)
        if vm.state is State.PAUSED:
            await self.resume(vm_id, progress)
            return
        progress("starting", None)
        try:
            vm, observed = await self._bring_up(vm, progress)
        except RpcError as error:
            await self.record_failed_start(vm, error)
            raise
        vm = await self._record_up(vm_id, observed, "user")
        await self.tell(vm, "vm.started", "INFO", f"{vm.name} was started")

    async def _bring_up(self, vm: Vm, progress: Progress) -> tuple[Vm, Observed]:
        driver = self._drivers.of(vm)
        if vm.removal:  # Its disks may be gone, and new ones would look like the old.
            raise RpcError("invalid_state", f"{vm.name} is half deleted: delete it again")
        await driver.check(vm.spec)
        # Persisted before the process exists, so that a crash in between is found again.
        handle = await driver.create(vm, progress)
        vm = await self._records.update(vm.id, {"handle": handle, "is_made": True})
        vm = await self._records.update(vm.id, {"handle": await driver.start(vm)})
        observed = await driver.observe(vm.handle)
        if observed.start_error is not None:
            raise RpcError("driver_error", observed.start_error)
        generation = {"observed_generation": vm.generation, "pending_changes": ()}
        return await self._records.update(vm.id, generation), observed

    async def stop(
        self, vm_id: str, progress: Progress, timeout_s: float | None, force_after_s: float | None
    ) -> None:
        """Ask the machine to end and wait; raises RpcError stop_timeout when it does not.

        To be cancelled until its stage is KILLED or ENDED.
        """
        is_gone = await self._ask_and_wait(vm_id, progress, timeout_s, force_after_s)
        if not is_gone:
            await self.kill(vm_id, progress)
            return
        progress(ENDED, None)
        await self._record_stop(vm_id, "user")

    async def _ask_and_wait(
        self, vm_id: str, progress: Progress, timeout_s: float | None, force_after_s: float | None
    ) -> bool:
        """Whether it has ended; else it is to be killed. Raises RpcError stop_timeout."""
        vm = self._records.find(vm_id)
        progress("asked to stop", None)
        patience = min(s for s in (timeout_s, force_after_s, 3600.0) if s is not None)
        if await self._is_gone_when_asked(vm, patience):
            return True
        if force_after_s is None or patience < force_after_s:
            await self._look_again(vm_id)
            message = f"{vm.name} did not stop within {patience:g} s and still runs"
            raise RpcError("stop_timeout", message, {"seconds": patience})
        return False

    async def _ask_to_stop(self, vm: Vm) -> None:
        driver = self._drivers.of(vm)
        if vm.state is State.PAUSED:  # A frozen guest cannot hear.
            await driver.resume(vm.handle)
        await driver.ask_to_stop(vm.handle)

    async def _is_gone_when_asked(self, vm: Vm, seconds: float) -> bool:
        """Ask it to stop, where it helps more than once; whether it has ended in time."""
        clock, driver = asyncio.get_running_loop().time, self._drivers.of(vm)
        deadline = clock() + seconds
        await self._ask_to_stop(vm)
        again = driver.ask_again_seconds if isinstance(driver, AsksAgain) else seconds
        while not await self._is_gone_within(vm, min(again, deadline - clock())):
            if clock() >= deadline:
                return False
            try:
                await driver.ask_to_stop(vm.handle)
            except RpcError as error:  # It was asked before, and what waits for its end goes on.
                log.warning("%s was not asked again to stop: %s", vm.name, error)
        return True

    async def kill(self, vm_id: str, progress: Progress) -> None:
        """End the machine at once."""
        vm = self._records.find(vm_id)
        progress(KILLED, None)
        await self._drivers.of(vm).kill(vm.handle)
        if not await self._is_gone_within(vm, KILL_SECONDS_MAX):
            raise RpcError("driver_error", f"{vm.name} survives its kill")
        await self._record_stop(vm_id, "user")

    async def reboot(self, vm_id: str, progress: Progress, hard: bool) -> None:
        """Stop and start; hard does not ask first, and presses the reset button where there is one."""
        vm = self._records.find(vm_id)
        if hard and await self._has(vm, Capability.RESET):
            progress("reset", None)
            await self._drivers.of(vm).reset(vm.handle)
            vm = await self._look_again(vm_id)
            await self.tell(vm, "vm.reset", "INFO", f"{vm.name} was reset")
            return
        if hard:
            await self.kill(vm_id, progress)
        else:
            await self._ask_and_wait(vm_id, progress, vm.spec.stop_timeout_s, None)
            await self._record_stop(vm_id, "user")
        await self.start(vm_id, progress)

    async def _has(self, vm: Vm, capability: Capability) -> bool:
        return capability in (await self._drivers.of(vm).fingerprint()).capabilities

    async def pause(self, vm_id: str, progress: Progress) -> None:
        """Freeze the machine."""
        vm = self._records.find(vm_id)
        await self._drivers.of(vm).pause(vm.handle)
        vm = await self._look_again(vm_id)
        await self.tell(vm, "vm.paused", "INFO", f"{vm.name} was paused")

    async def resume(self, vm_id: str, progress: Progress) -> None:
        """Let a frozen machine go on."""
        vm = self._records.find(vm_id)
        await self._drivers.of(vm).resume(vm.handle)
        vm = await self._look_again(vm_id)
        await self.tell(vm, "vm.resumed", "INFO", f"{vm.name} goes on")

    async def delete(self, vm_id: str, progress: Progress, keep_disks: bool = False) -> None:
        """Remove the machine, its console log and, unless they are kept, its disks; what remains is
        a tombstone."""
        vm = self._records.find(vm_id)
        observed = await self._drivers.of(vm).observe(vm.handle)
        # A start that was cut off may have come so far that something runs.
        if vm.state in UP or observed.state is not State.ABSENT:
            await self.kill(vm_id, progress)
        removal = "but_disks" if keep_disks else "all"
        await self._records.update(vm_id, {"removal": removal})
        await self.finish_delete(vm_id)

    async def finish_delete(self, vm_id: str) -> None:
        """Remove what a delete has begun to remove; repeatable, so that a killed agent's successor
        can go on with it."""
        vm = self._records.find(vm_id)
        keep_disks, driver = vm.removal == "but_disks", self._drivers.of(vm)
        await driver.clear(vm.handle)
        await driver.destroy(vm.handle, keep_disks=keep_disks)
        handle = vm.handle if keep_disks else {}
        changes = {**DOWN_FIELDS, "state": State.ABSENT, "reason": "user", "handle": handle}
        vm = await self._records.update(vm_id, changes)
        await self.tell(vm, "vm.deleted", "INFO", f"{vm.name} was deleted")

    async def change(self, vm_id: str, changed: Vm) -> None:
        """Take a changed spec; what cannot count yet waits for the next start."""
        fields = ("spec", "generation", "observed_generation", "pending_changes")
        await self._records.update(vm_id, {field: getattr(changed, field) for field in fields})

    async def snapshot(self, vm_id: str, progress: Progress, name: str, with_memory: bool) -> None:
        """Keep the state of its disks, and of its memory where that is wanted and it runs."""
        vm = self._records.find(vm_id)
        await self._drivers.of(vm).snapshot_create(
            vm.handle, name, with_memory=with_memory and vm.state in UP, progress=progress
        )
        await self.tell(vm, "vm.snapshot", "INFO", f"{vm.name} was kept as the snapshot {name}")

    async def restore(self, vm_id: str, progress: Progress, name: str) -> None:
        """Set it back to a snapshot; one with memory runs on from there."""
        vm = self._records.find(vm_id)
        await self._drivers.of(vm).snapshot_restore(vm.handle, name, progress)
        vm = await self._look_again(vm_id)
        await self.tell(vm, "vm.restored", "WARN", f"{vm.name} was set back to the snapshot {name}")

    async def drop_snapshot(self, vm_id: str, progress: Progress, name: str) -> None:
        """Delete a snapshot; the machine stays as it is."""
        vm = self._records.find(vm_id)
        await self._drivers.of(vm).snapshot_delete(vm.handle, name, progress)

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
        await self._drivers.of(vm).clear(vm.handle)
        return vm

    async def record_restart(self, vm_id: str, ending: Ending) -> None:
        """Write down whether a machine that did not come up is tried again; `last_error` says why it
        did not."""
        is_due = ending.restart_after_seconds is not None
        vm = await self._records.update(vm_id, {"reason": ending.reason, "is_restart_due": is_due})
        if ending.reason == RESTART_LIMIT:
            why = vm.last_error.message if vm.last_error else START_FAILED
            text = f"{vm.name} is not started again: {RESTART_LIMIT}, at last {why}"
            await self.tell(vm, "vm.given_up", "ERROR", text)

    async def record_silence(self, vm: Vm) -> None:
        """It lives and does not answer: what was known of it stays, and nothing is started."""
        state = vm.state if vm.state in UP else State.RUNNING
        vm = await self._records.update(vm.id, {"health": "unresponsive", "state": state})
        await self.tell(vm, "vm.unresponsive", "WARN", f"{vm.name} runs and does not answer")

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
            await self._records.note(vm.id, f"{severity} {name}: {text}")
            await self._emit(event)
        except (HeadwaterError, sqlite3.Error) as error:
            log.warning("event %s of %s was lost: %s", name, vm.name, error)

    async def _is_gone_within(self, vm: Vm, seconds: float) -> bool:
        driver = self._drivers.of(vm)
        try:
            async with asyncio.timeout(seconds):
                while (await driver.observe(vm.handle)).state is not State.ABSENT:
                    await driver.wait_changed(vm.handle)
        except TimeoutError:
            return False
        return True

    async def _look_again(self, vm_id: str) -> Vm:
        vm = self._records.find(vm_id)
        observed = await self._drivers.of(vm).observe(vm.handle)
        if observed.state is State.ABSENT:
            return vm  # The watcher hears of an end and judges it.
        if not observed.is_responsive:
            return await self._records.update(vm_id, {"health": "unresponsive"})
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
            "accel": observed.accel,
            "ports": observed.ports,
            "health": "",
            "exit": None,
        }
        return await self._records.update(vm_id, changes)

    async def _record_stop(self, vm_id: str, reason: str) -> None:
        vm = self._records.find(vm_id)
        observed = await self._drivers.of(vm).observe(vm.handle)
        changes = {**DOWN_FIELDS, "state": State.STOPPED, "reason": reason, "exit": observed.exit}
        await self._drivers.of(vm).clear(vm.handle)
        vm = await self._records.update(vm_id, changes)
        await self.tell(vm, "vm.stopped", "INFO", f"{vm.name} was stopped")

    async def stop_for_shutdown(self, vm: Vm, grace_s: float, kill_s: float) -> None:
        """Stop a machine because its agent leaves; what people want of it stays as it is."""
        try:
            is_forced = vm.spec.on_host_shutdown is HostShutdown.FORCE
            if is_forced or not await self._is_gone_when_asked(vm, grace_s):
                await self._drivers.of(vm).kill(vm.handle)
                if not await self._is_gone_within(vm, kill_s):
                    return  # The next start finds it running and keeps it.
        except RpcError as error:
            log.warning("%s was left running: %s", vm.name, error)
            return
        await self._record_stop(vm.id, "host_shutdown")

    async def record_failed_start(self, vm: Vm, error: RpcError) -> None:
        """Write down that it did not come up, and why."""
        failure = failure_of(error, self._runtime.wall_ms())
        changes = {
            **DOWN_FIELDS,
            "state": State.FAILED,
            "reason": START_FAILED,
            "last_error": failure,
        }
        vm = await self._records.update(vm.id, changes)
        await self.tell(vm, "vm.start_failed", "ERROR", f"{vm.name} did not start: {error}")
