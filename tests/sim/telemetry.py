"""The records that edges of a simulation produce, each with a name of its own."""

import hashlib
from collections.abc import Iterator, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.codec import decompress
from shared.otlp import read_part
from shared.otlp_make import resource_of, value_of
from shared.otlp_rows import log_rows, metric_points, span_rows
from shared.records import Chunk, Encoding, Part, Signal

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def part_of(names: Sequence[str], time_ns: int, *, as_json: bool) -> Part:
    """One OTLP request with a log record for each name, read as the receiver reads it."""
    if as_json:
        return read_part(Signal.LOGS, JSON, _json(names, time_ns))
    request = ExportLogsServiceRequest()
    held = request.resource_logs.add(resource=resource_of({"service.name": "simulated"}))
    records = held.scope_logs.add().log_records
    for name in names:
        records.add(time_unix_nano=time_ns, body=value_of(name))
    return read_part(Signal.LOGS, PROTOBUF, request.SerializeToString())


def _json(names: Sequence[str], time_ns: int) -> bytes:
    records = ",".join(
        f'{{"timeUnixNano":"{time_ns}","body":{{"stringValue":"{name}"}}}}' for name in names
    )
    return f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}'.encode()


def names_in(chunk: Chunk) -> Iterator[str]:
    """The names of the records in a chunk, in their order."""
    for row in log_rows(Encoding(chunk.header.encoding), decompress(chunk.body)):
        yield str(row.body)


def part_of_signal(signal: Signal, names: Sequence[str], time_ns: int) -> Part:
    """One OTLP request with a log record, a metric point or a span for each name."""
    match signal:
        case Signal.METRICS:
            return read_part(signal, PROTOBUF, _metrics(names, time_ns))
        case Signal.TRACES:
            return read_part(signal, PROTOBUF, _spans(names, time_ns))
        case _:
            return part_of(names, time_ns, as_json=False)


def _metrics(names: Sequence[str], time_ns: int) -> bytes:
    request = ExportMetricsServiceRequest()
    held = request.resource_metrics.add(resource=resource_of({"service.name": "simulated"}))
    metrics = held.scope_metrics.add().metrics
    for name in names:
        metrics.add(name=name).gauge.data_points.add(time_unix_nano=time_ns, as_int=len(name))
    return request.SerializeToString()


def _spans(names: Sequence[str], time_ns: int) -> bytes:
    request = ExportTraceServiceRequest()
    held = request.resource_spans.add(resource=resource_of({"service.name": "simulated"}))
    spans = held.scope_spans.add().spans
    for name in names:
        trace_id = hashlib.sha256(name.encode()).digest()[:16]
        end_ns = time_ns + 1_000_000
        span = spans.add(name=name, trace_id=trace_id, span_id=trace_id[:8])
        span.start_time_unix_nano, span.end_time_unix_nano = time_ns, end_ns
    return request.SerializeToString()


def names_of_signal(chunk: Chunk) -> list[str]:
    """The names of the log records, metric points or spans in a chunk, in their order."""
    encoding, body = Encoding(chunk.header.encoding), decompress(chunk.body)
    match chunk.header.signal:
        case Signal.METRICS:
            return [point.name for point in metric_points(encoding, body)]
        case Signal.TRACES:
            return [span.name for span in span_rows(encoding, body)]
        case _:
            return list(names_in(chunk))
