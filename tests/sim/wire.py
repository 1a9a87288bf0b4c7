"""A WebSocket between an edge and a hub of a simulation: it keeps its order, and breaks."""

import asyncio
from typing import Any, Protocol

from starlette.types import ASGIApp

from shared.errors import Unreachable
from shared.serve import PING_SECONDS, PONG_SECONDS_MAX
from tests.sim.asgi import Order, serve_socket
from tests.sim.process import Process
from tests.sim.trace import Trace

TO_HUB, TO_EDGE = 0, 1
A_MOMENT_SECONDS = 1e-6


class Air(Protocol):
    """What a wire needs of the network."""

    trace: Trace

    def delay(self) -> float: ...
    def cuts_link(self) -> tuple[bool, bool]: ...
    def tears_link(self) -> tuple[int, float]: ...
    def separated(self, one: Process, other: Process) -> bool: ...
    def forget(self, wire: "Wire") -> None: ...


class Wire:
    """One link; messages in each direction arrive in order, until it is cut."""

    def __init__(self, air: Air, caller: Process, process: Process, url: str) -> None:
        self.caller, self.process, self.url = caller, process, url
        self._air = air
        self._queues: tuple[asyncio.Queue[bytes | None], ...] = (asyncio.Queue(), asyncio.Queue())
        self._due = [0.0, 0.0]
        self.is_cut = self.is_torn = False

    async def open(self, app: ASGIApp, order: Order) -> bool:
        """Let the hub accept or refuse."""
        accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        task = self.process.serve(
            serve_socket(
                app, order, accepted, lambda: self.take(TO_HUB), self._from_hub, self.hang_up
            )
        )
        task.add_done_callback(self._served)
        either: set[asyncio.Future[Any]] = {accepted, task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return accepted.done() and accepted.result()

    def _served(self, task: "asyncio.Task[None]") -> None:
        self.hang_up()
        error = None if task.cancelled() else task.exception()
        if error is not None and self.process.alive:
            self._air.trace.fail(f"the door {self.url} fell over: {error!r}")

    def _from_hub(self, message: bytes) -> None:
        if self.is_cut:
            raise OSError("the link is cut")
        self.send(TO_EDGE, message)

    def send(self, direction: int, message: bytes) -> None:
        """Send one message, which may be the link's last."""
        loop = asyncio.get_running_loop()
        breaks, arrives = self._air.cuts_link()
        due = max(loop.time() + self._air.delay(), self._due[direction] + A_MOMENT_SECONDS)
        self._due[direction] = due
        if arrives or not breaks:
            loop.call_at(due, self._arrive, direction, message)
        if breaks:
            when = "after" if arrives else "before"
            self._air.trace.note("link cut", self.url, when, "a message")
            loop.call_at(due + A_MOMENT_SECONDS, self._tear)

    def _arrive(self, direction: int, message: bytes) -> None:
        if self._air.separated(self.caller, self.process):
            self.starve()
        elif not self.is_torn:
            self._queues[direction].put_nowait(message)

    async def take(self, direction: int) -> bytes | None:
        """The next message; None, and again None, once the link is cut."""
        message = await self._queues[direction].get()
        if message is None:
            self._queues[direction].put_nowait(None)
        return message

    def starve(self) -> None:
        """Nothing passes any more: pings will find it out."""
        asyncio.get_running_loop().call_later(PING_SECONDS + PONG_SECONDS_MAX, self.cut)

    def _tear(self) -> None:
        """Nothing passes any more, and one end knows it; the other finds out by its pings."""
        if not self.is_torn:
            self.is_torn = True
            first, seconds = self._air.tears_link()
            self._queues[first].put_nowait(None)
            asyncio.get_running_loop().call_later(seconds, self.cut)

    def hang_up(self) -> None:
        """One end closes: the other hears of it at once, unless nothing passes between them."""
        if not self.is_torn:
            self.cut()

    def cut(self) -> None:
        """Break the link for both ends."""
        if not self.is_cut:
            self.is_cut = self.is_torn = True
            self._air.forget(self)
            for queue in self._queues:
                queue.put_nowait(None)


class CallerEnd:
    """The dialling end of a wire, as shared.runtime.Duplex wants it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, message: bytes) -> None:
        """Send one message; raises Unreachable."""
        if self._wire.is_cut:
            raise Unreachable(self._wire.url, "the link is closed", sent=True)
        self._wire.send(TO_HUB, message)

    async def receive(self) -> bytes:
        """The next message; raises Unreachable."""
        message = await self._wire.take(TO_EDGE)
        if message is None:
            raise Unreachable(self._wire.url, "the link is closed", sent=True)
        return message

    async def close(self) -> None:
        """Close the link."""
        self._wire.hang_up()
