"""JSON-RPC 2.0 at POST /rpc: one table of methods, used by people, pages and the command line."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hub.bodies import read_body
from hub.encoding import encoded
from shared import jsonrpc
from shared.errors import HeadwaterError, RpcError, TooLarge, Unavailable
from shared.records import MIB

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 4 * MIB
CALLS_AT_ONCE = 8  # A batch is answered side by side, but must not take the hub for itself.

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Method:
    """What answers a method; the type that checks its parameters, where the hub does; and its use."""

    handler: Handler
    params: type[msgspec.Struct] | None = None
    summary: str = ""


@dataclass(slots=True)
class Rpc:
    """Answers calls by name."""

    methods: Mapping[str, Method]
    counters: Counter[str] = field(default_factory=Counter)

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Call a method; raises RpcError, never anything else."""
        known = self.methods.get(method)
        if known is None:
            near = get_close_matches(method, self.methods, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise RpcError("method_not_found", f"there is no method {method[:100]}{hint}")
        self.counters["calls"] += 1
        try:
            return await known.handler(params)
        except RpcError:
            self.counters["calls_refused"] += 1
            raise
        except Unavailable as error:
            data = {"retryable": True, "retry_after_s": error.retry_after_seconds}
            raise RpcError("busy", str(error), data) from error
        except HeadwaterError as error:
            raise RpcError("invalid_params", str(error)) from error
        except Exception as error:  # A fault in one method must not look like a broken connection.
            log.exception("%s failed", method)
            self.counters["calls_failed"] += 1
            raise RpcError("internal", f"{method} failed here: {type(error).__name__}") from error

    async def endpoint(self, request: Request) -> Response:
        """POST /rpc: one call or a batch. Errors of calls are answers, so the status is 200."""
        try:
            value = jsonrpc.read_body(await read_body(request, BODY_BYTES_MAX))
            answer = await self._answer_all(value)
        except TooLarge:
            raise
        except RpcError as error:
            self.counters["calls_unreadable"] += 1
            answer = jsonrpc.error_answer(None, error)
        if answer is None:
            return Response(status_code=204)
        return Response(await encoded(answer), media_type="application/json")

    async def _answer_all(self, value: Any) -> Any:
        if not isinstance(value, list):
            return await self._answer_one(value)
        if not 0 < len(value) <= jsonrpc.BATCH_CALLS_MAX:
            message = f"a batch holds 1 to {jsonrpc.BATCH_CALLS_MAX} calls, not {len(value)}"
            raise RpcError("invalid_request", message)
        places = asyncio.Semaphore(CALLS_AT_ONCE)

        async def one(item: Any) -> Any:
            async with places:
                return await self._answer_one(item)

        answers = [answer for answer in await asyncio.gather(*map(one, value)) if answer]
        return answers or None

    async def _answer_one(self, value: Any) -> dict[str, Any] | None:
        try:
            request = jsonrpc.read_request(value)
            result = await self.call(request.method, request.params)
        except RpcError as error:
            is_notification = isinstance(value, dict) and "id" not in value and "method" in value
            if is_notification and error.kind not in ("invalid_request", "invalid_params"):
                return None
            return jsonrpc.error_answer(jsonrpc.call_id_of(value), error)
        return None if request.is_notification else jsonrpc.result_answer(request.id, result)
