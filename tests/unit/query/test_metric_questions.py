"""metric.query by selectors and groups, and with indexes that fail."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from hub.query.metric_names import list_metric_names, read_metric_names_query
from hub.query.metrics import read_metric_query
from hub.query.scan import Limits
from hub.query.series_list import list_series, read_series_query
from shared.errors import RpcError
from shared.records import Signal
from tests.unit.query.metric_asking import RANGE, ask, fleet_reader, values
from tests.unit.query.metric_stock import indexed
from tests.unit.query.stock import NOW_NS, ListReader, at, counter, gauge, metrics


@pytest.fixture
def fleet() -> ListReader:
    """Two nodes with three processors each."""
    return fleet_reader()


@pytest.mark.parametrize(
    ("attributes", "series"),
    [
        ({"cpu": 0}, 4),
        ({"cpu": "!=0"}, 2),
        ({"mode": "us*"}, 4),
        ({"mode": "!=us*"}, 2),
        ({"mode": ["system", "nice"]}, 2),
        ({"mode": ["sys*", "user"], "cpu": [0, 7]}, 4),
        ({"mode": "=us*"}, 0),
        ({"absent": "!=1"}, 6),
        ({"absent": "*"}, 0),
        ({"os": "x", "service.name": "s"}, 6),
        ({"os": "!=x"}, 0),
    ],
)
def test_attributes_select_series(
    fleet: ListReader, attributes: dict[str, Any], series: int, tmp_path: Path
) -> None:
    assert len(ask(fleet, attributes=attributes)["series"]) == series
    with indexed(fleet, tmp_path) as days:
        assert len(ask(fleet, days, attributes=attributes)["series"]) == series


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"group_by": ["node"], "group": "sum"},
            {"edge-1": [324, 648], "edge-2": [624, 1248]},
        ),
        ({"group_by": ["node"]}, {"edge-1": [108, 216], "edge-2": [208, 416]}),
        ({"group_by": ["mode"], "group": "max"}, {"user": [214, 428], "system": [206, 412]}),
        ({"group_by": ["cpu"], "group": "min"}, {"0": [104, 208], "1": [114, 228]}),
        ({"group_by": ["cpu"], "group": "count"}, {"0": [4, 4], "1": [2, 2]}),
        (
            {"group_by": ["node", "cpu"], "group": "count"},
            {"edge-1 0": [2, 2], "edge-1 1": [1, 1], "edge-2 0": [2, 2], "edge-2 1": [1, 1]},
        ),
        ({"group_by": ["service.name"], "group": "avg"}, {"s": [158, 316]}),
        ({"group": "count"}, {"": [6, 6]}),
        ({"group_by": ["absent"], "aggregation": "count"}, {"": [6, 6]}),
    ],
)
def test_groups_combine_their_series_step_by_step(
    fleet: ListReader, asked: dict[str, Any], told: dict[str, Any], tmp_path: Path
) -> None:
    assert values(ask(fleet, **asked)) == told
    with indexed(fleet, tmp_path) as days:
        assert values(ask(fleet, days, **asked)) == told


def test_a_group_has_no_value_where_none_of_its_series_has_one() -> None:
    reader = ListReader()
    for cpu, second in [(0, 1), (1, 21)]:
        reader.put(Signal.METRICS, metrics([gauge("m", [(second, 5)], cpu=cpu)]))
    (group,) = ask(reader, group="sum")["series"]
    assert [value for _, value in group["points"]] == [5, None, 5, None, None, None]
    assert group["series"] == 2
    assert ask(reader, group="sum")["group"] == "sum"


def test_increase_is_what_was_counted_in_each_step(tmp_path: Path) -> None:
    reader = ListReader()
    reader.put(Signal.METRICS, metrics([counter("m", [(0, 5), (10, 25), (20, 30), (30, 7)])]))
    with indexed(reader, tmp_path) as days:
        for index in (None, days):
            (line,) = ask(reader, index, aggregation="increase")["series"]
            assert [value for _, value in line["points"]] == [20, 5, 7, None, None, None]


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"aggregation": "quantile"}, "^quantile: say which one"),
        ({"aggregation": "avg", "quantile": 0.5}, "^quantile: it does not go with"),
        ({"quantile": 1.5}, "^quantile: "),
        ({"group": "median"}, "^group: "),
        ({"attributes": {"a": ["x", "!=y"]}}, "^attributes: a has `!=` in a list"),
        ({"attributes": {"a": []}}, "^attributes: "),
        ({"start": "-520w", "step": 60}, "a step of 43200 s or more fits"),
        ({"start": 10, "end": 5}, "^start: it must be earlier"),
    ],
)
def test_questions_that_make_no_sense_are_refused(params: dict[str, Any], why: str) -> None:
    with pytest.raises(RpcError, match=why) as refusal:
        read_metric_query({"name": "m", **params}, NOW_NS)
    assert refusal.value.kind == "invalid_params"


@pytest.mark.parametrize("back", ["-520w", "-1234567s", "-110001s", "-31d"])
def test_the_step_that_is_advised_is_taken(back: str) -> None:
    with pytest.raises(RpcError) as refusal:
        read_metric_query({"name": "m", "start": back, "step": 1}, NOW_NS)
    advised = str(refusal.value).split("a step of ")[1].split(" s")[0]
    read_metric_query({"name": "m", "start": back, "step": int(advised)}, NOW_NS)


def test_an_indexed_chunk_is_not_read_for_what_rows_tell(fleet: ListReader, tmp_path: Path) -> None:
    with indexed(fleet, tmp_path) as days:
        assert ask(fleet, days)["scanned"] == {"chunks": 0, "records": 0}
        assert fleet.bodies_read == 0


def test_only_chunks_that_name_the_metric_are_read_where_rows_do_not_tell(tmp_path: Path) -> None:
    """Three readings in 10 seconds are one row, which cannot be cut at 5 seconds."""
    reader = ListReader()
    for name in ("m", "n", "o"):
        reader.put(Signal.METRICS, metrics([gauge(name, [(1, 1), (4, 2), (8, 6)])]))
    with indexed(reader, tmp_path) as days:
        answer = ask(reader, days, step=5)
    assert values(answer) == {"edge-1": [1.5, 6]}
    assert answer["scanned"]["chunks"] == 1


def test_a_damaged_chunk_is_told_with_and_without_an_index(tmp_path: Path) -> None:
    reader = ListReader()
    reader.put(Signal.METRICS, metrics([gauge("m", [(1, 1)])]))
    reader.put_body(Signal.METRICS, b"damaged", time_min_ns=at(1), time_max_ns=at(1))
    with indexed(reader, tmp_path) as days:
        for index in (None, days):
            answer = ask(reader, index)
            assert values(answer) == {"edge-1": [1, None]}
            assert answer["scanned"]["unreadable_chunks"] == 1


@pytest.mark.parametrize("table", ["rollup_10", "metric", "series", "name_in_set", "rollup_3600"])
def test_answers_come_from_the_chunks_when_the_index_is_broken(
    fleet: ListReader, table: str, tmp_path: Path
) -> None:
    with indexed(fleet, tmp_path) as days:
        for path in tmp_path.glob("*.db"):
            connection = sqlite3.connect(path)
            connection.execute(f"DROP TABLE {table}")
            connection.close()
        assert values(ask(fleet, days, step=3)) == values(ask(fleet, step=3))
        days.close()
        names = read_metric_names_query(RANGE, NOW_NS)
        assert list_metric_names(fleet, names, index=days)["items"]
        days.close()
        query = read_series_query(RANGE, NOW_NS)
        assert len(list_series(fleet, query, index=days)["items"]) == 6


def test_more_rows_than_one_answer_may_read_are_refused(fleet: ListReader, tmp_path: Path) -> None:
    with indexed(fleet, tmp_path) as days, pytest.raises(RpcError, match="more reading") as refusal:
        ask(fleet, days, Limits(rows_max=3, hard_factor=1))
    assert refusal.value.kind == "quota"


def test_the_first_point_decides_where_metrics_of_two_kinds_share_a_name(tmp_path: Path) -> None:
    reader = ListReader()
    reader.put(Signal.METRICS, metrics([gauge("m", [(9, 4)])]), "edge-2")
    reader.put(Signal.METRICS, metrics([counter("m", [(1, 3)], monotonic=False)]), "edge-1")
    with indexed(reader, tmp_path) as days:
        for index in (None, days):
            answer = ask(reader, index)
            assert (answer["kind"], answer["unit"], answer["aggregation"]) == ("sum", "By", "avg")
