"""Keeps a WebSocket open to each hub; calls come down it, so nothing has to listen on the edge."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from edge.hubs import HubView
from shared import jsonrpc
from shared.backoff import Backoff, backoff_seconds
from shared.errors import HeadwaterError, RpcError
from shared.records import MIB
from shared.runtime import Duplex, Runtime

log = logging.getLogger(__name__)

ANSWER_BYTES_MAX = 3 * MIB  # A larger message than the link carries would break it, for all calls.
CALLS_MAX = 256  # Per hub; more are answered "busy" at once, so that memory stays bounded.

WELCOME_SECONDS = 1.0

_RETRY = Backoff(seconds_initial=0.5, seconds_max=15.0)

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]


@dataclass(slots=True)
class Link:
    """The link to one hub: dial, answer calls, dial again."""

    view: HubView
    runtime: Runtime
    headers: dict[str, str]
    answer: Answer

    async def run(self) -> None:
        """Keep the link up as long as its hub is known."""
        failures = 0
        while not self.view.is_forgotten:
            if self.view.is_away:  # Heartbeats find out when this edge is welcome again.
                await asyncio.sleep(WELCOME_SECONDS)
                continue
            try:
                duplex = await self.runtime.dial(f"{self.view.url}/edge/link", self.headers)
                failures = 0
                await self._serve(duplex)
            except HeadwaterError as error:
                if failures == 0:
                    log.info("link: %s", error)
            failures += 1
            await asyncio.sleep(backoff_seconds(failures - 1, _RETRY, self.runtime.rng))

    async def _serve(self, duplex: Duplex) -> None:
        self.view.linked = True
        # Not a TaskGroup: before Python 3.13 one that ends by an error swallows a cancellation that
        # arrives meanwhile, and this loop would outlive its owner.
        calls: set[asyncio.Task[None]] = set()
        try:
            while True:
                message = await duplex.receive()
                if len(calls) >= CALLS_MAX:
                    await self._refuse(duplex, message)
                    continue
                task = asyncio.create_task(self._answer(duplex, message))
                calls.add(task)
                task.add_done_callback(calls.discard)
        finally:
            self.view.linked = False
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            with contextlib.suppress(HeadwaterError):
                await duplex.close()

    async def _refuse(self, duplex: Duplex, message: bytes) -> None:
        call_id = jsonrpc.call_id_of(jsonrpc.read_body(message))
        error = RpcError(
            "busy", f"this edge works on {CALLS_MAX} calls already", {"retryable": True}
        )
        await duplex.send(orjson.dumps(jsonrpc.error_answer(call_id, error)))

    async def _answer(self, duplex: Duplex, message: bytes) -> None:
        answer = await answer_message(message, self.answer)
        if answer is not None and len(answer) > ANSWER_BYTES_MAX:
            call_id = jsonrpc.call_id_of(jsonrpc.read_body(message))
            error = RpcError("quota", "the answer is too large for a link: ask for less")
            answer = orjson.dumps(jsonrpc.error_answer(call_id, error))
        if answer is not None:
            # The call ran to its end even when the link broke meanwhile; the hub asks again by id.
            with contextlib.suppress(HeadwaterError):
                await duplex.send(answer)


async def answer_message(message: bytes, answer: Answer) -> bytes | None:
    """Answer one JSON-RPC message; None for a notification."""
    value: Any = None
    try:
        value = jsonrpc.read_body(message)
        request = jsonrpc.read_request(value)
        result = await answer(request.method, request.params)
        if request.is_notification:
            return None
        return orjson.dumps(jsonrpc.result_answer(request.id, result), default=str)
    except RpcError as error:
        return orjson.dumps(jsonrpc.error_answer(jsonrpc.call_id_of(value), error), default=str)
    except HeadwaterError as error:
        wrapped = RpcError("internal", str(error))
        return orjson.dumps(jsonrpc.error_answer(jsonrpc.call_id_of(value), wrapped))
    except Exception as error:  # A fault in one call must not take the link, and every call, down.
        log.exception("a call failed")
        wrapped = RpcError("internal", f"the edge failed: {type(error).__name__}")
        return orjson.dumps(jsonrpc.error_answer(jsonrpc.call_id_of(value), wrapped))
