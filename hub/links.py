"""The links that edges have dialled to this hub: calls go down them, answers come up, and streams
of bytes share them with both."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson

from shared import jsonrpc
from shared.errors import BadInput, RpcError, Unreachable
from shared.records import MIB
from shared.runtime import Duplex
from shared.stream_end import StreamEnd, StreamEnds
from shared.streams import is_frame

CALLS_MAX = 1024
CALL_BYTES_MAX = 2 * MIB  # A larger message than the link carries would break it, for all calls.
UNDER_WAY_BYTES_MAX = 16 * MIB
"""Of calls that wait for their turn to be sent; an edge that reads nothing costs no more."""

CANCEL, OPEN = "$/cancel", "stream.open"


class LinkLost(RpcError):
    """The link broke; after it was `sent`, the edge may have received the call."""

    def __init__(self, node_id: str, *, sent: bool) -> None:
        kind = "outcome_unknown" if sent else "node_unreachable"
        super().__init__(kind, f"the link to {node_id} broke", {"retryable": True})


@dataclass(slots=True)
class LinkSession:
    """One WebSocket of one edge; any number of calls and streams share it."""

    node_id: str
    duplex: Duplex
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _waiting: dict[int, "asyncio.Future[Any]"] = field(default_factory=dict)
    _under_way_bytes: int = 0
    _streams: StreamEnds = field(init=False)

    def __post_init__(self) -> None:
        self._streams = StreamEnds(self.duplex.send)

    async def run(self) -> None:
        """Read answers until the link ends."""
        try:
            while True:
                await self._take(await self.duplex.receive())
        except Unreachable:
            pass  # The end of a link is its normal end; `close` tells everybody who waits.
        finally:
            await self.close()

    async def _take(self, message: bytes) -> None:
        try:
            if is_frame(message):
                await self._streams.take(message)
                return
            answer = jsonrpc.read_body(message)
        except (RpcError, BadInput):
            return  # Not an answer to anything; whoever waits has a deadline.
        number = answer.get("id") if isinstance(answer, dict) else None
        future = self._waiting.get(number) if isinstance(number, int) else None
        if future is not None and not future.done():
            future.set_result(answer)

    async def call(self, method: str, params: dict[str, Any], seconds: float) -> Any:
        """Call the edge; raises what it answers, LinkLost, or RpcError outcome_unknown in the end.

        The edge is told how long it has, and when nobody waits any more.
        """
        if len(self._waiting) >= CALLS_MAX:
            raise RpcError("busy", f"{CALLS_MAX} calls to {self.node_id} are under way already")
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(seconds):
                await self._send(number, method, params, seconds)
                return jsonrpc.read_answer(await future)
        except TimeoutError:
            await self._cancel(number)
            message = f"{self.node_id} did not answer {method} within {seconds:.1f} s"
            raise RpcError("outcome_unknown", message, {"retryable": True}) from None
        except asyncio.CancelledError:
            await self._cancel(number)
            raise
        finally:
            self._waiting.pop(number, None)

    async def _cancel(self, number: int) -> None:
        """Nobody waits for an answer any more."""
        note = {"jsonrpc": "2.0", "method": CANCEL, "params": {"id": number}}
        with contextlib.suppress(Unreachable):
            await self.duplex.send(orjson.dumps(note))

    async def _send(self, number: int, method: str, params: dict[str, Any], seconds: float) -> None:
        call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        message = orjson.dumps({**call, "seconds": round(seconds, 3)})
        if len(message) > CALL_BYTES_MAX:
            raise RpcError("invalid_params", f"a call holds at most {CALL_BYTES_MAX} bytes")
        if self._under_way_bytes + len(message) > UNDER_WAY_BYTES_MAX:
            raise RpcError("busy", f"{self.node_id} takes in no more calls", {"retryable": True})
        self._under_way_bytes += len(message)
        try:
            await self.duplex.send(message)
        except Unreachable as error:
            raise LinkLost(self.node_id, sent=False) from error
        finally:
            self._under_way_bytes -= len(message)

    @asynccontextmanager
    async def open(
        self, method: str, params: dict[str, Any], seconds: float
    ) -> AsyncIterator[StreamEnd]:
        """A stream from and to the edge, ended with the block; raises as `call`, and RpcError busy."""
        number = next(self._numbers)
        try:
            end = self._streams.add(number)
        except BadInput as error:
            raise RpcError("busy", f"{self.node_id}: {error}", {"retryable": True}) from error
        try:
            await self.call(OPEN, {"stream": number, "method": method, "params": params}, seconds)
            yield end
        finally:
            await end.close()
            self._streams.drop(number)

    async def close(self) -> None:
        """End the link and tell everybody who waits for an answer."""
        self._streams.broke(f"the link to {self.node_id} broke")
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkLost(self.node_id, sent=True))
        with contextlib.suppress(Unreachable):
            await self.duplex.close()


@dataclass(slots=True)
class Links:
    """The current link of each node; a newer one replaces an older."""

    sessions: dict[str, LinkSession] = field(default_factory=dict)

    async def serve(self, session: LinkSession) -> None:
        """Keep a session until its link ends."""
        older = self.sessions.get(session.node_id)
        self.sessions[session.node_id] = session
        if older is not None:
            await older.close()
        try:
            await session.run()
        finally:
            if self.sessions.get(session.node_id) is session:
                del self.sessions[session.node_id]

    async def close(self) -> None:
        """End all links."""
        for session in list(self.sessions.values()):
            await session.close()
