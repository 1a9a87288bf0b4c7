"""Real OTLP doors on loopback for clients that block, each on a loop in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from edge.receive.otlp import otlp_app
from shared.otlp_points import MetricPoint
from shared.otlp_rows import LogRow, SpanRow, log_rows, metric_points, span_rows
from shared.receive.body import BodyLimits
from shared.receive.counters import ReceiveCounters
from shared.records import Signal
from shared.serve import bind, server
from tests.unit.receive.sinks import ListSink


class Door(ListSink):
    """What came in through a door, and where it is."""

    url = ""

    def rows(self, signal: Signal = Signal.LOGS) -> list[LogRow]:
        parts = [part for part in self.parts if part.signal is signal]
        return [row for part in parts for row in log_rows(part.encoding, part.body)]

    def points(self) -> list[MetricPoint]:
        return [
            point
            for part in self.parts
            if part.signal is Signal.METRICS
            for point in metric_points(part.encoding, part.body)
        ]

    def spans(self) -> dict[str, SpanRow]:
        parts = [part for part in self.parts if part.signal is Signal.TRACES]
        return {row.name: row for part in parts for row in span_rows(part.encoding, part.body)}


@contextlib.contextmanager
def opened(
    door: Door | None = None, port: int = 0, limits: BodyLimits | None = None
) -> Iterator[Door]:
    """A door that answers until the block ends."""
    door = door or Door()
    counters = ReceiveCounters(CollectorRegistry())
    with serving(otlp_app(door, counters, limits=limits), port) as taken:
        door.url = f"http://127.0.0.1:{taken}"
        yield door


@contextlib.contextmanager
def serving(app: ASGIApp, port: int = 0) -> Iterator[int]:
    """Any application on a port."""
    listener = bind("127.0.0.1", port)
    running = server(app)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        running.stop()
        thread.join()
        listener.close()
