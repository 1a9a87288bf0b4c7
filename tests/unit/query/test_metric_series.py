"""series.list, label.values and metric.names, with and without an index."""

from pathlib import Path

import pytest

from hub.query.metric_names import list_metric_names, read_metric_names_query
from hub.query.scan import Limits
from hub.query.series_list import list_series, read_series_query
from hub.query.series_values import list_metric_label_values, read_metric_label_query
from shared.records import Signal
from tests.unit.query.metric_asking import RANGE, fleet_reader
from tests.unit.query.metric_stock import indexed
from tests.unit.query.stock import NOW_NS, ListReader, counter, gauge, metrics


@pytest.fixture
def fleet() -> ListReader:
    """Two nodes with three processors each."""
    return fleet_reader()


def test_series_are_listed_with_their_times(fleet: ListReader, tmp_path: Path) -> None:
    """By index, by scan, and where only some chunks are indexed."""
    query = read_series_query({"name": "m", "nodes": ["edge-1"], **RANGE}, NOW_NS)
    scanned = list_series(fleet, query)
    assert [one["attributes"]["cpu"] for one in scanned["items"]] == [0, 0, 1]
    assert scanned["items"][1] == {
        "name": "m",
        "node": "edge-1",
        "attributes": {"cpu": 0, "mode": "user", "service.name": "s"},
        "kind": "gauge",
        "unit": "1",
        "temporality": None,
        "monotonic": False,
        "first": "2027-01-15T05:13:21Z",
        "last": "2027-01-15T05:13:31Z",
    }
    assert scanned["scanned"]["complete"]
    for until in (2, 6):
        (tmp_path / str(until)).mkdir()
        with indexed(fleet, tmp_path / str(until), until) as days:
            assert list_series(fleet, query, index=days)["items"] == scanned["items"]


def test_series_outside_of_the_range_are_not_listed(tmp_path: Path) -> None:
    reader = ListReader()
    readings = [(-20, 1), (-10, 2), (30, 3), (70, 4)]
    reader.put(Signal.METRICS, metrics([gauge("m", readings), gauge("n", [(-1, 1), (60, 1)])]))
    query = read_series_query(RANGE, NOW_NS)
    with indexed(reader, tmp_path) as days:
        for index in (None, days):
            (one,) = list_series(reader, query, index=index)["items"]
            assert (one["name"], one["first"], one["last"]) == (
                "m", "2027-01-15T05:13:50Z", "2027-01-15T05:13:50Z",
            )  # fmt: skip


@pytest.mark.parametrize(
    ("label", "items"),
    [
        ("mode", [("system", 2), ("user", 4)]),
        ("cpu", [("0", 4), ("1", 2)]),
        ("node", [("edge-1", 3), ("edge-2", 3)]),
        ("service.name", [("s", 6)]),
        ("absent", []),
    ],
)
def test_label_values_are_counted(
    fleet: ListReader, label: str, items: list[tuple[str, int]], tmp_path: Path
) -> None:
    query = read_metric_label_query({"label": label, **RANGE}, NOW_NS)
    with indexed(fleet, tmp_path, until=3) as days:
        for index in (None, days):
            answer = list_metric_label_values(fleet, query, index=index)
            assert [(one["value"], one["series"]) for one in answer["items"]] == items


def test_lists_end_at_their_limit_and_say_so(fleet: ListReader) -> None:
    asked = {"limit": 2, **RANGE}
    answer = list_series(fleet, read_series_query(asked, NOW_NS))
    assert (len(answer["items"]), answer["scanned"]["complete"]) == (2, False)
    spent = list_series(fleet, read_series_query(RANGE, NOW_NS), Limits(chunks_max=1))
    assert spent["scanned"]["complete"] is False
    labels = read_metric_label_query({"label": "mode", "limit": 1, **RANGE}, NOW_NS)
    assert list_metric_label_values(fleet, labels)["scanned"]["complete"] is False


def test_names_come_from_the_index_and_from_newer_chunks(tmp_path: Path) -> None:
    reader = ListReader()
    reader.put(Signal.METRICS, metrics([gauge("a", [(1, 1)]), counter("b", [(1, 1)])]), "edge-2")
    reader.put(Signal.METRICS, metrics([gauge("a", [(2, 1)])]), "edge-1")
    query = read_metric_names_query(RANGE, NOW_NS)
    with indexed(reader, tmp_path, until=1) as days:
        answer = list_metric_names(reader, query, index=days)
    assert answer["items"] == list_metric_names(reader, query)["items"]
    assert answer["scanned"]["chunks"] == 1
