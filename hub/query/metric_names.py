"""metric.names: which metrics there are in a time range, and which nodes send them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.query.metric_index import DayIndex, MetricIndexes, fresh_chunks
from hub.query.metric_params import MetricNamesParams
from hub.query.named_points import metric_kinds
from hub.query.params import read_params, read_range
from hub.query.scan import PAGE_LIMITS, ChunkReader, Held, Limits, Tally, open_chunk
from hub.query.times import NS_PER_S
from shared.errors import BadInput
from shared.records import Signal

NAMES_MAX = 5000
RANGE_SECONDS_DEFAULT = 3600


@dataclass(frozen=True, slots=True)
class MetricNamesQuery:
    """Which chunks to look into."""

    start_ns: int
    end_ns: int
    nodes: frozenset[str] | None


@dataclass(slots=True)
class Named:
    """One metric; unit and kind are the newest that were seen."""

    unit: str
    kind: str
    nodes: set[str] = field(default_factory=set)


def read_metric_names_query(params: dict[str, Any], now_ns: int) -> MetricNamesQuery:
    """Check the parameters; raises RpcError invalid_params."""
    asked = read_params(params, MetricNamesParams)
    start_ns, end_ns = read_range(asked, now_ns, max(0, now_ns - RANGE_SECONDS_DEFAULT * NS_PER_S))
    return MetricNamesQuery(
        start_ns, end_ns, None if asked.nodes is None else frozenset(asked.nodes)
    )


def list_metric_names(
    reader: ChunkReader,
    query: MetricNamesQuery,
    limits: Limits = PAGE_LIMITS,
    index: MetricIndexes | None = None,
) -> dict[str, Any]:
    """Names in alphabetical order, from the newest chunks back until `limits` are spent.

    `scanned.complete` tells whether the whole range was read. An index knows names to the hour; one
    that cannot be read is done without.
    """
    try:
        files = index.files(query.start_ns, query.end_ns) if index is not None else ()
        return _answer(reader, query, limits, {day.day: day for day in files})
    except BadInput:
        if index is None:
            raise
        return _answer(reader, query, limits, {})


def _answer(
    reader: ChunkReader, query: MetricNamesQuery, limits: Limits, days: Mapping[int, DayIndex]
) -> dict[str, Any]:
    tally = Tally(limits)
    names = _indexed_names(query, days)
    complete = _read_chunks(reader, query, days, tally, names)
    items = [
        {"name": name, "unit": known.unit, "kind": known.kind, "nodes": sorted(known.nodes)}
        for name, known in sorted(names.items())[:NAMES_MAX]
    ]
    complete = complete and len(names) <= NAMES_MAX
    return {"items": items, "scanned": {**tally.to_wire(), "complete": complete}}


def _indexed_names(query: MetricNamesQuery, days: Mapping[int, DayIndex]) -> dict[str, Named]:
    names: dict[str, Named] = {}
    for _, day in sorted(days.items()):
        for name, unit, kind, node in day.names(query.nodes, query.start_ns, query.end_ns):
            known = names.setdefault(name, Named(unit, kind))
            known.unit, known.kind = unit, kind
            known.nodes.add(node)
    return names


def _read_chunks(
    reader: ChunkReader,
    query: MetricNamesQuery,
    days: Mapping[int, DayIndex],
    tally: Tally,
    names: dict[str, Named],
) -> bool:
    """Add the names of chunks that no index covers; False when the limits are spent before."""
    held_chunks = reader.find(
        signals={Signal.METRICS},
        nodes=query.nodes,
        start_ns=query.start_ns,
        end_ns=query.end_ns,
        may_hold=fresh_chunks(days) if days else None,
    )
    for held in held_chunks:
        if tally.is_spent or len(names) >= NAMES_MAX:
            return False
        try:
            _note(reader, held, tally, names)
        except BadInput:
            tally.unreadable += 1  # The others are still worth naming; the answer says so.
    return True


def _note(reader: ChunkReader, held: Held, tally: Tally, names: dict[str, Named]) -> None:
    encoding, body = open_chunk(reader, held, tally)
    for name, unit, kind in metric_kinds(encoding, body):
        names.setdefault(name, Named(unit, kind)).nodes.add(held.header.origin)
