"""metric.query: buckets, counters with resets, deltas, histograms."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.query.buckets import Grid, Series, watched_ns
from hub.query.metric_names import list_metric_names, read_metric_names_query
from hub.query.metrics import default_step_ns, query_metric, read_metric_query
from hub.query.scan import Limits
from shared.errors import RpcError
from shared.records import Signal
from tests.examples import examples
from tests.unit.query.stock import (
    BASE_S,
    NOW_NS,
    ListReader,
    S,
    at,
    counter,
    gauge,
    histogram,
    metrics,
)

Point = tuple[float, float | None]


def ask(reader: ListReader, **params: Any) -> dict[str, Any]:
    """Buckets of 10 s over one minute from BASE_S unless asked otherwise."""
    asked = {"name": "m", "start": BASE_S, "end": BASE_S + 60, "step": 10, **params}
    return query_metric(reader, read_metric_query(asked, NOW_NS))


def line(answer: dict[str, Any]) -> list[float | None]:
    """The values of the only series."""
    (series,) = answer["series"]
    return [value if value is None else round(value, 6) for _, value in series["points"]]


def holding(*all_metrics: Any, node: str = "edge-1", **resource: Any) -> ListReader:
    reader = ListReader()
    for metric in all_metrics:
        reader.put(Signal.METRICS, metrics([metric], resource), node)
    return reader


@pytest.mark.parametrize(
    ("aggregation", "values"),
    [
        (None, [2.0, None, 5.0, None, None, None]),
        ("avg", [2.0, None, 5.0, None, None, None]),
        ("min", [1, None, 5, None, None, None]),
        ("max", [3, None, 5, None, None, None]),
        ("sum", [6, None, 5, None, None, None]),
        ("count", [3, None, 1, None, None, None]),
        ("last", [2, None, 5, None, None, None]),
    ],
)
def test_readings_fall_into_buckets(aggregation: str | None, values: list[float | None]) -> None:
    reader = holding(gauge("m", [(9.9, 2), (0, 1), (5, 3), (20, 5), (60, 100), (-1, 100)]))
    answer = ask(reader, **({"aggregation": aggregation} if aggregation else {}))
    assert line(answer) == values
    assert answer["aggregation"] == aggregation or aggregation is None
    assert [point[0] for point in answer["series"][0]["points"]] == [
        BASE_S + offset for offset in range(0, 60, 10)
    ]
    assert (answer["name"], answer["unit"], answer["kind"], answer["step_s"]) == (
        "m", "1", "gauge", 10,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("why", "readings", "values"),
    [
        ("steady", [(0, 0), (10, 20), (20, 40)], [2, 2, None, None, None, None]),
        ("seldom read", [(0, 0), (40, 80)], [2, 2, 2, 2, None, None]),
        ("often read", [(t, t * 3) for t in range(0, 61, 2)], [3] * 6),
        ("between the edges", [(5, 0), (15, 10), (25, 30)], [1, 1.5, 2, None, None, None]),
        ("a reading before the range", [(-10, 0), (10, 40)], [2, None, None, None, None, None]),
        ("the first reading tells nothing", [(5, 1000)], None),
        ("smaller means it began again", [(0, 100), (10, 110), (20, 5)], [1, 0.5] + [None] * 4),
        ("a twin reading adds nothing", [(0, 0), (10, 20), (10, 20)], [2] + [None] * 5),
        (
            "a new start time counts from zero from there",
            [(0, 100, -100), (10, 110, -100), (20, 8, 16)],
            [1, 2, None, None, None, None],
        ),
        (
            "a new start time counts from zero even when the value is larger",
            [(0, 1, -100), (10, 2, -100), (20, 50, 10)],
            [0.1, 5, None, None, None, None],
        ),
        (
            "an unknown beginning: start equals the first reading",
            [(0, 1000, 0), (10, 1010, 0)],
            [1, None, None, None, None, None],
        ),
        (
            "two processes count beside each other",
            [(0, 10, -100), (0, 900, -200), (10, 20, -100), (10, 910, -200)],
            [2, None, None, None, None, None],
        ),
    ],
)
def test_rate_of_a_counter(why: str, readings: Any, values: list[float | None] | None) -> None:
    answer = ask(holding(counter("m", readings)))
    assert answer["series"] == [] if values is None else line(answer) == values, why


def test_a_counter_that_was_silent_too_long_tells_nothing_about_the_gap() -> None:
    reader = holding(counter("m", [(0, 0), (10, 10), (1000, 5000), (1010, 5010)]))
    values = line(ask(reader, end=BASE_S + 1020))
    assert values[0] == values[100] == 1
    assert set(values[1:100]) == {None}


@pytest.mark.parametrize(
    ("readings", "asked", "values"),
    [
        ([(10, 20, 0), (20, 40, 10)], {}, [2, 4, None, None, None, None]),
        ([(15, 30, 5)], {}, [3, 3, None, None, None, None]),
        ([(15, 30)], {}, [None, 3, None, None, None, None]),
        ([(5, 20, 0), (20, 40, 10)], {"aggregation": "sum"}, [20, None, 40, None, None, None]),
    ],
)
def test_deltas(readings: Any, asked: Any, values: list[float | None]) -> None:
    assert line(ask(holding(counter("m", readings, delta=True)), **asked)) == values


@pytest.mark.parametrize(
    ("metric", "aggregation"),
    [
        (gauge("m", [(1, 1)]), "avg"),
        (counter("m", [(1, 1)]), "rate"),
        (counter("m", [(1, 1)], delta=True), "rate"),
        (counter("m", [(1, 1)], monotonic=False), "avg"),
        (counter("m", [(1, 1)], monotonic=False, delta=True), "sum"),
        (histogram("m", [(1, 1, 1, 0)]), "avg"),
    ],
)
def test_the_default_aggregation_is_told(metric: Any, aggregation: str) -> None:
    assert ask(holding(metric))["aggregation"] == aggregation


@pytest.mark.parametrize(
    ("aggregation", "values"),
    [("avg", [0.5, 2.0]), ("rate", [1.0, 0.5]), ("count", [10.0, 5.0]), ("sum", [5.0, 10.0])],
)
@pytest.mark.parametrize("delta", [False, True])
def test_histograms_are_read_by_the_growth_of_count_and_sum(
    aggregation: str, values: list[float], delta: bool
) -> None:
    if delta:
        metric = histogram("m", [(10, 10, 5.0, 0), (20, 5, 10.0, 10)], delta=True)
    else:
        metric = histogram("m", [(0, 90, 45.0, 0), (10, 100, 50.0, 0), (20, 105, 60.0, 0)])
    assert line(ask(holding(metric), aggregation=aggregation))[:2] == values


@pytest.mark.parametrize(
    ("metric", "aggregation", "has"),
    [
        (gauge("m", [(1, 1)]), "rate", "avg, min, max, sum, count, last"),
        (counter("m", [(1, 1)], monotonic=False), "rate", "avg, min, max"),
        (histogram("m", [(1, 1, 1, 0)]), "max", "avg, rate, count, sum"),
    ],
)
def test_an_aggregation_that_the_kind_does_not_have_is_refused(
    metric: Any, aggregation: str, has: str
) -> None:
    with pytest.raises(RpcError, match=has) as refusal:
        ask(holding(metric), aggregation=aggregation)
    assert refusal.value.kind == "not_supported"


def test_series_are_split_by_node_attributes_and_service() -> None:
    reader = ListReader()
    for node, service, cpu in [("edge-2", "a", 0), ("edge-1", "b", 0), ("edge-1", "a", 1)]:
        request = metrics([gauge("m", [(1, 1)], cpu=cpu)], {"service.name": service, "os": "x"})
        reader.put(Signal.METRICS, request, node)
    series = ask(reader)["series"]
    assert [(one["node"], one["attributes"]) for one in series] == [
        ("edge-1", {"cpu": 0, "service.name": "b"}),
        ("edge-1", {"cpu": 1, "service.name": "a"}),
        ("edge-2", {"cpu": 0, "service.name": "a"}),
    ]
    assert len(ask(reader, nodes=["edge-1"])["series"]) == 2
    assert len(ask(reader, attributes={"cpu": "0", "service.name": "b"})["series"]) == 1


@settings(max_examples=examples(100), deadline=None)
@given(
    growth=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 50)), min_size=1, max_size=30),
    cut=st.integers(1, 7),
    order=st.randoms(use_true_random=False),
    step=st.sampled_from([1, 7, 10, 60]),
    encoding=st.sampled_from(["proto", "json"]),
)
def test_the_increases_of_all_buckets_are_the_increase_of_the_counter(
    growth: list[tuple[int, int]], cut: int, order: Any, step: int, encoding: str
) -> None:
    """However the readings are cut into chunks, in whatever order those lie, at any step."""
    readings, seconds, value = [(0.0, 5.0)], 0, 5
    for more_seconds, more in growth:
        seconds, value = seconds + more_seconds, value + more
        readings.append((seconds, value))
    order.shuffle(readings)
    reader = ListReader()
    for start in range(0, len(readings), cut):
        request = metrics([counter("m", readings[start : start + cut])])
        reader.put(Signal.METRICS, request, encoding=encoding)
    answer = ask(reader, end=BASE_S + seconds + 1, step=step)
    total = 0.0
    for time_s, rate in answer["series"][0]["points"]:
        watched_s = min(time_s + step, BASE_S + seconds) - max(time_s, BASE_S)
        total += (rate or 0) * watched_s
    assert total == pytest.approx(value - 5)


def test_overlapping_spans_count_once() -> None:
    assert watched_ns([[0, 10], [5, 8], [20, 30], [9, 12]]) == 22
    assert watched_ns([]) == 0


def test_lives_of_a_broken_counter_are_bounded() -> None:
    series = Series(Grid(0, 10**12, 10**10), 10**12, 0)
    for life in range(1000):
        series.add_cumulative(10**9 + life, 10**6 + life, 1, 0)
    assert len(series.streams) == 64


@pytest.mark.parametrize(
    ("range_s", "step_s"),
    [(60, 10), (900, 10), (3600, 20), (86_400, 600), (604_800, 3600), (315_360_000, 1_641_600)],
)
def test_the_default_step_is_round_and_gives_at_most_200_points(range_s: int, step_s: int) -> None:
    assert default_step_ns(range_s * S) == step_s * S
    assert range_s / step_s <= 200


def test_too_many_series_are_refused() -> None:
    reader = holding(*(gauge("m", [(1, 1)], id=number) for number in range(1001)))
    with pytest.raises(RpcError, match="more than 1000 series") as refusal:
        ask(reader)
    assert refusal.value.kind == "quota"


def test_more_data_than_one_answer_may_read_is_refused_rather_than_halved() -> None:
    reader = holding(*(gauge("m", [(second, 1)]) for second in range(5)))
    query = read_metric_query({"name": "m", "start": BASE_S, "end": BASE_S + 60}, NOW_NS)
    with pytest.raises(RpcError, match="narrow the time range"):
        query_metric(reader, query, Limits(chunks_max=3, hard_factor=1))


def test_other_metrics_and_damaged_chunks_do_not_disturb() -> None:
    reader = holding(gauge("other", [(1, 7)]), gauge("m", [(1, 1)]), gauge("mm", [(1, 9)]))
    reader.put_body(Signal.METRICS, b"damaged", time_min_ns=at(1), time_max_ns=at(1))
    answer = ask(reader)
    assert line(answer)[0] == 1
    assert answer["scanned"] == {"chunks": 3, "records": 3, "unreadable_chunks": 1}


def test_an_unknown_metric_is_an_answer_without_series() -> None:
    answer = ask(ListReader(), name="absent", aggregation="max")
    assert (answer["series"], answer["unit"], answer["aggregation"]) == ([], "", "max")


def test_numbers_that_are_not_finite_are_left_out() -> None:
    nan = float("nan")
    assert line(ask(holding(gauge("m", [(1, nan), (2, 4), (11, nan)]))))[:2] == [4, None]
    assert line(ask(holding(gauge("m", [(1, 1e308), (2, 1e308)])), aggregation="sum"))[0] is None


def test_names_tell_unit_kind_and_nodes() -> None:
    reader = ListReader()
    reader.put(Signal.METRICS, metrics([gauge("a", [(1, 1)]), counter("b", [(1, 1)])]), "edge-2")
    reader.put(Signal.METRICS, metrics([gauge("a", [(2, 1)])]), "edge-1", "json")
    reader.put_body(Signal.METRICS, b"damaged", time_min_ns=at(1), time_max_ns=at(1))
    asked = {"start": BASE_S, "end": BASE_S + 60}
    answer = list_metric_names(reader, read_metric_names_query(asked, NOW_NS))
    assert answer == {
        "items": [
            {"name": "a", "unit": "1", "kind": "gauge", "nodes": ["edge-1", "edge-2"]},
            {"name": "b", "unit": "By", "kind": "sum", "nodes": ["edge-2"]},
        ],
        "scanned": {"chunks": 2, "records": 3, "unreadable_chunks": 1, "complete": True},
    }
    some = list_metric_names(reader, read_metric_names_query(asked, NOW_NS), Limits(chunks_max=1))
    assert some["scanned"]["complete"] is False
