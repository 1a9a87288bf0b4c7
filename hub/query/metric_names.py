"""metric.names: which metrics there are in a time range, and which nodes send them."""

from dataclasses import dataclass, field
from typing import Any

from hub.query.named_points import metric_kinds
from hub.query.params import MetricNamesParams, read_params, read_range
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
    reader: ChunkReader, query: MetricNamesQuery, limits: Limits = PAGE_LIMITS
) -> dict[str, Any]:
    """Names in alphabetical order, from the newest chunks back until `limits` are spent.

    `scanned.complete` tells whether the whole range was read.
    """
    tally = Tally(limits)
    names: dict[str, Named] = {}
    complete = True
    held_chunks = reader.find(
        signals={Signal.METRICS}, nodes=query.nodes, start_ns=query.start_ns, end_ns=query.end_ns
    )
    for held in held_chunks:
        if tally.is_spent or len(names) >= NAMES_MAX:
            complete = False
            break
        try:
            _note(reader, held, tally, names)
        except BadInput:
            tally.unreadable += 1  # The others are still worth naming; the answer says so.
    items = [
        {"name": name, "unit": known.unit, "kind": known.kind, "nodes": sorted(known.nodes)}
        for name, known in sorted(names.items())
    ]
    return {"items": items, "scanned": {**tally.to_wire(), "complete": complete}}


def _note(reader: ChunkReader, held: Held, tally: Tally, names: dict[str, Named]) -> None:
    encoding, body = open_chunk(reader, held, tally)
    for name, unit, kind in metric_kinds(encoding, body):
        names.setdefault(name, Named(unit, kind)).nodes.add(held.header.origin)
