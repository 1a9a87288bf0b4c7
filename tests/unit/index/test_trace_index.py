"""The index of traces: it knows of every span what the rows say, and never more than it may."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.index.files import fill, open_for_write
from hub.index.trace_reader import TraceIndex
from hub.index.traces import TRACE_ID_BYTES_MAX, WORD_CHARS_MAX, TraceIndexer
from hub.query.scan import clamp_time
from hub.query.trace import SPANS_MAX, get_trace, read_trace_get_query
from hub.query.trace_index import Mark, MarkKind
from hub.query.trace_labels import read_trace_label_query, trace_label_values
from hub.query.trace_spans import light_spans, rows_of_trace
from hub.query.traces import read_trace_query, search_traces
from shared.errors import BadInput
from shared.otlp_rows import resource_value, span_rows
from shared.records import Encoding, Signal
from tests.examples import examples
from tests.unit.index.trace_days import IN_MEMORY, Days, close, index_of, make_days
from tests.unit.query.stock import NOW_NS, HeldChunk, ListReader, at, span, spans

LAST_NS = 2**63 - 1
BOTH = pytest.mark.parametrize("encoding", ["proto", "json"])


def put(*made: Any, encoding: str = "proto", service: str = "shop") -> HeldChunk:
    return ListReader().put(Signal.TRACES, spans(made, service), encoding=encoding)


def search(reader: ListReader, index: Any = None, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = search_traces(
        reader, read_trace_query(params, NOW_NS), index=index
    )["items"]
    return items


def odd_spans() -> list[Any]:
    """What senders do."""
    plain, timeless, nameless = span(1, 1, 0, 5), span(2, 2, 1), span(3, 3)
    timeless.start_time_unix_nano = timeless.end_time_unix_nano = 0
    nameless.name = ""
    backwards = span(4, 4, 0, 30, -20, error=True)
    absurd = span(5, 5, 0, 7)
    absurd.start_time_unix_nano, absurd.end_time_unix_nano = 1, LAST_NS
    no_trace, zero_trace = span(6, 6), span(0, 7)
    no_trace.trace_id = b""
    return [plain, timeless, nameless, backwards, absurd, no_trace, zero_trace, span(1, 8, 1)]


@BOTH
@pytest.mark.parametrize("service", ["shop", ""])
def test_light_spans_say_what_the_rows_say(encoding: str, service: str) -> None:
    """In both encodings, also of spans without time, name, service or trace."""
    held = put(*odd_spans(), encoding=encoding, service=service)
    header = replace_header(held, time_min_ns=at(3), time_max_ns=at(20)).header
    rows = span_rows(Encoding(encoding), held.body)
    assert list(light_spans(header, Encoding(encoding), held.body)) == [
        (
            bytes.fromhex(row.trace_id),
            clamp_time(header, row.start_ns),
            row.end_ns,
            row.name,
            resource_value(row.resource, "service.name"),
            row.status_code == 2,
            bool(row.parent_span_id),
        )
        for row in rows
        if row.trace_id
    ]


@BOTH
def test_rows_of_a_trace_are_those_among_all_rows(encoding: str) -> None:
    """Also where the sender writes hex in capitals."""
    held = put(span(171, 1), span(2, 2), span(171, 3, 1), encoding=encoding)
    body = held.body.replace(b"ab", b"AB") if encoding == "json" else held.body
    every = list(span_rows(Encoding(encoding), body))
    wanted = (171).to_bytes(16, "big")
    assert list(rows_of_trace(Encoding(encoding), body, wanted)) == [every[0], every[2]]


def replace_header(held: HeldChunk, **fields: Any) -> HeldChunk:
    return replace(held, header=msgspec.structs.replace(held.header, **fields))


@BOTH
def test_a_trace_is_read_back_as_it_was_indexed(encoding: str) -> None:
    """With the bounds of its parts, and split where a bucket ends."""
    held = put(*odd_spans(), encoding=encoding)
    index = index_of([held])
    known = [span for n in range(1, 6) for part in index.parts_of(n.to_bytes(16, "big"))
             for span in part.spans]  # fmt: skip
    assert sorted(known) == sorted(light_spans(held.header, Encoding(encoding), held.body))
    assert index.arrivals_of((1).to_bytes(16, "big")) == {held.arrival}
    assert index.arrivals_of((9).to_bytes(16, "big")) == set()
    index.close()


def test_parts_are_found_by_service_name_and_error() -> None:
    reader = ListReader()
    reader.put(Signal.TRACES, spans([span(1, 1, 0, 1, name="a"), span(2, 2, 0, 2, error=True)]))
    reader.put(Signal.TRACES, spans([span(3, 3, 0, 3, name="a")], "db"))
    index = index_of(reader.chunks)

    def found(kind: MarkKind, text: str = "") -> list[int]:
        parts = index.newest(at(99), 0, Mark(kind, text))
        return [int.from_bytes(seen.trace_id, "big") for seen in parts]

    assert found(MarkKind.NAME, "a") == [3, 1]
    assert found(MarkKind.SERVICE, "shop") == [2, 1]
    assert found(MarkKind.SERVICE, "nowhere") == []
    assert found(MarkKind.ERROR) == [2]
    index.close()


def test_nothing_is_answered_beyond_what_was_indexed_when_it_was_opened(tmp_path: Path) -> None:
    """A chunk that is indexed meanwhile is counted once: with the rest, as the question began."""
    reader = ListReader()
    first, second = (reader.put(Signal.TRACES, spans([span(1, n, 0, n)])) for n in (1, 2))
    index_of([first], tmp_path / "day.db").close()
    early = TraceIndex(sqlite3.connect(tmp_path / "day.db"))
    index_of([first, second], tmp_path / "day.db").close()
    late = TraceIndex(sqlite3.connect(tmp_path / "day.db"))
    trace_id = (1).to_bytes(16, "big")
    for index, known in ((early, 1), (late, 2)):
        assert index.covers(second.arrival) is (known == 2)
        assert len(index.arrivals_of(trace_id)) == known
        assert len(index.parts_of(trace_id)) == known
        assert len(list(index.newest(at(99), 0, None))) == known
        assert len(list(index.newest(at(99), 0, Mark(MarkKind.SERVICE, "shop")))) == known
        assert len(list(index.parts_between(0, at(99)))) == known
        assert [spans for *_, spans in index.counts(MarkKind.SERVICE, 0, at(100))] == [known]
        index.close()


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=60), st.sampled_from(list(Encoding)))
def test_arbitrary_bytes_raise_only_bad_input(body: bytes, encoding: Encoding) -> None:
    held = ListReader().put_body(Signal.TRACES, body, encoding)
    indexer = TraceIndexer()
    connection = open_for_write(IN_MEMORY, indexer.tables(), "store")
    try:
        indexer.add(connection, 1, held.header, body)
    except BadInput:
        pass  # As is declared.
    finally:
        connection.close()


def with_long_id() -> Any:
    made = span(1, 1)
    made.trace_id = bytes([7]) * (TRACE_ID_BYTES_MAX + 1)
    return made


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(span(1, 1, name="x" * (WORD_CHARS_MAX + 1)), id="name"),
        pytest.param(with_long_id(), id="trace id"),
    ],
)
def test_a_chunk_with_endless_texts_stays_out_and_is_read(made: Any) -> None:
    """So nobody fills the index with one span; the answer has it all the same."""
    reader = ListReader()
    reader.put(Signal.TRACES, spans([span(2, 2)]))
    reader.put(Signal.TRACES, spans([made]))
    days = make_days(reader, {1: 0, 2: 0}, {0: 2})
    assert days.indexed[0].opaque == {2}
    assert search(reader, days) == search(reader)
    assert len(search(reader)) == 2
    close(days)


def test_a_name_in_another_alphabet_is_kept() -> None:
    reader = ListReader()
    reader.put(Signal.TRACES, spans([span(1, 1, name="naïve 名前 \U0001f600\0x")]))
    days = make_days(reader, {1: 0}, {0: 1})
    assert search(reader, days, name="naïve 名前 \U0001f600\0x") == search(reader)
    assert reader.bodies_read == 1
    close(days)


def test_a_full_index_answers_lists_without_reading_a_chunk() -> None:
    reader = ListReader()
    for number in range(1, 9):
        reader.put(Signal.TRACES, spans([span(number, number, 0, number * 100)]))
    days = make_days(reader, dict.fromkeys(range(1, 9), 0), {0: 8})
    assert len(search(reader, days)) == 8
    assert len(search(reader, days, order="slowest")) == 8
    assert reader.bodies_read == 0
    query = read_trace_get_query({"trace_id": f"{3:032x}"}, NOW_NS)
    assert get_trace(reader, query, index=days)["scanned"]["chunks"] == 1
    close(days)


def questions(reader: ListReader, index: Any) -> list[Any]:
    get = read_trace_get_query({"trace_id": f"{1:032x}"}, NOW_NS)
    labels = read_trace_label_query({"label": "service", "start": 0}, NOW_NS)
    return [
        search(reader, index),
        search(reader, index, service="shop"),
        search(reader, index, order="slowest"),
        get_trace(reader, get, index=index)["spans"],
        trace_label_values(reader, labels, index=index)["items"],
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE part",
        "DROP TABLE mark",
        "DROP TABLE census",
        "UPDATE part SET spans = x'C1'",
        "UPDATE part SET spans = x'90', node = 99",
    ],
)
def test_an_index_that_cannot_be_read_is_done_without(damage: str) -> None:
    """The chunks have the answer."""
    reader = ListReader()
    reader.put(Signal.TRACES, spans([span(1, 1), span(2, 2, 0, 9)]))
    indexer = TraceIndexer()
    connection = open_for_write(IN_MEMORY, indexer.tables(), "store")
    fill(connection, indexer, [(1, reader.chunks[0].header, reader.chunks[0].body)])
    days = Days(reader, {0: TraceIndex(connection)}, {1: 0})
    connection.execute(damage)
    assert questions(reader, days) == questions(reader, None)
    close(days)


def test_a_file_without_our_tables_cannot_be_opened() -> None:
    with pytest.raises(BadInput, match="the index of traces cannot be read: no such table"):
        TraceIndex(sqlite3.connect(":memory:"))


def test_absurd_times_are_told_alike_by_index_and_scan() -> None:
    reader = ListReader()
    held = reader.put(Signal.TRACES, spans(odd_spans()))
    reader.chunks[0] = replace_header(held, time_min_ns=0, time_max_ns=LAST_NS)
    reader.put(Signal.TRACES, spans(odd_spans()))
    days = make_days(reader, {1: 0, 2: 0}, {0: 2})
    assert questions(reader, days) == questions(reader, None)
    ten_years = {"start": "2020-01-01T00:00:00Z", "end": "2029-12-31T00:00:00Z"}
    assert search(reader, days, **ten_years) == search(reader, **ten_years)
    close(days)


def test_one_trace_of_very_many_spans_gets_a_bounded_answer_that_says_so() -> None:
    reader = ListReader()
    made = [span(1, n, 0, n / 1000) for n in range(1, 20_001)]
    for first in range(0, 200_000, 20_000):
        reader.put(Signal.TRACES, spans(made), f"edge-{first}")
    days = make_days(reader, dict.fromkeys(range(1, 11), 0), {0: 10})
    query = read_trace_get_query({"trace_id": f"{1:032x}"}, NOW_NS)
    for index in (days, None):
        answer = get_trace(reader, query, index=index)
        assert len(answer["spans"]) == SPANS_MAX
        assert answer["scanned"]["complete"] is False
        assert answer["scanned"]["chunks"] == 1
    (item,) = search(reader, days)
    assert item["spans"] == 200_000
    close(days)
