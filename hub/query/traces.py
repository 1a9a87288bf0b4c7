"""trace.search: traces of a time range, newest first, a page at a time.

The spans of a trace lie scattered over chunks and nodes. Chunks are walked from the newest back,
and a trace leaves only when no unread chunk can change it, taking that its spans begin within
SPREAD_SECONDS of each other. Traces within that bound appear exactly once and whole; a longer one
may be told in parts, and `trace.get` has all of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hub.query.cursor import VERSION, Cursor, digest, read_cursor, write_cursor
from hub.query.params import TraceSearchParams, read_params, read_range
from hub.query.scan import PAGE_LIMITS, ChunkReader, Held, Limits, Tally, clamp_time, open_chunk
from hub.query.times import NS_PER_S, format_time
from shared.errors import BadInput
from shared.otlp_rows import SpanRow, resource_value, span_rows
from shared.records import Signal

SPREAD_SECONDS = 60
TRACES_MAX = 20_000  # Summaries held at a time, about 20 MB; beyond it a page ends early.

_KIND = "trace"
_STATUS_ERROR = 2
_SPREAD_NS = SPREAD_SECONDS * NS_PER_S
_SETTLE_EVERY_CHUNKS = 16

TraceKey = tuple[int, str]
"""The place of a trace: (start_ns, trace_id)."""


@dataclass(slots=True)
class Summary:
    """What a list shows of one trace."""

    trace_id: str
    start_ns: int
    end_ns: int
    spans: int = 0
    errors: int = 0
    services: set[str] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    has_name: bool = False
    root: tuple[bool, int, str, str] | None = None
    """(is no root, start_ns, name, service) of the span that comes first in this order."""

    @property
    def key(self) -> TraceKey:
        """Its place."""
        return self.start_ns, self.trace_id

    def add(self, row: SpanRow, start_ns: int, node: str, name: str | None) -> None:
        """Take one more span, in any order."""
        service = resource_value(row.resource, "service.name")
        self.start_ns = min(self.start_ns, start_ns)
        self.end_ns = max(self.end_ns, row.end_ns)
        self.spans += 1
        self.errors += row.status_code == _STATUS_ERROR
        self.nodes.add(node)
        self.has_name = self.has_name or row.name == name
        if service:
            self.services.add(service)
        root = (bool(row.parent_span_id), start_ns, row.name, service)
        self.root = root if self.root is None else min(self.root, root)


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """One page of a question. `after` is the place that the page begins behind."""

    start_ns: int
    end_ns: int
    nodes: frozenset[str] | None
    service: str | None
    name: str | None
    min_duration_ns: int
    errors_only: bool
    limit: int
    after: TraceKey
    question: int

    def accepts(self, trace: Summary) -> bool:
        """Whether the trace is wanted on this page or a later one."""
        return (
            trace.key < self.after
            and (self.service is None or self.service in trace.services)
            and (self.name is None or trace.has_name)
            and trace.end_ns - trace.start_ns >= self.min_duration_ns
            and (trace.errors > 0 or not self.errors_only)
        )


def read_trace_query(params: dict[str, Any], now_ns: int) -> TraceQuery:
    """Check the parameters of a page; raises RpcError invalid_params."""
    asked = read_params(params, TraceSearchParams)
    start_ns, end_ns = read_range(asked, now_ns)
    question = digest(msgspec.structs.replace(asked, cursor=None, limit=1))
    after: TraceKey = (end_ns, "")
    if asked.cursor is not None:
        cursor = read_cursor(asked.cursor, _KIND, question)
        start_ns, end_ns, after = cursor.start_ns, cursor.end_ns, cursor.position[:2]
    return TraceQuery(
        start_ns,
        end_ns,
        None if asked.nodes is None else frozenset(asked.nodes),
        asked.service,
        asked.name,
        int((asked.min_duration_ms or 0) * 1_000_000),
        asked.errors_only,
        asked.limit,
        after,
        question,
    )


def search_traces(
    reader: ChunkReader, query: TraceQuery, limits: Limits = PAGE_LIMITS
) -> dict[str, Any]:
    """One page of traces; it may be short or empty and still have a cursor, once `limits` are
    spent.

    Raises RpcError quota when more chunks overlap one instant than a page may read.
    """
    tally = Tally(limits)
    traces, goes_on_at = _walk(reader, query, tally)
    return {
        "items": [_item(trace) for trace in traces],
        "cursor": _cursor(query, goes_on_at) if goes_on_at is not None else None,
        "scanned": tally.to_wire(),
    }


def _walk(
    reader: ChunkReader, query: TraceQuery, tally: Tally
) -> tuple[list[Summary], TraceKey | None]:
    """The traces of the page and the place that the next one begins behind."""
    held_traces: dict[str, Summary] = {}
    for number, held in enumerate(_chunks(reader, query)):
        settled: TraceKey = (held.header.time_max_ns + _SPREAD_NS + 1, "")
        if number % _SETTLE_EVERY_CHUNKS == 0:
            page = _page(query, held_traces, settled)
            if len(page) >= query.limit:
                return page[: query.limit], page[query.limit - 1].key
        is_spent = tally.is_spent or len(held_traces) > TRACES_MAX
        if is_spent and settled < query.after:
            page = _page(query, held_traces, settled)
            is_cut = len(page) > query.limit
            return page[: query.limit], page[query.limit - 1].key if is_cut else settled
        try:
            _read_chunk(reader, held, query, tally, held_traces)
        except BadInput:
            tally.unreadable += 1  # One damaged chunk must not hide the others; the answer says so.
    page = _page(query, held_traces, (0, ""))
    is_cut = len(page) > query.limit
    return page[: query.limit], page[query.limit - 1].key if is_cut else None


def _page(query: TraceQuery, traces: dict[str, Summary], settled: TraceKey) -> list[Summary]:
    wanted = (t for t in traces.values() if t.key >= settled and query.accepts(t))
    return sorted(wanted, key=lambda trace: trace.key, reverse=True)


def _chunks(reader: ChunkReader, query: TraceQuery) -> Iterator[Held]:
    return reader.find(
        signals={Signal.TRACES},
        nodes=query.nodes,
        start_ns=query.start_ns,
        end_ns=min(query.end_ns, query.after[0] + _SPREAD_NS + 1),
    )


def _read_chunk(
    reader: ChunkReader,
    held: Held,
    query: TraceQuery,
    tally: Tally,
    traces: dict[str, Summary],
) -> None:
    encoding, body = open_chunk(reader, held, tally)
    tally.rows += held.header.records
    for row in span_rows(encoding, body):
        start_ns = clamp_time(held.header, row.start_ns)
        if not row.trace_id or not query.start_ns <= start_ns < query.end_ns:
            continue
        trace = traces.get(row.trace_id)
        if trace is None:
            trace = traces[row.trace_id] = Summary(row.trace_id, start_ns, row.end_ns)
        trace.add(row, start_ns, held.header.origin, query.name)


def _cursor(query: TraceQuery, place: TraceKey) -> str:
    position = (*place, "", 0, 0)
    return write_cursor(
        Cursor(VERSION, _KIND, query.question, query.start_ns, query.end_ns, position)
    )


def _item(trace: Summary) -> dict[str, Any]:
    _, _, name, service = trace.root or (True, 0, "", "")
    return {
        "trace_id": trace.trace_id,
        "root_name": name,
        "service": service,
        "services": sorted(trace.services),
        "nodes": sorted(trace.nodes),
        "start": format_time(trace.start_ns),
        "duration_ms": max(0, trace.end_ns - trace.start_ns) / 1_000_000,
        "spans": trace.spans,
        "errors": trace.errors,
    }
