"""A day of telemetry for queries: log lines of ten nodes, traces, and one host's metrics."""

from collections.abc import Iterator
from random import Random

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from shared.benchmarks.bodies import MESSAGES
from shared.benchmarks.bodies import text_attribute as text
from shared.benchmarks.ship import Packed, packed
from shared.records import Signal

NODES = 10
RECORDS = 1000
RARE_WORD = "flux_capacitor"
RARE_PART = "drift 0x7f3a"
"""A text that is no word: it ends in the middle of one."""
RARE_EVERY = 100_000
SEVERITIES = ((9, "INFO"),) * 90 + ((13, "WARN"),) * 7 + ((17, "ERROR"),) * 3
NS_PER_S = 10**9
DAY_NS = 86_400 * NS_PER_S
READING_SECONDS = 10
CHARTED = "bench.metric.17"


def log_contents(lines: int, end_ns: int) -> Iterator[Packed]:
    """Chunks of log lines, in order of time over the last day; every tenth is of the same node."""
    chunks = lines // RECORDS
    for number in range(chunks):
        start_ns = end_ns - DAY_NS + number * DAY_NS // chunks
        yield _log_chunk(number, start_ns, NODES * DAY_NS // chunks)


def _log_chunk(number: int, start_ns: int, width_ns: int) -> Packed:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.append(text("service.name", ("shop", "cart", "mail")[number % 3]))
    records = group.scope_logs.add().log_records
    chance = Random(number)  # noqa: S311  # No secret is made of it.
    for index in range(RECORDS):
        record, place = records.add(), number * RECORDS + index
        record.time_unix_nano = start_ns + index * width_ns // RECORDS
        severity, record.severity_text = SEVERITIES[chance.randrange(100)]
        record.severity_number = SeverityNumber.ValueType(severity)
        words = MESSAGES[index % 12].format(n=place, m=chance.randrange(997))
        if place % RARE_EVERY == RARE_EVERY // 2:
            words = f"{words} {RARE_WORD} {RARE_PART}{place}"
        record.body.string_value = words
        record.attributes.append(text("http.request.method", "GET" if index % 3 else "POST"))
        record.attributes.append(text("url.path", f"/api/v1/orders/{chance.randrange(10**6)}"))
        if index % 5 < 2:
            record.trace_id, record.span_id = chance.randbytes(16), chance.randbytes(8)
    raw = request.SerializeToString()
    return packed(Signal.LOGS, raw, RECORDS, start_ns, start_ns + width_ns)


def trace_id_of(number: int) -> bytes:
    """The id of a trace by its number."""
    return Random(number).randbytes(16)  # noqa: S311  # The same for whoever asks.


def trace_contents(spans: int, end_ns: int) -> Iterator[Packed]:
    """Chunks of spans; the eight spans of a trace lie in four chunks that follow each other."""
    chunks = spans // RECORDS
    for number in range(chunks):
        start_ns = end_ns - DAY_NS + number * DAY_NS // chunks
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.append(text("service.name", ("shop", "cart")[number % 2]))
        made = group.scope_spans.add().spans
        for index in range(RECORDS):
            span = made.add()
            span.trace_id = trace_id_of((number // 4) * RECORDS // 2 + index // 2)
            span.span_id = (number * RECORDS + index + 1).to_bytes(8, "big")
            span.name = f"GET /orders/{index % 20}"
            span.start_time_unix_nano = start_ns + index * 1_000_000
            span.end_time_unix_nano = span.start_time_unix_nano + 5_000_000
        raw = request.SerializeToString()
        yield packed(Signal.TRACES, raw, RECORDS, start_ns, start_ns + NS_PER_S)


def metric_contents(metrics: int, end_ns: int) -> Iterator[Packed]:
    """A day of one host's readings, a chunk each minute."""
    for minute in range(24 * 60):
        start_ns = end_ns - DAY_NS + minute * 60 * NS_PER_S
        request = ExportMetricsServiceRequest()
        made = request.resource_metrics.add().scope_metrics.add().metrics
        for number in range(metrics):
            metric = made.add()
            metric.name, metric.unit = f"bench.metric.{number}", "1"
            for reading in range(60 // READING_SECONDS):
                point = metric.gauge.data_points.add()
                point.time_unix_nano = start_ns + reading * READING_SECONDS * NS_PER_S
                point.as_double = (minute * 7 + reading * 3 + number) % 101
        records = metrics * 60 // READING_SECONDS
        raw = request.SerializeToString()
        yield packed(Signal.METRICS, raw, records, start_ns, start_ns + 50 * NS_PER_S)
