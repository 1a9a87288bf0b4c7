"""Orders that wait for their nodes: kept in the nodes' replicated records, handed over with the answer to
a heartbeat by whichever hub hears it, and told to be over by whoever learns it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub import params
from hub.caller import caller
from hub.describe import time_of_ms
from hub.machines.params import QUEUE_SECONDS_USUAL, CancelQueued, ListQueue
from hub.machines.queue_rules import (
    Book,
    Waiting,
    added,
    books_of,
    check_order,
    check_same,
    closed,
    expired,
    field_of,
    has_any,
    is_over,
    open_orders,
    tidied,
    to_value,
)
from hub.registry import Registry
from shared.beat import Beat
from shared.errors import RpcError
from shared.merge import NodeRecord
from shared.orders import DONE, OFFERED_MAX, QueuedOrder
from shared.tasks import Bell

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
NODES_AT_ONCE = 1000
HEARD_NODES_MAX = 100_000

Answer = dict[str, Any]


@dataclass(slots=True)
class Queue:
    """The orders that wait, on this hub. Raises RpcError, and Unavailable for a disk that is full."""

    hub_id: str
    store_epoch: str
    registry: Registry
    intend: Callable[[str, str, object], Awaitable[None]]
    wall_ms: Callable[[], int]
    report: Callable[[str, Mapping[str, Any]], None]
    counters: Counter[str]
    _nodes: set[str] = field(default_factory=set)
    """The nodes in whose records orders stand, or stood."""
    _heard: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """What nodes said became of orders, until that is written down."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _bell: Bell = field(default_factory=Bell)

    @property
    def field_name(self) -> str:
        """The only field of a node's record that this hub writes orders into."""
        return field_of(self.hub_id, self.store_epoch)

    # ---- what waits

    def waiting(self, node: str) -> Sequence[Waiting]:
        """The open orders for a node, oldest first."""
        record = self.registry.records.get(node) if node in self.registry.roster else None
        return open_orders(books_of(record), self.wall_ms()) if has_any(record) else ()

    async def put(self, node: str, order: QueuedOrder, seconds: float | None) -> Answer:
        """Let an order wait; the answer comes once it is on disk here.

        The same order again is the same one; raises RpcError conflict, quota or invalid_params.
        """
        check_order(order)
        now_ms = self.wall_ms()
        until_ms = now_ms + round((QUEUE_SECONDS_USUAL if seconds is None else seconds) * 1000)
        fresh = Waiting(order, now_ms, until_ms)
        async with self._turn:
            books = self._books(node)
            book = added(books, self.field_name, fresh, now_ms)
            if book is not None:
                await self._write(node, book)
                self._tell("vm.order.queued", node, fresh)
            ended = book is None and is_over(books, order.request_id)
        if ended:
            return {"queued": False, "state": "over", **described(node, fresh)}
        known = next((each for each in self.waiting(node) if each.id == fresh.id), fresh)
        check_same(known.order, order)
        return {"queued": True, "state": "queued", **described(node, known)}

    async def show(self, raw: Answer) -> Answer:
        """The orders that wait for nodes, oldest first: vm, node, limit."""
        wanted: ListQueue = params.read(ListQueue, raw)
        nodes = sorted(self._nodes) if wanted.node is None else [wanted.node]
        found = [(node, each) for node in nodes for each in self.waiting(node)]
        if wanted.vm is not None:
            found = [(node, each) for node, each in found if each.order.vm == wanted.vm]
        found.sort(key=lambda each: (each[1].at_ms, each[1].id))
        items = [described(node, each) for node, each in found[: wanted.limit]]
        return {"items": items, "total": len(found)}

    async def cancel(self, raw: Answer) -> Answer:
        """Give up an order that waits: request_id, node. A hub that cannot hear of it may still hand
        it over; what then becomes of it is told as of any other."""
        wanted: CancelQueued = params.read(CancelQueued, raw)
        nodes = sorted(self._nodes) if wanted.node is None else [wanted.node]
        for node in nodes:
            known = [each for each in self.waiting(node) if each.id == wanted.request_id]
            if known:
                await self._end(node, {wanted.request_id: "cancelled"})
                return {"cancelled": True, **described(node, known[0])}
        message = f"no order {wanted.request_id} waits here"
        raise RpcError("not_found", message, {"request_id": wanted.request_id})

    # ---- the node

    def offer(self, beat: Beat) -> list[QueuedOrder]:
        """What a node is to do, with the answer to its heartbeat; notes what it says became of what it
        was given before."""
        waiting = self.waiting(beat.node_id)
        if not waiting:
            return []
        told = {each.id: beat.ordered[each.id] for each in waiting if each.id in beat.ordered}
        if told and len(self._heard) < HEARD_NODES_MAX:
            self._heard[beat.node_id] = {**self._heard.get(beat.node_id, {}), **told}
            self._bell.ring()
        offered = [each.order for each in waiting if each.id not in told]
        self.counters["orders_offered"] += min(len(offered), OFFERED_MAX)
        return offered[:OFFERED_MAX]

    def noted(self, before: NodeRecord | None, after: NodeRecord) -> None:
        """A record of a node has changed, here or by a peer."""
        if has_any(after):
            self._nodes.add(after.node_id)

    # ---- its life

    async def run(self) -> None:
        """Write down what becomes of orders, and let go of those that came too late; for ever."""
        for number, node in enumerate(list(self.registry.records), 1):
            if number % NODES_AT_ONCE == 0:
                await asyncio.sleep(0)
            if has_any(self.registry.records.get(node)):
                self._nodes.add(node)
        while True:
            await self._bell.wait(LOOK_SECONDS)
            await self.step()

    async def step(self) -> None:
        """One round."""
        for node in list(self._heard):
            await self._end(node, self._heard[node])
            self._heard.pop(node, None)
        for node in list(self._nodes):
            await self._tidy(node)

    async def _end(self, node: str, became: Mapping[str, str]) -> None:
        """Some orders are over: done, cancelled, or refused with a reason."""
        async with self._turn:
            books, now_ms = self._books(node), self.wall_ms()
            waiting = {each.id: each for each in open_orders(books, now_ms)}
            book = closed(books, self.field_name, became, now_ms)
            if book is not None:
                await self._write(node, book)
        for request_id, what in became.items() if book is not None else ():
            if request_id in waiting:
                self._tell(_event_of(what), node, waiting[request_id], what)

    async def _tidy(self, node: str) -> None:
        """Take what is over or too late out of this hub's own field."""
        async with self._turn:
            books, now_ms = self._books(node), self.wall_ms()
            mine = books.get(self.field_name)
            if mine is None:
                return
            late = expired(books, self.field_name, now_ms)
            book = tidied(books, self.field_name, now_ms)
            if book != mine:
                await self._write(node, book)
        for each in late:
            self._tell("vm.order.expired", node, each)

    def _books(self, node: str) -> dict[str, Book]:
        return books_of(self.registry.records.get(node))

    async def _write(self, node: str, book: Book) -> None:
        await self.intend(node, self.field_name, to_value(book))
        self._nodes.add(node)

    def _tell(self, name: str, node: str, waiting: Waiting, what: str = "") -> None:
        self.counters[name.replace("vm.order.", "orders_")] += 1
        order = waiting.order
        facts = {
            "op.request_id": order.request_id,
            "op.method": order.method,
            "op.by": caller.get() if name.endswith("cancelled") else order.by,
            "op.via_hub": order.via_hub,
            "vm.id": order.vm,
            "node": node,
            "expires": time_of_ms(waiting.expires_ms),
        }
        self.report(name, {**facts, "why": what} if name.endswith("refused") else facts)


def described(node: str, waiting: Waiting) -> Answer:
    """An order that waits, as people see it."""
    order = waiting.order
    return {
        "request_id": order.request_id,
        "method": order.method,
        "vm_id": order.vm,
        "node_id": node,
        "params": order.params,
        "requested_by": order.by,
        "via_hub": order.via_hub,
        "queued_at": time_of_ms(waiting.at_ms),
        "expires_at": time_of_ms(waiting.expires_ms),
    }


def _event_of(what: str) -> str:
    known = {DONE: "vm.order.done", "cancelled": "vm.order.cancelled"}
    return known.get(what, "vm.order.refused")
