"""The slowest traces of a range, from times alone: only those that may be shown are put together."""

from hub.query.scan import Tally
from hub.query.trace_gather import Gathering
from hub.query.trace_index import BUCKET_NS, Seen, TraceDay
from hub.query.trace_summary import Summary, TraceQuery

EXTENTS_MAX = 250_000  # Times of traces held at a time, about 50 MB.
LOOKS_MAX = 20_000  # Traces put together to see whether they are wanted: under 1 s.
PARTS_MAX = 1_000_000  # About 2 s.

Extents = dict[bytes, tuple[int, int]]
"""The first start and the last end of each trace."""


def find_slowest(
    gathering: Gathering, query: TraceQuery, tally: Tally
) -> tuple[list[Summary], bool]:
    """Up to `limit` traces, longest first and then newest first, and whether all were looked at."""
    complete = _read_rest(gathering, query, tally)
    extents: Extents = {}
    for day in gathering.days:
        complete = _extend(extents, day, gathering, query) and complete
    extents.update((key, (t.start_ns, t.end_ns)) for key, t in gathering.traces.items())
    _drop_unmarked(extents, gathering, query)
    found: list[Summary] = []
    looks = 0
    for duration_ns, start_ns, trace_id in _ranked(extents):
        if not query.accepts_duration(duration_ns):
            continue
        if looks >= LOOKS_MAX:
            return found, False
        looks += 1
        trace = gathering.meet(trace_id, start_ns)
        if trace is not None and tally.is_spent and gathering.must_read_for(trace):
            return found, False
        if trace is not None and gathering.accepts(trace):
            found.append(trace)
        if len(found) == query.limit:
            break
    return found, complete


def _drop_unmarked(extents: Extents, gathering: Gathering, query: TraceQuery) -> None:
    """Leave only traces with a part that has the mark, and those that have spans in the rest."""
    mark = query.mark
    if mark is None:
        return
    bucket_ns = query.start_ns // BUCKET_NS * BUCKET_NS
    parts = (day.newest(query.end_ns, bucket_ns, mark) for day in gathering.days)
    marked = {seen.trace_id for each in parts for seen in each if seen.trace_id in extents}
    for trace_id in extents.keys() - marked - gathering.traces.keys():
        del extents[trace_id]


def _ranked(extents: Extents) -> list[tuple[int, int, bytes]]:
    """Duration, start and id of each trace, longest and then newest first."""
    ranked = [
        (max(0, end_ns - start_ns), start_ns, trace_id)
        for trace_id, (start_ns, end_ns) in extents.items()
    ]
    ranked.sort(reverse=True)
    return ranked


def _read_rest(gathering: Gathering, query: TraceQuery, tally: Tally) -> bool:
    for held in gathering.rest(query.end_ns):
        if tally.is_spent or len(gathering.traces) > EXTENTS_MAX:
            return False
        gathering.read(held)
    return True


def _extend(extents: Extents, day: TraceDay, gathering: Gathering, query: TraceQuery) -> bool:
    """Add a day; returns whether all of it was looked at."""
    bucket_ns = query.start_ns // BUCKET_NS * BUCKET_NS
    for number, seen in enumerate(day.newest(query.end_ns, bucket_ns, None)):
        if number >= PARTS_MAX or len(extents) > EXTENTS_MAX:
            return False
        if query.nodes is not None and seen.node not in query.nodes:
            continue
        if seen.start_ns < query.start_ns or seen.last_start_ns >= query.end_ns:
            gathering.meet(seen.trace_id, seen.start_ns)  # Which of its spans count, they tell.
        else:
            _widen(extents, seen)
    return True


def _widen(extents: Extents, seen: Seen) -> None:
    known = extents.get(seen.trace_id)
    extents[seen.trace_id] = (
        (seen.start_ns, seen.end_ns)
        if known is None
        else (min(known[0], seen.start_ns), max(known[1], seen.end_ns))
    )
