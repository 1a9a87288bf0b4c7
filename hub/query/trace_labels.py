"""Which services and which names of spans there are in a time range, and how many spans each has."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hub.query.params import read_params, read_range
from hub.query.scan import PAGE_LIMITS, ChunkReader, Held, Limits, Tally, open_chunk
from hub.query.times import NS_PER_S
from hub.query.trace_gather import days_in, uncovered
from hub.query.trace_index import BUCKET_NS, MarkKind, TraceDay, TraceIndexes
from hub.query.trace_params import TraceLabelParams
from hub.query.trace_spans import LightSpan, light_spans
from shared.errors import BadInput

RANGE_SECONDS_DEFAULT = 3600
VALUES_MAX = 20_000  # Counted at a time; some MB.


@dataclass(frozen=True, slots=True)
class TraceLabelQuery:
    """Whose values, and where."""

    kind: MarkKind
    start_ns: int
    end_ns: int
    nodes: frozenset[str] | None
    limit: int

    def value_in(self, span: LightSpan) -> str:
        """What the span says; "" when it belongs to another time."""
        if not self.start_ns <= span[1] < self.end_ns:
            return ""
        return span[3] if self.kind is MarkKind.NAME else span[4]

    def wants(self, node: str) -> bool:
        """Whether the spans of this node count."""
        return self.nodes is None or node in self.nodes


def read_trace_label_query(params: dict[str, Any], now_ns: int) -> TraceLabelQuery:
    """Check the parameters; raises RpcError invalid_params."""
    asked = read_params(params, TraceLabelParams)
    start_ns, end_ns = read_range(asked, now_ns, max(0, now_ns - RANGE_SECONDS_DEFAULT * NS_PER_S))
    kind = MarkKind.NAME if asked.label == "name" else MarkKind.SERVICE
    nodes = None if asked.nodes is None else frozenset(asked.nodes)
    return TraceLabelQuery(kind, start_ns, end_ns, nodes, asked.limit)


def trace_label_values(
    reader: ChunkReader,
    query: TraceLabelQuery,
    limits: Limits = PAGE_LIMITS,
    index: TraceIndexes | None = None,
) -> dict[str, Any]:
    """The values with the number of spans of each, the most frequent first.

    `scanned.complete` tells whether all spans of the range were counted and all values are here. An
    index that cannot be read is done without.
    """
    try:
        return _answer(reader, query, Tally(limits), index)
    except BadInput:
        if index is None:
            raise
        return _answer(reader, query, Tally(limits), None)


def _answer(
    reader: ChunkReader, query: TraceLabelQuery, tally: Tally, index: TraceIndexes | None
) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for day in days_in(query.start_ns, query.end_ns, index):
        _count_day(day, query, counts)
    complete = _count_rest(reader, query, tally, index, counts)
    del counts[""]
    ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[: query.limit]
    return {
        "items": [{"value": value, "records": spans} for value, spans in ranked],
        "scanned": {**tally.to_wire(), "complete": complete and len(ranked) == len(counts)},
    }


def _count_day(day: TraceDay, query: TraceLabelQuery, counts: Counter[str]) -> None:
    """Whole buckets are summed already; of those at the edges every span is looked at."""
    first_ns = -(-query.start_ns // BUCKET_NS) * BUCKET_NS
    last_ns = query.end_ns // BUCKET_NS * BUCKET_NS
    if first_ns >= last_ns:
        _count_spans(day, query, first_ns - BUCKET_NS, query.end_ns, counts)
        return
    for value, node, spans in day.counts(query.kind, first_ns, last_ns):
        if query.wants(node):
            counts[value] += spans
    if first_ns > query.start_ns:
        _count_spans(day, query, first_ns - BUCKET_NS, first_ns, counts)
    if last_ns < query.end_ns:
        _count_spans(day, query, last_ns, query.end_ns, counts)


def _count_spans(
    day: TraceDay, query: TraceLabelQuery, from_ns: int, before_ns: int, counts: Counter[str]
) -> None:
    for part in day.parts_between(from_ns, before_ns):
        if query.wants(part.node):
            counts.update(map(query.value_in, part.spans))


def _count_rest(
    reader: ChunkReader,
    query: TraceLabelQuery,
    tally: Tally,
    index: TraceIndexes | None,
    counts: Counter[str],
) -> bool:
    """Returns whether all of it was read."""
    for held in uncovered(reader, index, query.nodes, query.start_ns, query.end_ns):
        if tally.is_spent or len(counts) > VALUES_MAX:
            return False
        try:
            _count_chunk(reader, held, query, tally, counts)
        except BadInput:
            tally.unreadable += 1  # The others are still worth counting; the answer says so.
    return True


def _count_chunk(
    reader: ChunkReader, held: Held, query: TraceLabelQuery, tally: Tally, counts: Counter[str]
) -> None:
    encoding, body = open_chunk(reader, held, tally)
    tally.rows += held.header.records
    # Counted apart: of a body that turns out to be damaged nothing is counted, as in the index.
    counts.update(Counter(map(query.value_in, light_spans(held.header, encoding, body))))
