"""trace.get: all spans of one trace, as a waterfall."""

from dataclasses import dataclass
from typing import Any

from hub.query.params import read_params, read_range
from hub.query.probe import Probe
from hub.query.scan import WHOLE_LIMITS, ChunkReader, Held, Limits, Tally, open_chunk
from hub.query.times import NS_PER_S, TIME_NS_MAX, format_time
from hub.query.trace_gather import uncovered
from hub.query.trace_index import TraceIndexes
from hub.query.trace_params import TraceGetParams
from hub.query.trace_spans import rows_of_trace
from hub.query.waterfall import PlacedSpan, waterfall
from shared.errors import BadInput, RpcError
from shared.otlp_rows import resource_value
from shared.records import Encoding

SPANS_MAX = 10_000  # More than anybody reads, and about 10 MB of JSON.
LOOKBACK_SECONDS = 3600
"""Once spans were found, how far before the earliest of them reading goes on."""

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")


@dataclass(frozen=True, slots=True)
class TraceGetQuery:
    """Which trace, and which chunks to look into."""

    trace_id: str
    start_ns: int
    end_ns: int


def read_trace_get_query(params: dict[str, Any], now_ns: int) -> TraceGetQuery:
    """Check the parameters; raises RpcError invalid_params."""
    asked = read_params(params, TraceGetParams)
    start_ns, end_ns = read_range(asked, now_ns)
    return TraceGetQuery(asked.trace_id.lower(), start_ns, end_ns)


def get_trace(
    reader: ChunkReader,
    query: TraceGetQuery,
    limits: Limits = WHOLE_LIMITS,
    index: TraceIndexes | None = None,
) -> dict[str, Any]:
    """The spans of a trace; raises RpcError not_found.

    The index names the chunks that hold it. The others are read from the newest back, which ends an
    hour before the earliest span found; SPANS_MAX spans, or when `limits` are spent, end it all, and
    `scanned.complete` tells. An index that cannot be read is done without.
    """
    tally = Tally(limits)
    found = _collect(reader, query, tally, index)
    spans = found.spans
    if not spans:
        hint = "" if found.complete else "; not all data was read, so give start and end"
        raise RpcError("not_found", f"trace {query.trace_id} is not on this hub{hint}")
    start_ns = min(span.row.start_ns for span in spans)
    end_ns = max(max(span.row.end_ns, span.row.start_ns) for span in spans)
    return {
        "trace_id": query.trace_id,
        "start": format_time(start_ns),
        "duration_ms": (end_ns - start_ns) / 1_000_000,
        "spans": [_item(span, depth, start_ns) for depth, span in waterfall(spans)],
        "scanned": {**tally.to_wire(), "complete": found.complete},
    }


class _Spans:
    """What was found of a trace so far."""

    def __init__(self, reader: ChunkReader, query: TraceGetQuery, tally: Tally) -> None:
        self.spans: list[PlacedSpan] = []
        self.complete = True
        self._earliest_ns = TIME_NS_MAX
        self._reader, self._query, self._tally = reader, query, tally
        self._trace_id = bytes.fromhex(query.trace_id)
        self._probe = Probe(ids=(query.trace_id,))

    def read(self, held: Held) -> bool:
        """Take the trace's spans out of a chunk; False when nothing more may be read."""
        if self._tally.is_spent or len(self.spans) >= SPANS_MAX:
            self.complete = False
            return False
        try:
            encoding, body = open_chunk(self._reader, held, self._tally)
            self._take(held, encoding, body)
        except BadInput:
            self._tally.unreadable += 1  # The other spans are still worth a look.
        return True

    def reaches(self, held: Held) -> bool:
        """Whether a chunk may still hold some, once others have been found."""
        if not self.spans:
            return True
        return held.header.time_max_ns >= self._earliest_ns - LOOKBACK_SECONDS * NS_PER_S

    def _take(self, held: Held, encoding: Encoding, body: bytes) -> None:
        if not self._probe.may_hold(encoding, body):
            return
        self._tally.rows += held.header.records
        for row in rows_of_trace(encoding, body, self._trace_id):
            if len(self.spans) >= SPANS_MAX:
                self.complete = False
                return
            self.spans.append(PlacedSpan(held.header.origin, row))
            self._earliest_ns = min(self._earliest_ns, row.start_ns)


def _collect(
    reader: ChunkReader, query: TraceGetQuery, tally: Tally, index: TraceIndexes | None
) -> _Spans:
    spans = _Spans(reader, query, tally)
    try:
        covered = _covered(query, index)
    except BadInput:
        covered, index = [], None
    for held in covered:
        if not spans.read(held):
            return spans
    for held in uncovered(reader, index, None, query.start_ns, query.end_ns):
        if not spans.reaches(held) or not spans.read(held):
            break
    return spans


def _covered(query: TraceGetQuery, index: TraceIndexes | None) -> list[Held]:
    """The chunks that the index names, in the order in which the others are read."""
    if index is None:
        return []
    trace_id = bytes.fromhex(query.trace_id)
    arrivals = {arrival for day in index.days() for arrival in day.arrivals_of(trace_id)}
    meeting = (
        held
        for held in index.chunks(arrivals)
        if held.header.time_min_ns < query.end_ns and held.header.time_max_ns >= query.start_ns
    )
    return sorted(meeting, key=lambda held: held.header.time_max_ns, reverse=True)


def _item(span: PlacedSpan, depth: int, trace_start_ns: int) -> dict[str, Any]:
    row = span.row
    return {
        "span_id": row.span_id,
        "parent_span_id": row.parent_span_id,
        "name": row.name,
        "service": resource_value(row.resource, "service.name"),
        "node": span.node,
        "kind": _name(_KINDS, row.kind),
        "start": format_time(row.start_ns),
        "offset_ms": (row.start_ns - trace_start_ns) / 1_000_000,
        "duration_ms": max(0, row.end_ns - row.start_ns) / 1_000_000,
        "status": _name(_STATUSES, row.status_code),
        "status_message": row.status_message,
        "attributes": row.attributes,
        "events": [_event(event) for event in row.events],
        "depth": depth,
    }


def _event(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "time": format_time(event["time_ns"]),
        "name": event["name"],
        "attributes": event["attributes"],
    }


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)
