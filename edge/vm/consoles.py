"""What machines show on their consoles, line by line, as logs.

The console log on disk is the queue, and the place in it is committed together with the lines: after
a restart none is missing and none comes twice. What a machine writes faster than its share is passed
over, and a line says how much.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from edge.vm.actions import UP
from edge.vm.console_lines import (
    ConsoleLimits,
    Page,
    Place,
    Taken,
    dump_places,
    joined,
    load_places,
    start_of_reading,
    take_lines,
)
from edge.vm.drivers import Drivers
from edge.vm.model import Vm
from edge.vm.records import Records
from shared.errors import BadInput, RpcError, Unavailable
from shared.records import Checkpoint, Part
from shared.runtime import Runtime
from shared.signals import Scalar

log = logging.getLogger(__name__)

KEY = "vm.consoles"
"""The name under which the places are saved."""


class Keep(Protocol):
    """A durable log that keeps a part and a checkpoint in one commit; the buffer is one."""

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None: ...

    async def checkpoint(self, key: str) -> bytes | None: ...


class Consoles:
    """Reads along every machine's console log; keep `run` running."""

    def __init__(
        self,
        drivers: Drivers,
        records: Records,
        runtime: Runtime,
        keep: Keep,
        resource: Mapping[str, Scalar],
        limits: ConsoleLimits,
    ) -> None:
        self._drivers = drivers
        self._records = records
        self._runtime = runtime
        self._keep = keep
        self._resource = resource
        self._limits = limits
        self._places: dict[str, Place] = {}
        self._grew_at: dict[str, tuple[int, float]] = {}
        self._read_out: dict[str, int] = {}
        self._first = 0

    async def run(self) -> None:
        """Read from where it stopped, for ever."""
        await self.begin()
        while True:
            seconds = await self.take()
            await asyncio.sleep(seconds)

    async def begin(self) -> None:
        """Find the places where it stopped."""
        try:
            self._places = load_places(await self._keep.checkpoint(KEY))
        except BadInput as error:
            log.error("%s: some lines may be kept twice", error)

    async def take(self) -> float:
        """One round over all machines; returns after how many seconds the next one is due."""
        taken = await self._round()
        places = {**self._known_places(), **{vm.id: each.place for vm, each in taken}}
        part = joined([each.part for _, each in taken if each.part is not None])
        if part is not None:
            try:
                await self._keep.append(part, Checkpoint(KEY, dump_places(places)))
            except Unavailable as error:  # The console logs wait for us.
                log.warning("consoles wait: %s", error)
                return max(self._limits.round_seconds, error.retry_after_seconds)
        self._places = places
        self._read_out.update({vm.id: vm.seq for vm, each in taken if each.is_all})
        return self._limits.round_seconds

    async def _round(self) -> Sequence[tuple[Vm, Taken]]:
        vms = [vm for vm in self._records.all() if not self._is_read_out(vm)]
        self._first = (self._first + 1) % max(1, len(vms))
        taken: list[tuple[Vm, Taken]] = []
        room_bytes = self._limits.round_bytes_max
        # Each round begins with another machine, so that a few loud ones leave room for the rest.
        for vm in vms[self._first :] + vms[: self._first]:
            if room_bytes <= 0:
                break
            each = await self._take_one(vm)
            if each is not None:
                taken.append((vm, each))
                room_bytes -= each.part_bytes
        return taken

    async def _take_one(self, vm: Vm) -> Taken | None:
        place = self._places.get(vm.id, Place())
        try:
            page = await self._look(vm, place)
        except RpcError as error:
            log.info("the console of %s cannot be read: %s", vm.name, error)
            return None
        resource = {**self._resource, "vm.id": vm.id, "vm.name": vm.name}
        is_still, now_ns = self._is_still(vm, page.size), self._runtime.wall_ns()
        return take_lines(place, page, self._limits, resource, now_ns, flush=is_still)

    async def _look(self, vm: Vm, place: Place) -> Page:
        driver, share_bytes = self._drivers.of(vm), self._limits.share_bytes
        found = await driver.console_log(vm.handle, place.offset, share_bytes)
        begin = start_of_reading(place, found.size, self._limits)
        if begin > found.offset:
            found = await driver.console_log(vm.handle, begin, share_bytes)
        return Page(found.offset, found.size, found.data)

    def _is_still(self, vm: Vm, size: int) -> bool:
        """Nothing came for so long that an unfinished line will not be finished soon."""
        now = asyncio.get_running_loop().time()
        was, since = self._grew_at.get(vm.id, (-1, now))
        if was != size:
            self._grew_at[vm.id] = (size, now)
            return False
        return now - since >= self._limits.partial_seconds_max

    def _is_read_out(self, vm: Vm) -> bool:
        """A machine that is down writes no more after it was read to its end."""
        return vm.state not in UP and vm.task is None and self._read_out.get(vm.id) == vm.seq

    def _known_places(self) -> dict[str, Place]:
        """Without those of machines that are gone."""
        there = {vm.id for vm in self._records.all()}
        self._grew_at = {key: value for key, value in self._grew_at.items() if key in there}
        self._read_out = {key: value for key, value in self._read_out.items() if key in there}
        return {vm_id: place for vm_id, place in self._places.items() if vm_id in there}
