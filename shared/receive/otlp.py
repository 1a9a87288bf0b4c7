"""The OTLP/HTTP receiver of edges and hubs: one request in, one commit, one answer.

It takes a request as ASGI hands it over, so that an edge can use it without any framework and a hub
behind its own guard. Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Receive, Scope

from shared.codec import decompress, gunzip
from shared.errors import HeadwaterError, UnsupportedType
from shared.otlp import PROTO_TYPE, empty_reply, encoding_of, read_part
from shared.receive import replies
from shared.receive.body import (
    BodyLimits,
    ClientGone,
    HeldBytes,
    TooSlow,
    Watchdog,
    declared_bytes,
    read_body,
)
from shared.receive.counters import Outcome, ReceiveCounters
from shared.receive.replies import Answer, refuse, refuse_error
from shared.receive.sink import Sink
from shared.records import KIB, MIB, Encoding, Part, Signal

Offload = Callable[[Callable[[], Part]], Awaitable[Any]]
Unpack = Callable[[bytes, int], bytes]

SIGNALS = {
    "/v1/logs": Signal.LOGS,
    "/v1/metrics": Signal.METRICS,
    "/v1/traces": Signal.TRACES,
}

HEADERS = frozenset({b"content-type", b"content-length", b"content-encoding", b"origin"})
"""Those that mean something here."""

UNPACKERS: dict[str, Unpack | None] = {
    "": None,
    "identity": None,
    "gzip": gunzip,
    "zstd": decompress,
}
"""How each content encoding is unpacked, within a limit of bytes."""

HEAVY_BYTES_MIN = 1 * MIB
"""From this size on, bodies are read beside the event loop: they take milliseconds."""

HEAVY_PACKED_BYTES_MIN = 8 * KIB
"""A packed body can grow a thousandfold, so it counts as heavy much sooner."""

HEAVY_AT_ONCE_MAX = 2
"""Bodies unpacked at the same time, since nobody knows their size beforehand."""


class OtlpReceiver:
    """Takes export requests of the three signals, and answers them after the commit."""

    def __init__(
        self, sink: Sink, counters: ReceiveCounters, limits: BodyLimits, offload: Offload
    ) -> None:
        self._sink = sink
        self._counters = counters
        self._limits = limits
        self._offload = offload
        self._held = HeldBytes(limits.held_bytes_max)
        self._watchdog = Watchdog(limits.read_seconds_max)
        self._heavy = asyncio.Semaphore(HEAVY_AT_ONCE_MAX)
        counters.held_bytes.set_function(lambda: self._held.bytes)

    async def answer(self, signal: Signal, scope: Scope, receive: Receive) -> Answer | None:
        """The answer to one request, counted; None when its sender is gone."""
        try:
            answer = await self._answer(signal, scope, receive)
        except ClientGone:
            self._counters.count(Outcome(signal.value, "gone", "client_gone"))
            return None
        self._counters.count(Outcome(signal.value, answer.outcome, answer.reason))
        return answer

    async def _answer(self, signal: Signal, scope: Scope, receive: Receive) -> Answer:
        headers = headers_of(scope)
        json = wants_json(headers)
        if scope["method"] != "POST":
            return not_allowed("POST", json=json)
        # No web page may write here. A browser asks before it sends these content types to another
        # site, and gets no leave. A page whose name was re-pointed at 127.0.0.1 need not ask, but
        # both send an Origin, which SDKs and collectors never do.
        if "origin" in headers:
            return refuse(replies.FROM_BROWSER, "requests of web pages are not taken", json=json)
        try:
            return await self._store(signal, headers, receive)
        except TooSlow as error:
            return refuse(replies.TOO_SLOW, str(error), json=json)
        except ClientGone:
            raise
        except HeadwaterError as error:
            return refuse_error(error, json=json)

    async def _store(self, signal: Signal, headers: dict[str, str], receive: Receive) -> Answer:
        content_type = headers.get("content-type", "")
        json = encoding_of(content_type) is Encoding.JSON
        unpack = _unpacker(headers.get("content-encoding", ""))
        size_bytes = declared_bytes(headers.get("content-length"), self._limits.body_bytes_max)
        with self._held.lease() as lease:
            lease.grow_to(size_bytes)
            with self._watchdog:
                body = await read_body(receive, lease, self._limits.body_bytes_max)
            part = await self._read(signal, content_type, body, unpack)
            lease.grow_to(len(part.body))
            if part.records:
                await self._sink.append(part)
                self._counters.count_stored(part)
        return replies.stored(empty_reply(signal, json), json=json)

    async def _read(
        self, signal: Signal, content_type: str, body: bytes, unpack: Unpack | None
    ) -> Part:
        def read() -> Part:
            plain = unpack(body, self._limits.body_bytes_max) if unpack else body
            return read_part(signal, content_type, plain)

        if len(body) < (HEAVY_PACKED_BYTES_MIN if unpack else HEAVY_BYTES_MIN):
            return read()
        async with self._heavy:
            part: Part = await self._offload(read)
            return part


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers of a request that mean something here, by their names in small letters."""
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in HEADERS
    }


def wants_json(headers: dict[str, str]) -> bool:
    """Whether errors go back as JSON: in all cases but to who sent protobuf."""
    return not headers.get("content-type", "").lower().startswith(PROTO_TYPE)


def not_allowed(method: str, *, json: bool) -> Answer:
    """The answer to another method than the one that is taken."""
    message = f"only {method} is answered here"
    return refuse(replies.NOT_ALLOWED, message, json=json, headers=(("allow", method),))


def _unpacker(content_encoding: str) -> Unpack | None:
    name = content_encoding.strip().lower()
    if name not in UNPACKERS:
        text = f"content encoding {name[:100]!r} is not read here: send gzip, zstd or none"
        raise UnsupportedType(text)
    return UNPACKERS[name]
