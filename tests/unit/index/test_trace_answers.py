"""Questions about traces get the same answers from the index, from the scan and from a model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.query import traces
from hub.query.scan import PAGE_LIMITS, Limits
from hub.query.times import parse_time
from hub.query.trace import get_trace, read_trace_get_query
from hub.query.trace_labels import read_trace_label_query, trace_label_values
from hub.query.traces import read_trace_query, search_traces
from shared.errors import RpcError
from shared.records import Signal
from tests.examples import examples
from tests.unit.index.trace_days import Days, close, make_days
from tests.unit.query.stock import NOW_NS, ListReader, at, key_values, span, spans

TINY = Limits(chunks_max=2, rows_max=12, hard_factor=10_000)
NODES = ("edge-1", "edge-2", "edge-3")
SERVICES = ("shop", "db", "")
NAMES = ("GET /", "query", "pay")


class Made(NamedTuple):
    """One span as it was made up."""

    trace: int
    start_s: int
    seconds: int
    parent: bool
    name: str
    error: bool
    color: str
    service: str
    node: str


@dataclass
class Stock:
    """All spans, and a store that has them."""

    made: list[Made]
    reader: ListReader
    index: Days


a_span = st.tuples(
    st.integers(1, 9),
    st.integers(0, 50),
    st.integers(0, 30),
    st.booleans(),
    st.sampled_from(NAMES),
    st.booleans(),
    st.sampled_from(["red", "blue", ""]),
)
a_chunk = st.tuples(
    st.lists(a_span, min_size=1, max_size=3),
    st.sampled_from(SERVICES),
    st.sampled_from(NODES),
    st.sampled_from(["proto", "json"]),
    st.integers(0, 2),
)
a_stock = st.tuples(
    st.lists(a_chunk, max_size=10), st.dictionaries(st.integers(0, 2), st.integers(0, 10))
)


def optional(values: Any) -> Any:
    return st.none() | values


a_question = st.fixed_dictionaries(
    {
        "start": optional(st.integers(10, 150)),
        "end": optional(st.integers(100, 200)),
        "nodes": optional(st.lists(st.sampled_from(NODES), min_size=1, max_size=2, unique=True)),
        "service": optional(st.sampled_from(["shop", "db", "none"])),
        "name": optional(st.sampled_from([*NAMES, "none"])),
        "attributes": optional(st.sampled_from([{"color": "red"}, {"rank": "7"}, {"x": "y"}])),
        "min_duration_ms": optional(st.integers(0, 40_000)),
        "max_duration_ms": optional(st.integers(40_000, 60_000)),
        "errors_only": optional(st.booleans()),
    }
)


@contextmanager
def stocked(described: Any) -> Iterator[Stock]:
    """Chunks over three days, of which some have an index that covers some of their chunks."""
    chunks, indexed = described
    reader, made, day_of = ListReader(), [], {}
    for number, (own, service, node, encoding, day) in enumerate(chunks):
        put = [
            Made(trace, trace * 15 + offset_s, seconds, parent, name, error, color, service, node)
            for trace, offset_s, seconds, parent, name, error, color in own
        ]
        made += put
        message = spans([_span(one, number * 10 + i) for i, one in enumerate(put)], service)
        day_of[reader.put(Signal.TRACES, message, node, encoding).arrival] = day
    index = make_days(reader, day_of, indexed)
    yield Stock(made, reader, index)
    close(index)


def _span(made: Made, number: int) -> Any:
    one = span(
        made.trace, number + 1, 99 if made.parent else 0, made.start_s, made.seconds, made.name,
        error=made.error,
    )  # fmt: skip
    one.attributes.extend(key_values({"color": made.color, "rank": made.trace}))
    return one


def in_range(made: Made, asked: dict[str, Any]) -> bool:
    return (
        asked.get("start", 0) <= made.start_s < asked.get("end", 10_000)
        and made.node in asked.get("nodes", NODES)
    )  # fmt: skip


def model_of(stock: Stock, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(id, start, duration, spans, errors, services, nodes, root name), newest first."""
    kept: dict[int, list[Made]] = {}
    for made in stock.made:
        if in_range(made, asked):
            kept.setdefault(made.trace, []).append(made)
    rows = [_row(trace, own) for trace, own in kept.items() if _is_wanted(own, asked)]
    return sorted(rows, key=lambda row: (row[1], row[0]), reverse=True)


