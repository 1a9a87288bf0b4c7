"""Calls that have an effect and are no operations: typing on a console, running a command. A request id
has one effect here too, and who repeats it gets the same answer as long as that is remembered."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from edge.vm.crew import Crew
from edge.vm.ledger import Request
from edge.vm.records import Records
from shared.errors import RpcError
from shared.runtime import Runtime

log = logging.getLogger(__name__)

Answer = dict[str, Any]

ANSWERS_MAX = 1000
ANSWERS_BYTES_MAX = 8 * 1024 * 1024
"""Some ten commands whose output is as long as it may be. What is forgotten is not done again: the
book still has its request id."""

NOTHING_DONE = frozenset({"busy", "invalid_state", "not_supported", "driver_unavailable"})
"""After one of these the same request may be tried again."""


@dataclass(frozen=True, slots=True)
class Call:
    """One such call. `digest` covers all in it that has an effect."""

    method: str
    request_id: str
    digest: str


@dataclass(slots=True)
class _Held:
    call: Call
    said: asyncio.Future[Answer | RpcError]
    size_bytes: int = 0


class Once:
    """Carries calls out, and remembers what came of them. Raises RpcError."""

    def __init__(self, records: Records, crew: Crew, runtime: Runtime) -> None:
        self._records = records
        self._crew = crew
        self._runtime = runtime
        self._held: dict[str, _Held] = {}

    async def answer(self, call: Call, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do it, or say what came of it before.

        It goes on when its caller is gone. Raises RpcError conflict for a request id that was used
        for something else, and for one whose answer is forgotten.
        """
        held = self._held.get(call.request_id)
        if held is None:
            said = asyncio.get_running_loop().create_future()
            held = self._held[call.request_id] = _Held(call, said)
            self._crew.start(self._carry_out(held, work))
        if held.call != call:
            text = f"request_id {call.request_id!r} was already used for another call"
            raise RpcError("conflict", text)
        said_before = await asyncio.shield(held.said)
        if isinstance(said_before, RpcError):
            raise RpcError(said_before.kind, str(said_before), said_before.data)
        return said_before

    async def _carry_out(self, held: _Held, work: Callable[[], Awaitable[Answer]]) -> None:
        said: Answer | RpcError = RpcError("internal", "this agent is closing")
        try:
            said = await self._outcome(held.call, work)
        finally:
            held.said.set_result(said)
        self._remember(held, said)

    async def _outcome(
        self, call: Call, work: Callable[[], Awaitable[Answer]]
    ) -> Answer | RpcError:
        try:
            await self._write_down(call)
            return await self._try(call, work)
        except RpcError as error:
            return error
        except sqlite3.Error as error:
            self._held.pop(call.request_id, None)
            return RpcError("internal", f"this node cannot write its book of machines: {error}")

    async def _try(self, call: Call, work: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return await work()
        except RpcError as error:
            if error.kind in NOTHING_DONE:
                await self._take_back(call)
            raise
        except Exception as error:  # Whoever waits must be told, whatever failed.
            log.exception("%s (request %s) failed", call.method, call.request_id)
            raise RpcError("internal", f"{type(error).__name__}: {error}") from error

    async def _write_down(self, call: Call) -> None:
        """Before the effect: a killed agent's successor must not bring it about again."""
        now_ms = self._runtime.wall_ms()
        request = Request(call.request_id, "", call.method, call.digest, now_ms)
        try:
            await self._records.write(request=request)
        except sqlite3.IntegrityError as error:
            text = f"request_id {call.request_id!r} was used before, and its answer is forgotten"
            raise RpcError("conflict", text) from error

    async def _take_back(self, call: Call) -> None:
        await self._records.read(lambda ledger: ledger.forget_request(call.request_id))
        self._held.pop(call.request_id, None)

    def _remember(self, held: _Held, said: Answer | RpcError) -> None:
        held.size_bytes = 0 if isinstance(said, RpcError) else len(msgspec.json.encode(said))
        total = sum(each.size_bytes for each in self._held.values())
        for request_id, each in list(self._held.items()):
            if len(self._held) <= ANSWERS_MAX and total <= ANSWERS_BYTES_MAX:
                return
            if each.said.done():
                total -= each.size_bytes
                del self._held[request_id]
