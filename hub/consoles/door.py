"""GET /console/stream: the socket on which a browser or the command line shows a console."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.websockets import WebSocket

from hub.call_streams import CallStreams
from hub.caller import caller
from hub.consoles.tickets import TICKET_SECONDS, OpenConsole, Ticket, Tickets
from hub.consoles.viewer import GONE, Closed, Viewer, say
from hub.params import read
from shared.errors import RpcError
from shared.stream_end import StreamEnd

PATH = "/console/stream"
METHOD = "vm.console.open"
VIEWERS_MAX = 256
OPEN_SECONDS = 10.0


@dataclass(slots=True)
class ConsoleDoor:
    """Gives tickets, and serves those who come with one. `find` names the node of a machine."""

    hub_id: str
    streams: CallStreams
    find: Callable[[OpenConsole], Awaitable[str]]
    token: Callable[[int], str]
    report: Callable[[str, Mapping[str, Any]], None]
    stopping: asyncio.Event
    tickets: Tickets = field(default_factory=Tickets)
    viewers: set[WebSocket] = field(default_factory=set)

    async def open(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A ticket for a console: vm, node, mode, since, tail, cols, rows."""
        wish: OpenConsole = read(OpenConsole, raw)
        node = await self.find(wish)
        wish = msgspec.structs.replace(wish, requested_by=wish.requested_by or caller.get())
        secret = self.token(32)
        self.tickets.add(secret, node, wish, asyncio.get_running_loop().time())
        self.report("console.ticket", self._facts(node, wish))
        return {
            "ticket": secret,
            "url": f"{PATH}?ticket={secret}",
            "expires_s": TICKET_SECONDS,
            "node_id": node,
            "mode": wish.mode,
        }

    def _facts(self, node: str, wish: OpenConsole) -> dict[str, Any]:
        return {"vm": wish.vm, "node": node, "mode": wish.mode, "by": wish.requested_by}

    async def serve(self, socket: WebSocket) -> None:
        """Serve one viewer until its end."""
        if not _is_from_own_page(socket):
            await socket.close(4403, "another site's page must not open a console")
            return
        now = asyncio.get_running_loop().time()
        ticket = self.tickets.take(socket.query_params.get("ticket", ""), now)
        await socket.accept()
        if ticket is None:
            why = "this ticket is unknown, used, or older than 30 s: ask for another"
            await _part(socket, Closed(why, "unauthorized", retryable=True))
        elif len(self.viewers) >= VIEWERS_MAX:
            why = f"{VIEWERS_MAX} consoles are open on {self.hub_id} already"
            await _part(socket, Closed(why, "busy", retryable=True))
        else:
            await self._admit(socket, ticket)

    async def _admit(self, socket: WebSocket, ticket: Ticket) -> None:
        self.viewers.add(socket)
        try:
            await _part(socket, await self._view(socket, ticket))
        finally:
            self.viewers.discard(socket)

    async def _view(self, socket: WebSocket, ticket: Ticket) -> Closed:
        wish, loop = ticket.wish, asyncio.get_running_loop()
        began, facts = loop.time(), self._facts(ticket.node, wish)
        asked = {"vm": wish.vm, "mode": wish.mode, "since": wish.since, "tail": wish.tail}
        told = {"requested_by": wish.requested_by, "via_hub": self.hub_id}
        try:
            async with self.streams.open(
                ticket.node, METHOD, {**asked, **told}, seconds=OPEN_SECONDS
            ) as found:
                self.report("console.opened", facts)
                viewer = Viewer(socket, found.end, wish.mode == "rw")
                closed = await self._run(viewer, ticket, found.hops)
        except RpcError as error:
            # A viewer waits for a node that no hub reaches now.
            is_retryable = bool(error.data.get("retryable")) or error.kind == "no_path"
            return Closed(str(error), error.kind, is_retryable)
        counts = {"typed_bytes": viewer.typed_bytes, "shown_bytes": viewer.pace.sent_bytes}
        seconds = round(loop.time() - began, 3)
        self.report("console.closed", {**facts, **counts, "seconds": seconds, "why": closed.why})
        return closed

    async def _run(self, viewer: Viewer, ticket: Ticket, hops: list[dict[str, Any]]) -> Closed:
        path = {"node": ticket.node, "mode": ticket.wish.mode, "hub": self.hub_id, "hops": hops}
        try:
            await say(viewer.socket, {"open": path})
        except GONE:
            return Closed("the viewer left", "left", retryable=False)
        await _fit(viewer.end, ticket.wish)
        return await viewer.run(self.stopping, self.hub_id)


async def _fit(end: StreamEnd, wish: OpenConsole) -> None:
    if wish.cols is not None and wish.rows is not None and wish.mode == "rw":
        await end.control({"resize": [wish.cols, wish.rows]})


async def _part(socket: WebSocket, closed: Closed) -> None:
    """Say why, and close; nothing happens where the viewer is gone already."""
    with suppress(*GONE):
        await say(socket, closed.word())
        await socket.close(1000)


def _is_from_own_page(socket: WebSocket) -> bool:
    """Browsers name the page that opens a socket, and no page can lie about it."""
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")
