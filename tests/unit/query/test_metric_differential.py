"""The same questions by index, by scan and by a naive model: the answers are the same."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from hub.query.metric_query import MetricQuery
from hub.query.metrics import query_metric, read_metric_query
from hub.query.picks import DAY_MS
from shared.records import Signal
from tests.unit.query.metric_stock import indexed, receive_on
from tests.unit.query.stock import BASE_S, NOW_NS, ListReader, S, at, key_values, metrics

LEVELS = ("avg", "min", "max", "sum", "count", "last")
AGGREGATIONS = {
    "gauge": LEVELS,
    "counter": (*LEVELS, "rate", "increase"),
    "delta": ("sum", "rate", "increase"),
    "histogram": ("avg", "rate", "count", "sum", "increase"),
    "delta histogram": ("avg", "rate", "count", "sum", "increase"),
}


@dataclass(frozen=True)
class Reading:
    """One point of one series, as the model sees it."""

    node: str
    cpu: int
    time_ns: int
    start_ns: int
    value: float
    amount: float


def seconds_of(luck: Random, span_s: float) -> list[float]:
    """Regular as a host sends, or as it comes; with holes."""
    if luck.random() < 0.5:
        every, jitter = luck.choice([5, 10, 30, 60]), luck.choice([0, 0, 0.7])
        times = [every * n + luck.random() * jitter for n in range(int(span_s / every))]
    else:
        times = sorted({round(luck.uniform(0, span_s), 3) for _ in range(luck.randint(1, 120))})
    if luck.random() < 0.4:
        hole = luck.uniform(0, span_s)
        times = [time for time in times if not hole < time < hole + luck.choice([60, 700])]
    return times


def series_of(luck: Random, kind: str, node: str, cpu: int, span_s: float) -> list[Reading]:
    readings: list[Reading] = []
    value, amount, before_s, start_s = 0.0, 0.0, -7.0, luck.choice([None, -7.0, 3.0])
    is_delta = kind.startswith("delta")
    for time_s in seconds_of(luck, span_s):
        more, more_amount = luck.randint(0, 20), luck.random() * 5
        if kind == "gauge":
            value = luck.uniform(-50, 50)
        elif is_delta:
            value, amount = more, more_amount
        elif luck.random() < 0.03:  # It begins again, and may know it.
            start_s = None if start_s is None else time_s - luck.choice([0.0, 0.001, 2.0])
            value, amount = more, more_amount
        else:
            value, amount = value + more, amount + more_amount
        since_s = start_s
        if is_delta:
            since_s = luck.choice([before_s] * 30 + [before_s + 0.001, None])
        start_ns = 0 if since_s is None else at(since_s)
        readings.append(Reading(node, cpu, at(time_s), start_ns, value, amount))
        before_s = time_s
    return readings


def metric_of(kind: str, readings: list[Reading]) -> Metric:
    metric = Metric(name="m", unit="1")
    is_delta = kind.startswith("delta")
    if kind == "gauge":
        data: Any = metric.gauge
    elif "histogram" in kind:
        data = metric.histogram
    else:
        data = metric.sum
        data.is_monotonic = True
    if kind != "gauge":
        data.aggregation_temporality = 1 if is_delta else 2
    for reading in readings:
        point = data.data_points.add(attributes=key_values({"cpu": reading.cpu}))
        point.time_unix_nano, point.start_time_unix_nano = reading.time_ns, reading.start_ns
        if "histogram" in kind:
            point.count, point.sum = int(reading.value), reading.amount
        else:
            point.as_double = reading.value
    return metric


def chunks_of(luck: Random, kind: str, all_series: list[list[Reading]]) -> ListReader:
    """The readings cut into chunks, which arrive in any order, on two days, and sometimes twice."""
    pieces = []
    for readings in all_series:
        rest = list(readings)
        while rest:
            cut = luck.choice([1, 1, 2, 6, 40])
            pieces.append(rest[:cut])
            rest = rest[cut:]
    if luck.random() < 0.7:
        luck.shuffle(pieces)
    if pieces and luck.random() < 0.3:
        pieces.append(luck.choice(pieces))
    reader = ListReader()
    for piece in pieces:
        request = metrics([metric_of(kind, piece)], {"service.name": "s"})
        held = reader.put(Signal.METRICS, request, piece[0].node, luck.choice(["proto", "json"]))
        if luck.random() < 0.2:
            receive_on(reader, held, held.received_ms + DAY_MS)
    return reader


Interval = tuple[float, float, float, float]
"""since, until, events, amount."""


def intervals_of(query: MetricQuery, kind: str, readings: list[Reading]) -> list[Interval]:
    """The increases that the readings tell of, and between which times they came."""
    found: list[Interval] = []
    lives: dict[int, Reading] = {}
    for new in sorted(readings, key=lambda reading: reading.time_ns):
        if kind.startswith("delta"):
            is_known = 0 < new.start_ns < new.time_ns
            is_near = is_known and new.time_ns - new.start_ns <= query.gap_ns_max
            since = new.start_ns if is_near else new.time_ns
            found.append((since, new.time_ns, new.value, new.amount))
            continue
        old = lives.get(new.start_ns)
        if old is None:
            old = replace(new, time_ns=new.start_ns, value=0.0, amount=0.0)
            if new.start_ns < query.read_from_ns:
                old = new
        if new.value < old.value:
            old = replace(old, value=0.0, amount=0.0)
        if old.time_ns < new.time_ns <= old.time_ns + query.gap_ns_max:
            increase = new.value - old.value, new.amount - old.amount
            found.append((old.time_ns, new.time_ns, *increase))
        lives[new.start_ns] = new
    return found


def increases(
    query: MetricQuery, intervals: list[Interval], low: int, high: int
) -> tuple[float, float, float] | None:
    """Events, amount and watched seconds in [low, high); None when nothing is known."""
    events = amount = 0.0
    spans, seen = [], False
    for since, until, more, more_amount in intervals:
        if since == until:
            if low <= since < high:
                events, amount, seen = events + more, amount + more_amount, True
            continue
        overlap = min(until, high) - max(since, low)
        if overlap > 0:
            share = overlap / (until - since)
            events, amount, seen = events + more * share, amount + more_amount * share, True
            spans.append((max(since, low), min(until, high)))
    if not seen:
        return None
    edges = sorted({edge for span in spans for edge in span})
    watched = sum(
        right - left
        for left, right in pairwise(edges)
        if any(low <= left and right <= high for low, high in spans)
    )
    return events, amount, (watched or query.grid.step_ns) / S


def level(aggregation: str, readings: list[Reading]) -> float | None:
    values = [reading.value for reading in readings]
    if not values:
        return None
    if aggregation == "last":
        return max((reading.time_ns, reading.value) for reading in readings)[1]
    if aggregation == "avg":
        return sum(values) / len(values)
    if aggregation == "count":
        return len(values)
    return {"min": min(values), "max": max(values), "sum": sum(values)}[aggregation]


def increase_of(
    query: MetricQuery, kind: str, intervals: list[Interval], low: int, high: int
) -> float | None:
    aggregation = query.aggregation
    known = increases(query, intervals, low, high)
    if known is None:
        return None
    events, amount, watched = known
    if aggregation == "rate":
        return events / watched
    if aggregation == "sum":
        return amount
    return (amount / events if events > 0 else None) if aggregation == "avg" else events


def model(query: MetricQuery, kind: str, all_readings: list[Reading]) -> dict[Any, Any]:
    """The values of each series that has any, by node and cpu."""
    grid, answer = query.grid, {}
    inside = [one for one in all_readings if query.read_from_ns <= one.time_ns < grid.end_ns]
    for key in sorted({(one.node, one.cpu) for one in inside}):
        readings = [one for one in inside if (one.node, one.cpu) == key]
        intervals = intervals_of(query, kind, readings)
        values = []
        for index in range(grid.count):
            step = grid.first_ns + index * grid.step_ns
            low, high = max(step, grid.start_ns), min(step + grid.step_ns, grid.end_ns)
            if "histogram" in kind or query.aggregation in ("rate", "increase"):
                near = [one for one in intervals if one[0] < high and one[1] >= low]
                values.append(increase_of(query, kind, near, low, high))
            else:
                near_readings = [one for one in readings if low <= one.time_ns < high]
                values.append(level(query.aggregation or "", near_readings))
        answer[key] = values
    return answer


def told(answer: dict[str, Any]) -> dict[Any, Any]:
    return {
        (one["node"], one["attributes"]["cpu"]): [value for _, value in one["points"]]
        for one in answer["series"]
    }


def check_same(one: dict[Any, Any], other: dict[Any, Any]) -> None:
    """Series without any value may be told or not; all others are the same in both."""
    for key in one.keys() | other.keys():
        mine, theirs = one.get(key, []), other.get(key, [])
        if any(value is not None for value in (*mine, *theirs)):
            assert known(mine) == pytest.approx(known(theirs), rel=1e-9, abs=1e-6), key


def known(values: list[float | None]) -> dict[int, float]:
    """The values by their steps."""
    return {step: value for step, value in enumerate(values) if value is not None}


def question(luck: Random, kind: str, span_s: float) -> MetricQuery:
    start = luck.choice([0, 30, 3600, luck.uniform(-20, span_s)])
    length = luck.choice([60, 600, 3600, luck.uniform(1, span_s)])
    return read_metric_query(
        {
            "name": "m",
            "start": (BASE_S // 3600 + 1) * 3600 - 3600 + start
            if luck.random() < 0.5
            else BASE_S + start,
            "end": BASE_S + start + length + 7200
            if luck.random() < 0.2
            else BASE_S + 3700 + span_s,
            "step": luck.choice([7, 10, 15, 60, 60, 120, 600, 3600]),
            "aggregation": luck.choice(AGGREGATIONS[kind]),
        },
        NOW_NS,
    )


@pytest.mark.parametrize("kind", AGGREGATIONS)
@pytest.mark.parametrize("seed", range(8))
def test_index_scan_and_model_give_the_same_answer(kind: str, seed: int) -> None:
    """Whatever the series, the cut into chunks, their order, and how many are indexed."""
    luck = Random(f"{kind} {seed}")
    span_s = luck.choice([100, 1000, 5000])
    owners = [(node, cpu) for node in ("edge-1", "edge-2") for cpu in range(luck.randint(0, 2))]
    all_series = [series_of(luck, kind, node, cpu, span_s) for node, cpu in owners]
    reader = chunks_of(luck, kind, all_series)
    readings = [reading for held in all_series for reading in held]
    is_single = sum(len(held) for held in all_series) == sum(
        held.header.records for held in reader.chunks
    )
    until = luck.choice([len(reader.chunks), luck.randint(0, len(reader.chunks))])
    with TemporaryDirectory() as folder, indexed(reader, Path(folder), until) as days:
        for _ in range(6):
            query = question(luck, kind, span_s)
            scanned = query_metric(reader, query)
            answer = query_metric(reader, query, index=days)
            days.close()
            check_same(told(answer), told(scanned))
            assert (answer["kind"], answer["unit"]) == (scanned["kind"], scanned["unit"])
            if is_single:
                check_same(told(scanned), model(query, kind, readings))
