"""Questions about metrics of a hub with indexes, of one without, and of a naive model."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.query.metrics import read_metric_query
from shared.records import Signal
from tests.law.answer_draws import DAYS, damage, laws, states_of, ways
from tests.law.answer_world import Arriving, world
from tests.unit.query import test_metric_differential as metric_model
from tests.unit.query.stock import BASE_S, NOW_NS, metrics

metric_worlds = st.tuples(
    st.sampled_from(list(metric_model.AGGREGATIONS)),
    st.integers(0, 2**32),
    states_of(Signal.METRICS),
    damage,
    ways,
)
METRIC_CHUNKS_MAX = 60


def metric_arrivals(luck: Random, kind: str) -> tuple[list[metric_model.Reading], list[Arriving]]:
    """Some series, cut into chunks that come in any order and on any day."""
    span_s = luck.choice([100, 1000, 5000])
    owners = [(node, cpu) for node in ("edge-1", "edge-2") for cpu in range(luck.randint(0, 2))]
    drawn = [metric_model.series_of(luck, kind, node, cpu, span_s) for node, cpu in owners]
    pieces = [piece for series in drawn for piece in pieces_of(luck, series)]
    luck.shuffle(pieces)
    kept = pieces[:METRIC_CHUNKS_MAX]
    arriving = [
        Arriving(
            Signal.METRICS,
            metrics([metric_model.metric_of(kind, piece)], {"service.name": "s"}),
            piece[0].node,
            luck.choice(["proto", "json"]),
            luck.randrange(DAYS),
        )
        for piece in kept
    ]
    return [reading for piece in kept for reading in piece], arriving


def pieces_of(luck: Random, series: list[metric_model.Reading]) -> list[list[metric_model.Reading]]:
    pieces, rest = [], list(series)
    while rest:
        cut = luck.choice([1, 2, 6, 40, 40])
        pieces.append(rest[:cut])
        rest = rest[cut:]
    return pieces


def metric_params(luck: Random, kind: str) -> dict[str, Any]:
    start = luck.choice([0, 30, luck.uniform(-20, 1000)])
    return {
        "name": "m",
        "start": BASE_S + start,
        "end": BASE_S + start + luck.choice([60, 600, 3600, 9000]),
        "step": luck.choice([7, 10, 15, 60, 600, 3600]),
        "aggregation": luck.choice(metric_model.AGGREGATIONS[kind]),
    }


@laws
@given(metric_worlds)
def test_points_of_metrics_are_those_of_the_model(described: Any) -> None:
    kind, seed, *rest = described
    luck = Random(seed)
    readings, arriving = metric_arrivals(luck, kind)
    with world(arriving, *rest) as stored:
        for _ in range(4):
            params = metric_params(luck, kind)
            query = read_metric_query(params, NOW_NS)
            expected = metric_model.model(query, kind, readings)
            for answer in stored.each("metric.query", params):
                metric_model.check_same(metric_model.told(answer), expected)


@laws
@given(metric_worlds, st.sampled_from([None, ["edge-1"], ["edge-2", "edge-3"]]))
def test_series_and_names_and_labels_of_metrics_are_those_of_the_model(
    described: Any, nodes: list[str] | None
) -> None:
    kind, seed, *rest = described
    readings, arriving = metric_arrivals(Random(seed), kind)
    params: dict[str, Any] = {"start": BASE_S - 3600, "end": BASE_S + 7200}
    if nodes is not None:
        params["nodes"] = nodes
    wanted = [each for each in readings if nodes is None or each.node in nodes]
    series = sorted({(each.node, each.cpu) for each in wanted})
    with world(arriving, *rest) as stored:
        for answer in stored.each("series.list", params):
            told = {(each["node"], each["attributes"]["cpu"]) for each in answer["items"]}
            assert sorted(told) == series
        for answer in stored.each("metric.names", params):
            told_names = [(each["name"], each["nodes"]) for each in answer["items"]]
            assert told_names == ([("m", sorted({node for node, _ in series}))] if series else [])
        for answer in stored.each("label.values", {**params, "signal": "metrics", "label": "cpu"}):
            cpus = {each["value"] for each in answer["items"]}
            assert cpus == {str(cpu) for _, cpu in series}
