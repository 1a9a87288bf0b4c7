"""The rows of an answer from the index: coarse ones where they say all, finer ones and chunks else.

A row says all when its readings lie in one bucket of the answer and, where increases are asked for,
when it is exact and nothing else of its stream falls between its readings. Points of chunks that no
index covers are rows of one reading, and take part like all others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hub.index.metric_points import row_of
from hub.index.rollup import RESOLUTIONS_NS, Rollup
from hub.query.metric_chart import QUANTILE, Chart
from hub.query.metric_clarity import Need, need_of, resolutions, unclear_buckets
from hub.query.metric_index import DayIndex, chunks_with, fresh_chunks
from hub.query.metric_query import MetricQuery
from hub.query.metric_scan import chunk_points, find_chunks
from hub.query.metric_sources import Source, source_of_point, source_of_series
from hub.query.metric_windows import Windows, is_within, meets, united, windows_of
from hub.query.scan import ChunkReader, MayHold, Tally
from shared.errors import RpcError

FRESH_POINTS_MAX = 200_000
"""About 60 MB. When more is not indexed yet, reading chunks in order takes less memory."""


@dataclass(slots=True)
class Stream:
    """One stream of points: where the indexes have it, and what no index has yet."""

    source: Source
    parts: list[tuple[DayIndex, int]] = field(default_factory=list)
    fresh: list[Rollup] = field(default_factory=list)
    rows: list[Rollup] = field(default_factory=list)
    unclear: Windows = field(default_factory=list)
    """Where only chunks can tell."""


Streams = dict[Source, Stream]


def fill_from_index(
    chart: Chart, reader: ChunkReader, days: Mapping[int, DayIndex], tally: Tally
) -> bool:
    """Fill the chart; False, with the chart as it was, when the chunks must be read instead.

    Raises RpcError not_supported or quota, BadInput when an index cannot be read.
    """
    query = chart.query
    streams = _indexed_streams(query, days)
    if not _add_fresh(streams, reader, query, days, tally):
        return False
    if query.aggregation == QUANTILE and not all(source.is_number for source in streams):
        return False
    aggregation = query.aggregation or _default_aggregation(query, streams.values())
    for stream in streams.values():
        _fill_stream(stream, query, need_of(stream.source, aggregation), tally)
    _read_unclear(streams, reader, query, days, tally)
    _begin(chart, streams.values())
    for rows in _by_line(streams.values()):
        for row, source in rows:
            chart.add_row(source, row)
    return True


def _indexed_streams(query: MetricQuery, days: Mapping[int, DayIndex]) -> Streams:
    streams: Streams = {}
    asked = query.name, query.nodes, query.read_from_ns, query.grid.end_ns
    for day in days.values():
        for series in day.series(*asked):
            if query.selector.fits(series.attributes, series.resource):
                source = source_of_series(series)
                streams.setdefault(source, Stream(source)).parts.append((day, series.id))
    return streams


def _add_fresh(
    streams: Streams,
    reader: ChunkReader,
    query: MetricQuery,
    days: Mapping[int, DayIndex],
    tally: Tally,
) -> bool:
    """Read what no index covers; False when that is too much to hold."""
    points = 0
    for held in find_chunks(reader, query, fresh_chunks(days)):
        for time_ns, node, point in chunk_points(reader, held, query, tally):
            row = row_of(time_ns, point)
            if row is not None:
                source = source_of_point(node, point)
                streams.setdefault(source, Stream(source)).fresh.append(row)
                points += 1
        if points > FRESH_POINTS_MAX:
            return False
    return True


def _default_aggregation(query: MetricQuery, streams: Iterable[Stream]) -> str:
    """That of the first point, as the scan has it; found only where sources differ."""
    wanted = {stream.source.default_aggregation for stream in streams}
    if len(wanted) == 1:
        return wanted.pop()
    firsts = [
        (first, stream.source)
        for stream in streams
        if (first := _first_ns(stream, query)) is not None
    ]
    return min(firsts)[1].default_aggregation if firsts else "avg"


def _first_ns(stream: Stream, query: MetricQuery) -> int | None:
    rows = _rows_in(stream, [(query.read_from_ns, query.grid.end_ns)], RESOLUTIONS_NS[-1])
    return next((row.first_ns for row in rows if row.first_ns >= query.read_from_ns), None)


def _fill_stream(stream: Stream, query: MetricQuery, need: Need, tally: Tally) -> None:
    stream.unclear = [(query.read_from_ns, query.grid.end_ns)]
    for width_ns in resolutions(query, need):
        if not stream.unclear:
            return
        rows = _rows_in(stream, stream.unclear, width_ns)
        _count_rows(tally, len(rows))
        unclear = unclear_buckets(rows, width_ns, query, need, stream.source.growth)
        read_from_ns, end_ns = query.read_from_ns, query.grid.end_ns
        stream.rows.extend(
            row
            for row in rows
            if row.first_ns // width_ns not in unclear and read_from_ns <= row.first_ns < end_ns
        )
        stream.unclear = windows_of(unclear, width_ns)


def _rows_in(stream: Stream, windows: Windows, width_ns: int) -> list[Rollup]:
    rows = [
        row
        for day, series_id in stream.parts
        for start_ns, end_ns in windows
        for row in day.rollups(series_id, width_ns, start_ns, end_ns)
    ]
    if stream.fresh or len(stream.parts) > 1:
        rows.extend(row for row in stream.fresh if is_within(windows, row.first_ns))
        rows.sort(key=lambda row: row.first_ns)
    return rows


def _read_unclear(
    streams: Streams,
    reader: ChunkReader,
    query: MetricQuery,
    days: Mapping[int, DayIndex],
    tally: Tally,
) -> None:
    """Read from the chunks what rows cannot tell."""
    for stream in streams.values():
        stream.rows.extend(row for row in stream.fresh if is_within(stream.unclear, row.first_ns))
    union = united(stream.unclear for stream in streams.values())
    if not union:
        return
    for held in find_chunks(reader, query, _covered_with(days, query.name)):
        if not meets(union, held.header.time_min_ns, held.header.time_max_ns):
            continue
        for time_ns, node, point in chunk_points(reader, held, query, tally):
            known, row = streams.get(source_of_point(node, point)), row_of(time_ns, point)
            if known is not None and row is not None and is_within(known.unclear, time_ns):
                known.rows.append(row)


def _covered_with(days: Mapping[int, DayIndex], name: str) -> MayHold:
    is_fresh, may_hold = fresh_chunks(days), chunks_with(days, name)
    return lambda *chunk: not is_fresh(*chunk) and may_hold(*chunk)


def _begin(chart: Chart, streams: Iterable[Stream]) -> None:
    firsts = [
        (min(row.first_ns for row in each.rows), each.source) for each in streams if each.rows
    ]
    if firsts:
        chart.begin(min(firsts)[1])


def _by_line(streams: Iterable[Stream]) -> Iterable[list[tuple[Rollup, Source]]]:
    """All rows of one line of the chart, in order of time."""
    lines: dict[tuple[str, bytes], list[tuple[Rollup, Source]]] = {}
    for stream in streams:
        source = stream.source
        rows = lines.setdefault((source.node, source.labels), [])
        rows.extend((row, source) for row in stream.rows)
    for rows in lines.values():
        rows.sort(key=lambda found: found[0].first_ns)
        yield rows


def _count_rows(tally: Tally, rows: int) -> None:
    tally.rows += rows
    if tally.is_spent:
        raise RpcError(
            "quota",
            "this question needs more reading than one answer may do: "
            "narrow the time range, name fewer nodes, or take a longer step",
            tally.to_wire(),
        )
