"""Entries of the journal become log records by pure rules, whatever the journal holds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.receive.journal_entry import (
    CUT,
    FIELD_BYTES_MAX,
    FIELDS_MAX,
    LEFT_OUT,
    MESSAGE_BYTES_MAX,
    VALUES_MAX,
    Entry,
    entries_part,
    is_cursor,
    left_out,
    read_entry,
)
from edge.receive.journal_lines import HEAD_BYTES_MAX, Line, LineCutter
from shared.errors import BadInput
from shared.otlp import read_part
from shared.otlp_make import resource_of
from shared.otlp_rows import LogRow, log_rows
from shared.records import Signal

CURSOR = "s=52785ad0c7714ce38cd954f6a14d15b2;i=15c;b=d7ac;m=44f58fa70;t=660c5f88a98d9;x=cba5"
REAL: dict[str, Any] = {  # As systemd 252 wrote it.
    "_GID": "0",
    "_STREAM_ID": "671fa747c0804e3aa3fa361f12feb7e2",
    "__CURSOR": CURSOR,
    "_UID": "0",
    "_TRANSPORT": "stdout",
    "SYSLOG_IDENTIFIER": "myapp",
    "_COMM": "cat",
    "_RUNTIME_SCOPE": "system",
    "PRIORITY": "4",
    "__MONOTONIC_TIMESTAMP": "18511100528",
    "MESSAGE": "hello plain",
    "__REALTIME_TIMESTAMP": "1795253254920409",
    "_HOSTNAME": "vm",
    "_SYSTEMD_UNIT": "cron.service",
    "_PID": "16241",
}


def read(**changed: Any) -> Entry:
    return read_entry(json.dumps(REAL | changed).encode(), 7)


def row(entry: Entry) -> LogRow:
    part = entries_part([entry], resource_of({"headwater.node": "edge-1"}))
    assert read_part(Signal.LOGS, "application/x-protobuf", part.body) == part
    return next(iter(log_rows(part.encoding, part.body)))


def test_an_entry_keeps_its_time_its_text_and_who_wrote_it() -> None:
    entry = read()
    found = row(entry)
    assert entry.cursor == CURSOR
    assert (found.body, found.time_ns, found.observed_ns) == (
        "hello plain",
        1_795_253_254_920_409_000,
        7,
    )
    assert found.resource == {"headwater.node": "edge-1"}
    assert found.attributes == {
        "host.name": "vm",
        "process.pid": 16241,
        "process.user.id": 0,
        "syslog.appname": "myapp",
        "systemd.unit": "cron.service",
        "journal._COMM": "cat",
        "journal._GID": "0",
        "journal._RUNTIME_SCOPE": "system",
        "journal._STREAM_ID": "671fa747c0804e3aa3fa361f12feb7e2",
        "journal._TRANSPORT": "stdout",
    }


@pytest.mark.parametrize(
    ("priority", "number", "text"),
    [
        ("0", 21, "emerg"),
        ("1", 19, "alert"),
        ("2", 18, "crit"),
        ("3", 17, "err"),
        ("4", 13, "warning"),
        ("5", 10, "notice"),
        ("6", 9, "info"),
        ("7", 5, "debug"),
        ("8", 0, ""),
        ("-1", 0, ""),
        ("high", 0, ""),
        (None, 0, ""),
        (["3", "4"], 0, ""),
    ],
)
def test_priorities_are_severities_of_opentelemetry(priority: Any, number: int, text: str) -> None:
    record = read(PRIORITY=priority).record
    assert (record.severity_number, record.severity_text) == (number, text)


def test_a_message_may_be_bytes_which_are_kept_readable() -> None:
    assert read(MESSAGE=list(b"caf\xc3\xa9")).record.body.string_value == "café"
    assert read(MESSAGE=[98, 255, 0, 10]).record.body.string_value == "b\\xff\x00\n"


def test_a_message_that_the_journal_left_out_is_marked() -> None:
    found = read(MESSAGE=None).record
    assert not found.HasField("body")
    assert {pair.key for pair in found.attributes} >= {CUT}


def test_an_entry_without_a_message_is_an_entry_all_the_same() -> None:
    fields = {key: value for key, value in REAL.items() if key != "MESSAGE"}
    found = read_entry(json.dumps(fields).encode(), 7).record
    assert not found.HasField("body")
    assert CUT not in {pair.key for pair in found.attributes}


def test_a_field_given_several_times_keeps_all_its_values() -> None:
    found = row(read(TAG=["a", [98, 255], None]))
    assert found.attributes["journal.TAG"] == ["a", "b\\xff", ""]


def test_what_is_too_long_or_too_much_is_cut_and_marked() -> None:
    long = row(read(MESSAGE="é" * MESSAGE_BYTES_MAX, BLOB="x" * (FIELD_BYTES_MAX + 1)))
    assert len(str(long.body).encode()) == MESSAGE_BYTES_MAX
    assert long.attributes["journal.BLOB"] == "x" * FIELD_BYTES_MAX
    assert long.attributes[CUT] is True
    many = row(read(TAG=["v"] * (VALUES_MAX + 1)))
    assert many.attributes["journal.TAG"] == ["v"] * VALUES_MAX
    assert many.attributes[CUT] is True
    assert CUT not in row(read()).attributes


def test_invented_fields_do_not_push_out_those_that_the_journal_vouches_for() -> None:
    found = row(read(**{f"A{number:03}": "x" for number in range(200)}))
    assert len(found.attributes) == FIELDS_MAX + 1
    assert found.attributes[CUT] is True
    assert found.attributes["process.pid"] == 16241
    assert found.attributes["journal._TRANSPORT"] == "stdout"


def test_a_number_that_is_none_stays_a_text() -> None:
    assert row(read(_PID="many")).attributes["process.pid"] == "many"
    assert row(read(__REALTIME_TIMESTAMP="soon")).time_ns == 7


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not JSON"),
        (b"-- Reboot --", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"{}", "no cursor"),
        (b'{"__CURSOR": 5}', "no cursor"),
        (b'{"__CURSOR": "a b"}', "no cursor"),
        (b'{"__CURSOR": "s=1", "A": {"b": 1}}', "neither a text nor bytes"),
        (b'{"__CURSOR": "s=1", "A": ["x", 256]}', "neither a text nor bytes"),
        (b'{"__CURSOR": "s=1", "MESSAGE": 5}', "neither a text nor bytes"),
        (b'{"__CURSOR": "s=1", "A": ' + b"[" * 2000 + b"]" * 2000 + b"}", "JSON"),
    ],
)
def test_what_is_not_an_entry_is_refused_with_a_reason(line: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read_entry(line, 7)


def test_an_entry_left_out_leaves_a_record_and_its_place_if_that_is_seen() -> None:
    head = b'{"BLOB":"xxxx", "__CURSOR" : "s=1;i=2"'
    entry = left_out(Line(head, 5_000_000), "too large", 7)
    assert entry.cursor == "s=1;i=2"
    assert row(entry).body == "a journal entry of 5000000 bytes was left out: too large"
    assert row(entry).attributes == {LEFT_OUT: True}
    assert left_out(Line(b"{", 9), "too large", 7).cursor is None


_values = st.recursive(
    st.none() | st.text(max_size=20) | st.integers() | st.floats() | st.lists(st.integers(0, 300)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_bad_input(line: bytes) -> None:
    try:
        read_entry(line, 7)
    except BadInput:
        return
    pytest.fail("random bytes are hardly an entry")


@given(st.dictionaries(st.sampled_from([*REAL, "TAG", "x" * 80]), _values))
def test_no_object_raises_anything_but_bad_input(fields: dict[str, Any]) -> None:
    try:
        entry = read_entry(json.dumps(REAL | fields).encode(), 7)
    except BadInput:
        return
    assert entry.cursor
    assert is_cursor(entry.cursor)
    row(entry)


@given(st.lists(st.binary(max_size=30), max_size=20), st.data())
def test_lines_are_the_same_wherever_the_blocks_were_cut(
    pieces: list[bytes], data: st.DataObject
) -> None:
    stream = b"\n".join(pieces) + b"\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    blocks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    cutter = LineCutter(1000)
    lines = [line for block in blocks for line in cutter.feed(block)]
    assert [line.head for line in lines] == [line for line in stream.split(b"\n") if line]
    assert all(line.is_whole for line in lines)


def test_a_line_without_end_takes_bounded_memory_and_its_size_is_told() -> None:
    cutter = LineCutter(10_000)
    for _ in range(100):
        assert cutter.feed(b"x" * 50_000) == []
    assert sum(map(len, cutter._pieces)) <= HEAD_BYTES_MAX + 50_000
    long, short = cutter.feed(b"y\nshort\n")
    assert (long.size_bytes, long.is_whole) == (5_000_001, False)
    assert short == Line(b"short", 5)
