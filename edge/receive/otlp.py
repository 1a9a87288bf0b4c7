"""The OTLP/HTTP door of the edge: one request in, one commit, one answer.

Plain ASGI, since a framework would double the cost of a small request. The port is loopback only
and asks for no credentials: whoever can open it can read and write on this machine anyway.
"""

from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.receive import replies
from shared.receive.body import BodyLimits
from shared.receive.counters import METRICS_TYPE, Outcome, ReceiveCounters
from shared.receive.otlp import SIGNALS, Offload, OtlpReceiver, headers_of, not_allowed, wants_json
from shared.receive.replies import Answer, refuse
from shared.receive.sink import Sink
from shared.runtime import offload_to_thread

PATHS = ("POST /v1/logs", "POST /v1/metrics", "POST /v1/traces", "GET /livez", "GET /metrics")


def otlp_app(
    sink: Sink,
    counters: ReceiveCounters,
    *,
    limits: BodyLimits | None = None,
    offload: Offload = offload_to_thread,
) -> ASGIApp:
    """The ASGI application; a simulation passes its own `offload`, which runs the work in place."""
    return OtlpDoor(OtlpReceiver(sink, counters, limits or BodyLimits(), offload), counters)


class OtlpDoor:
    """Answers /v1/logs, /v1/metrics and /v1/traces after the commit, and /livez and /metrics."""

    def __init__(self, receiver: OtlpReceiver, counters: ReceiveCounters) -> None:
        self._receiver = receiver
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1003})
        signal = SIGNALS.get(scope["path"])
        if signal is None:
            return await _send(send, self._answer_other(scope))
        answer = await self._receiver.answer(signal, scope, receive)
        if answer is not None:
            await _send(send, answer)
        return None

    def _answer_other(self, scope: Scope) -> Answer:
        json = wants_json(headers_of(scope))
        answer = self._look_up(scope["method"], scope["path"], json=json)
        # A path that a client chose never becomes a label: there would be no end of them.
        self._counters.count(Outcome("none", answer.outcome, answer.reason))
        return answer

    def _look_up(self, method: str, path: str, *, json: bool) -> Answer:
        if path not in ("/livez", "/metrics"):
            message = f"there is no {path[:100]} here: the paths are {', '.join(PATHS)}"
            return refuse(replies.NOT_FOUND, message, json=json)
        if method not in ("GET", "HEAD"):
            return not_allowed("GET", json=json)
        if path == "/livez":
            return Answer(200, b"ok\n", "text/plain; charset=utf-8", "served")
        return Answer(200, self._counters.exposition(), METRICS_TYPE, "served")


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
