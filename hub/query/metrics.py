"""metric.query: points of a time range in buckets, from the index and from the chunks.

Every answer is whole: a question that needs more reading than one answer may do is refused, because
half a sum looks like a sum. What is indexed is taken from rollups, everything else from the chunks,
with the same result.
"""

from collections.abc import Mapping
from typing import Any

from hub.index.metric_points import row_of
from hub.query.buckets import Grid
from hub.query.metric_chart import QUANTILE, Chart
from hub.query.metric_groups import combination_of, seconds, series_items
from hub.query.metric_index import DayIndex, MetricIndexes, chunks_with
from hub.query.metric_params import MetricParams
from hub.query.metric_query import Grouping, MetricQuery
from hub.query.metric_scan import points_in_order
from hub.query.metric_selector import read_selector
from hub.query.metric_sources import source_of_point
from hub.query.metric_streams import fill_from_index
from hub.query.params import read_params, read_range
from hub.query.scan import WHOLE_LIMITS, ChunkReader, Limits, Tally
from hub.query.times import NS_PER_S, parse_duration
from shared.errors import BadInput, RpcError

POINTS_PER_SERIES_MAX = 11_000  # What Prometheus allows, and more than a screen has columns.
STEP_SECONDS_MIN = 1
RANGE_SECONDS_DEFAULT = 3600

_STEPS_S = (10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
_STEPS_MAX = 200
_DAY_S = 86_400
_SHAPES = ("histogram", "exponential_histogram")


def read_metric_query(params: dict[str, Any], now_ns: int) -> MetricQuery:
    """Check the parameters; raises RpcError invalid_params."""
    asked = read_params(params, MetricParams)
    aggregation = _aggregation(asked)
    return MetricQuery(
        asked.name,
        _grid(asked, now_ns),
        None if asked.nodes is None else frozenset(asked.nodes),
        read_selector(asked.attributes),
        aggregation,
        asked.quantile,
        _grouping(asked),
    )


def default_step_ns(range_ns: int, points_max: int = _STEPS_MAX) -> int:
    """A round step that gives at most that many points, but never under the 10 s of host metrics."""
    wanted_s = -(-range_ns // (points_max * NS_PER_S))
    days = -(-wanted_s // _DAY_S) * _DAY_S
    return next((step for step in _STEPS_S if step >= wanted_s), days) * NS_PER_S


def query_metric(
    reader: ChunkReader,
    query: MetricQuery,
    limits: Limits = WHOLE_LIMITS,
    index: MetricIndexes | None = None,
) -> dict[str, Any]:
    """The series of a metric; raises RpcError not_supported for an aggregation that its kind does
    not have, and quota when the answer would be too large.

    An index that cannot be read is done without.
    """
    days: dict[int, DayIndex] = {}
    try:
        if index is not None:
            files = index.files(query.read_from_ns, query.grid.end_ns)
            days = {day.day: day for day in files}
        return _answer(reader, query, limits, days)
    except BadInput:
        if index is None:
            raise
        return _answer(reader, query, limits, {})


def _aggregation(asked: MetricParams) -> str | None:
    """Naming a quantile asks for it."""
    if asked.quantile is None:
        if asked.aggregation == QUANTILE:
            raise _invalid("quantile", "say which one, from 0 to 1")
        return asked.aggregation
    if asked.aggregation not in (None, QUANTILE):
        raise _invalid("quantile", f"it does not go with the aggregation {asked.aggregation}")
    return QUANTILE


def _grid(asked: MetricParams, now_ns: int) -> Grid:
    earliest_ns = max(0, now_ns - RANGE_SECONDS_DEFAULT * NS_PER_S)
    start_ns, end_ns = read_range(asked, now_ns, earliest_ns, now_ns)
    range_ns = end_ns - start_ns
    wanted = asked.step
    step_ns = default_step_ns(range_ns) if wanted is None else parse_duration(wanted, "step")
    if step_ns < STEP_SECONDS_MIN * NS_PER_S:
        raise _invalid("step", "at least 1 second")
    grid = Grid(start_ns, end_ns, step_ns)
    if grid.count > POINTS_PER_SERIES_MAX:
        # One point less: a range that begins within a step touches one step more.
        fits_s = default_step_ns(range_ns, POINTS_PER_SERIES_MAX - 1) // NS_PER_S
        raise _invalid(
            "step",
            f"this gives {grid.count} points, the limit is {POINTS_PER_SERIES_MAX}; "
            f"a step of {fits_s} s or more fits this range",
        )
    return grid


def _grouping(asked: MetricParams) -> Grouping | None:
    if asked.group_by is None and asked.group is None:
        return None
    return Grouping(tuple(dict.fromkeys(asked.group_by or ())), asked.group)


def _answer(
    reader: ChunkReader, query: MetricQuery, limits: Limits, days: Mapping[int, DayIndex]
) -> dict[str, Any]:
    tally, chart = Tally(limits), Chart(query)
    if not (days and fill_from_index(chart, reader, days, tally)):
        tally, chart = Tally(limits), Chart(query)
        _fill_from_chunks(chart, reader, days, tally)
    aggregation = chart.aggregation or query.aggregation
    answer = {
        "name": query.name,
        "unit": chart.unit,
        "kind": chart.kind,
        "aggregation": aggregation,
        "step_s": seconds(query.grid.step_ns),
        "series": series_items(chart),
        "scanned": tally.to_wire(),
    }
    if query.quantile is not None:
        answer["quantile"] = query.quantile
    if query.grouping is not None:
        answer["group"] = combination_of(query.grouping, aggregation or "")
    return answer


def _fill_from_chunks(
    chart: Chart, reader: ChunkReader, days: Mapping[int, DayIndex], tally: Tally
) -> None:
    query = chart.query
    may_hold = chunks_with(days, query.name) if days else None
    for time_ns, node, point in points_in_order(reader, query, tally, may_hold):
        row = row_of(time_ns, point)
        if row is None:
            continue  # It says on purpose that there is no value.
        source = source_of_point(node, point)
        if query.quantile is not None and point.kind in _SHAPES:
            chart.add_shape(source, time_ns, point)
        else:
            chart.add_row(source, row)


def _invalid(parameter: str, why: str) -> RpcError:
    return RpcError("invalid_params", f"{parameter}: {why}", {"parameter": parameter})
