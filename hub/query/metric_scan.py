"""The points of one metric straight from the chunks, in order of time."""

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import count

from hub.query.metric_query import MetricQuery
from hub.query.named_points import named_points
from hub.query.probe import Probe
from hub.query.scan import ChunkReader, Held, MayHold, Tally, clamp_time, open_chunk
from shared.errors import BadInput
from shared.otlp_points import MetricPoint
from shared.records import Signal

Found = tuple[int, str, MetricPoint]
"""A point with its time and node."""


def points_in_order(
    reader: ChunkReader, query: MetricQuery, tally: Tally, may_hold: MayHold | None
) -> Iterator[Found]:
    """All points by time. Points wait until no unread chunk can hold an earlier one."""
    waiting: list[tuple[int, int, str, MetricPoint]] = []
    ticket = count()
    for held in find_chunks(reader, query, may_hold):
        while waiting and waiting[0][0] < held.header.time_min_ns:
            time_ns, _, node, point = heappop(waiting)
            yield time_ns, node, point
        for time_ns, node, point in chunk_points(reader, held, query, tally):
            heappush(waiting, (time_ns, next(ticket), node, point))
    while waiting:
        time_ns, _, node, point = heappop(waiting)
        yield time_ns, node, point


def find_chunks(
    reader: ChunkReader, query: MetricQuery, may_hold: MayHold | None
) -> Iterator[Held]:
    """The chunks that may hold points for the answer, by their first time."""
    return reader.find(
        signals={Signal.METRICS},
        nodes=query.nodes,
        start_ns=query.read_from_ns,
        end_ns=query.grid.end_ns,
        newest_first=False,
        may_hold=may_hold,
    )


def chunk_points(
    reader: ChunkReader, held: Held, query: MetricQuery, tally: Tally
) -> Iterator[Found]:
    """The points of a chunk that belong to the answer; one that is damaged has none."""
    try:
        encoding, body = open_chunk(reader, held, tally)
        if not Probe((query.name,)).may_hold(encoding, body):
            return
        for point in named_points(encoding, body, query.name):
            tally.rows += 1
            time_ns = clamp_time(held.header, point.time_ns)
            if not query.read_from_ns <= time_ns < query.grid.end_ns:
                continue
            if query.selector.fits(point.attributes, point.resource):
                yield time_ns, held.header.origin, point
    except BadInput:
        tally.unreadable += 1  # One damaged chunk must not hide the others; the answer says so.
