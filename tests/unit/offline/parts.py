"""Parts with one record each, whose time and text are chosen."""

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from shared.otlp import read_part
from shared.otlp_make import key_values
from shared.records import Part, Signal
from tests.unit.otlp.samples import metrics, spans

PROTO = "application/x-protobuf"
T0 = 1_795_255_200_000_000_000
"""2026-11-21T10:00:00Z."""


def log_part(text: str, time_ns: int) -> Part:
    """One log line."""
    record = LogRecord(
        time_unix_nano=time_ns,
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text="INFO",
        body=AnyValue(string_value=text),
    )
    scopes = [ScopeLogs(log_records=[record])]
    request = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=scopes)])
    return read_part(Signal.LOGS, PROTO, request.SerializeToString())


def metric_part(name: str, value: float, time_ns: int) -> Part:
    """One point of a gauge."""
    point = NumberDataPoint(
        time_unix_nano=time_ns, as_double=value, attributes=key_values({"host": "a"})
    )
    request = metrics(Metric(name=name, unit="1", gauge=Gauge(data_points=[point])))
    return read_part(Signal.METRICS, PROTO, request.SerializeToString())


def span_part(name: str, start_ns: int) -> Part:
    """One span of two milliseconds."""
    span = Span(
        name=name,
        trace_id=b"\1" * 16,
        span_id=b"\2" * 8,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + 2_000_000,
    )
    return read_part(Signal.TRACES, PROTO, spans(span).SerializeToString())
