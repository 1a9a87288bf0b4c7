"""trace.search and trace.get: grouping, paging, waterfalls."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.query.scan import Limits
from hub.query.trace import get_trace, read_trace_get_query
from hub.query.traces import read_trace_query, search_traces
from shared.errors import RpcError
from shared.records import Signal
from tests.examples import examples
from tests.unit.query.stock import NOW_NS, ListReader, at, key_values, log, logs, span, spans

TINY = Limits(chunks_max=2, hard_factor=1000)


def search(reader: ListReader, **params: Any) -> dict[str, Any]:
    return search_traces(reader, read_trace_query(params, NOW_NS))


def get(reader: ListReader, trace: int, **params: Any) -> dict[str, Any]:
    query = read_trace_get_query({"trace_id": f"{trace:032X}", **params}, NOW_NS)
    return get_trace(reader, query)


def ids(items: list[dict[str, Any]]) -> list[int]:
    return [int(item["trace_id"], 16) for item in items]


def all_pages(reader: ListReader, params: dict[str, Any], limits: Limits) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    asked = params
    for _ in range(300):
        page = search_traces(reader, read_trace_query(asked, NOW_NS), limits)
        assert len(page["items"]) <= params["limit"]
        items += page["items"]
        if page["cursor"] is None:
            return items
        asked = {**params, "cursor": page["cursor"]}
    raise AssertionError("the pages do not end")


def test_a_summary_joins_the_spans_of_all_chunks_and_nodes() -> None:
    reader = ListReader()
    reader.put(
        Signal.TRACES, spans([span(1, 11, 10, 0.5, 2.0, "query", error=True)], "db"), "edge-2"
    )
    reader.put(Signal.TRACES, spans([span(1, 10, 0, 0.0, 1.0, "GET /"), span(2, 20, 0, 9.0)]))
    items = search(reader)["items"]
    assert ids(items) == [2, 1]
    assert items[1] == {
        "trace_id": f"{1:032x}",
        "root_name": "GET /",
        "service": "shop",
        "services": ["db", "shop"],
        "nodes": ["edge-1", "edge-2"],
        "start": "2027-01-15T05:13:20Z",
        "duration_ms": 2500.0,
        "spans": 2,
        "errors": 1,
    }


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [3, 2, 1]),
        ({"service": "db"}, [1]),
        ({"name": "slow"}, [2]),
        ({"min_duration_ms": 4000}, [2]),
        ({"errors_only": True}, [3]),
        ({"nodes": ["edge-2"]}, [1]),
        ({"start": "2027-01-15T05:13:25Z"}, [3]),
        ({"end": "2027-01-15T05:13:22Z"}, [1]),
        ({"limit": 1}, [3]),
    ],
)
@pytest.mark.parametrize("encoding", ["proto", "json"])
def test_filters(asked: dict[str, Any], found: list[int], encoding: str) -> None:
    reader = ListReader()
    mixed = [span(1, 10), span(2, 20, 0, 3, 5, "slow"), span(3, 30, 0, 6, error=True)]
    reader.put(Signal.TRACES, spans(mixed), encoding=encoding)
    reader.put(Signal.TRACES, spans([span(1, 11, 10, 0.2)], "db"), "edge-2", encoding)
    assert ids(search(reader, **asked)["items"]) == found


some_spans = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 50), st.integers(0, 9)), min_size=1, max_size=4
)


@settings(max_examples=examples(150), deadline=None)
@given(
    stored=st.lists(some_spans, max_size=12),
    limit=st.integers(1, 4),
    limits=st.sampled_from([TINY, Limits()]),
)
def test_pages_together_are_all_traces_newest_first_each_once(
    stored: list[list[tuple[int, int, int]]], limit: int, limits: Limits
) -> None:
    """Traces whose spans begin within a minute of each other, scattered over chunks at will."""
    reader, number = ListReader(), 0
    starts: dict[int, list[float]] = {}
    for chunk in stored:
        made = []
        for trace, offset_s, seconds in chunk:
            number += 1
            start_s = trace * 45 + offset_s
            starts.setdefault(trace, []).append(start_s)
            made.append(span(trace, number, 0, start_s, seconds))
        reader.put(Signal.TRACES, spans(made))
    expected = sorted(starts, key=lambda trace: (min(starts[trace]), trace), reverse=True)
    items = all_pages(reader, {"limit": limit}, limits)
    assert ids(items) == expected
    assert [item["spans"] for item in items] == [len(starts[trace]) for trace in expected]


def shape(answer: dict[str, Any]) -> list[tuple[int, int]]:
    """(span number, depth) in the order of drawing."""
    return [(int(item["span_id"], 16), item["depth"]) for item in answer["spans"]]


@pytest.mark.parametrize(
    ("why", "made", "drawn"),
    [
        (
            "children follow their parent, by start",
            [span(1, 3, 1, 2), span(1, 2, 1, 1), span(1, 4, 2, 1.5), span(1, 1, 0, 0)],
            [(1, 0), (2, 1), (4, 2), (3, 1)],
        ),
        (
            "a span without its parent stands at the root",
            [span(1, 5, 99, 1), span(1, 6, 5, 2), span(1, 1, 0, 0)],
            [(1, 0), (5, 0), (6, 1)],
        ),
        (
            "a child whose clock is behind stays below its parent",
            [span(1, 1, 0, 10), span(1, 2, 1, 9)],
            [(1, 0), (2, 1)],
        ),
        (
            "a ring is opened at its earliest",
            [span(1, 2, 3, 1), span(1, 3, 4, 2), span(1, 4, 2, 3), span(1, 1, 0, 0)],
            [(1, 0), (2, 0), (4, 1), (3, 2)],
        ),
        ("a span that is its own parent", [span(1, 1, 1, 0)], [(1, 0)]),
        (
            "a copy that a retry made is drawn once",
            [span(1, 1), span(1, 1), span(1, 2, 1, 1), span(1, 2, 1, 1)],
            [(1, 0), (2, 1)],
        ),
        (
            "another span that took the same id is kept",
            [span(1, 1, 0, 0, 1, "a"), span(1, 1, 0, 1, 1, "b"), span(1, 2, 1, 2)],
            [(1, 0), (2, 1), (1, 0)],
        ),
    ],
)
def test_waterfall(why: str, made: Any, drawn: list[tuple[int, int]]) -> None:
    reader = ListReader()
    for one in made:
        reader.put(Signal.TRACES, spans([one]))
    assert shape(get(reader, 1)) == drawn, why


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(0, 9), st.integers(0, 5)), min_size=1),
)
def test_every_span_is_drawn_once_and_one_deeper_than_its_parent(
    links: list[tuple[int, int, int]],
) -> None:
    """Also in rings, forests and with ids used twice."""
    reader = ListReader()
    made = [
        span(1, own, parent, start, name=str(i)) for i, (own, parent, start) in enumerate(links)
    ]
    reader.put(Signal.TRACES, spans(made))
    drawn = get(reader, 1)["spans"]
    assert sorted(item["name"] for item in drawn) == sorted(str(i) for i in range(len(links)))
    path: list[str] = []
    for item in drawn:
        assert item["depth"] <= len(path)
        del path[item["depth"] :]
        if item["depth"]:
            assert item["parent_span_id"] == path[-1]
        path.append(item["span_id"])


def test_a_trace_deeper_than_the_python_stack_is_drawn() -> None:
    reader = ListReader()
    reader.put(Signal.TRACES, spans([span(1, n, n - 1, n / 1000) for n in range(1, 5001)]))
    assert shape(get(reader, 1))[-1] == (5000, 4999)


def test_a_span_tells_all_of_itself() -> None:
    made = span(7, 1, 0, 1.5, 0.25, "GET /", error=True)
    made.kind = 2  # type: ignore[assignment]  # An enum is a number on the wire.
    made.status.message = "no"
    made.events.add(name="retry", time_unix_nano=at(1.6))
    reader = ListReader()
    reader.put(Signal.TRACES, spans([made]))
    reader.put(Signal.LOGS, logs([log(at(1.5), "not a span")]))
    assert get(reader, 7) == {
        "trace_id": f"{7:032x}",
        "start": "2027-01-15T05:13:21.500Z",
        "duration_ms": 250.0,
        "spans": [
            {
                "span_id": f"{1:016x}",
                "parent_span_id": "",
                "name": "GET /",
                "service": "shop",
                "node": "edge-1",
                "kind": "server",
                "start": "2027-01-15T05:13:21.500Z",
                "offset_ms": 0.0,
                "duration_ms": 250.0,
                "status": "error",
                "status_message": "no",
                "attributes": {},
                "events": [{"time": "2027-01-15T05:13:21.600Z", "name": "retry", "attributes": {}}],
                "depth": 0,
            }
        ],
        "scanned": {"chunks": 1, "records": 1, "complete": True},
    }


def test_an_unknown_trace_is_not_found() -> None:
    with pytest.raises(RpcError) as refusal:
        get(ListReader(), 1)
    assert refusal.value.kind == "not_found"


def test_reading_for_a_trace_ends_an_hour_before_its_first_span() -> None:
    reader = ListReader()
    for minute in range(0, 600, 10):
        reader.put(Signal.TRACES, spans([span(minute + 1, 1, 0, minute * 60)]))
    answer = get(reader, 591)
    assert answer["scanned"]["complete"] is True
    assert answer["scanned"]["chunks"] <= 8


def test_a_trace_that_was_not_looked_for_everywhere_says_so() -> None:
    reader = ListReader()
    for second in range(9):
        reader.put(Signal.TRACES, spans([span(1, second + 1, 0, second)]))
    query = read_trace_get_query({"trace_id": f"{1:032x}"}, NOW_NS)
    answer = get_trace(reader, query, Limits(chunks_max=3))
    assert answer["scanned"]["complete"] is False
    assert len(answer["spans"]) == 4


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"max_duration_ms": 1000}, [3, 1]),
        ({"min_duration_ms": 2000, "max_duration_ms": 3000}, [2]),
        ({"max_duration_ms": 0}, []),
        ({"attributes": {"http.status": "404"}}, [2]),
        ({"attributes": {"http.status": 404}}, [2]),
        ({"attributes": {"service.name": "shop"}}, [3, 2, 1]),
        ({"attributes": {"service.name": "shop", "user": "ann"}}, [1]),
        ({"attributes": {"user": "ann", "http.status": 404}}, []),
        ({"attributes": {"user": "an"}}, []),
        ({"order": "slowest"}, [2, 3, 1]),
        ({"order": "slowest", "limit": 1}, [2]),
        ({"order": "slowest", "max_duration_ms": 1500}, [3, 1]),
    ],
)
@pytest.mark.parametrize("encoding", ["proto", "json"])
def test_durations_attributes_and_order(
    asked: dict[str, Any], found: list[int], encoding: str
) -> None:
    """All wanted attributes must be on one span or its resource."""
    first, second = span(1, 1), span(2, 2, 0, 2, 3)
    first.attributes.extend(key_values({"user": "ann"}))
    second.attributes.extend(key_values({"http.status": 404}))
    reader = ListReader()
    reader.put(Signal.TRACES, spans([first, second, span(3, 3, 0, 4)]), encoding=encoding)
    assert ids(search(reader, **asked)["items"]) == found


def test_bytes_are_found_by_the_text_that_shows_them() -> None:
    made = span(1, 1)
    made.attributes.add(key="digest").value.bytes_value = b"\xde\xad\xbe"
    reader = ListReader()
    reader.put(Signal.TRACES, spans([made]))
    assert ids(search(reader, attributes={"digest": "3q2+"})["items"]) == [1]


def test_the_slowest_have_no_second_page() -> None:
    reader = ListReader()
    reader.put(Signal.TRACES, spans([span(1, 1), span(2, 2, 0, 70)]))
    answer = search(reader, order="slowest", limit=1)
    assert answer["cursor"] is None
    assert answer["scanned"] == {"chunks": 1, "records": 2, "complete": True}
    newest = search(reader, limit=1)
    with pytest.raises(RpcError, match=r"^cursor: it belongs to another question"):
        search(reader, order="slowest", limit=1, cursor=newest["cursor"])


def test_the_slowest_of_too_much_say_that_not_all_was_read() -> None:
    reader = ListReader()
    for second in range(9):
        reader.put(Signal.TRACES, spans([span(second + 1, 1, 0, second, 0.9 - second / 10)]))
    query = read_trace_query({"order": "slowest"}, NOW_NS)
    answer = search_traces(reader, query, Limits(chunks_max=3))
    assert ids(answer["items"]) == [6, 7, 8, 9]
    assert answer["scanned"]["complete"] is False


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"min_duration_ms": 5, "max_duration_ms": 4}, "^max_duration_ms: it must not be less"),
        ({"max_duration_ms": -1}, "^max_duration_ms: "),
        ({"max_duration_ms": 1e300}, "^max_duration_ms: "),
        ({"order": "oldest"}, "^order: "),
        ({"start": "now", "end": "-1h"}, "^start: it must be earlier than end"),
    ],
)
def test_questions_that_make_no_sense_are_refused(asked: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RpcError, match=complaint):
        search(ListReader(), **asked)
