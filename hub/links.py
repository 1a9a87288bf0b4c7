"""The links that edges have dialled to this hub: calls go down them, answers come up."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import orjson

from shared import jsonrpc
from shared.errors import RpcError, Unreachable
from shared.records import MIB
from shared.runtime import Duplex

CALLS_MAX = 256
CALL_BYTES_MAX = 2 * MIB  # A larger message than the link carries would break it, for all calls.


class LinkLost(RpcError):
    """The link broke; `sent` says whether the edge may have received the call."""

    def __init__(self, node_id: str, *, sent: bool) -> None:
        super().__init__("node_unreachable", f"the link to {node_id} broke", {"retryable": True})
        self.sent = sent


@dataclass(slots=True)
class LinkSession:
    """One WebSocket of one edge; any number of calls share it."""

    node_id: str
    duplex: Duplex
    _numbers: "count[int]" = field(default_factory=lambda: count(1))
    _waiting: dict[int, "asyncio.Future[Any]"] = field(default_factory=dict)

    async def run(self) -> None:
        """Read answers until the link ends."""
        try:
            while True:
                self._take(await self.duplex.receive())
        except Unreachable:
            pass  # The end of a link is its normal end; `close` tells everybody who waits.
        finally:
            await self.close()

    def _take(self, message: bytes) -> None:
        try:
            answer = jsonrpc.read_body(message)
        except RpcError:
            return  # Not an answer to anything; whoever waits has a deadline.
        number = answer.get("id") if isinstance(answer, dict) else None
        future = self._waiting.get(number) if isinstance(number, int) else None
        if future is not None and not future.done():
            future.set_result(answer)

    async def call(self, method: str, params: dict[str, Any], seconds: float) -> Any:
        """Call the edge; raises what it answers, LinkLost, or RpcError outcome_unknown in the end."""
        if len(self._waiting) >= CALLS_MAX:
            raise RpcError("busy", f"{CALLS_MAX} calls to {self.node_id} are under way already")
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(seconds):
                await self._send(number, method, params)
                return jsonrpc.read_answer(await future)
        except TimeoutError:
            message = f"{self.node_id} did not answer {method} within {seconds:.1f} s"
            raise RpcError("outcome_unknown", message, {"retryable": True}) from None
        finally:
            self._waiting.pop(number, None)

    async def _send(self, number: int, method: str, params: dict[str, Any]) -> None:
        call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        message = orjson.dumps(call)
        if len(message) > CALL_BYTES_MAX:
            raise RpcError("invalid_params", f"a call holds at most {CALL_BYTES_MAX} bytes")
        try:
            await self.duplex.send(message)
        except Unreachable as error:
            raise LinkLost(self.node_id, sent=False) from error

    async def close(self) -> None:
        """End the link and tell everybody who waits for an answer."""
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
