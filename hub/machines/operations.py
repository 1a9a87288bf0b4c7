"""Operations on every hub: asked of the node that does them, else told from the events that it wrote."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hub import params
from hub.caller import caller
from hub.machines.bulk import Bulks
from hub.machines.faults import LOST_ON_THE_WAY
from hub.machines.params import (
    CancelOperation,
    ListOperations,
    MachineEvents,
    OneOperation,
    WaitForOperation,
)
from hub.machines.queue import Queue
from hub.machines.router import Router
from hub.machines.told import EVENT, OVER, newest_of
from shared.errors import RpcError

PAGE_EVENTS = 1000
PAGES_MAX = 5
BACK = "-8d"
"""Nodes keep operations for 7 days, so nobody asks for older ones."""
LOOK_SECONDS = 1.0
SCOPE_TYPES = "vm.*"

Answer = dict[str, Any]
AskStore = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Answers questions about stored data, such as event.list."""


@dataclass(slots=True)
class OperationsOfAll:
    """Answers op.list, op.get, op.wait, op.cancel and vm.events."""

    router: Router
    bulks: Bulks
    ask_store: AskStore
    resolve: Callable[[str, str | None], Awaitable[str]]
    queue: Queue

    async def get(self, raw: Answer) -> Answer:
        """One operation, asked of its node, or as the node told of it: op_id, node."""
        wanted: OneOperation = params.read(OneOperation, raw)
        mine = self.bulks.get(wanted.op_id)
        if mine is not None:
            return mine
        return await self._ask_or_tell("op.get", wanted.op_id, wanted.node, {})

    async def wait(self, raw: Answer) -> Answer:
        """Wait for the end of an operation: op_id, node, timeout_s."""
        wanted: WaitForOperation = params.read(WaitForOperation, raw)
        if self.bulks.get(wanted.op_id) is not None:
            return await self.bulks.wait(wanted.op_id, wanted.timeout_s)
        until = asyncio.get_running_loop().time() + wanted.timeout_s
        while True:
            left = max(0.0, until - asyncio.get_running_loop().time())
            found = await self._ask_or_tell(
                "op.wait", wanted.op_id, wanted.node, {"timeout_s": left}
            )
            left = until - asyncio.get_running_loop().time()
            if found["state"] in OVER or left <= 0:
                return found
            await asyncio.sleep(min(LOOK_SECONDS, left))

    async def cancel(self, raw: Answer) -> Answer:
        """Stop an operation that may be left half done: op_id, node."""
        wanted: CancelOperation = params.read(CancelOperation, raw)
        if self.bulks.get(wanted.op_id) is not None:
            return self.bulks.cancel(wanted.op_id)
        node = wanted.node or str((await self._told(wanted.op_id, None))["node_id"])
        by = {"requested_by": caller.get(), "via_hub": self.router.hub_id}
        request_id = wanted.request_id or self.router.runtime.token_hex(16)
        sent = {"op_id": wanted.op_id, "request_id": request_id, **by}
        return await self.router.ask(self.router.known_node(node), "op.cancel", sent, request_id)

    async def show(self, raw: Answer) -> Answer:
        """Operations, newest first, asked of a node, or as all nodes told of them: node, vm, state,
        method, limit."""
        wanted: ListOperations = params.read(ListOperations, raw)
        if wanted.state == "queued":
            return await self._queued(wanted)
        live: RpcError | None = None
        if wanted.node is not None and wanted.node in self.router.registry.roster:
            try:
                return await self._of_node(wanted.node, wanted)
            except RpcError as error:
                if error.kind not in LOST_ON_THE_WAY:
                    raise
                live = error
        items, is_cut = await self._told_list(wanted)
        answer = {"items": items, "source": "events", "truncated": is_cut}
        return answer if live is None else {**answer, "error": str(live), "freshness": "stale"}

    async def _queued(self, wanted: ListOperations) -> Answer:
        """Orders that wait are no operations yet: they have a request id, and no id of their own."""
        vm = None if wanted.vm is None else await self.resolve(wanted.vm, wanted.node)
        found = (await self.queue.show({"vm": vm, "node": wanted.node}))["items"]
        known = [each for each in found if wanted.method in (None, each["method"])]
        items = [{**each, "op_id": None, "state": "queued"} for each in reversed(known)]
        cut = len(items) > wanted.limit
        return {"items": items[: wanted.limit], "source": "queue", "truncated": cut}

    async def events(self, raw: Answer) -> Answer:
        """What happened to VMs, newest first: vm, node, after, cursor, limit."""
        wanted: MachineEvents = params.read(MachineEvents, raw)
        question: Answer = {"type": SCOPE_TYPES, "limit": wanted.limit}
        if wanted.vm is not None:
            vm_id = await self.resolve(wanted.vm, wanted.node)
            question["attributes"] = {"vm.id": vm_id}
        if wanted.node is not None:
            question["nodes"] = [wanted.node]
        if wanted.after is not None:
            question["start"] = wanted.after
        if wanted.cursor is not None:
            question["cursor"] = wanted.cursor
        return await self.ask_store("event.list", question)

    # ---- the node itself

    async def _of_node(self, node: str, wanted: ListOperations) -> Answer:
        sent: Answer = {"limit": wanted.limit}
        if wanted.vm is not None:
            sent["vm"] = wanted.vm
        answer = await self.router.ask(node, "op.list", sent)
        items = [each for each in answer["items"] if _is_wanted(each, wanted)]
        return {**answer, "items": items, "source": "node", "freshness": "live"}

    async def _ask_or_tell(
        self, method: str, op_id: str, node: str | None, more: Mapping[str, Any]
    ) -> Answer:
        told = None if node is not None else await self._told(op_id, None)
        where = node if told is None else str(told["node_id"])
        if told is not None and (told["state"] in OVER or where not in self.router.registry.roster):
            return told
        try:
            answer = await self.router.ask(
                self.router.known_node(str(where)), method, {"op_id": op_id, **more}
            )
        except RpcError as error:
            if error.kind not in LOST_ON_THE_WAY | {"not_found"}:
                raise
            return await self._told_after(error, op_id, where)
        return {**answer, "freshness": "live", "source": "node"}

    async def _told_after(self, error: RpcError, op_id: str, node: str | None) -> Answer:
        """What the node told of an operation, since it does not answer now."""
        try:
            return {**await self._told(op_id, node), "error_on_the_way": str(error)}
        except RpcError as unknown:
            if error.kind == "not_found":
                raise error from unknown
            data = {**error.data, "retryable": False}
            raise RpcError("stale_only", f"{error}; {unknown}", data) from error

    # ---- what nodes told

    async def _told(self, op_id: str, node: str | None) -> Answer:
        """Raises RpcError not_found."""
        question: Answer = {"attributes": {"op.id": op_id}}
        if node is not None:
            question["nodes"] = [node]
        events, _ = await self._events(question, 10, 1)
        found = newest_of(events)
        if not found:
            message = f"no event here tells of the operation {op_id}: name its node"
            raise RpcError("not_found", message, {"op_id": op_id})
        return {**found[0], "freshness": "stale", "source": "events"}

    async def _told_list(self, wanted: ListOperations) -> tuple[list[Answer], bool]:
        question: Answer = {"attributes": {}}
        if wanted.vm is not None:
            question["attributes"]["vm.id"] = await self.resolve(wanted.vm, wanted.node)
        if wanted.method is not None:
            question["attributes"]["op.method"] = wanted.method
        if wanted.node is not None:
            question["nodes"] = [wanted.node]
        events, is_cut = await self._events(question, PAGE_EVENTS, PAGES_MAX, 3 * wanted.limit)
        found = [each for each in newest_of(events) if _is_wanted(each, wanted)]
        return found[: wanted.limit], is_cut or len(found) > wanted.limit

    async def _events(
        self, question: Answer, limit: int, pages_max: int, enough: int = 1
    ) -> tuple[list[Answer], bool]:
        """The newest events of operations, in pages until there are enough; whether more follow."""
        asked = {"type": EVENT, "start": BACK, "limit": limit, **question}
        events, cursor = list[Answer](), None
        for _ in range(pages_max):
            page = await self.ask_store("event.list", {**asked, **_go_on(cursor)})
            events += page["items"]
            cursor = page.get("cursor")
            if cursor is None or len(events) >= enough:
                break
        return events, cursor is not None


def _go_on(cursor: str | None) -> Answer:
    return {} if cursor is None else {"cursor": cursor}


def _is_wanted(operation: Mapping[str, Any], wanted: ListOperations) -> bool:
    is_state = wanted.state is None or operation.get("state") == wanted.state
    return is_state and wanted.method in (None, operation.get("method"))
