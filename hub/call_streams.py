"""Streams to a node through whatever path there is: this hub's own link first, then a peer's.

A stream lives as long as its path: whoever wants to go on after its end opens another.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import orjson

from hub.calls import HOP_RESERVE, TRY_NEXT, Calls
from hub.peers import Peer
from hub.pull_answers import VERSION
from shared import jsonrpc, streams
from shared.errors import BadInput, Refused, RpcError, Unreachable
from shared.runtime import Duplex
from shared.stream_end import StreamEnd

STREAM_PATH = "/peer/stream"
STREAM_NUMBER = 1
"""A socket between hubs carries one stream only."""

Dial = Callable[[str, dict[str, str]], Awaitable[Duplex]]


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A stream to a node, and the path that it takes; hops as in hub.calls."""

    end: StreamEnd
    hops: list[dict[str, Any]]


@dataclass(slots=True)
class CallStreams:
    """Opens streams to nodes on behalf of people and of peer hubs. `headers` go to each peer."""

    calls: Calls
    dial: Dial
    headers: dict[str, str]

    @asynccontextmanager
    async def open(
        self,
        node_id: str,
        method: str,
        params: dict[str, Any],
        *,
        seconds: float,
        passed: Sequence[str] = (),
    ) -> AsyncIterator[OpenStream]:
        """A stream from and to a node, ended with the block; `seconds` are for its opening.

        Raises the edge's RpcError, `node_unreachable` when asked by a peer, `no_path` otherwise.
        """
        async with AsyncExitStack() as held:
            yield await self._first(held, _Wish(node_id, method, params, passed), seconds)

    async def _first(self, held: AsyncExitStack, wish: "_Wish", seconds: float) -> OpenStream:
        """Open the stream over the first path that leads to the node."""
        calls, loop = self.calls, asyncio.get_running_loop()
        began, hops, last = loop.time(), list[dict[str, Any]](), None
        for peer in calls.paths(wish.node_id, wish.passed):
            at = loop.time()
            left = seconds - (at - began)
            if left <= 0:
                break
            try:
                found = await held.enter_async_context(self._over(peer, wish, left))
            except RpcError as error:
                hops.append(calls.hop(peer, loop.time() - at, error))
                if error.kind not in TRY_NEXT:
                    error.data["hops"] = hops
                    raise
                last = error
                continue
            mine = calls.hop(None, loop.time() - began)
            return OpenStream(found.end, [*hops, mine, *found.hops])
        raise calls.nobody(wish.node_id, wish.method, hops, last, wish.passed)

    @asynccontextmanager
    async def _over(
        self, peer: Peer | None, wish: "_Wish", seconds: float
    ) -> AsyncIterator[OpenStream]:
        if peer is not None:
            async with self._through(peer, wish, seconds) as found:
                yield found
            return
        session = self.calls.links.sessions.get(wish.node_id)
        if session is None:
            raise RpcError("node_unreachable", f"{self.calls.hub_id} has no link to {wish.node_id}")
        async with session.open(wish.method, wish.params, seconds) as end:
            yield OpenStream(end, [])

    @asynccontextmanager
    async def _through(
        self, peer: Peer, wish: "_Wish", seconds: float
    ) -> AsyncIterator[OpenStream]:
        order = wish.order(seconds * HOP_RESERVE, self.calls.hub_id)
        try:
            async with asyncio.timeout(seconds):
                duplex = await self.dial(f"{peer.url}{STREAM_PATH}", self.headers)
        except (Unreachable, Refused, TimeoutError) as error:
            raise _gone(peer, error) from error
        end = StreamEnd(STREAM_NUMBER, duplex.send)
        reading: asyncio.Task[None] | None = None
        try:
            hops = await _ask(duplex, peer, order, seconds)
            reading = asyncio.create_task(pump(duplex, end, peer.key))
            yield OpenStream(end, hops)
        finally:
            await end.close()
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            with suppress(Unreachable):
                await duplex.close()


@dataclass(frozen=True, slots=True)
class _Wish:
    """Which stream is wanted."""

    node_id: str
    method: str
    params: dict[str, Any]
    passed: Sequence[str]

    def order(self, seconds: float, hub_id: str) -> bytes:
        """The same as a message to a peer; see hub.stream_doors."""
        order = {"version": VERSION, "node": self.node_id, "method": self.method}
        rest = {"params": self.params, "seconds": seconds, "passed": [*self.passed, hub_id]}
        return orjson.dumps({**order, **rest})


async def _ask(duplex: Duplex, peer: Peer, order: bytes, seconds: float) -> list[dict[str, Any]]:
    """Ask a peer to open the stream; returns the path behind it. Raises RpcError."""
    try:
        async with asyncio.timeout(seconds):
            await duplex.send(order)
            answer = jsonrpc.read_answer(orjson.loads(await duplex.receive()))
    except (Unreachable, TimeoutError, orjson.JSONDecodeError) as error:
        raise _gone(peer, error) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("hops"), list):
        raise RpcError("node_unreachable", f"{peer.key} answered something unreadable")
    hops: list[dict[str, Any]] = answer["hops"]
    return hops


def _gone(peer: Peer, error: Exception) -> RpcError:
    """Opening a stream has no effect that would have to be known: the next path is tried."""
    return RpcError("node_unreachable", f"{peer.key}: {error or type(error).__name__}")


async def pump(duplex: Duplex, end: StreamEnd, name: str) -> None:
    """Give a stream the frames of its socket until either is over; `name` is at the other end."""
    try:
        while not end.is_over:
            end.take(streams.read(await duplex.receive()))
    except Unreachable:
        end.broke(f"{name} is gone")
    except BadInput as error:
        await end.close(str(error))
