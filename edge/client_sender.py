"""The thread of a client that talks to the edge, until everything is stored or refused for good."""

import codecs
import logging
import threading
import time
from dataclasses import dataclass
from random import Random

import httpx
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # Ships no types.
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from edge.client_outbox import Batch, ClientLimits, Outbox
from edge.client_records import request_of
from shared.backoff import backoff_seconds, retry_after_seconds
from shared.otlp import PROTO_TYPE
from shared.records import KIB, Signal

log = logging.getLogger(__name__)

PATHS = {
    Signal.LOGS: "/v1/logs",
    Signal.EVENTS: "/v1/logs",  # OTLP has no path of their own for log records with an event name.
    Signal.METRICS: "/v1/metrics",
    Signal.TRACES: "/v1/traces",
}

RETRIED = frozenset({408, 429, 502, 503, 504})
"""What OTLP/HTTP tells senders to send again, and 408, which says nothing against the request."""

RETRY_AFTER_SECONDS_MAX = 60.0
REPLY_BYTES_MAX = 64 * KIB

_ANY = "any"
"""What keeps an edge from answering keeps it for every signal."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the edge said; `words` are its own."""

    status: int
    words: str
    retry_after_seconds: float | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the edge has it on its disk."""
        return 200 <= self.status < 300


class Sender:
    """Sends what an outbox gives to one edge. The thread is a daemon: it never holds up an exit."""

    def __init__(
        self, outbox: Outbox, url: str, resource: Resource, limits: ClientLimits, rng: Random
    ) -> None:
        self._outbox = outbox
        self._url = url
        self._resource = resource
        self._limits = limits
        self._rng = rng
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._trouble: dict[str, str] = {}
        # Made here and not in the thread, with all that both import late: if the program forked while
        # the thread imports something, its child would wait for that import for ever.
        codecs.lookup("idna")
        # Proxies of the environment are for the world outside, never for the edge beside us.
        self._http = httpx.Client(base_url=url, timeout=limits.reply_seconds_max, trust_env=False)

    @property
    def thread_id(self) -> int | None:
        """The thread, as log records name it."""
        return self._thread.ident if self._thread else None

    def start(self) -> None:
        """Start the thread unless it runs. Raises RuntimeError when the system has none to give."""
        if self._thread and self._thread.is_alive():
            return
        if not self._starting.acquire(blocking=False):
            return  # Somebody else does it at this moment.
        try:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="headwater-client", daemon=True)
                thread.start()
                self._thread = thread
        finally:
            self._starting.release()

    def join(self, timeout_seconds: float) -> None:
        """Wait for the end of the thread, which comes soon after the outbox was closed."""
        if self._thread:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while batch := self._outbox.next_batch():
            self._deliver(batch)
        self._http.close()

    def _deliver(self, batch: Batch) -> None:
        batch.body = batch.body or request_of(batch.signal, self._resource, batch.frames)
        try:
            verdict = _post(self._http, batch)
        except httpx.HTTPError as error:
            self._say(_ANY, f"does not answer: {str(error) or type(error).__name__}")
            return self._put_off(batch, None)
        if verdict.is_stored:
            self._outbox.settle(batch, refused=False)
            return self._say_cured(batch.signal)
        if verdict.status in RETRIED:
            self._say(batch.signal, f"takes no {batch.signal} now: {verdict.words}")
            return self._put_off(batch, verdict.retry_after_seconds)
        self._say(batch.signal, f"refuses {len(batch.frames)} {batch.signal}: {verdict.words}")
        return self._outbox.settle(batch, refused=True)

    def _put_off(self, batch: Batch, asked_seconds: float | None) -> None:
        seconds = backoff_seconds(batch.attempts, self._limits.backoff, self._rng)
        told = asked_seconds is not None
        self._outbox.put_off(batch, seconds + (asked_seconds or 0.0), told=told)

    def _say(self, what: str, words: str) -> None:
        """Say what is wrong once, until it works again or goes wrong in another way."""
        if self._trouble.get(what) != words:
            self._trouble[what] = words
            log.warning("the edge at %s %s", self._url, words)

    def _say_cured(self, signal: Signal) -> None:
        if self._trouble.pop(_ANY, None) or self._trouble.pop(signal, None):
            log.info("the edge at %s takes %s again", self._url, signal)


def _post(http: httpx.Client, batch: Batch) -> Verdict:
    """One attempt; raises httpx.HTTPError when no answer came back."""
    headers = {"content-type": PROTO_TYPE}
    path = PATHS[batch.signal]
    with http.stream("POST", path, content=batch.body, headers=headers) as answer:
        reply = _start_of(answer)
    asked = answer.headers.get("retry-after")
    seconds = retry_after_seconds(asked, time.time(), RETRY_AFTER_SECONDS_MAX)
    return Verdict(answer.status_code, _words(answer.status_code, reply), seconds)


def _start_of(answer: httpx.Response) -> bytes:
    """The answer, or its start when it is not one of an edge: those are short."""
    found = b""
    for piece in answer.iter_raw():
        found += piece
        if len(found) > REPLY_BYTES_MAX:
            break
    return found[:REPLY_BYTES_MAX]


def _words(status: int, reply: bytes) -> str:
    """The message of a google.rpc.Status, or of whoever else listens at that port."""
    try:
        told: str = Status.FromString(reply).message
    except DecodeError:
        told = ascii(reply[:200].decode("utf-8", "replace"))
    return f"{status} {told}"
