"""Tells the world of machines: of each operation's begin and end, and of what they use."""

import asyncio
import dataclasses
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from edge.vm.actions import UP
from edge.vm.consoles import Keep
from edge.vm.driver import Sample
from edge.vm.drivers import Drivers
from edge.vm.ledger import Ledger, Untold
from edge.vm.model import Vm, VmEvent
from edge.vm.records import Records, patiently
from edge.vm.telling_parts import Use, operation_event, stats_part
from shared.errors import HeadwaterError, RpcError, Unavailable
from shared.runtime import Runtime
from shared.signals import Scalar

log = logging.getLogger(__name__)

TOLD_AT_ONCE_MAX = 100
LAST_WORDS_SECONDS_MAX = 1.0
LOOKS_AT_ONCE_MAX = 8


class OperationTelling:
    """Each begin and end of an operation becomes an event: at least once, also after a crash.

    The mark is written with the operation, and taken away after the event is kept. One that is told
    again is the same event: the same time and the same `event.id`.
    """

    def __init__(self, records: Records, emit: Callable[[VmEvent], Awaitable[None]]) -> None:
        self._records = records
        self._emit = emit

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            await patiently(self._tell_patiently)
            await self._records.operated.wait()

    async def tell_last(self) -> None:
        """Tell what can be told quickly, since the agent leaves; the rest keeps its mark."""
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS_MAX):
                await self._tell()
        except (TimeoutError, HeadwaterError, sqlite3.Error) as error:
            log.info("operations are told at the next start: %s", error or "no time")

    async def _tell_patiently(self) -> None:
        while True:
            try:
                return await self._tell()
            except Unavailable as error:  # They wait in the ledger, which is bounded.
                log.warning("operations wait to be told: %s", error)
                await asyncio.sleep(max(0.1, error.retry_after_seconds))

    async def _tell(self) -> None:
        while untold := await self._records.read(_first_untold):
            for each in untold:
                await self._emit(operation_event(each.operation, is_end=each.is_end))
            await self._records.read(partial(Ledger.set_told, told=untold))


def _first_untold(ledger: Ledger) -> list[Untold]:
    return ledger.untold(TOLD_AT_ONCE_MAX)


class StatsTelling:
    """What each machine uses, as metrics, every interval."""

    def __init__(
        self,
        drivers: Drivers,
        records: Records,
        runtime: Runtime,
        keep: Keep,
        resource: Mapping[str, Scalar],
        seconds: float,
    ) -> None:
        self._drivers = drivers
        self._records = records
        self._runtime = runtime
        self._keep = keep
        self._resource = resource
        self._seconds = seconds

    async def run(self) -> None:
        """Look and keep, for ever."""
        while True:
            await self.take()
            await asyncio.sleep(self._seconds)

    async def take(self) -> bool:
        """One look, kept; False when there was no room: sums are in the next one as well."""
        gate = asyncio.Semaphore(LOOKS_AT_ONCE_MAX)
        up = [vm for vm in self._records.all() if vm.state in UP]
        used = await asyncio.gather(*(self._look(vm, gate) for vm in up))
        part = stats_part(used, self._resource, self._runtime.wall_ns())
        if part is None:
            return True
        try:
            await self._keep.append(part)
        except Unavailable as error:
            log.warning("what machines use was left out: %s", error)
            return False
        return True

    async def _look(self, vm: Vm, gate: asyncio.Semaphore) -> tuple[Vm, Use]:
        async with gate:
            try:
                sample = await self._drivers.of(vm).stats(vm.handle)
            except RpcError as error:
                log.info("what %s uses is not known: %s", vm.name, error)
                sample = Sample()
        return vm, dataclasses.asdict(sample)
