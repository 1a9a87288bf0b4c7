"""log.query against a naive model: sort everything, filter, cut."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.query.logs import read_log_query, search_logs
from hub.query.scan import Limits
from shared.errors import RpcError
from shared.otlp_rows import log_rows
from shared.records import Encoding, Signal
from tests.examples import examples
from tests.unit.query.stock import NOW_NS, ListReader, S, log, logs

TINY = Limits(chunks_max=2, bytes_max=10**9, rows_max=10**9, hard_factor=1000)
TRACE = "0af7651916cd43dd8448eb211c80319c"

Place = tuple[int, str, str, int, int]


def all_pages(
    reader: ListReader, params: dict[str, Any], limits: Limits = TINY
) -> list[dict[str, Any]]:
    """Every item, by following cursors to the end."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(500):
        paged = params if cursor is None else {**params, "cursor": cursor}
        page = search_logs(reader, read_log_query(paged, NOW_NS), limits)
        assert len(page["items"]) <= params.get("limit", 100)
        items += page["items"]
        cursor = page["cursor"]
        if cursor is None:
            return items
    raise AssertionError("the pages do not end")


def places(items: list[dict[str, Any]]) -> list[tuple[str, str, int, int]]:
    return [(item["node"], item["epoch"], item["seq"], item["index"]) for item in items]


def naive(reader: ListReader, params: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """The model: it decodes everything and knows no order but the sorted one."""
    found: list[Place] = []
    for held in reader.chunks:
        header = held.header
        if params.get("nodes") is not None and header.origin not in params["nodes"]:
            continue
        for row in log_rows(Encoding(header.encoding), held.body):
            texts = [row.body, *row.attributes.values()]
            wanted = (
                params.get("start", 0) * S <= row.time_ns < params.get("end", 10**9) * S
                and row.severity_number >= params.get("severity", 0)
                and any(params.get("text", "").lower() in text.lower() for text in texts)
                and row.resource["service.name"] == params.get("service", "shop")
            )
            if wanted:
                found.append((row.time_ns, header.origin, header.epoch, header.seq, row.index))
    found.sort(reverse=params.get("order") != "oldest")
    return [place[1:] for place in found]


words = st.sampled_from(
    ["boot", "Disk full", "naïve café", 'say "hi"', "a\\b", "tab\there", "日本"]
)
seconds = st.integers(1, 12)
records = st.builds(
    lambda second, fraction, body, severity, attribute: log(
        second * S + fraction, body, severity, {"word": attribute}
    ),
    seconds,
    st.integers(0, 1),
    words,
    st.sampled_from([1, 9, 13, 17]),
    words,
)
chunks = st.tuples(
    st.lists(records, min_size=1, max_size=5),
    st.sampled_from(["edge-1", "edge-2"]),
    st.sampled_from(["proto", "json"]),
)
questions = st.fixed_dictionaries(
    {"limit": st.integers(1, 7), "order": st.sampled_from(["newest", "oldest"])},
    optional={
        "start": st.integers(0, 6),
        "end": st.integers(7, 14),
        "nodes": st.lists(st.sampled_from(["edge-1", "edge-2"]), unique=True),
        "severity": st.integers(0, 17),
        "text": st.sampled_from(["o", "DISK", "é", 'y "h', "a\\b", "b\th", "本", "/", "absent"]),
    },
)


@settings(max_examples=examples(150), deadline=None)
@given(stored=st.lists(chunks, max_size=8), params=questions)
def test_pages_together_are_the_sorted_and_filtered_records(
    stored: list[tuple[list[Any], str, str]], params: dict[str, Any]
) -> None:
    """Whatever overlaps: no hole, no repeat, exact order, in both directions and tiny budgets."""
    reader = ListReader()
    for held, node, encoding in stored:
        reader.put(Signal.LOGS, logs(held), node, encoding)
    assert places(all_pages(reader, params)) == naive(reader, params)


def test_a_full_page_of_the_newest_reads_no_older_chunks() -> None:
    reader = ListReader()
    for minute in range(50):
        reader.put(Signal.LOGS, logs([log((minute * 60 + i) * S, "tick") for i in range(10)]))
    page = search_logs(reader, read_log_query({"limit": 10}, NOW_NS))
    assert [item["seq"] for item in page["items"]] == [50] * 10
    assert reader.bodies_read == 1
    assert page["scanned"] == {"chunks": 1, "records": 10}


def test_a_spent_budget_ends_the_page_early_and_the_next_goes_on() -> None:
    reader = ListReader()
    for minute in range(1, 21):
        reader.put(Signal.LOGS, logs([log(minute * 60 * S, "needle" if minute == 2 else "hay")]))
    asked = {"text": "NEEDLE"}
    first = search_logs(reader, read_log_query(asked, NOW_NS), TINY)
    assert first["items"] == []
    assert first["cursor"]
    assert first["scanned"]["chunks"] == 3
    assert [item["body"] for item in all_pages(reader, asked)] == ["needle"]


def test_the_exact_last_page_has_no_cursor() -> None:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(S, "one"), log(2 * S, "two")]))
    page = search_logs(reader, read_log_query({"limit": 2}, NOW_NS))
    assert len(page["items"]) == 2
    assert page["cursor"] is None


