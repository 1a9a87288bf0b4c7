"""Real chunk bodies, and a store that is only a list: the model that queries are held against."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from hub.query.scan import Held, MayHold
from shared.errors import BadInput
from shared.otlp import JSON_TYPE, PROTO_TYPE, read_part
from shared.records import ChunkHeader, Encoding, Signal

S = 1_000_000_000
NOW_NS = 1_800_000_000 * S


@dataclass(frozen=True)
class HeldChunk:
    arrival: int
    header: ChunkHeader
    received_ms: int
    body: bytes


@dataclass
class ListReader:
    """Does what a store promises, in the plainest way."""

    chunks: list[HeldChunk] = field(default_factory=list)
    bodies_read: int = 0
    left_out: int = 0
    closed: bool = False

    def find(
        self,
        *,
        signals: Collection[Signal],
        nodes: Collection[str] | None,
        start_ns: int,
        end_ns: int,
        newest_first: bool = True,
        may_hold: MayHold | None = None,
    ) -> Iterator[Held]:
        found = [
            held
            for held in self.chunks
            if held.header.signal in signals
            and (
                may_hold is None
                or may_hold(held.arrival, held.received_ms, Signal(held.header.signal))
            )
            and (nodes is None or held.header.origin in nodes)
            and held.header.time_min_ns < end_ns
            and held.header.time_max_ns >= start_ns
        ]
        if newest_first:
            return iter(sorted(found, key=lambda held: -held.header.time_max_ns))
        return iter(sorted(found, key=lambda held: held.header.time_min_ns))

    def body(self, held: Held) -> bytes:
        self.bodies_read += 1
        body = next(each.body for each in self.chunks if each.arrival == held.arrival)
        if body == b"damaged":
            raise BadInput("the chunk is damaged")
        return body

    def close(self) -> None:
        self.closed = True

    def put(
        self, signal: Signal, message: Any, node: str = "edge-1", encoding: str = "proto"
    ) -> HeldChunk:
        """Store one export request as an edge would send it."""
        if encoding == "json":
            part = read_part(signal, JSON_TYPE, to_json(message))
        else:
            part = read_part(signal, PROTO_TYPE, message.SerializeToString())
        return self.put_body(
            signal, part.body, part.encoding, part.records, part.time_min_ns, part.time_max_ns, node
        )

    def put_body(
        self,
        signal: Signal,
        body: bytes,
        encoding: Encoding = Encoding.PROTO,
        records: int = 1,
        time_min_ns: int = 0,
        time_max_ns: int = 0,
        node: str = "edge-1",
    ) -> HeldChunk:
        """Store a body under any header."""
        seq = 1 + sum(held.header.origin == node for held in self.chunks)
        header = ChunkHeader(
            node, "e1", seq, signal, encoding, "zstd", records, len(body), len(body),
            time_min_ns, time_max_ns, NOW_NS // 1_000_000, b"", b"",
        )  # fmt: skip
        held = HeldChunk(len(self.chunks) + 1, header, NOW_NS // 1_000_000, body)
        self.chunks.append(held)
        return held


def to_json(message: Any) -> bytes:
    """OTLP/JSON: unlike protobuf's own mapping, ids are hex and enums are numbers."""
    plain = MessageToDict(message, use_integers_for_enums=True)
    return orjson.dumps(_with_hex_ids(plain))


def _with_hex_ids(value: Any) -> Any:
    from base64 import b64decode

    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: b64decode(item).hex()
        if key in ("traceId", "spanId", "parentSpanId")
        else _with_hex_ids(item)
        for key, item in value.items()
    }


def any_value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
    return AnyValue(string_value=value)


def key_values(attributes: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def log(
    time_ns: int,
    body: Any = "",
    severity: int = 9,
    attributes: dict[str, Any] | None = None,
    trace_id: str = "",
    **more: Any,
) -> LogRecord:
    return LogRecord(
        time_unix_nano=time_ns,
        severity_number=severity,  # type: ignore[arg-type]  # An enum is a number on the wire.
        body=any_value(body),
        attributes=key_values(attributes or {}),
        trace_id=bytes.fromhex(trace_id),
        **more,
    )


def logs(records: Iterable[LogRecord], service: str = "shop") -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    held = request.resource_logs.add()
    held.resource.attributes.extend(key_values({"service.name": service}))
    held.scope_logs.add().log_records.extend(records)
    return request


def metrics(
    all_metrics: Sequence[Metric], resource: dict[str, Any] | None = None
) -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    held = request.resource_metrics.add()
    held.resource.attributes.extend(key_values(resource or {}))
    held.scope_metrics.add().metrics.extend(all_metrics)
    return request


Reading = tuple[float, float] | tuple[float, float, float]
"""(time_s, value) or (time_s, value, start_s); seconds count from BASE_S."""

BASE_S = 1_799_990_000


def gauge(name: str, readings: Iterable[Reading], **attributes: Any) -> Metric:
    metric = Metric(name=name, unit="1")
    _add_points(metric.gauge, readings, attributes)
    return metric


def counter(
    name: str,
    readings: Iterable[Reading],
    *,
    delta: bool = False,
    monotonic: bool = True,
    **attributes: Any,
) -> Metric:
    metric = Metric(name=name, unit="By")
    metric.sum.aggregation_temporality = 1 if delta else 2  # type: ignore[assignment]
    metric.sum.is_monotonic = monotonic
    _add_points(metric.sum, readings, attributes)
    return metric


def histogram(
    name: str, readings: Iterable[tuple[float, int, float, float]], *, delta: bool = False
) -> Metric:
    """Readings are (time_s, count, sum, start_s)."""
    metric = Metric(name=name, unit="s")
    metric.histogram.aggregation_temporality = 1 if delta else 2  # type: ignore[assignment]
    for time_s, count, total, start_s in readings:
        point = metric.histogram.data_points.add(count=count, sum=total)
        point.time_unix_nano, point.start_time_unix_nano = at(time_s), at(start_s)
    return metric


def at(seconds: float) -> int:
    """Unix nanoseconds of so many seconds after BASE_S."""
    return BASE_S * S + round(seconds * S)


def _add_points(data: Any, readings: Iterable[Reading], attributes: dict[str, Any]) -> None:
    for time_s, value, *start in readings:
        point = data.data_points.add(as_double=value, attributes=key_values(attributes))
        point.time_unix_nano = at(time_s)
        point.start_time_unix_nano = at(start[0]) if start else 0


def span(
    trace: int,
    number: int,
    parent: int = 0,
    start_s: float = 0.0,
    seconds: float = 1.0,
    name: str = "",
    *,
    error: bool = False,
) -> Span:
    made = Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name or f"span {number}",
        start_time_unix_nano=at(start_s),
        end_time_unix_nano=at(start_s + seconds),
    )
    if error:
        made.status.code = 2  # type: ignore[assignment]  # An enum is a number on the wire.
    return made


def spans(all_spans: Iterable[Span], service: str = "shop") -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    held = request.resource_spans.add()
    held.resource.attributes.extend(key_values({"service.name": service}))
    held.scope_spans.add().spans.extend(all_spans)
    return request
