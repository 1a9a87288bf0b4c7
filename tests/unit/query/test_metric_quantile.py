"""Quantiles of readings and of histograms."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.query.metric_quantile import quantile_of, quantile_of_shape, shape_of
from shared.records import Signal
from tests.unit.query.metric_asking import ask, values
from tests.unit.query.metric_stock import indexed
from tests.unit.query.stock import ListReader, at, gauge, metrics


def test_the_quantile_of_a_gauge_is_that_of_its_readings(tmp_path: Path) -> None:
    reader = ListReader()
    reader.put(Signal.METRICS, metrics([gauge("m", [(n, n) for n in range(10)] + [(15, 7)])]))
    with indexed(reader, tmp_path) as days:
        for index in (None, days):
            answer = ask(reader, index, quantile=0.5)
            assert values(answer) == {"edge-1": [4.5, 7]}
            assert (answer["aggregation"], answer["quantile"]) == ("quantile", 0.5)


def put_histogram(
    reader: ListReader, second: float, bounds: list[float], counts: list[int], start_s: float = 0
) -> None:
    request = metrics([])
    metric = request.resource_metrics[0].scope_metrics[0].metrics.add(name="m")
    metric.histogram.aggregation_temporality = 2  # type: ignore[assignment]
    point = metric.histogram.data_points.add(
        count=sum(counts), bucket_counts=counts, explicit_bounds=bounds
    )
    point.time_unix_nano, point.start_time_unix_nano = at(second), at(start_s)
    reader.put(Signal.METRICS, request)


def test_the_quantile_of_a_histogram_is_that_of_what_came_in_each_step(tmp_path: Path) -> None:
    """What was counted before the step does not weigh; a histogram may begin again."""
    reader = ListReader()
    put_histogram(reader, 0, [1, 2, 4], [90, 0, 0, 0])
    put_histogram(reader, 10, [1, 2, 4], [90, 10, 10, 0])
    put_histogram(reader, 20, [1, 2, 4], [4, 0, 0, 0])
    put_histogram(reader, 30, [1, 2, 4], [4, 0, 0, 9])
    with indexed(reader, tmp_path, until=2) as days:
        for index in (None, days):
            (line,) = ask(reader, index, quantile=0.75)["series"]
            assert [value for _, value in line["points"]][:4] == [3, 0.75, 4, None]


@pytest.mark.parametrize(
    ("bounds", "counts", "quantile", "value"),
    [
        ([1, 2, 4], [0, 10, 10, 0], 0.0, 1),
        ([1, 2, 4], [0, 10, 10, 0], 1.0, 4),
        ([1, 2, 4], [10, 0, 0, 10], 0.9, 4),
        ([1, 2], [10, 0, 0], 0.5, 0.5),
        ([-2, 2], [10, 0, 0], 0.5, -2),
        ([], [10], 0.5, None),
        ([1, 2], [0, 0, 0], 0.5, None),
    ],
)
def test_quantiles_lie_within_buckets_as_prometheus_has_them(
    bounds: list[float], counts: list[int], quantile: float, value: float | None
) -> None:
    shape = shape_of("histogram", {"bounds": bounds, "counts": counts})
    assert shape is not None
    assert quantile_of_shape(shape, quantile) == value


@pytest.mark.parametrize(
    "buckets",
    [
        {},
        {"bounds": [1], "counts": [1]},
        {"bounds": [2, 1], "counts": [1, 1, 1]},
        {"bounds": [None], "counts": [1, 1]},
    ],
)
def test_buckets_that_do_not_fit_their_bounds_are_passed_over(buckets: dict[str, Any]) -> None:
    assert shape_of("histogram", buckets) is None


def test_exponential_buckets_become_bounds() -> None:
    """Scale 0 has the powers of two as bounds; scale 1 cuts each bucket in two."""
    side = {"offset": 1, "counts": [4, 0, 2]}
    none = {"offset": 0, "counts": []}
    base = {"zero_count": 1, "zero_threshold": 0.5, "negative": none}
    shape = shape_of("exponential_histogram", {"scale": 0, "positive": side, **base})
    assert shape == {(-0.5, 0.5): 1, (2, 4): 4, (8, 16): 2}
    assert quantile_of_shape(shape, 1.0) == 16
    finer = shape_of("exponential_histogram", {"scale": 1, "positive": side, **base})
    assert finer == {(-0.5, 0.5): 1, (2**0.5, 2): 4, (2**1.5, 4): 2}
    mirrored = {"scale": 0, "positive": none, **base, "negative": side}
    assert shape_of("exponential_histogram", mirrored) == {
        (-0.5, 0.5): 1,
        (-4, -2): 4,
        (-16, -8): 2,
    }


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.lists(st.integers(0, 2**64 - 1), max_size=5),
    st.floats(0, 1),
)
def test_no_exponential_histogram_is_too_strange(
    scale: int, offset: int, counts: list[int], quantile: float
) -> None:
    side = {"offset": offset, "counts": counts}
    buckets = {
        "scale": scale, "zero_count": 0, "zero_threshold": None, "positive": side, "negative": side,
    }  # fmt: skip
    shape = shape_of("exponential_histogram", buckets)
    assert shape is not None
    assert sum(shape.values()) == 2 * sum(counts)
    quantile_of_shape(shape, quantile)


@given(st.lists(st.integers(-100, 100), min_size=1), st.floats(0, 1))
def test_a_quantile_of_readings_lies_among_them(readings: list[int], quantile: float) -> None:
    value = quantile_of([float(reading) for reading in readings], quantile)
    assert value is not None
    assert min(readings) <= value <= max(readings)
    assert quantile_of([float(reading) for reading in readings], 0) == min(readings)
    assert quantile_of([float(reading) for reading in readings], 1) == max(readings)