def test_a_chunk_that_arrives_between_pages_is_seen_only_ahead_of_the_cursor() -> None:
    """Records behind the cursor belong to the next question; nothing is told twice."""
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(second * S, str(second)) for second in (10, 20, 30)]))
    first = search_logs(reader, read_log_query({"limit": 2}, NOW_NS))
    reader.put(Signal.LOGS, logs([log(25 * S, "behind"), log(5 * S, "ahead")]), "edge-2")
    asked = {"limit": 2, "cursor": first["cursor"]}
    second = search_logs(reader, read_log_query(asked, NOW_NS + 60 * S))
    assert [item["body"] for item in first["items"] + second["items"]] == [
        "30", "20", "10", "ahead",
    ]  # fmt: skip


def test_a_relative_start_stays_where_the_first_page_put_it() -> None:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(NOW_NS - age * S, str(age)) for age in (5, 30, 58)]))
    asked = {"start": "-1m", "limit": 2}
    first = search_logs(reader, read_log_query(asked, NOW_NS))
    later = read_log_query({**asked, "cursor": first["cursor"]}, NOW_NS + 3600 * S)
    assert [item["body"] for item in search_logs(reader, later)["items"]] == ["58"]


def test_an_item_tells_all_of_a_record() -> None:
    reader = ListReader()
    record = log(
        1_700_000_000_123_456_789, "paid", 13, {"amount": 5, "tags": {"a": True}}, TRACE,
        span_id=bytes(range(8)),
    )  # fmt: skip
    reader.put(Signal.LOGS, logs([record]))
    (item,) = search_logs(reader, read_log_query({}, NOW_NS))["items"]
    assert item == {
        "time": "2023-11-14T22:13:20.123456789Z",
        "node": "edge-1",
        "severity": "WARN",
        "severity_number": 13,
        "body": "paid",
        "service": "shop",
        "attributes": {"amount": 5, "tags": {"a": True}},
        "resource": {"service.name": "shop"},
        "scope": "",
        "trace_id": TRACE,
        "span_id": "0001020304050607",
        "event_name": "",
        "epoch": "e1",
        "seq": 1,
        "index": 0,
        "received": "2027-01-15T08:00:00Z",
        "delay_s": 99999999.877,
        "backfilled": False,
    }


@pytest.mark.parametrize("encoding", ["proto", "json"])
@pytest.mark.parametrize(
    ("asked", "hits"),
    [
        ({"trace_id": TRACE.upper()}, ["traced"]),
        ({"severity": "error"}, ["failed"]),
        ({"severity": "warning"}, ["failed", "careful"]),
        ({"attributes": {"code": 404}}, ["failed"]),
        ({"attributes": {"code": "404"}}, ["failed"]),
        ({"attributes": {"ok": "true"}}, ["careful"]),
        ({"attributes": {"service.name": "shop", "code": 404}}, ["failed"]),
        ({"attributes": {"absent": 1}}, []),
        ({"service": "other"}, []),
        ({"text": "NESTED"}, ["traced"]),
        ({"text": "boot"}, ["careful"]),
        ({"nodes": []}, []),
        ({"signal": "events"}, []),
    ],
)
def test_filters_find_what_they_name(encoding: str, asked: dict[str, Any], hits: list[str]) -> None:
    reader = ListReader()
    stored = logs(
        [
            log(3 * S, "failed", 17, {"code": 404}),
            log(2 * S, "careful", 13, {"ok": True}, event_name="system.boot"),
            log(1 * S, "traced", 5, {"deep": {"er": "a nested text"}}, TRACE),
        ]
    )
    reader.put(Signal.LOGS, stored, encoding=encoding)
    items = search_logs(reader, read_log_query(asked, NOW_NS))["items"]
    assert [item["body"] for item in items] == hits


def test_a_damaged_chunk_is_counted_and_hides_nothing_else() -> None:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(1 * S, "before")]))
    reader.put_body(Signal.LOGS, b"damaged", time_min_ns=2 * S, time_max_ns=2 * S)
    reader.put_body(Signal.LOGS, b"\xff\xff", time_min_ns=2 * S, time_max_ns=2 * S)
    reader.put(Signal.LOGS, logs([log(3 * S, "after")]))
    page = search_logs(reader, read_log_query({}, NOW_NS))
    assert [item["body"] for item in page["items"]] == ["after", "before"]
    assert page["scanned"]["unreadable_chunks"] == 2


def test_a_record_without_a_time_counts_as_written_with_its_chunk() -> None:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(0, "timeless"), log(5 * S, "dated")]))
    items = search_logs(reader, read_log_query({"start": 4, "end": 6}, NOW_NS))["items"]
    assert {item["body"] for item in items} == {"timeless", "dated"}


def test_too_many_chunks_over_one_instant_are_refused_rather_than_read_for_ever() -> None:
    reader = ListReader()
    for _ in range(30):
        reader.put(Signal.LOGS, logs([log(1 * S, "a"), log(100 * S, "b")]))
    query = read_log_query({"end": 50, "text": "a"}, NOW_NS)
    with pytest.raises(RpcError, match="narrow the time range") as refusal:
        search_logs(reader, query, Limits(chunks_max=2, hard_factor=3))
    assert refusal.value.kind == "quota"


def test_a_page_holds_at_most_twice_its_rows_in_memory() -> None:
    from hub.query.shortlist import Shortlist

    kept: Shortlist[int] = Shortlist(3, newest_first=True)
    for row in range(1000):
        kept.add((row, "n", "e", 1, 1), row)
        assert len(kept._kept) < 6
    assert kept.rows() == [999, 998, 997]
    assert kept.has_dropped
