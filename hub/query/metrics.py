"""metric.query and metric.names: points of a time range in buckets, straight from the chunks.

Every answer is whole: a question that needs more reading than one answer may do is refused, because
half a sum looks like a sum.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import isfinite
from typing import Any

import msgspec

from hub.query.buckets import COUNTERS, DISTRIBUTIONS, LEVELS, Grid, Series
from hub.query.match import attributes_match
from hub.query.named_points import named_points
from hub.query.params import MetricParams, read_params, read_range
from hub.query.probe import Probe
from hub.query.scan import WHOLE_LIMITS, ChunkReader, Held, Limits, Tally, clamp_time, open_chunk
from hub.query.times import NS_PER_S, parse_duration
from shared.errors import BadInput, RpcError
from shared.otlp_points import MetricPoint
from shared.records import Signal

SERIES_MAX = 1000
POINTS_PER_SERIES_MAX = 11_000  # What Prometheus allows, and more than a screen has columns.
POINTS_MAX = 1_000_000  # About 25 MB of JSON.
STEP_SECONDS_MIN = 1
RANGE_SECONDS_DEFAULT = 3600
GAP_SECONDS_MIN = 300  # A counter that is silent for longer tells nothing about the time between.
LOOKBACK_SECONDS_MAX = 3600

_STEPS_S = (10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
_STEPS_MAX = 200
_DAY_S = 86_400
_DELTA = 1
_SERVICE_KEYS = ("service.namespace", "service.name", "service.instance.id")


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """One question about one metric."""

    name: str
    grid: Grid
    nodes: frozenset[str] | None
    attributes: dict[str, Any]
    aggregation: str | None

    @property
    def gap_ns_max(self) -> int:
        """Two readings further apart than this do not make an increase."""
        return max(GAP_SECONDS_MIN * NS_PER_S, 2 * self.grid.step_ns)

    @property
    def read_from_ns(self) -> int:
        """Where reading begins: the first bucket needs the reading before it."""
        lookback_ns = min(self.gap_ns_max, LOOKBACK_SECONDS_MAX * NS_PER_S)
        return max(0, self.grid.start_ns - lookback_ns)


@dataclass(slots=True)
class Chart:
    """The series of an answer while it grows. The first point fixes unit and aggregation."""

    query: MetricQuery
    unit: str = ""
    kind: str | None = None
    aggregation: str = ""
    series: dict[tuple[str, str, bytes], tuple[dict[str, Any], Series]] = field(
        default_factory=dict
    )

    def add(self, node: str, time_ns: int, point: MetricPoint) -> None:
        """Take the next point in order of time; raises RpcError not_supported or quota."""
        if self.kind is None:
            self.kind, self.unit = point.kind, point.unit
            self.aggregation = self.query.aggregation or default_aggregation(point)
        family = _family(point, self.aggregation, node)
        series = self._series(node, family, point)
        if point.value is not None and family == "level":
            series.add_level(time_ns, point.value)
        elif family != "level":
            _add_increase(series, time_ns, point)

    def _series(self, node: str, family: str, point: MetricPoint) -> Series:
        services = {k: point.resource[k] for k in _SERVICE_KEYS if k in point.resource}
        attributes = {**services, **point.attributes}
        key = (node, family, msgspec.json.encode(attributes, order="sorted"))
        held = self.series.get(key)
        if held is None:
            if len(self.series) >= SERIES_MAX:
                raise _too_much(f"more than {SERIES_MAX} series")
            query = self.query
            held = attributes, Series(query.grid, query.gap_ns_max, query.read_from_ns)
            self.series[key] = held
        return held[1]


def read_metric_query(params: dict[str, Any], now_ns: int) -> MetricQuery:
    """Check the parameters; raises RpcError invalid_params."""
    asked = read_params(params, MetricParams)
    start_ns, end_ns = read_range(
        asked, now_ns, max(0, now_ns - RANGE_SECONDS_DEFAULT * NS_PER_S), now_ns
    )
    step_ns = (
        default_step_ns(end_ns - start_ns)
        if asked.step is None
        else parse_duration(asked.step, "step")
    )
    if step_ns < STEP_SECONDS_MIN * NS_PER_S:
        raise RpcError("invalid_params", "step: at least 1 second", {"parameter": "step"})
    grid = Grid(start_ns, end_ns, step_ns)
    if grid.count > POINTS_PER_SERIES_MAX:
        raise RpcError(
            "invalid_params",
            f"step: this gives {grid.count} points, the limit is {POINTS_PER_SERIES_MAX}; "
            "take a longer step or a shorter range",
            {"parameter": "step"},
        )
    nodes = None if asked.nodes is None else frozenset(asked.nodes)
    return MetricQuery(asked.name, grid, nodes, asked.attributes, asked.aggregation)


def default_step_ns(range_ns: int) -> int:
    """A round step that gives at most 200 points, but never under the 10 s of host metrics."""
    wanted_s = -(-range_ns // (_STEPS_MAX * NS_PER_S))
    days = -(-wanted_s // _DAY_S) * _DAY_S
    return next((step for step in _STEPS_S if step >= wanted_s), days) * NS_PER_S


def default_aggregation(point: MetricPoint) -> str:
    """What people mean when they only name the metric."""
    if point.kind == "sum" and point.monotonic:
        return "rate"
    return "sum" if point.kind == "sum" and point.temporality == _DELTA else "avg"


def query_metric(
    reader: ChunkReader, query: MetricQuery, limits: Limits = WHOLE_LIMITS
) -> dict[str, Any]:
    """The series of a metric; raises RpcError not_supported for an aggregation that its kind does
    not
    have, and quota when the answer would be too large."""
    tally = Tally(limits)
    chart = Chart(query)
    for time_ns, node, point in _points_in_order(reader, query, tally):
        chart.add(node, time_ns, point)
    return {
        "name": query.name,
        "unit": chart.unit,
        "kind": chart.kind,
        "aggregation": chart.aggregation or query.aggregation,
        "step_s": _seconds(query.grid.step_ns),
        "series": _series_items(chart),
        "scanned": tally.to_wire(),
    }


def _points_in_order(
    reader: ChunkReader, query: MetricQuery, tally: Tally
) -> Iterator[tuple[int, str, MetricPoint]]:
    """All points by time. Points wait until no unread chunk can hold an earlier one."""
    waiting: list[tuple[int, int, str, MetricPoint]] = []
    ticket = count()
    held_chunks = reader.find(
        signals={Signal.METRICS},
        nodes=query.nodes,
        start_ns=query.read_from_ns,
        end_ns=query.grid.end_ns,
        newest_first=False,
    )
    for held in held_chunks:
        while waiting and waiting[0][0] < held.header.time_min_ns:
            time_ns, _, node, point = heappop(waiting)
            yield time_ns, node, point
        for time_ns, point in _chunk_points(reader, held, query, tally):
            heappush(waiting, (time_ns, next(ticket), held.header.origin, point))
    while waiting:
        time_ns, _, node, point = heappop(waiting)
        yield time_ns, node, point


def _chunk_points(
    reader: ChunkReader, held: Held, query: MetricQuery, tally: Tally
) -> Iterator[tuple[int, MetricPoint]]:
    try:
        encoding, body = open_chunk(reader, held, tally)
        if not Probe((query.name,)).may_hold(encoding, body):
            return
        for point in named_points(encoding, body, query.name):
            tally.rows += 1
            time_ns = clamp_time(held.header, point.time_ns)
            if not query.read_from_ns <= time_ns < query.grid.end_ns:
                continue
            if attributes_match(query.attributes, point.attributes, point.resource):
                yield time_ns, point
    except BadInput:
        tally.unreadable += 1  # One damaged chunk must not hide the others; the answer says so.


def _family(point: MetricPoint, aggregation: str, node: str) -> str:
    """How the aggregation reads a point of this kind; raises RpcError not_supported."""
    if point.kind not in ("gauge", "sum"):
        family, known = "distribution", tuple(DISTRIBUTIONS)
    elif aggregation in COUNTERS:
        counts = point.kind == "sum" and (point.monotonic or point.temporality == _DELTA)
        family, known = "counter", tuple(COUNTERS) if counts else tuple(LEVELS)
    else:
        family, known = "level", tuple(LEVELS)
    if aggregation not in known:
        raise RpcError(
            "not_supported",
            f"aggregation: {point.name} is a {point.kind} on {node}, which has no {aggregation}; "
            f"it has {', '.join(known)}",
            {"parameter": "aggregation", "known": list(known)},
        )
    return family


def _add_increase(series: Series, time_ns: int, point: MetricPoint) -> None:
    if point.kind == "sum":
        events, amount = point.value, 0.0
    else:
        events, amount = point.count, point.sum or 0.0
    if events is None:
        return
    if point.temporality == _DELTA:
        series.add_delta(time_ns, point.start_ns, events, amount)
    else:
        series.add_cumulative(time_ns, point.start_ns, events, amount)


_READINGS = {"level": LEVELS, "counter": COUNTERS, "distribution": DISTRIBUTIONS}


def _series_items(chart: Chart) -> list[dict[str, Any]]:
    shown = [(key, held) for key, held in sorted(chart.series.items()) if held[1].buckets]
    if len(shown) * chart.query.grid.count > POINTS_MAX:
        raise _too_much(f"more than {POINTS_MAX} points")
    return [
        {"node": node, "attributes": attributes, "points": _points(chart, family, series)}
        for (node, family, _), (attributes, series) in shown
    ]


def _points(chart: Chart, family: str, series: Series) -> list[list[float | None]]:
    grid, read = chart.query.grid, _READINGS[family][chart.aggregation]
    points: list[list[float | None]] = []
    for index in range(grid.count):
        bucket = series.buckets.get(index)
        value = None if bucket is None else read(bucket, grid.step_ns)
        if value is not None and not isfinite(value):
            value = None  # A sum of huge numbers; JSON has no infinity.
        points.append([_seconds(grid.first_ns + index * grid.step_ns), value])
    return points


def _seconds(time_ns: int) -> float:
    return time_ns // NS_PER_S if time_ns % NS_PER_S == 0 else time_ns / NS_PER_S


def _too_much(what: str) -> RpcError:
    return RpcError(
        "quota",
        f"the answer would have {what}: name nodes or attributes, or take a longer step",
    )
