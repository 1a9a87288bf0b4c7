"""Which series there are in a time range, from the index and from chunks that no index covers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hub.index.rollup import RESOLUTIONS_NS
from hub.query.metric_index import DayIndex, IndexedSeries, MetricIndexes, fresh_chunks
from hub.query.metric_params import LabelValuesParams, SeriesListParams
from hub.query.metric_selector import Selector, read_selector
from hub.query.metric_sources import encode_labels
from hub.query.named_points import named_points
from hub.query.params import read_range
from hub.query.probe import Probe
from hub.query.scan import ChunkReader, Held, Limits, Tally, clamp_time, open_chunk
from hub.query.times import NS_PER_S
from shared.errors import BadInput
from shared.otlp_points import MetricPoint
from shared.records import Signal

SERIES_SEEN_MAX = 50_000
"""About 50 MB; more are not counted, and the answer says that it is not complete."""

RANGE_SECONDS_DEFAULT = 3600


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """Which series are asked for; `label` is that of label.values."""

    start_ns: int
    end_ns: int
    name: str | None
    nodes: frozenset[str] | None
    selector: Selector
    limit: int
    label: str = ""


class SeriesKey(NamedTuple):
    """What tells one series from another; `labels` are its attributes as sorted JSON."""

    name: str
    node: str
    labels: bytes
    kind: str
    unit: str
    temporality: int
    monotonic: bool


@dataclass(slots=True)
class Census:
    """The series that were seen, with the times of their first and last reading in the range."""

    query: SeriesQuery
    tally: Tally
    edges_ns: dict[SeriesKey, tuple[int, int]] = field(default_factory=dict)
    complete: bool = True

    def add(self, key: SeriesKey, first_ns: int, last_ns: int) -> None:
        """Note that a series was seen."""
        held = self.edges_ns.get(key)
        if held is not None:
            self.edges_ns[key] = min(held[0], first_ns), max(held[1], last_ns)
        elif len(self.edges_ns) < SERIES_SEEN_MAX:
            self.edges_ns[key] = first_ns, last_ns
        else:
            self.complete = False

    def answer(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """The first items up to the limit, and whether these are all."""
        limit = self.query.limit
        complete = self.complete and len(items) <= limit
        return {
            "items": items[:limit],
            "scanned": {**self.tally.to_wire(), "complete": complete},
        }


def series_query(
    asked: SeriesListParams | LabelValuesParams, now_ns: int, label: str
) -> SeriesQuery:
    """What parameters ask for; raises RpcError invalid_params."""
    earliest_ns = max(0, now_ns - RANGE_SECONDS_DEFAULT * NS_PER_S)
    start_ns, end_ns = read_range(asked, now_ns, earliest_ns)
    nodes = None if asked.nodes is None else frozenset(asked.nodes)
    selector = read_selector(asked.attributes)
    return SeriesQuery(start_ns, end_ns, asked.name, nodes, selector, asked.limit, label)


def take_census(
    reader: ChunkReader, query: SeriesQuery, limits: Limits, index: MetricIndexes | None
) -> Census:
    """The census of the range; an index that cannot be read is done without."""
    try:
        census = Census(query, Tally(limits))
        files = index.files(query.start_ns, query.end_ns) if index is not None else ()
        days = {day.day: day for day in files}
        for day in days.values():
            _add_indexed(census, day)
        _add_chunks(census, reader, days)
    except BadInput:
        if index is None:
            raise
        return take_census(reader, query, limits, None)
    return census


def _add_indexed(census: Census, day: DayIndex) -> None:
    query = census.query
    for series in day.series(query.name, query.nodes, query.start_ns, query.end_ns):
        if query.selector.fits(series.attributes, series.resource):
            key = _key(series, series.node)
            for first_ns, last_ns in _edges(day, series.id, query.start_ns, query.end_ns):
                census.add(key, first_ns, last_ns)


def _edges(
    day: DayIndex, series_id: int, start_ns: int, end_ns: int, level: int = 0
) -> Iterator[tuple[int, int]]:
    """First and last times of rows in the range; a row across its edge is looked at more closely."""
    width_ns = RESOLUTIONS_NS[level]
    for row in day.rollups(series_id, width_ns, start_ns, end_ns):
        first_ns, last_ns = max(row.first_ns, start_ns), min(row.last_ns, end_ns - 1)
        if first_ns > last_ns:
            continue
        is_cut = (first_ns, last_ns) != (row.first_ns, row.last_ns)
        if is_cut and level + 1 < len(RESOLUTIONS_NS):
            yield from _edges(day, series_id, first_ns, last_ns + 1, level + 1)
        else:
            yield first_ns, last_ns


def _add_chunks(census: Census, reader: ChunkReader, days: Mapping[int, DayIndex]) -> None:
    """Add what no index covers, from the newest chunks back until the limits are spent."""
    query, tally = census.query, census.tally
    held_chunks = reader.find(
        signals={Signal.METRICS},
        nodes=query.nodes,
        start_ns=query.start_ns,
        end_ns=query.end_ns,
        may_hold=fresh_chunks(days) if days else None,
    )
    for held in held_chunks:
        if tally.is_spent:
            census.complete = False
            return
        try:
            _add_chunk(census, reader, held)
        except BadInput:
            tally.unreadable += 1  # The others are still worth naming; the answer says so.


def _add_chunk(census: Census, reader: ChunkReader, held: Held) -> None:
    query = census.query
    encoding, body = open_chunk(reader, held, census.tally)
    if query.name is not None and not Probe((query.name,)).may_hold(encoding, body):
        return
    for point in named_points(encoding, body, query.name):
        census.tally.rows += 1
        time_ns = clamp_time(held.header, point.time_ns)
        if point.value is None and point.count is None:
            continue
        is_in_range = query.start_ns <= time_ns < query.end_ns
        if is_in_range and query.selector.fits(point.attributes, point.resource):
            census.add(_key(point, held.header.origin), time_ns, time_ns)


def _key(found: MetricPoint | IndexedSeries, node: str) -> SeriesKey:
    return SeriesKey(
        found.name,
        node,
        encode_labels(found.attributes, found.resource),
        found.kind,
        found.unit,
        found.temporality,
        found.monotonic,
    )
