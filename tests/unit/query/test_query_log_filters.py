"""Every filter of log.query, alone and together, against the naive model."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.index.log_gist import read_gist
from hub.index.words import words_of
from hub.query.log_filter import needs_of
from hub.query.logs import read_log_query, search_logs
from hub.query.match import has_word
from hub.query.needs import Needs
from hub.query.probe import fold
from hub.query.scan import Limits
from shared.records import Signal
from tests.examples import examples
from tests.unit.query import log_model
from tests.unit.query.log_model import TRACES, all_seen, late_copy, stock_of, wanted
from tests.unit.query.stock import NOW_NS, ListReader, S, log, logs

TINY = Limits(chunks_max=2, bytes_max=10**9, rows_max=10**9, hard_factor=1000)

questions = st.fixed_dictionaries(
    {"limit": st.integers(1, 7), "order": st.sampled_from(["newest", "oldest"])},
    optional=log_model.filters,
)


def all_pages(reader: ListReader, params: dict[str, Any], index: Any = None) -> list[Any]:
    items: list[Any] = []
    cursor: str | None = None
    for _ in range(500):
        query = read_log_query({**params, "cursor": cursor}, NOW_NS)
        page = search_logs(reader, query, TINY, index)
        assert len(page["items"]) <= params["limit"]
        items += page["items"]
        cursor = page["cursor"]
        if cursor is None:
            return items
    raise AssertionError("the pages do not end")


class WordIndex:
    """An index in the plainest way: the words and services of each chunk."""

    def __init__(self, reader: ListReader, needs: Needs) -> None:
        self._held = {each.arrival: each for each in reader.chunks}
        self._needs = needs

    def may_hold(self, arrival: int, received_ms: int, signal: Signal) -> bool:
        held, needs = self._held[arrival], self._needs
        assert (held.received_ms, held.header.signal) == (received_ms, signal)
        gist = read_gist(held.header, held.body)
        return (
            set(needs.words) <= gist.vocabulary()
            and needs.severity_min <= gist.severity_max
            and needs.service in (None, *gist.services)
            and needs.trace_id in (None, *gist.traces)
            and all(
                value in gist.strings[key] | gist.others[key] for key, value in needs.attributes
            )
        )


@settings(max_examples=examples(300), deadline=None)
@given(stored=st.lists(log_model.chunks, max_size=8), params=questions)
def test_pages_are_what_the_model_says_with_an_index_and_without(
    stored: list[Any], params: dict[str, Any]
) -> None:
    """The law of the whole: no filter, encoding, page or index changes which rows there are."""
    reader = stock_of(stored)
    found = sorted(
        (seen.place for seen in all_seen(reader) if wanted(seen, params)),
        reverse=params["order"] == "newest",
    )
    needs = needs_of(read_log_query(params, NOW_NS).wanted)
    for index in (None, WordIndex(reader, needs)):
        items = all_pages(reader, params, index)
        shown = [(item["node"], item["epoch"], item["seq"], item["index"]) for item in items]
        assert shown == [place[1:] for place in found]


@pytest.mark.parametrize("encoding", ["proto", "json"])
@pytest.mark.parametrize(
    ("asked", "hits"),
    [
        ({"words": ["FULL"]}, ["Disk full"]),
        ({"words": ["ful"]}, []),
        ({"words": ["full", "disk"]}, ["Disk full"]),
        ({"words": ["started"]}, ["disk_full"]),
        ({"words": ["inner"]}, ["500"]),
        ({"severity_max": "info"}, ["disk_full"]),
        ({"severity_max": "warn"}, ["disk_full", "500"]),
        ({"severity_max": 13}, ["disk_full"]),
        ({"severity": "warn", "severity_max": "error"}, ["500", "Disk full"]),
        ({"attributes": {"code": ["500", 404]}}, ["500", "Disk full"]),
        ({"attributes": {"code": {"not": 404}}}, ["disk_full", "500"]),
        ({"attributes": {"code": {"not": ["404", "500"]}}}, ["disk_full"]),
        ({"attributes": {"path": {"prefix": "/api"}}}, ["500", "Disk full"]),
        ({"attributes": {"path": {"prefix": "/api", "not": "/api/b"}}}, ["Disk full"]),
        ({"services": ["shop", "mail"]}, ["disk_full", "500", "Disk full"]),
        ({"services": []}, []),
        ({"service": "mail", "services": ["none"]}, []),
        ({"backfilled": True}, []),
        ({"backfilled": False, "words": ["full"]}, ["Disk full"]),
        ({"text": "(a+)+$"}, []),
        ({"text": "Disk.*"}, []),
    ],
)  # fmt: skip
def test_filters_find_what_they_name(encoding: str, asked: dict[str, Any], hits: list[str]) -> None:
    reader = ListReader()
    stored = [
        log(3 * S, "disk_full", 9, event_name="vm.started"),
        log(2 * S, "500", 14, {"code": 500, "path": "/api/b", "deep": {"er": "an inner text"}}),
        log(1 * S, "Disk full", 17, {"code": 404, "path": "/api/a"}),
    ]
    reader.put(Signal.LOGS, logs(stored), encoding=encoding)
    items = search_logs(reader, read_log_query(asked, NOW_NS))["items"]
    assert [item["body"] for item in items] == hits


def test_rows_tell_how_late_they_came_and_whether_out_of_a_backlog() -> None:
    reader = ListReader()
    for age_s in (0, 100):
        reader.put(Signal.LOGS, logs([log(NOW_NS - age_s * S - 1_500_000, "tick")]))
    reader.chunks[1] = late_copy(reader.chunks[1])
    fresh, late = search_logs(reader, read_log_query({}, NOW_NS))["items"]
    assert (fresh["delay_s"], fresh["backfilled"]) == (0.002, False)
    assert (late["delay_s"], late["backfilled"]) == (160.002, True)
    assert late["received"] == "2027-01-15T08:01:00.001Z"


def test_a_record_from_a_clock_that_is_ahead_has_a_delay_below_zero() -> None:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(NOW_NS + 5 * S, "early")]))
    (item,) = search_logs(reader, read_log_query({}, NOW_NS))["items"]
    assert item["delay_s"] == -5.0


@pytest.mark.parametrize("wish", ["aGVsbG8=", ["aGVsbG8="], {"prefix": "aGVs"}])
def test_bytes_are_found_by_the_text_that_they_are_shown_as(wish: Any) -> None:
    """That text stands nowhere in the body, so nothing may be looked for there."""
    record = log(S, "with bytes")
    record.attributes.add(key="raw").value.bytes_value = b"hello"
    reader = ListReader()
    reader.put(Signal.LOGS, logs([record]))
    (item,) = search_logs(reader, read_log_query({"attributes": {"raw": wish}}, NOW_NS))["items"]
    assert item["attributes"] == {"raw": "aGVsbG8="}


def test_a_timeless_record_is_dated_by_its_chunk_whatever_the_header_allows() -> None:
    reader = ListReader()
    body = logs([log(0, "timeless")]).SerializeToString()
    reader.put_body(Signal.LOGS, body, time_min_ns=0, time_max_ns=2**62)
    (item,) = search_logs(reader, read_log_query({}, NOW_NS))["items"]
    assert item["time"] == "2027-01-15T08:00:00Z"


def test_what_is_not_backfilled_is_not_even_opened() -> None:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(S, "fresh")]))
    assert search_logs(reader, read_log_query({"backfilled": True}, NOW_NS))["items"] == []
    assert reader.bodies_read == 0


def test_needs_are_what_every_hit_has() -> None:
    asked = {
        "text": "x Disk full y", "words": ["Boot", "w" * 70], "service": "shop", "severity": "warn",
        "trace_id": TRACES[0].upper(),
        "attributes": {"a": 404, "b": ["x"], "c": ["x", "y"], "d": {"not": "x"}, "e": {"prefix": "x"}},
    }  # fmt: skip
    assert needs_of(read_log_query(asked, NOW_NS).wanted) == Needs(
        words=(b"boot", b"disk", b"full", b"w" * 64),
        service="shop",
        trace_id=TRACES[0],
        attributes=(("a", "404"), ("b", "x")),
        severity_min=13,
    )


@pytest.mark.parametrize(
    "asked", [{}, {"text": "disk"}, {"services": ["a", "b"]}, {"nodes": ["a"]}]
)
def test_questions_that_no_index_can_help_with_need_nothing(asked: dict[str, Any]) -> None:
    assert needs_of(read_log_query(asked, NOW_NS).wanted).prune_nothing


@given(st.text(st.sampled_from("aB_é0 .-\n"), max_size=12))
def test_words_are_those_of_the_index(text: str) -> None:
    words = words_of(fold(text))
    assert all(has_word(word, [text]) for word in words)
    for other in (b"a", b"b", b"0", "é".encode(), b"a_", b"ab"):
        assert has_word(other, [text]) is (other in words)


def test_a_page_of_the_newest_makes_no_more_rows_than_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import shared.otlp_rows
    from shared import otlp_log_entries

    made: list[int] = []
    real = shared.otlp_rows.log_row

    def counting(*args: Any) -> Any:
        made.append(args[1])
        return real(*args)

    monkeypatch.setattr(otlp_log_entries, "log_row", counting)
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(second * S, "tick") for second in range(1, 200)]))
    search_logs(reader, read_log_query({"limit": 10}, NOW_NS))
    assert sorted(made) == list(range(188, 199))


def test_a_search_decodes_only_records_with_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ListReader()
    bodies = ["needle" if number == 70 else "hay" for number in range(100)]
    reader.put(Signal.LOGS, logs([log((n + 1) * S, body) for n, body in enumerate(bodies)]))
    from shared import otlp_log_wire

    decoded: list[bytes] = []
    real = otlp_log_wire._decode

    def counting(message: Any, content: bytes) -> Any:
        decoded.append(content)
        return real(message, content)

    monkeypatch.setattr(otlp_log_wire, "_decode", counting)
    (item,) = search_logs(reader, read_log_query({"text": "NEEDLE"}, NOW_NS))["items"]
    assert item["index"] == 70
    assert sum(b"hay" in content for content in decoded) == 0
