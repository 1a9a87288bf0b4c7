"""Does the orders that waited on hubs for this edge, each once, whatever hubs hand them over.

A hub hands an order over until it hears what became of it. What makes it happen once is the request id,
which the ledger of machines keeps with the operation; what is kept here only spares the asking.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import RpcError
from shared.orders import DONE, OFFERED_MAX, ORDERED_MAX, QUEUEABLE, QueuedOrder
from shared.tasks import Bell

log = logging.getLogger(__name__)

TAKEN_MAX = 512
WAITING_MAX = 64
WORDS_MAX = 400
TOLD_SECONDS = 120.0
"""For so long each heartbeat says what became of an order, after a hub handed it over for the last
time: every hub has heard a beat by then, or hands it over again."""

AGAIN = frozenset({"busy", "internal"})
"""What may be otherwise later: the order waits on, and comes again with the next answer of a hub."""

Call = Callable[[str, dict[str, Any]], Awaitable[Any]]


@dataclass(slots=True)
class QueuedOrders:
    """Keep `run` running. `changed` makes the next heartbeat come soon."""

    call: Call
    changed: Callable[[], None]
    _waiting: OrderedDict[str, QueuedOrder] = field(default_factory=OrderedDict)
    _taken: OrderedDict[str, tuple[str, float]] = field(default_factory=OrderedDict)
    """What became of each, and when it was handed over or done last."""
    _bell: Bell = field(default_factory=Bell)

    def heard(self, hub_id: str, orders: Sequence[QueuedOrder]) -> None:
        """A hub answered, and hands over these orders."""
        for order in orders[:OFFERED_MAX]:
            known = self._taken.get(order.request_id)
            if known is not None:  # This hub has not heard of it yet.
                self._note(order.request_id, known[0])
            elif len(self._waiting) < WAITING_MAX:
                self._waiting.setdefault(order.request_id, order)
                self._bell.ring()

    def report(self) -> dict[str, str]:
        """What became of orders, for the next heartbeat."""
        since = asyncio.get_running_loop().time() - TOLD_SECONDS
        newest = list(self._taken.items())[-ORDERED_MAX:]
        return {request_id: became for request_id, (became, at) in newest if at >= since}

    async def run(self) -> None:
        """Do what waits, for ever, in the order in which it was handed over."""
        while True:
            await self._bell.wait(3600.0)
            while self._waiting:
                await self.step()

    async def step(self) -> None:
        """Do the first that waits."""
        request_id, order = next(iter(self._waiting.items()))
        try:
            became = await self._do(order)
        finally:
            self._waiting.pop(request_id, None)
        if became is not None:
            self._note(request_id, became)
            self.changed()

    def _note(self, request_id: str, became: str) -> None:
        self._taken[request_id] = (became, asyncio.get_running_loop().time())
        self._taken.move_to_end(request_id)
        while len(self._taken) > TAKEN_MAX:
            self._taken.popitem(last=False)

    async def _do(self, order: QueuedOrder) -> str | None:
        """What became of an order; None when it must come again."""
        if order.method not in QUEUEABLE:
            return f"invalid_params: {order.method} is no order that may wait"
        sent = {
            **order.params,
            "vm": order.vm,
            "request_id": order.request_id,
            "requested_by": order.by,
            "via_hub": order.via_hub[:128],
            "wait_s": 0.0,
        }
        try:
            await self.call(order.method, sent)
        except RpcError as error:
            text = f"{error.kind}: {error}"[:WORDS_MAX]
            log.warning("%s, which waited for this edge: %s", order.method, text)
            return None if error.kind in AGAIN else text
        return DONE
