"""trace.search: traces of a time range, newest first, a page at a time, or the slowest ones.

The spans of a trace lie scattered over chunks and nodes. Indexed parts and chunks outside of the
index are walked together from the newest back, and a trace leaves only when nothing unread can
change it, taking that its spans begin within SPREAD_SECONDS of each other. Traces within that bound
appear exactly once and whole; a longer one may be told in parts where it is not indexed, and
`trace.get` has all of it.
"""

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple

from hub.query.scan import PAGE_LIMITS, ChunkReader, Held, Limits, Tally
from hub.query.trace_gather import Gathering
from hub.query.trace_index import BUCKET_NS, Seen, TraceDay, TraceIndexes
from hub.query.trace_slowest import find_slowest
from hub.query.trace_summary import (
    SPREAD_NS,
    SPREAD_SECONDS,
    Summary,
    TraceKey,
    TraceQuery,
    read_trace_query,
)
from shared.errors import BadInput

__all__ = ["SPREAD_SECONDS", "read_trace_query", "search_traces"]

TRACES_MAX = 20_000  # Summaries held at a time, about 20 MB; beyond it a page ends early.

SETTLE_EVERY_ROWS = 256  # Looking for settled traces more often would cost more than it saves.


class Step(NamedTuple):
    """What to read next. Nothing that is read from here on changes a trace placed after `open_ns`."""

    open_ns: int
    at: Held | Seen


def search_traces(
    reader: ChunkReader,
    query: TraceQuery,
    limits: Limits = PAGE_LIMITS,
    index: TraceIndexes | None = None,
) -> dict[str, Any]:
    """One page of traces; it may be short or empty and still have a cursor, once `limits` are
    spent. The slowest come without a cursor, and `scanned.complete` tells whether all were seen.

    An index that cannot be read is done without. Raises RpcError quota when more chunks overlap one
    instant than a page may read.
    """
    try:
        return _search(reader, query, Tally(limits), index)
    except BadInput:
        if index is None:
            raise
        return _search(reader, query, Tally(limits), None)


def _search(
    reader: ChunkReader, query: TraceQuery, tally: Tally, index: TraceIndexes | None
) -> dict[str, Any]:
    gathering = Gathering(reader, query, tally, index)
    if query.slowest:
        slowest, complete = find_slowest(gathering, query, tally)
        scanned = {**tally.to_wire(), "complete": complete}
        return {"items": [t.to_wire() for t in slowest], "cursor": None, "scanned": scanned}
    traces, goes_on_at = _walk(gathering, query, tally)
    return {
        "items": [trace.to_wire() for trace in traces],
        "cursor": query.cursor(goes_on_at) if goes_on_at is not None else None,
        "scanned": tally.to_wire(),
    }


def _walk(
    gathering: Gathering, query: TraceQuery, tally: Tally
) -> tuple[list[Summary], TraceKey | None]:
    """The traces of the page and the place that the next one begins behind."""
    look_at_rows = 0
    for open_ns, at in _steps(gathering, query):
        if isinstance(at, Seen) and gathering.knows(at.trace_id):
            _take(
                gathering, query, at
            )  # Costs nothing, so that even a giant trace comes to an end.
            continue
        settled: TraceKey = (open_ns + 1, "")
        is_spent = tally.is_spent or len(gathering.traces) > TRACES_MAX
        ends_here = is_spent and settled < query.after
        if ends_here or tally.rows >= look_at_rows:
            page = _page(gathering, query, settled)
            if len(page) >= query.limit:
                return page[: query.limit], page[query.limit - 1].key
            if ends_here:
                return page, settled
            # Looking at all traces takes about as long as reading twice as many spans.
            look_at_rows = tally.rows + max(SETTLE_EVERY_ROWS, len(gathering.traces) // 2)
        _take(gathering, query, at)
    page = _page(gathering, query, (0, ""))
    is_cut = len(page) > query.limit
    return page[: query.limit], page[query.limit - 1].key if is_cut else None


def _steps(gathering: Gathering, query: TraceQuery) -> Iterator[Step]:
    """Everything to read, in the order in which traces become settled."""
    end_ns = min(query.end_ns, query.after[0] + SPREAD_NS + 1)
    rest = (Step(held.header.time_max_ns + SPREAD_NS, held) for held in gathering.rest(end_ns))
    days = (_day_steps(day, query, end_ns) for day in gathering.days)
    return heapq.merge(rest, *days, key=lambda step: step.open_ns, reverse=True)


def _day_steps(day: TraceDay, query: TraceQuery, end_ns: int) -> Iterator[Step]:
    """Without marks every part that begins before the place is on the way, so the walk may start
    there. A part that reaches over the start of the range settles nothing before the whole bucket
    is read."""
    before_ns = end_ns if query.mark else min(end_ns, query.after[0] + 1)
    bucket_ns = query.start_ns // BUCKET_NS * BUCKET_NS
    edge_ns = bucket_ns + BUCKET_NS - 1
    for seen in day.newest(before_ns, bucket_ns, query.mark):
        if query.nodes is None or seen.node in query.nodes:
            yield Step(max(seen.start_ns, edge_ns), seen)


def _take(gathering: Gathering, query: TraceQuery, at: Held | Seen) -> None:
    if not isinstance(at, Seen):
        gathering.read(at)
        return
    trace = gathering.meet(at.trace_id, at.start_ns)
    if trace is not None and query.mark is not None:
        # A later page begins its walk SPREAD_NS behind its place, and must meet the trace again.
        trace.floor_ns = max(trace.floor_ns, at.start_ns - SPREAD_NS)


def _page(gathering: Gathering, query: TraceQuery, settled: TraceKey) -> list[Summary]:
    wanted = (
        trace
        for trace in gathering.traces.values()
        if trace.key >= settled and gathering.accepts(trace)
    )
    return sorted(wanted, key=lambda trace: trace.key, reverse=True)
