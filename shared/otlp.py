"""OTLP/HTTP as we take it in: one body in, one validated Part out, and the replies to that.

Source: https://opentelemetry.io/docs/specs/otlp/ (1.11.0). Bodies are read once to check, count and
date them and are never encoded again; see otlp_rows for reading them at query time.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

import orjson
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # Ships no types.

from shared import otlp_rows
from shared.errors import UnsupportedType
from shared.otlp_body import read_json, read_proto
from shared.otlp_values import TIME_NS_MAX, metric_data
from shared.records import Encoding, Part, Signal

PROTO_TYPE = "application/x-protobuf"
JSON_TYPE = "application/json"
CONTENT_TYPES = {PROTO_TYPE: Encoding.PROTO, JSON_TYPE: Encoding.JSON}

_TIME = attrgetter("time_unix_nano")
_START = attrgetter("start_time_unix_nano")
_END = attrgetter("end_time_unix_nano")

Group = tuple[int, list[int]]
"""How many records one scope or metric holds, and the times that are set among them."""


def read_part(signal: Signal, content_type: str, body: bytes) -> Part:
    """Check, count and date one request body and keep its bytes.

    An empty request is valid and has 0 records. A request for logs of which every record has an
    event name is a part of events. Raises BadInput or UnsupportedType.
    """
    encoding = encoding_of(content_type)
    request = _read(signal, encoding, body)
    records, time_min_ns, time_max_ns = _tally(_GROUPS[signal](request))
    kept = body if encoding is Encoding.PROTO else b"[" + body + b"]"
    signal = Signal.EVENTS if signal is Signal.LOGS and _are_events(request) else signal
    return Part(signal, encoding, kept, records, time_min_ns, time_max_ns)


def _are_events(request: Any) -> bool:
    """Whether it has records, and each is an event: most are seen not to be by their first record."""
    names = (
        record.event_name
        for resource_logs in request.resource_logs or ()
        for scope_logs in resource_logs.scope_logs or ()
        for record in scope_logs.log_records or ()
    )
    return bool(next(names, "")) and all(names)


def encoding_of(content_type: str) -> Encoding:
    """The encoding that a Content-Type header names; raises UnsupportedType."""
    name = content_type.partition(";")[0].strip().lower()
    if name not in CONTENT_TYPES:
        raise UnsupportedType(
            f"content type {name[:100] or '(none)'!r} is not read here: "
            f"send {PROTO_TYPE} or {JSON_TYPE}"
        )
    return CONTENT_TYPES[name]


def join_bodies(encoding: Encoding, bodies: Sequence[bytes]) -> bytes:
    """One body that holds the records of all, in order.

    Appended protobuf messages merge by definition; JSON arrays are joined without reading them.
    """
    if len(bodies) == 1:
        return bodies[0]
    if encoding == Encoding.PROTO:
        return b"".join(bodies)
    inner = (body.strip()[1:-1].strip() for body in bodies)
    return b"[" + b",".join(items for items in inner if items) + b"]"


def status_body(code: int, message: str, json: bool) -> bytes:
    """A google.rpc.Status, which is what OTLP wants as the body of every error."""
    if json:
        return orjson.dumps({"code": code, "message": message})
    body: bytes = Status(code=code, message=message).SerializeToString()
    return body


def empty_reply(signal: Signal, json: bool) -> bytes:
    """The reply of full success: all export responses are the empty message."""
    return b"{}" if json else b""


def _read(signal: Signal, encoding: Encoding, body: bytes) -> Any:
    if encoding is Encoding.PROTO:
        return read_proto(signal, body)
    request = read_json(signal, body)
    # Protobuf bounds the nesting of values by itself. In JSON only array and list values can nest,
    # and they are rare, so only bodies that may have them are walked to the bottom here.
    if b"arrayValue" in body or b"kvlistValue" in body or b"\\u" in body:
        otlp_rows.check(signal, request)
    return request


def _tally(groups: Iterator[Group]) -> tuple[int, int, int]:
    records = 0
    lows: list[int] = []
    highs: list[int] = []
    for count, times in groups:
        records += count
        if times:
            lows.append(min(times))
            highs.append(max(times))
    time_min_ns, time_max_ns = min(lows, default=0), max(highs, default=0)
    return records, min(time_min_ns, TIME_NS_MAX), min(time_max_ns, TIME_NS_MAX)


def _log_groups(request: Any) -> Iterator[Group]:
    for resource_logs in request.resource_logs or ():
        for scope_logs in resource_logs.scope_logs or ():
            records = scope_logs.log_records or ()
            times = list(filter(None, map(_TIME, records)))
            if len(times) < len(records):
                times += _observed_times(records)
            yield len(records), times


def _observed_times(records: Sequence[Any]) -> list[int]:
    timeless = (record for record in records if not record.time_unix_nano)
    return [r.observed_time_unix_nano for r in timeless if r.observed_time_unix_nano]


def _metric_groups(request: Any) -> Iterator[Group]:
    for resource_metrics in request.resource_metrics or ():
        for scope_metrics in resource_metrics.scope_metrics or ():
            for metric in scope_metrics.metrics or ():
                points = _points(metric)
                yield len(points), list(filter(None, map(_TIME, points)))


def _points(metric: Any) -> Sequence[Any]:
    found = metric_data(metric)
    points: Sequence[Any] = (found[1].data_points or ()) if found else ()
    return points


def _span_groups(request: Any) -> Iterator[Group]:
    for resource_spans in request.resource_spans or ():
        for scope_spans in resource_spans.scope_spans or ():
            spans = scope_spans.spans or ()
            times = [*filter(None, map(_START, spans)), *filter(None, map(_END, spans))]
            yield len(spans), times


_GROUPS = {
    Signal.LOGS: _log_groups,
    Signal.EVENTS: _log_groups,
    Signal.METRICS: _metric_groups,
    Signal.TRACES: _span_groups,
}
