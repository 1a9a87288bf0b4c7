"""Cuts the records of a chunk into two halves, so that the one that hubs refuse can be found.

Resources, scopes and metric names go with their records into both halves; the records keep their
order and every field, known here or not.
"""

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from shared import otlp_json
from shared.codec import decompress
from shared.errors import BadInput
from shared.otlp import JSON_TYPE, PROTO_TYPE, join_bodies, read_part
from shared.otlp_body import read_proto
from shared.otlp_values import METRIC_KINDS
from shared.records import Chunk, Encoding, Part, Signal

_PROTO_PATHS = {
    Signal.LOGS: ("resource_logs", "scope_logs", "log_records"),
    Signal.EVENTS: ("resource_logs", "scope_logs", "log_records"),
    Signal.TRACES: ("resource_spans", "scope_spans", "spans"),
    Signal.METRICS: ("resource_metrics", "scope_metrics", "metrics"),
}
_JSON_PATHS = {
    Signal.LOGS: ("resourceLogs", "scopeLogs", "logRecords"),
    Signal.EVENTS: ("resourceLogs", "scopeLogs", "logRecords"),
    Signal.TRACES: ("resourceSpans", "scopeSpans", "spans"),
    Signal.METRICS: ("resourceMetrics", "scopeMetrics", "metrics"),
}
_JSON_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


def halve(chunk: Chunk) -> list[Part]:
    """The two halves of a chunk with at least two records; raises BadInput when it cannot be read."""
    try:
        signal, encoding = Signal(chunk.header.signal), Encoding(chunk.header.encoding)
    except ValueError as error:
        raise BadInput(f"chunk {chunk.header.seq} is of an unknown kind: {error}") from error
    body = decompress(chunk.body)
    cut = _cut_proto if encoding is Encoding.PROTO else _cut_json
    middle = chunk.header.records // 2
    halves = [
        cut(signal, body, lambda index: index < middle),
        cut(signal, body, lambda index: index >= middle),
    ]
    if sum(half.records for half in halves) != chunk.header.records:
        raise BadInput(f"chunk {chunk.header.seq} does not hold what its header says")
    if not all(half.records for half in halves):
        raise BadInput(f"chunk {chunk.header.seq} cannot be cut in two")
    return halves


Keep = Callable[[int], bool]
"""Whether to keep the record with this number, counted from 0 through the whole body."""


def _cut_proto(signal: Signal, body: bytes, keep: Keep) -> Part:
    request = read_proto(signal, body)
    outer, inner, leaf = _PROTO_PATHS[signal]
    numbers = _Numbers(keep)
    for resource in getattr(request, outer):
        for scope in getattr(resource, inner):
            numbers.filter(getattr(scope, leaf), _proto_points)
        _drop(getattr(resource, inner), lambda scope: len(getattr(scope, leaf)) == 0)
    _drop(getattr(request, outer), lambda resource: len(getattr(resource, inner)) == 0)
    return read_part(signal, PROTO_TYPE, request.SerializeToString())


def _proto_points(metric: Any) -> Any:
    """The data points of a metric; None for what is a record itself."""
    if "data" not in {oneof.name for oneof in metric.DESCRIPTOR.oneofs}:
        return None
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind in METRIC_KINDS else []


def _cut_json(signal: Signal, body: bytes, keep: Keep) -> Part:
    otlp_json.read_requests(signal, body)  # Refuses all that does not have the right shape.
    try:
        requests = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    outer, inner, leaf = _JSON_PATHS[signal]
    numbers = _Numbers(keep)
    for request in requests:
        for resource in _list(request, outer):
            for scope in _list(resource, inner):
                numbers.filter(_list(scope, leaf), _points_of(signal))
            _drop(_list(resource, inner), lambda scope: not scope.get(leaf))
        _drop(_list(request, outer), lambda resource: not resource.get(inner))
    parts = [read_part(signal, JSON_TYPE, orjson.dumps(each)) for each in requests]
    return _join(signal, [part for part in parts if part.records])


def _points_of(signal: Signal) -> Callable[[Any], Any]:
    return _json_points if signal is Signal.METRICS else lambda record: None


def _json_points(metric: Any) -> Any:
    """The data points of a metric, an empty list when it has none."""
    for kind in _JSON_KINDS:
        if metric.get(kind) is not None:
            return _list(metric[kind], "dataPoints")
    return []


def _list(holder: Any, name: str) -> list[Any]:
    """A list that may be absent or null, which is the same as empty."""
    return holder.get(name) or []


def _join(signal: Signal, parts: list[Part]) -> Part:
    return Part(
        signal,
        Encoding.JSON,
        join_bodies(Encoding.JSON, [part.body for part in parts]) if parts else b"[]",
        sum(part.records for part in parts),
        min((part.time_min_ns for part in parts if part.time_min_ns), default=0),
        max((part.time_max_ns for part in parts), default=0),
    )


class _Numbers:
    """Counts records through a body and takes out those that are not to be kept."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._next = 0

    def filter(self, leaves: Any, points_of: Callable[[Any], Any]) -> None:
        """Filter a list of records, or of metrics whose points are the records."""
        empty: set[int] = set()
        for index, leaf in enumerate(leaves):
            points = points_of(leaf)
            if points is None:
                if not self._takes():
                    empty.add(index)
                continue
            kept = [self._takes() for _ in range(len(points))]
            _delete(points, (at for at, is_kept in enumerate(kept) if not is_kept))
            if not len(points):
                empty.add(index)
        _delete(leaves, empty)

    def _takes(self) -> bool:
        self._next += 1
        return self._keep(self._next - 1)


def _drop(holders: Any, is_empty: Callable[[Any], bool]) -> None:
    _delete(holders, [index for index, each in enumerate(holders) if is_empty(each)])


def _delete(items: Any, indices: "set[int] | list[int] | Iterator[int]") -> None:
    """Delete from a list or a repeated field, in runs, since each deletion moves what follows."""
    doomed = sorted(indices, reverse=True)
    at = 0
    while at < len(doomed):
        end = at
        while end + 1 < len(doomed) and doomed[end + 1] == doomed[end] - 1:
            end += 1
        del items[doomed[end] : doomed[at] + 1]
        at = end + 1
