"""Keeps a WebSocket open to each hub; calls come down it, so nothing has to listen on the edge."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from edge.hubs import HubView
from edge.link_streams import LinkStreams, Opener
from shared import jsonrpc
from shared.backoff import Backoff, backoff_seconds
from shared.errors import BadInput, HeadwaterError, RpcError
from shared.records import MIB
from shared.runtime import Duplex, Runtime
from shared.streams import is_frame

log = logging.getLogger(__name__)

ANSWER_BYTES_MAX = 3 * MIB  # A larger message than the link carries would break it, for all calls.
CALLS_MAX = 1024  # Per hub; more are answered "busy" at once, so that memory stays bounded.
UNSENT_BYTES_MAX = 8 * MIB
"""Of answers that a hub does not take in; calls that come meanwhile are answered "busy"."""

CANCEL, OPEN = "$/cancel", "stream.open"

WELCOME_SECONDS = 1.0

_RETRY = Backoff(seconds_initial=0.5, seconds_max=15.0)

CALL_SECONDS_MAX = 24 * 3600.0

Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]


@dataclass(slots=True)
class Link:
    """The link to one hub: dial, answer calls and carry streams, dial again."""

    view: HubView
    runtime: Runtime
    headers: dict[str, str]
    answer: Answer
    openers: Mapping[str, Opener] = field(default_factory=dict)

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
        session = EdgeSession(duplex, self.answer, LinkStreams(self.openers, duplex.send))
        try:
            while True:
                await session.take(await duplex.receive())
        finally:
            self.view.linked = False
            await session.close()


class EdgeSession:
    """One connection to a hub: what is worked on for it. Calls end with it; operations do not."""

    def __init__(self, duplex: Duplex, answer: Answer, streams: LinkStreams) -> None:
        self._duplex, self._answer, self._streams = duplex, answer, streams
        # Not a TaskGroup: before Python 3.13 one that ends by an error swallows a cancellation that
        # arrives meanwhile, and the loop of the link would outlive its owner.
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: dict[object, asyncio.Task[None]] = {}
        self._unsent_bytes = 0

    async def take(self, message: bytes) -> None:
        """Begin what a message asks for; never waits for it. Raises Unreachable."""
        if is_frame(message):
            with contextlib.suppress(BadInput):  # A frame of another version; its stream will end.
                await self._streams.ends.take(message)
            return
        if len(self._tasks) >= CALLS_MAX or self._unsent_bytes > UNSENT_BYTES_MAX:
            await self._refuse(message)
            return
        value = _value_of(message)
        if isinstance(value, dict) and value.get("method") == CANCEL:
            self._cancel(value.get("params"))
            return
        number = jsonrpc.call_id_of(value)
        task = self._calls[number] = asyncio.create_task(self._work(message, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel(self, params: Any) -> None:
        """Nobody waits for an answer. An operation that it began goes on: it has its own end."""
        task = self._calls.get(params.get("id")) if isinstance(params, dict) else None
        if task is not None:
            task.cancel()

    async def _refuse(self, message: bytes) -> None:
        text = f"this edge works on {len(self._tasks)} calls already"
        error = RpcError("busy", text, {"retryable": True})
        call_id = jsonrpc.call_id_of(_value_of(message))
        await self._duplex.send(orjson.dumps(jsonrpc.error_answer(call_id, error)))

    async def _work(self, message: bytes, number: object) -> None:
        try:
            within = partial(self._within, _seconds_of(_value_of(message)))
            answer = await answer_message(message, within)
            if answer is not None:
                await self._send(message, answer)
        finally:
            if self._calls.get(number) is asyncio.current_task():
                del self._calls[number]

    async def _send(self, message: bytes, answer: bytes) -> None:
        if len(answer) > ANSWER_BYTES_MAX:
            error = RpcError("quota", "the answer is too large for a link: ask for less")
            call_id = jsonrpc.call_id_of(_value_of(message))
            answer = orjson.dumps(jsonrpc.error_answer(call_id, error))
        self._unsent_bytes += len(answer)
        try:
            # The call ran to its end even when the link broke meanwhile; the hub asks again by id.
            with contextlib.suppress(HeadwaterError):
                await self._duplex.send(answer)
        finally:
            self._unsent_bytes -= len(answer)

    async def _within(self, seconds: float | None, method: str, params: dict[str, Any]) -> Any:
        """Answer within the time that the hub waits, so that no work goes on for nobody."""
        answer = self._streams.open(params) if method == OPEN else self._answer(method, params)
        if seconds is None:
            return await answer
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            text = f"{method} took longer than the {seconds:g} s that it was given"
            raise RpcError("outcome_unknown", text, {"retryable": True}) from None

    async def close(self) -> None:
        """End everything that was worked on for this hub."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._streams.close("the link broke")
        with contextlib.suppress(HeadwaterError):
            await self._duplex.close()


def _value_of(message: bytes) -> Any:
    """What a message holds; None for what is no JSON."""
    try:
        return jsonrpc.read_body(message)
    except RpcError:
        return None


def _seconds_of(value: Any) -> float | None:
    """How long a call may take; None for hubs that do not say."""
    seconds = value.get("seconds") if isinstance(value, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        return None
    return min(float(seconds), CALL_SECONDS_MAX)


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
