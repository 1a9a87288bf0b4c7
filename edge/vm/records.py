"""The machines of this node in memory, changed only after the ledger has committed the change."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge.vm.ledger import TOMBSTONES_MAX, Ledger, Request
from edge.vm.model import Operation, State, Vm
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.tasks import Bell

log = logging.getLogger(__name__)

Result = TypeVar("Result")
RETRY_SECONDS = 5.0
PRUNE_EVERY = 50
"""Commits between two looks for old rows."""


async def patiently(work: Callable[[], Awaitable[Result]]) -> Result:
    """Do what must be written in the end: a full disk is waited out."""
    while True:
        try:
            return await work()
        except sqlite3.Error as error:
            log.warning("the book of machines cannot be written, trying again: %s", error)
        await asyncio.sleep(RETRY_SECONDS)


class Records:
    """Every read is answered from memory, every change goes through one lock and one
    transaction."""

    def __init__(
        self, path: Path, runtime: Runtime, operations_max: int, changed: Callable[[], None]
    ) -> None:
        self._path = path
        self._runtime = runtime
        self._operations_max = operations_max
        self._changed = changed
        self._lock = asyncio.Lock()
        self._vms: dict[str, Vm] = {}
        self._seq = 0
        self._commits = 0
        self._ledger: Ledger | None = None
        self.epoch = ""
        self.operated = Bell()
        """Rings when an operation was written that the world is to be told of."""

    async def open(self) -> None:
        """Open or make the ledger; raises sqlite3.Error."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ledger = await self._runtime.offload(lambda: Ledger(self._path))
        fresh = self._runtime.token_hex(8)
        self.epoch = await self.read(lambda ledger: ledger.meta("epoch", fresh))
        vms = await self.read(lambda ledger: ledger.vms())
        self._vms = {vm.id: vm for vm in vms}
        now_ms = self._runtime.wall_ms()
        await self.read(lambda ledger: ledger.prune(now_ms, self._operations_max))
        self._seq = max((vm.seq for vm in vms), default=0)

    async def close(self) -> None:
        """Close the ledger after what is being written."""
        async with self._lock:
            ledger, self._ledger = self._ledger, None
            if ledger is not None:
                await self._runtime.offload(ledger.close)

    def all(self) -> list[Vm]:
        """Every machine that exists, by name."""
        there = [vm for vm in self._vms.values() if vm.state is not State.ABSENT]
        return sorted(there, key=lambda vm: vm.name)

    def by_id(self, vm_id: str) -> Vm | None:
        """A record by its id; a tombstone too."""
        return self._vms.get(vm_id)

    def by_name(self, name: str) -> Vm | None:
        """The existing machine of that name."""
        return next((vm for vm in self.all() if vm.name == name), None)

    def find(self, id_or_name: str) -> Vm:
        """The machine meant; raises RpcError not_found."""
        vm = self._vms.get(id_or_name) or self.by_name(id_or_name)
        if vm is None or vm.state is State.ABSENT:
            raise RpcError("not_found", f"this node has no machine {id_or_name!r}")
        return vm

    def tombstone(self, id_or_name: str) -> Vm | None:
        """The newest deleted machine of that id or name."""
        gone = [vm for vm in self._vms.values() if vm.state is State.ABSENT]
        meant = [vm for vm in gone if id_or_name in (vm.id, vm.name)]
        return max(meant, key=lambda vm: vm.seq, default=None)

    def known(self, id_or_name: str) -> Vm:
        """The machine meant, else the newest deleted one; raises RpcError not_found."""
        there = any(id_or_name in (vm.id, vm.name) for vm in self.all())
        gone = None if there else self.tombstone(id_or_name)
        return gone or self.find(id_or_name)

    async def add(self, vm: Vm, operation: Operation, request: Request) -> Vm:
        """Write a new machine with the operation that makes it."""
        return await asyncio.shield(self._put(lambda: vm, [operation], request))

    async def update(
        self,
        vm_id: str,
        changes: dict[str, Any],
        *operations: Operation,
        request: Request | None = None,
    ) -> Vm:
        """Change fields of the record as it is by then, with operations and a request id.

        Shielded: a cancelled caller cannot leave memory and disk apart.
        """

        def changed() -> Vm:
            return msgspec.structs.replace(self._vms[vm_id], **changes)

        return await asyncio.shield(self._put(changed, operations, request))

    async def write(self, *operations: Operation, request: Request | None = None) -> None:
        """Write operations or a request id that change no machine."""
        await asyncio.shield(self._save(None, operations, request))

    async def note(self, vm_id: str, text: str) -> None:
        """Keep one line of a machine's history."""
        now_ms = self._runtime.wall_ms()
        await self.read(lambda ledger: ledger.note(vm_id, now_ms, text))

    async def read(self, question: Callable[[Ledger], Result]) -> Result:
        """Ask the ledger itself. Shielded: the next one must not use it before this one has left."""
        return await asyncio.shield(self._read(question))

    async def _read(self, question: Callable[[Ledger], Result]) -> Result:
        async with self._lock:
            ledger = self._open_ledger()
            answer: Result = await self._runtime.offload(lambda: question(ledger))
            return answer

    async def _put(
        self, make: Callable[[], Vm], operations: Sequence[Operation], request: Request | None
    ) -> Vm:
        async with self._lock:
            self._seq += 1
            vm = msgspec.structs.replace(
                make(), seq=self._seq, epoch=self.epoch, observed_ms=self._runtime.wall_ms()
            )
            await self._commit(vm, operations, request)
            self._vms[vm.id] = vm
            if vm.state is State.ABSENT:
                self._forget_oldest()
        self._changed()
        return vm

    def _forget_oldest(self) -> None:
        gone = [vm for vm in self._vms.values() if vm.state is State.ABSENT]
        if len(gone) > TOMBSTONES_MAX:
            del self._vms[min(gone, key=lambda vm: vm.seq).id]

    async def _save(
        self, vm: Vm | None, operations: Sequence[Operation], request: Request | None
    ) -> None:
        async with self._lock:
            await self._commit(vm, operations, request)

    async def _commit(
        self, vm: Vm | None, operations: Sequence[Operation], request: Request | None
    ) -> None:
        ledger, now_ms = self._open_ledger(), self._runtime.wall_ms()
        self._commits += 1
        is_pruning = self._commits % PRUNE_EVERY == 0

        def work() -> None:
            ledger.save(vm, operations, request)
            if is_pruning:
                ledger.prune(now_ms, self._operations_max)

        await self._runtime.offload(work)
        if operations:
            self.operated.ring()

    def _open_ledger(self) -> Ledger:
        if self._ledger is None:
            raise RpcError("internal", "this agent is closing")
        return self._ledger
