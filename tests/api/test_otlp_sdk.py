"""The real OpenTelemetry SDK against the real server and the real buffer, on loopback."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from prometheus_client import CollectorRegistry

from edge.receive.otlp import otlp_app
from shared.otlp_rows import metric_points, span_rows
from shared.receive.counters import ReceiveCounters
from shared.records import Signal
from shared.serve import bind, server
from tests.unit.receive.sinks import ListSink


@dataclass
class Served:
    sink: ListSink
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def serving(sink: ListSink) -> AsyncIterator[Served]:
    listener = bind("127.0.0.1", 0)
    running = server(otlp_app(sink, ReceiveCounters(CollectorRegistry())))
    task = asyncio.create_task(running.serve(sockets=[listener]))
    try:
        yield Served(sink, listener.getsockname()[1])
    finally:
        running.stop()
        await task
        listener.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(ListSink()) as served:
        yield served


RESOURCE = Resource.create({"service.name": "shop", "ratio": 0.5})


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
async def test_spans_of_the_sdk_arrive_whole(served: Served, compression: Compression) -> None:
    def work() -> None:
        provider = TracerProvider(resource=RESOURCE)
        exporter = OTLPSpanExporter(f"{served.url}/v1/traces", compression=compression)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("checkout")
        outer = tracer.start_as_current_span("order", attributes={"items": 3, "tags": ["a", "b"]})
        with outer, tracer.start_as_current_span("pay") as span:
            span.add_event("declined", {"code": 51})
        provider.shutdown()

    await asyncio.to_thread(work)
    rows = [row for part in served.sink.parts for row in span_rows(part.encoding, part.body)]
    pay, order = rows
    assert (pay.name, order.name) == ("pay", "order")
    assert pay.parent_span_id == order.span_id
    assert pay.trace_id == order.trace_id
    assert order.attributes == {"items": 3, "tags": ["a", "b"]}
    assert pay.events[0]["name"] == "declined"
    assert order.resource["service.name"] == "shop"
    assert order.resource["ratio"] == 0.5
    assert order.scope == "checkout"
    assert order.start_ns <= pay.start_ns <= pay.end_ns <= order.end_ns


async def test_logs_of_the_sdk_arrive_whole(served: Served) -> None:
    def work() -> None:
        provider = LoggerProvider(resource=RESOURCE)
        exporter = OTLPLogExporter(f"{served.url}/v1/logs")
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        provider.get_logger("cards").emit(
            timestamp=5,
            severity_number=SeverityNumber.ERROR,
            severity_text="ERROR",
            body="card 1234 refused",
            attributes={"amount": 12.5},
        )
        provider.shutdown()

    await asyncio.to_thread(work)
    (row,) = served.sink.rows()
    assert row.body == "card 1234 refused"
    assert (row.severity_text, row.severity_number) == ("ERROR", 17)
    assert row.attributes["amount"] == 12.5
    assert (row.time_ns, row.scope) == (5, "cards")


async def test_metrics_of_the_sdk_arrive_whole(served: Served) -> None:
    def work() -> None:
        exporter = OTLPMetricExporter(f"{served.url}/v1/metrics")
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)
        provider = MeterProvider([reader], resource=RESOURCE)
        meter = provider.get_meter("orders")
        meter.create_counter("orders", "{order}").add(3, {"shop": "north"})
        meter.create_histogram("latency", "s").record(0.25)
        meter.create_gauge("depth").set(7)
        provider.shutdown()

    await asyncio.to_thread(work)
    (part,) = served.sink.parts
    assert part.signal is Signal.METRICS
    points = {point.name: point for point in metric_points(part.encoding, part.body)}
    assert part.records == len(points) == 3
    assert (points["orders"].value, points["orders"].monotonic) == (3, True)
    assert (points["latency"].count, points["latency"].sum) == (1, 0.25)
    assert sum(points["latency"].buckets["counts"]) == 1
    assert points["depth"].value == 7


async def test_the_sdk_waits_and_sends_again_when_the_buffer_is_full() -> None:
    async with serving(ListSink(refusals=1, retry_after_seconds=0.1)) as served:

        def work() -> None:
            provider = TracerProvider(resource=RESOURCE)
            exporter = OTLPSpanExporter(f"{served.url}/v1/traces")
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            provider.get_tracer("t").start_span("once").end()
            provider.shutdown()

        await asyncio.to_thread(work)
        assert [part.records for part in served.sink.parts] == [1]


async def test_a_connection_is_good_for_more_after_a_refusal(served: Served) -> None:
    """An oversized or bad request on a kept connection does not spoil the next one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    for length, status in ((b"99999999999999", b"413"), (b"4", b"400"), (b"0", b"200")):
        head = b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
        writer.write(
            head + b"content-length: " + length + b"\r\n\r\n" + b"\xff" * (length == b"4") * 4
        )
        line = await asyncio.wait_for(reader.readline(), 10)
        assert line.split()[1] == status
        if status == b"413":  # The rest of that body will never come, so the connection is spent.
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            continue
        await skip_answer(reader)
    writer.close()


async def skip_answer(reader: asyncio.StreamReader) -> None:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().splitlines()
        if line.startswith(b"content-length")
    )
    await reader.readexactly(length)


async def test_a_sender_that_resets_its_connection_disturbs_nobody(served: Served) -> None:
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(
            b"POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
            b"content-length: 1000\r\n\r\npart of it"
        )
        await writer.drain()
        linger = socket.SO_LINGER
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, linger, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
    await test_logs_of_the_sdk_arrive_whole(served)