def _row(trace: int, own: list[Made]) -> tuple[Any, ...]:
    start_s = min(made.start_s for made in own)
    root = min((made.parent, made.start_s, made.name, made.service) for made in own)
    return (
        trace,
        start_s,
        max(made.start_s + made.seconds for made in own) - start_s,
        len(own),
        sum(made.error for made in own),
        sorted({made.service for made in own} - {""}),
        sorted({made.node for made in own}),
        root[2],
    )


def _is_wanted(own: list[Made], asked: dict[str, Any]) -> bool:
    row = _row(0, own)
    wanted = asked.get("attributes", {})
    return (
        ("service" not in asked or asked["service"] in row[5])
        and ("name" not in asked or any(made.name == asked["name"] for made in own))
        and asked.get("min_duration_ms", 0) <= row[2] * 1000 <= asked.get("max_duration_ms", 1e9)
        and (not asked.get("errors_only") or row[4] > 0)
        and (not wanted or any(_has(made, wanted) for made in own))
    )


def _has(made: Made, wanted: dict[str, str]) -> bool:
    own = {"color": made.color, "rank": str(made.trace)}
    return all(own.get(key) == value for key, value in wanted.items())


def shown(items: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (
            int(item["trace_id"], 16),
            (parse_time(item["start"], 0, "start") - at(0)) // 1_000_000_000,
            item["duration_ms"] / 1000,
            item["spans"],
            item["errors"],
            item["services"],
            item["nodes"],
            item["root_name"],
        )
        for item in items
    ]


def as_params(question: dict[str, Any]) -> dict[str, Any]:
    params = {key: value for key, value in question.items() if value is not None}
    for edge in ("start", "end"):
        if edge in params:
            params[edge] = at(params[edge]) // 1_000_000_000
    return params


def asked_of(question: dict[str, Any]) -> dict[str, Any]:
    asked = {key: value for key, value in question.items() if value is not None}
    if asked.get("start", 0) >= asked.get("end", 10_000):
        del asked["end"]
    return asked


def pages(stock: Stock, params: dict[str, Any], limits: Limits, sources: list[Any]) -> list[Any]:
    """All pages together; each is asked of the next source in turn."""
    items: list[Any] = []
    asked = params
    for number in range(500):
        index = sources[number % len(sources)]
        page = search_traces(stock.reader, read_trace_query(asked, NOW_NS), limits, index)
        assert len(page["items"]) <= params["limit"]
        items += page["items"]
        if page["cursor"] is None:
            return shown(items)
        asked = {**params, "cursor": page["cursor"]}
    raise AssertionError("the pages do not end")


@settings(max_examples=examples(150), deadline=None)
@given(a_stock, a_question, st.integers(1, 4), st.sampled_from([TINY, PAGE_LIMITS]))
def test_pages_of_index_and_scan_and_both_in_turn_are_what_the_model_says(
    described: Any, question: dict[str, Any], limit: int, limits: Limits
) -> None:
    """A hub with an index and one without can serve the pages of one question in turn."""
    asked = asked_of(question)
    params = {**as_params(asked), "limit": limit}
    with stocked(described) as stock, patch.object(traces, "SETTLE_EVERY_ROWS", 1):
        expected = model_of(stock, asked)
        assert pages(stock, params, limits, [None]) == expected
        assert pages(stock, params, limits, [stock.index]) == expected
        assert pages(stock, params, limits, [stock.index, None]) == expected


@settings(max_examples=examples(100), deadline=None)
@given(a_stock, a_question, st.integers(1, 4))
def test_the_slowest_are_what_the_model_says(
    described: Any, question: dict[str, Any], limit: int
) -> None:
    """Longest first; of equally long ones the newest."""
    asked = asked_of(question)
    params = {**as_params(asked), "limit": limit, "order": "slowest"}
    with stocked(described) as stock:
        expected = sorted(model_of(stock, asked), key=lambda row: row[2], reverse=True)[:limit]
        for index in (None, stock.index):
            query = read_trace_query(params, NOW_NS)
            answer = search_traces(stock.reader, query, index=index)
            assert shown(answer["items"]) == expected
            assert answer["cursor"] is None
            assert answer["scanned"]["complete"] is True


