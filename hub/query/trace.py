"""trace.get: all spans of one trace, as a waterfall."""

from dataclasses import dataclass
from typing import Any

from hub.query.params import TraceGetParams, read_params, read_range
from hub.query.probe import Probe
from hub.query.scan import WHOLE_LIMITS, ChunkReader, Held, Limits, Tally, open_chunk
from hub.query.times import NS_PER_S, format_time
from hub.query.waterfall import PlacedSpan, waterfall
from shared.errors import BadInput, RpcError
from shared.otlp_rows import resource_value, span_rows
from shared.records import Signal

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
    reader: ChunkReader, query: TraceGetQuery, limits: Limits = WHOLE_LIMITS
) -> dict[str, Any]:
    """The spans of a trace; raises RpcError not_found.

    Reading goes from the newest chunks back and ends an hour before the earliest span found, or
    when `limits` are spent, which `scanned.complete` tells.
    """
    tally = Tally(limits)
    spans, complete = _collect(reader, query, tally)
    if not spans:
        hint = "" if complete else "; not all data was read, so give start and end"
        raise RpcError("not_found", f"trace {query.trace_id} is not on this hub{hint}")
    start_ns = min(span.row.start_ns for span in spans)
    end_ns = max(max(span.row.end_ns, span.row.start_ns) for span in spans)
    return {
        "trace_id": query.trace_id,
        "start": format_time(start_ns),
        "duration_ms": (end_ns - start_ns) / 1_000_000,
        "spans": [_item(span, depth, start_ns) for depth, span in waterfall(spans)],
        "scanned": {**tally.to_wire(), "complete": complete},
    }


def _collect(
    reader: ChunkReader, query: TraceGetQuery, tally: Tally
) -> tuple[list[PlacedSpan], bool]:
    spans: list[PlacedSpan] = []
    earliest_ns = 0
    held_chunks = reader.find(
        signals={Signal.TRACES}, nodes=None, start_ns=query.start_ns, end_ns=query.end_ns
    )
    for held in held_chunks:
        if spans and held.header.time_max_ns < earliest_ns - LOOKBACK_SECONDS * NS_PER_S:
            break
        if tally.is_spent or len(spans) >= SPANS_MAX:
            return spans[:SPANS_MAX], False
        try:
            spans += _matching(reader, held, query, tally)
        except BadInput:
            tally.unreadable += 1  # The other spans are still worth a look; the answer says so.
        earliest_ns = min((span.row.start_ns for span in spans), default=0)
    return spans[:SPANS_MAX], len(spans) <= SPANS_MAX


def _matching(
    reader: ChunkReader, held: Held, query: TraceGetQuery, tally: Tally
) -> list[PlacedSpan]:
    encoding, body = open_chunk(reader, held, tally)
    if not Probe(ids=(query.trace_id,)).may_hold(encoding, body):
        return []
    tally.rows += held.header.records
    return [
        PlacedSpan(held.header.origin, row)
        for row in span_rows(encoding, body)
        if row.trace_id == query.trace_id
    ]


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
