"""The OTLP/HTTP door of the edge: one request in, one commit, one answer.

Plain ASGI, since a framework would double the cost of a small request. The port is loopback only
and asks for no credentials: whoever can open it can read and write on this machine anyway.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.receive import replies
from edge.receive.body import (
    BodyLimits,
    ClientGone,
    HeldBytes,
    TooSlow,
    Watchdog,
    declared_bytes,
    read_body,
)
from edge.receive.counters import METRICS_TYPE, Outcome, ReceiveCounters
from edge.receive.replies import Answer, refuse, refuse_error
from edge.receive.sink import Sink
from shared.codec import gunzip
from shared.errors import HeadwaterError, UnsupportedType
from shared.otlp import PROTO_TYPE, empty_reply, encoding_of, read_part
from shared.records import KIB, MIB, Encoding, Part, Signal
from shared.runtime import offload_to_thread

Offload = Callable[[Callable[[], Part]], Awaitable[Any]]

SIGNALS = {
    "/v1/logs": Signal.LOGS,
    "/v1/metrics": Signal.METRICS,
    "/v1/traces": Signal.TRACES,
}

PATHS = ("POST /v1/logs", "POST /v1/metrics", "POST /v1/traces", "GET /livez", "GET /metrics")

HEADERS = frozenset({b"content-type", b"content-length", b"content-encoding", b"origin"})
"""Those that mean something here."""

HEAVY_BYTES_MIN = 1 * MIB
"""From this size on, bodies are read beside the event loop: they take milliseconds."""

HEAVY_GZIP_BYTES_MIN = 8 * KIB
"""A gzip body can grow a thousandfold, so it counts as heavy much sooner."""

HEAVY_AT_ONCE_MAX = 2
"""Bodies unpacked at the same time, since nobody knows their size beforehand."""


def otlp_app(
    sink: Sink,
    counters: ReceiveCounters,
    *,
    limits: BodyLimits | None = None,
    offload: Offload = offload_to_thread,
) -> ASGIApp:
    """The ASGI application; a simulation passes its own `offload`, which runs the work in place."""
    return OtlpDoor(sink, counters, limits or BodyLimits(), offload)


class OtlpDoor:
    """Answers /v1/logs, /v1/metrics and /v1/traces after the commit, and /livez and /metrics."""

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1003})
        signal = SIGNALS.get(scope["path"])
        try:
            answer = await self._answer(scope, receive, signal)
        except ClientGone:
            self._count(signal, "gone", "client_gone")
            return None
        self._count(signal, answer.outcome, answer.reason)
        return await _send(send, answer)

    def _count(self, signal: Signal | None, outcome: str, reason: str) -> None:
        # A path that a client chose never becomes a label: there would be no end of them.
        self._counters.count(Outcome(signal.value if signal else "none", outcome, reason))

    async def _answer(self, scope: Scope, receive: Receive, signal: Signal | None) -> Answer:
        headers = _headers(scope)
        json = not headers.get("content-type", "").lower().startswith(PROTO_TYPE)
        if signal is None:
            return self._answer_other(scope["method"], scope["path"], json=json)
        if scope["method"] != "POST":
            return _not_allowed("POST", json=json)
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
        gzipped = _is_gzip(headers.get("content-encoding", ""))
        size_bytes = declared_bytes(headers.get("content-length"), self._limits.body_bytes_max)
        with self._held.lease() as lease:
            lease.grow_to(size_bytes)
            with self._watchdog:
                body = await read_body(receive, lease, self._limits.body_bytes_max)
            part = await self._read(signal, content_type, body, gzipped=gzipped)
            lease.grow_to(len(part.body))
            if part.records:
                await self._sink.append(part)
                self._counters.count_stored(part)
        return replies.stored(empty_reply(signal, json), json=json)

    async def _read(self, signal: Signal, content_type: str, body: bytes, *, gzipped: bool) -> Part:
        def read() -> Part:
            plain = gunzip(body, self._limits.body_bytes_max) if gzipped else body
            return read_part(signal, content_type, plain)

        if len(body) < (HEAVY_GZIP_BYTES_MIN if gzipped else HEAVY_BYTES_MIN):
            return read()
        async with self._heavy:
            part: Part = await self._offload(read)
            return part

    def _answer_other(self, method: str, path: str, *, json: bool) -> Answer:
        if path not in ("/livez", "/metrics"):
            message = f"there is no {path[:100]} here: the paths are {', '.join(PATHS)}"
            return refuse(replies.NOT_FOUND, message, json=json)
        if method not in ("GET", "HEAD"):
            return _not_allowed("GET", json=json)
        if path == "/livez":
            return Answer(200, b"ok\n", "text/plain; charset=utf-8", "served")
        return Answer(200, self._counters.exposition(), METRICS_TYPE, "served")


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in HEADERS
    }


def _is_gzip(content_encoding: str) -> bool:
    name = content_encoding.strip().lower()
    if name in ("", "identity"):
        return False
    if name == "gzip":
        return True
    raise UnsupportedType(f"content encoding {name[:100]!r} is not read here: send gzip or none")


def _not_allowed(method: str, *, json: bool) -> Answer:
    message = f"only {method} is answered here"
    return refuse(replies.NOT_ALLOWED, message, json=json, headers=(("allow", method),))


async def _send(send: Send, answer: Answer) -> None:
    start = {
        "type": "http.response.start",
        "status": answer.status,
        "headers": _raw_headers(answer.content_type, len(answer.body), answer.headers),
    }
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})


@lru_cache(maxsize=64)
def _raw_headers(
    content_type: str, size_bytes: int, others: tuple[tuple[str, str], ...]
) -> tuple[tuple[bytes, bytes], ...]:
    """The same few again and again."""
    headers = (("content-type", content_type), ("content-length", str(size_bytes)), *others)
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in headers)
