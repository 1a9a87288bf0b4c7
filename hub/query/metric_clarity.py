"""When rows of the index say all that a question needs.

A row says all when its readings lie in one bucket of the answer and, where increases are asked for,
when it is exact and nothing else of its stream falls between its readings.
"""

from collections.abc import Iterable, Sequence
from enum import Enum

from hub.index.rollup import RESOLUTIONS_NS, Growth, Rollup
from hub.query.buckets import LEVELS
from hub.query.metric_chart import QUANTILE
from hub.query.metric_query import MetricQuery
from hub.query.metric_sources import Source


class Need(Enum):
    """What must be known of readings."""

    LEVELS = 1
    READINGS = 2
    INCREASES = 3


def need_of(source: Source, aggregation: str) -> Need:
    """What the aggregation must know of the readings of a source."""
    if aggregation == QUANTILE:
        return Need.READINGS
    return Need.LEVELS if source.is_number and aggregation in LEVELS else Need.INCREASES


def resolutions(query: MetricQuery, need: Need) -> Sequence[int]:
    """The widths to try, the widest first. A row of the finest is often a single reading, which fits
    any step."""
    *coarse, finest = RESOLUTIONS_NS
    if need is Need.READINGS:
        return [finest]
    return [*(width for width in coarse if query.grid.step_ns % width == 0), finest]


def unclear_buckets(
    rows: list[Rollup], width_ns: int, query: MetricQuery, need: Need, growth: Growth
) -> set[int]:
    """The buckets whose rows do not say all; rows of one stream come by their first time."""
    unclear = {
        row.first_ns // width_ns
        for row in rows
        if row.readings > 1 and not _says_all(row, query, need)
    }
    if need is Need.INCREASES and growth is Growth.CUMULATIVE:
        unclear.update(_overlaps(rows, width_ns))
    return unclear


def _says_all(row: Rollup, query: MetricQuery, need: Need) -> bool:
    if need is Need.READINGS or (need is Need.INCREASES and not row.exact):
        return False
    return _cell(query, row.first_ns) == _cell(query, row.last_ns)


def _overlaps(rows: list[Rollup], width_ns: int) -> Iterable[int]:
    """Buckets of rows that overlap in time with another one; rows come by their first time."""
    if not rows:
        return
    latest = rows[0]
    for row in rows[1:]:
        if row.first_ns <= latest.last_ns and (row.readings > 1 or latest.readings > 1):
            yield row.first_ns // width_ns
            yield latest.first_ns // width_ns
        if row.last_ns >= latest.last_ns:
            latest = row


_BEFORE, _AHEAD, _AFTER = -3, -2, -1


def _cell(query: MetricQuery, time_ns: int) -> int:
    """The bucket of the answer, or which side of the range."""
    grid = query.grid
    if grid.start_ns <= time_ns < grid.end_ns:
        return (time_ns - grid.first_ns) // grid.step_ns
    if time_ns >= grid.end_ns:
        return _AFTER
    return _BEFORE if time_ns < query.read_from_ns else _AHEAD
