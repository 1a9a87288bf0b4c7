"""One action on many VMs, side by side, with a result for each; the hub's own operation."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub import params
from hub.caller import caller
from hub.machines.bulk_rules import (
    Bulk,
    Item,
    ItemState,
    check_bulk,
    digest_of,
    op_id_of,
    request_id_of,
)
from hub.machines.faults import LOST_ON_THE_WAY
from hub.machines.params import BULK_VMS_MAX, BulkOrder
from hub.machines.router import Router
from hub.machines.sieve import sieve_of
from hub.machines.told import EVENT, OVER
from shared.errors import RpcError, Unavailable

BULKS_KEPT_MAX = 64
RUNNING_MAX = 8
WAIT_SECONDS = 30.0
"""For so long one question waits for the end of an operation; then it is asked again."""
END_SECONDS_MAX = 2 * 3600.0
SILENT_SECONDS_MAX = 60.0
"""For so long a node may be silent while its operation goes on; then its end is unknown here."""
AGAIN_SECONDS = 2.0

Answer = dict[str, Any]


@dataclass(slots=True)
class Bulks:
    """Carries out bulk orders; their tasks end with `close`. Raises RpcError."""

    router: Router
    report: Callable[[str, Mapping[str, Any]], None]
    _held: OrderedDict[str, Bulk] = field(default_factory=OrderedDict)
    _tasks: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    async def order(self, raw: Answer) -> Answer:
        """One action on many VMs, with a result for each: action, selector or ids, options, parallel,
        stop_on_error, dry_run, request_id, wait_s. The same request_id through any hub repeats
        nothing."""
        order: BulkOrder = params.read(BulkOrder, raw)
        method = check_bulk(order)
        request_id = order.request_id or self.router.runtime.token_hex(16)
        op_id = op_id_of(request_id)
        if op_id not in self._held:
            bulk = await self._new(op_id, request_id, method, order)
            if order.dry_run:
                return {**bulk.to_wire(), "dry_run": True, "state": "done"}
            if op_id not in self._held:  # The same may have come twice at once.
                self._begin(bulk)
        self._check_same(self._held[op_id], order)
        return await self.wait(op_id, order.wait_s)

    def get(self, op_id: str) -> Answer | None:
        """A bulk order that this hub carries out, or did lately."""
        held = self._held.get(op_id)
        return held.to_wire() if held is not None else None

    async def wait(self, op_id: str, seconds_max: float) -> Answer:
        """The same when it is over, or as it is after that time."""
        held, task = self._held[op_id], self._tasks.get(op_id)
        if task is not None:
            await asyncio.wait([task], timeout=seconds_max)
        return held.to_wire()  # By now newer ones may have taken its place.

    def cancel(self, op_id: str) -> Answer:
        """Begin no more of it; what runs goes on to its end."""
        bulk = self._held[op_id]
        bulk.is_cancelled = bulk.is_cancelled or not bulk.is_over
        return bulk.to_wire()

    async def close(self) -> None:
        """Leave; nodes end what they have begun."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    # ---- a new one

    async def _new(self, op_id: str, request_id: str, method: str, order: BulkOrder) -> Bulk:
        items = await self._items(order, request_id)
        now_ms, by = self.router.runtime.wall_ms(), caller.get()
        digest = digest_of(order)
        return Bulk(op_id, request_id, digest, method, order, items, now_ms, by, self.router.hub_id)

    async def _items(self, order: BulkOrder, request_id: str) -> list[Item]:
        if order.selector is not None:
            node = order.selector.node
            if node is not None:
                self.router.known_node(node)
            chosen = sieve_of(order.selector)
            found = await self.router.vms.selected(chosen, node, BULK_VMS_MAX)
        else:
            found = [await self._named(vm) for vm in dict.fromkeys(order.ids or ())]
        return [_item(vm, order.action, request_id) for vm in found]

    async def _named(self, vm: str) -> Answer:
        try:
            node, vm_id = await self.router.place(vm)
        except RpcError as error:
            failure = {"kind": error.kind, "message": str(error)}
            return {"node_id": "", "id": vm, "name": vm, "failure": failure}
        return {"node_id": node, "id": vm_id, "name": vm}

    def _check_same(self, held: Bulk, order: BulkOrder) -> None:
        if held.digest != digest_of(order):
            message = f"request_id {held.request_id!r} was already used for another order"
            raise RpcError("conflict", message, {"op_id": held.op_id})

    def _begin(self, bulk: Bulk) -> None:
        if len(self._tasks) >= RUNNING_MAX:
            message = f"this hub carries out {RUNNING_MAX} bulk orders already"
            raise RpcError("busy", message, {"limit": RUNNING_MAX, "retryable": True})
        self._held[bulk.op_id] = bulk
        for op_id in [each for each in self._held if each not in self._tasks]:
            if len(self._held) > BULKS_KEPT_MAX and op_id != bulk.op_id:
                del self._held[op_id]
        self._tell(bulk)
        self._tasks[bulk.op_id] = asyncio.create_task(self._carry_out(bulk))

    # ---- at work

    async def _carry_out(self, bulk: Bulk) -> None:
        todo = iter([item for item in bulk.items if item.state is ItemState.WAITING])

        async def work() -> None:
            for item in todo:
                if bulk.is_cancelled or (bulk.order.stop_on_error and bulk.counts.get("failed")):
                    item.state = ItemState.SKIPPED
                else:
                    await self._do(bulk, item)

        try:
            await asyncio.gather(*(work() for _ in range(bulk.order.parallel)))
        finally:
            bulk.end(self.router.runtime.wall_ms())
            self._tell(bulk)
            self._tasks.pop(bulk.op_id, None)

    async def _do(self, bulk: Bulk, item: Item) -> None:
        """Order it of one VM, and wait for the end; what goes wrong is its result."""
        item.state = ItemState.RUNNING
        asked = {
            **bulk.order.options,
            "vm": item.vm_id,
            "node": item.node_id,
            "request_id": item.request_id,
        }
        try:
            answer = await self.router.order(
                bulk.method, {**asked, "wait_s": WAIT_SECONDS}, bulk.by
            )
            if answer.get("state") == "queued":
                item.state = ItemState.QUEUED
                return
            _take(item, await self._ended(item.node_id, answer))
        except RpcError as error:
            item.state = ItemState.FAILED
            item.error = {"kind": error.kind, "message": str(error), "data": error.data}
        except Unavailable as error:  # The disk of this hub, where an order should have waited.
            item.state = ItemState.FAILED
            item.error = {"kind": "busy", "message": str(error), "data": {"retryable": True}}

    async def _ended(self, node: str, operation: Answer) -> Answer:
        """The operation when it is over; raises RpcError when that cannot be learned."""
        loop = asyncio.get_running_loop()
        began = heard = loop.time()
        while operation.get("state") not in OVER and loop.time() - began < END_SECONDS_MAX:
            try:
                sent = {"op_id": operation["op_id"], "timeout_s": WAIT_SECONDS}
                operation = await self.router.ask(node, "op.wait", sent)
                heard = loop.time()
            except RpcError as error:
                is_silent = error.kind in LOST_ON_THE_WAY | {"busy"}
                if not is_silent or loop.time() - heard > SILENT_SECONDS_MAX:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)
        return operation

    def _tell(self, bulk: Bulk) -> None:
        """The begin and the end are events, by which all hubs know of it."""
        counts = ", ".join(f"{count} {state}" for state, count in sorted(bulk.counts.items()))
        facts = {
            "op.id": bulk.op_id,
            "op.request_id": bulk.request_id,
            "op.method": "vm.bulk",
            "op.action": bulk.order.action,
            "op.state": bulk.state,
            "op.by": bulk.by,
            "op.via_hub": bulk.hub_id,
            "op.created_ms": bulk.created_ms,
            "op.changed": any(item.changed for item in bulk.items),
            "op.error": "failed" if bulk.state == "failed" else "",
            "op.message": counts,
        }
        self.report(EVENT, facts)


def _item(vm: Answer, action: str, request_id: str) -> Item:
    node, vm_id = str(vm["node_id"]), str(vm["id"])
    child = request_id_of(request_id, action, node, vm_id)
    item = Item(node, vm_id, str(vm.get("name", "")), child)
    if "failure" in vm:
        item.state, item.error = ItemState.FAILED, vm["failure"]
    return item


def _take(item: Item, operation: Answer) -> None:
    item.op_id = operation.get("op_id")
    item.changed = operation.get("changed")
    item.state = ItemState.DONE if operation.get("state") == "done" else ItemState.FAILED
    if item.state is ItemState.FAILED:
        state = operation.get("state")
        item.error = operation.get("error") or {"kind": str(state), "message": f"it is {state}"}
