"""The methods that change nothing: what machines are, what they show, and what was done to them."""

import codecs
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from edge.vm import params as asked
from edge.vm import views
from edge.vm.console_log import ConsolePage
from edge.vm.driver import KeepsLog
from edge.vm.drivers import Drivers
from edge.vm.model import Vm
from edge.vm.operations import Operations
from edge.vm.records import Records
from shared.errors import RpcError
from shared.runtime import Runtime

Answer = dict[str, Any]


class Reads:
    """Answers from the records in memory, the ledger, and the drivers. Raises RpcError only."""

    def __init__(
        self,
        node_id: str,
        drivers: Drivers,
        records: Records,
        operations: Operations,
        runtime: Runtime,
    ) -> None:
        self._node_id = node_id
        self._drivers = drivers
        self._records = records
        self._operations = operations
        self._runtime = runtime

    def methods(self) -> Mapping[str, Callable[[Answer], Awaitable[Answer]]]:
        """The methods by name."""
        return {
            "vm.list": self._list,
            "vm.get": self._get,
            "vm.validate": self._validate,
            "vm.stats": self._stats,
            "vm.snapshot.list": self._snapshots,
            "vm.console.log": self._console_log,
            "vm.logs": self._logs,
            "op.get": self._op_get,
            "op.list": self._op_list,
            "op.wait": self._op_wait,
            "node.drivers": self._fingerprints,
        }

    async def _list(self, raw: Answer) -> Answer:
        asked.read(raw, asked.Listing, self._node_id)
        now_ms = self._runtime.wall_ms()
        return {"items": [views.record(vm, now_ms) for vm in self._records.all()]}

    async def _get(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OneVm, self._node_id)
        return views.record(self._records.find(wish.vm), self._runtime.wall_ms())

    async def _validate(self, raw: Answer) -> Answer:
        """What would come of a spec here; problems are told, not raised."""
        wish = asked.read(raw, asked.Validate, self._node_id)
        try:
            driver = self._drivers.for_spec(wish.spec)
            await driver.check(wish.spec)
        except RpcError as error:
            problem = {"kind": error.kind, "message": str(error), "data": error.data}
            return {"node_id": self._node_id, "driver": None, "problems": [problem], "warnings": []}
        warnings = list(driver.warnings(wish.spec))
        found = {"driver": driver.name, "kind": driver.kind, "warnings": warnings}
        return {"node_id": self._node_id, "problems": [], **found}

    async def _stats(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OneVm, self._node_id)
        vm = self._records.find(wish.vm)
        sample = await self._drivers.of(vm).stats(vm.handle)
        at = views.rfc3339(self._runtime.wall_ms())
        return {"vm_id": vm.id, "at": at, **msgspec.to_builtins(sample)}

    async def _snapshots(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OneVm, self._node_id)
        vm = self._records.find(wish.vm)
        found = await self._drivers.of(vm).snapshots(vm.handle)
        return {"vm_id": vm.id, "items": [views.snapshot(each) for each in found]}

    async def _fingerprints(self, raw: Answer) -> Answer:
        asked.read(raw, asked.Listing, self._node_id)
        found = [views.fingerprint(each) for each in await self._drivers.fingerprints()]
        return {"node_id": self._node_id, "drivers": found}

    async def _console_log(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.ConsoleLog, self._node_id)
        vm = self._records.find(wish.vm)
        page = await self._drivers.of(vm).console_log(vm.handle, wish.offset, wish.limit)
        return {"vm_id": vm.id, **_text_of(page, wish.offset)}

    async def _logs(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.Logs, self._node_id)
        vm = self._records.known(wish.vm)
        sources = {"driver": self._driver_log, "agent": self._agent_log, "ops": self._ops_log}
        lines = await sources[wish.source](vm, wish.tail)
        return {"vm_id": vm.id, "source": wish.source, "lines": lines}

    async def _driver_log(self, vm: Vm, tail: int) -> list[Answer]:
        driver = self._drivers.of(vm)
        if not isinstance(driver, KeepsLog):
            message = f"the driver {driver.name!r} keeps no log of its own: look at the console"
            raise RpcError("not_supported", message, {"driver": driver.name})
        return [{"at": None, "text": line} for line in await driver.log(vm.handle, tail)]

    async def _agent_log(self, vm: Vm, tail: int) -> list[Answer]:
        notes = await self._records.read(lambda ledger: ledger.notes(vm.id, tail))
        return [{"at": views.rfc3339(at_ms), "text": text} for at_ms, text in notes]

    async def _ops_log(self, vm: Vm, tail: int) -> list[Answer]:
        newest = await self._records.read(lambda ledger: ledger.operations(vm.id, tail))
        lines = [
            line for operation in reversed(newest) for line in views.operation_lines(operation)
        ]
        return lines[-tail:]

    async def _op_get(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OneOp, self._node_id)
        return views.operation(await self._operations.get(wish.op_id))

    async def _op_wait(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OneOp, self._node_id)
        operation = await self._operations.get(wish.op_id)
        return views.operation(await self._operations.wait(operation, wish.timeout_s))

    async def _op_list(self, raw: Answer) -> Answer:
        wish = asked.read(raw, asked.OpList, self._node_id)
        vm_id = None if wish.vm is None else self._records.known(wish.vm).id
        rows = await self._records.read(lambda ledger: ledger.operations(vm_id, wish.limit))
        return {"items": [views.operation(row) for row in rows]}


def _text_of(page: ConsolePage, offset: int | None) -> Answer:
    """A page of the console as text. A character that is not complete yet is left for the next."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(page.data)
    held = len(decoder.getstate()[0])
    if held == len(page.data):
        text, held = page.data.decode("utf-8", "replace"), 0
    return {
        "offset": page.offset,
        "next": page.offset + len(page.data) - held,
        "size": page.size,
        "truncated": page.first > 0 if offset is None else page.offset > offset,
        "data": text,
    }
