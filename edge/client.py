"""How programs on this machine write to their edge: logs, events, measurements, counts and spans.

    with Client(service="billing") as client:
        client.log("card refused", severity="warn", amount=12.5)

No call waits for the network, and none raises an error for what it is given: records wait in a bounded
queue for a thread that sends them until the edge has them on its disk. An edge that dies before it
answers gets them again, so that a record may be there twice, but is not lost while the program lives.

A forked child begins anew: with an empty queue, its own `service.instance.id` and counts from zero. Ends
that skip `atexit` (os._exit, a child of multiprocessing, a kill) lose what `flush` did not wait for.
"""

import atexit
import logging
import math
import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from random import SystemRandom
from types import TracebackType
from typing import Self

from edge.client_logging import ClientHandler
from edge.client_outbox import ClientLimits, Outbox
from edge.client_records import (
    gauge_frame,
    log_frame,
    logging_frame,
    resource_of,
)
from edge.client_sender import Sender
from edge.client_spans import Span, here, under_way
from edge.client_totals import series_key
from edge.client_values import number_of
from shared import readers
from shared.address import OTLP_PORT, parse_address
from shared.records import Signal

log = logging.getLogger(__name__)

EXIT_SECONDS_MAX = 2.0
"""So long all clients together may hold up the end of a program that did not close them."""

JOIN_SECONDS_MAX = 1.0
"""A thread that hangs in a request ends by itself once that is over."""


class Client:
    """Writes to the edge at `url`, else to the one of this machine (OTLP_PORT, 4318 when not set).

    Every method may be called from any thread. Raises ValueError for a url that is no address.
    """

    def __init__(
        self,
        service: str,
        url: str | None = None,
        *,
        attributes: Mapping[str, object] | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        self._url = parse_address(url, OTLP_PORT).url if url else default_url(os.environ)
        self._attributes = {"service.name": service, **(attributes or {})}
        self._limits = limits or ClientLimits()
        self._begin()
        _open.add(self)

    def _begin(self) -> None:
        self._said: set[str] = set()
        self._outbox = Outbox(self._limits, time.time_ns())
        # Whoever counts needs a name of its own, or two processes would seem to be one counter.
        own = {"service.instance.id": str(uuid.uuid4()), "process.pid": os.getpid()}
        resource = resource_of({**own, **self._attributes})
        self._sender = Sender(self._outbox, self._url, resource, self._limits, SystemRandom())

    @property
    def dropped(self) -> int:
        """Records that never left: the queue was full, or closed, or they could not be written."""
        return self._outbox.dropped

    @property
    def refused(self) -> int:
        """Records that the edge will never take; its reasons are in the log."""
        return self._outbox.refused

    @property
    def pending(self) -> int:
        """Records that the edge has not confirmed yet."""
        return self._outbox.records

    def log(self, text: object, /, severity: str = "info", **attributes: object) -> None:
        """Write a line: severity is trace, debug, info, warn, error or fatal."""
        now_ns, place = time.time_ns(), here()
        self._put(Signal.LOGS, lambda: log_frame(now_ns, text, severity, attributes, place))

    def event(
        self, name: str, text: object, /, severity: str = "info", **attributes: object
    ) -> None:
        """Write that something with a name happened, such as "order.shipped"."""
        now_ns, place = time.time_ns(), here()
        self._put(Signal.EVENTS, lambda: log_frame(now_ns, text, severity, attributes, place, name))

    def gauge(self, name: str, value: float, /, unit: str = "", **attributes: object) -> None:
        """Write what was measured just now; units are those of UCUM, such as "s", "By" or "1"."""
        now_ns, number = time.time_ns(), number_of(value)
        if number is None:
            return self._drop("a measurement is not a number")
        return self._put(
            Signal.METRICS, lambda: gauge_frame(now_ns, name, number, unit, attributes)
        )

    def count(
        self, name: str, increment: float = 1, /, unit: str = "", **attributes: object
    ) -> None:
        """Add to a total that only grows; each combination of attributes has its own.

        Totals are exempt from the bounds of the queue, so that no count is lost while it is full.
        """
        now_ns, number = time.time_ns(), number_of(increment)
        if number is None or not 0 <= number < math.inf:
            return self._drop("a count is not a number from 0 on")

        def keep() -> bool:
            return self._outbox.count(series_key(name, unit, attributes), number, now_ns)

        return self._guard(keep, "there are too many series, or the client is closed")

    def span(self, name: str, /, **attributes: object) -> AbstractContextManager[Span]:
        """Write how long a `with` block took, and whether it ended in an exception.

        Blocks inside of it, in the same thread or task and its tasks, become its children.
        """
        return under_way(name, attributes, lambda write: self._put(Signal.TRACES, write))

    def handler(self, level: int = logging.NOTSET) -> logging.Handler:
        """What makes the logging module write here: `logging.getLogger().addHandler(...)`."""

        def keep(record: logging.LogRecord) -> None:
            place = here()
            self._put(Signal.LOGS, lambda: logging_frame(record, place))

        return ClientHandler(keep, lambda: self._sender.thread_id, level)

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until the edge has on its disk what was queued before this call.

        False when time ran out first (`pending` says how much is left) or the edge refused some.
        """
        return self._outbox.flush(timeout_seconds)

    def close(self, timeout_seconds: float = 5.0) -> bool:
        """Flush, and end; what could not be stored in time is dropped. Further records are, too."""
        is_flushed = self.flush(timeout_seconds)
        left = self._outbox.close()
        self._sender.join(JOIN_SECONDS_MAX)
        _open.discard(self)
        if left or (self.dropped and "end" not in self._said):
            self._said.add("end")
            log.warning("%d records never got to the edge at %s", self.dropped, self._url)
        return is_flushed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, signal: Signal, write: Callable[[], bytes]) -> None:
        self._guard(lambda: self._outbox.put(signal, write()), "the queue is full or closed")

    def _guard(self, keep: Callable[[], bool], why_not: str) -> None:
        """Keep a record, or say why not: a program does not fail for what it says of itself."""
        try:
            is_kept = keep()
        except Exception as error:
            # Of objects of the program itself, such as a dict that another thread changes meanwhile.
            return self._drop(f"it cannot be written ({type(error).__name__})")
        if not is_kept:
            return self._say_once(f"a record was dropped, since {why_not}")
        try:
            self._sender.start()
        except RuntimeError as error:  # No thread can be had, as at the very end of a program.
            self._say_once(f"records wait, since {error}")
        return None

    def _drop(self, why: str) -> None:
        self._outbox.drop()
        self._say_once(f"a record was dropped, since {why}")

    def _say_once(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)  # First, since this line may come back to us as a record.
            log.warning("%s; this is said only once", words)


def default_url(environ: Mapping[str, str]) -> str:
    """Where the edge of this machine listens; raises ValueError for a port that is none."""
    names = ("HEADWATER_OTLP_PORT", "OTLP_PORT")
    name, text = next(((each, environ[each]) for each in names if each in environ), ("", ""))
    try:
        port = readers.port(text) if name else OTLP_PORT
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}, but must be {error}") from error
    return f"http://127.0.0.1:{port}"


_open: set[Client] = set()
"""Those that are not closed."""


def _close_all() -> None:
    deadline = time.monotonic() + EXIT_SECONDS_MAX
    for client in list(_open):
        client.close(max(0.0, deadline - time.monotonic()))


def _begin_anew() -> None:
    # The records, locks and connections of the parent stay as they are: the thread that could use
    # them did not come along, and the parent sends its records itself.
    for client in list(_open):
        client._begin()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