@settings(max_examples=examples(100), deadline=None)
@given(a_stock, st.integers(1, 10))
def test_a_trace_is_the_same_from_index_and_scan_and_has_all_spans_of_the_model(
    described: Any, trace: int
) -> None:
    with stocked(described) as stock:
        query = read_trace_get_query({"trace_id": f"{trace:032x}"}, NOW_NS)
        own = [made for made in stock.made if made.trace == trace]
        if not own:
            for index in (None, stock.index):
                with pytest.raises(RpcError, match=r"is not on this hub$"):
                    get_trace(stock.reader, query, index=index)
            return
        scanned = get_trace(stock.reader, query)
        drawn = [(item["name"], item["node"], item["service"]) for item in scanned["spans"]]
        assert sorted(drawn) == sorted((made.name, made.node, made.service) for made in own)
        indexed = get_trace(stock.reader, query, index=stock.index)
        assert {**indexed, "scanned": None} == {**scanned, "scanned": None}


@settings(max_examples=examples(100), deadline=None)
@given(a_stock, a_question, st.sampled_from(["service", "name"]))
def test_services_and_names_are_counted_as_the_model_does(
    described: Any, question: dict[str, Any], label: str
) -> None:
    asked = asked_of({key: question[key] for key in ("start", "end", "nodes")})
    params = {"start": 0, **as_params(asked), "label": label}
    with stocked(described) as stock:
        values = [getattr(made, label) for made in stock.made if in_range(made, asked)]
        expected = sorted((-values.count(value), value) for value in set(values) - {""})
        for index in (None, stock.index):
            query = read_trace_label_query(params, NOW_NS)
            answer = trace_label_values(stock.reader, query, index=index)
            assert [(-each["records"], each["value"]) for each in answer["items"]] == expected
            assert answer["scanned"]["complete"] is True


@pytest.mark.parametrize("asked", [{}, {"service": "db"}, {"name": "late"}, {"errors_only": True}])
def test_an_indexed_trace_of_ten_minutes_is_told_once_and_whole(asked: dict[str, Any]) -> None:
    """However small the pages are, and though the span that is looked for is its last."""
    reader = ListReader()
    reader.put(Signal.TRACES, spans([span(1, 1)]))
    for number in range(2, 10):
        made = span(number, number, 0, number * 70, name="late", error=True)
        reader.put(Signal.TRACES, spans([made], "db"))
    reader.put(Signal.TRACES, spans([span(1, 99, 1, 600, name="late", error=True)], "db"))
    index = make_days(reader, dict.fromkeys(range(1, 11), 0), {0: 10})
    stock = Stock([], reader, index)
    told = pages(stock, {**asked, "limit": 1}, PAGE_LIMITS, [index])
    assert sorted(row[0] for row in told) == list(range(1, 10))
    assert {row[3] for row in told if row[0] == 1} == {2}
    close(index)


def edged() -> tuple[ListReader, Days]:
    """A part that reaches from second 12 to 17, another trace at 16, and one span in every second."""
    reader = ListReader()
    reader.put(Signal.TRACES, spans([span(1, 1, 0, 12), span(1, 2, 1, 17), span(2, 3, 0, 16)]))
    reader.put(Signal.TRACES, spans([span(n, n, 0, n, name=f"s{n}") for n in range(20, 40)], "db"))
    return reader, make_days(reader, {1: 0, 2: 0}, {0: 2})


def test_a_part_that_reaches_over_the_start_of_a_range_takes_its_place() -> None:
    """It begins before the other trace, but what counts of it begins after."""
    reader, index = edged()
    params = {"start": at(15) // 1_000_000_000, "end": at(19) // 1_000_000_000, "limit": 1}
    with patch.object(traces, "SETTLE_EVERY_ROWS", 1):
        told = pages(Stock([], reader, index), params, PAGE_LIMITS, [index])
    assert [row[:4] for row in told] == [(1, 17, 1, 1), (2, 16, 1, 1)]
    close(index)


@pytest.mark.parametrize("start_s", [10, 13, 20, 24])
@pytest.mark.parametrize("end_s", [25, 26, 30, 33, 40])
def test_values_are_counted_to_the_very_edges_of_a_range(start_s: int, end_s: int) -> None:
    """Within the buckets of the index, too, and where the range is shorter than one."""
    reader, index = edged()
    edges = {"start": at(start_s) // 1_000_000_000, "end": at(end_s) // 1_000_000_000}
    query = read_trace_label_query({"label": "name", **edges}, NOW_NS)
    items = trace_label_values(reader, query, index=index)["items"]
    assert reader.bodies_read == 0
    assert items == trace_label_values(reader, query)["items"]
    own = {int(item["value"][1:]) for item in items if item["value"].startswith("s2")}
    assert own == {second for second in range(20, 30) if start_s <= second < end_s}
    close(index)
