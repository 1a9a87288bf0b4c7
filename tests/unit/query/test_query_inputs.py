"""What people and programs hand in: times, parameters, cursors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.query.cursor import Cursor, digest, read_cursor, write_cursor
from hub.query.logs import read_log_query
from hub.query.metric_names import read_metric_names_query
from hub.query.metrics import read_metric_query
from hub.query.times import TIME_NS_MAX, format_time, parse_duration, parse_time
from hub.query.trace import read_trace_get_query
from hub.query.traces import read_trace_query
from shared.errors import RpcError
from tests.unit.query.stock import NOW_NS, S


@pytest.mark.parametrize(
    ("written", "time_ns"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000 * S),
        ("2023-11-14t22:13:20z", 1_700_000_000 * S),
        ("2023-11-14 22:13:20Z", 1_700_000_000 * S),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000 * S + 123_456_789),
        ("2023-11-14T22:13:20.5+00:00", 1_700_000_000 * S + 500_000_000),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000 * S),
        ("2023-11-14T16:43:20-05:30", 1_700_000_000 * S),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * S),
        ("1970-01-01T00:00:00Z", 0),
        (1_700_000_000, 1_700_000_000 * S),
        (1_700_000_000.25, 1_700_000_000 * S + 250_000_000),
        ("1700000000.000000001", 1_700_000_000 * S + 1),
        ("now", NOW_NS),
        ("-15m", NOW_NS - 900 * S),
        ("now-2h", NOW_NS - 7200 * S),
        ("+1d", NOW_NS + 86_400 * S),
        ("-7d", NOW_NS - 7 * 86_400 * S),
        ("-1w", NOW_NS - 7 * 86_400 * S),
        ("-9999w", 0),
    ],
)
def test_times_are_read_to_the_nanosecond(written: Any, time_ns: int) -> None:
    assert parse_time(written, NOW_NS, "start") == time_ns


@pytest.mark.parametrize(
    "written",
    [
        "", "yesterday", "2023-11-14", "2023-11-14T22:13:20", "2023-02-30T00:00:00Z", "-15", "15m",
        "2023-11-14T25:00:00Z", "2023-11-14T22:13:61Z", "2023-11-14T22:13:20+24:00",
        "2023-11-14T22:13:20.Z", "2023-11-14T22:13:20.1234567890Z", "٢٠٢٣-11-14T22:13:20Z",
        1_700_000_000_000, -1, float("nan"), float("inf"), 1e300, 10**40, "+999999999w",
        "9999-12-31T00:00:00Z", "x" * 10_000,
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_by_the_name_of_its_parameter(written: Any) -> None:
    with pytest.raises(RpcError, match=r"^end: ") as refusal:
        parse_time(written, NOW_NS, "end")
    assert refusal.value.kind == "invalid_params"
    assert refusal.value.data == {"parameter": "end"}
    assert len(str(refusal.value)) < 200


@given(st.integers(0, TIME_NS_MAX))
def test_no_digit_is_lost_between_writing_and_reading(time_ns: int) -> None:
    assert parse_time(format_time(time_ns), 0, "start") == time_ns


def test_fractions_are_written_as_milli_micro_or_nanoseconds() -> None:
    base = 1_700_000_000 * S
    texts = [format_time(base + extra) for extra in (0, 500_000_000, 1000, 1)]
    assert [text[19:] for text in texts] == ["Z", ".500Z", ".000001Z", ".000000001Z"]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(30, 30), (1.5, 1.5), ("30s", 30), ("5m", 300), ("60", 60), ("1.5h", 5400)],
)
def test_durations(written: Any, seconds: float) -> None:
    assert parse_duration(written, "step") == seconds * S


@pytest.mark.parametrize("written", [0, -1, "0s", "m", "-5m", "5 y", float("nan"), 10**30])
def test_what_is_no_duration_is_refused(written: Any) -> None:
    with pytest.raises(RpcError, match=r"^step: "):
        parse_duration(written, "step")


@pytest.mark.parametrize(
    ("read", "params", "said"),
    [
        (read_log_query, {"txt": "a"}, r"^txt: .* did you mean text\?"),
        (read_log_query, {"limit": 0}, r"^limit: "),
        (read_log_query, {"limit": 1001}, r"^limit: "),
        (read_log_query, {"limit": "5"}, r"^limit: "),
        (read_log_query, {"start": "soon"}, r"^start: "),
        (read_log_query, {"start": True}, r"^start: "),
        (read_log_query, {"start": "now", "end": "-1h"}, r"^start: it must be earlier than end"),
        (read_log_query, {"severity": "loud"}, r"^severity: .*trace, debug, info"),
        (read_log_query, {"severity": 25}, r"^severity: "),
        (read_log_query, {"severity": -1}, r"^severity: "),
        (read_log_query, {"severity": 10**30}, r"^severity: "),
        (read_log_query, {"order": "random"}, r"^order: "),
        (read_log_query, {"signal": "metrics"}, r"^signal: "),
        (read_log_query, {"trace_id": "xyz"}, r"^trace_id: "),
        (read_log_query, {"nodes": "edge-1"}, r"^nodes: "),
        (read_log_query, {"nodes": [1]}, r"^nodes: "),
        (read_log_query, {"nodes": ["n"] * 1001}, r"^nodes: "),
        (read_log_query, {"attributes": {"a": []}}, r"^attributes: "),
        (read_log_query, {"text": "x" * 1001}, r"^text: "),
        (read_log_query, {"cursor": 5}, r"^cursor: "),
        (read_metric_query, {}, r"^name: "),
        (read_metric_query, {"name": ""}, r"^name: "),
        (read_metric_query, {"name": "a", "step": 0.5}, r"^step: at least 1 second"),
        (read_metric_query, {"name": "a", "start": "-7d", "step": 1}, r"^step: this gives 604"),
        (read_metric_query, {"name": "a", "aggregation": "p99"}, r"^aggregation: "),
        (read_metric_names_query, {"name": "a"}, r"^name: "),
        (read_trace_query, {"min_duration_ms": -1}, r"^min_duration_ms: "),
        (read_trace_query, {"limit": 501}, r"^limit: "),
        (read_trace_get_query, {}, r"^trace_id: "),
        (read_trace_get_query, {"trace_id": "0" * 31}, r"^trace_id: "),
    ],
)
def test_wrong_parameters_are_refused_by_name(read: Any, params: Any, said: str) -> None:
    with pytest.raises(RpcError, match=said) as refusal:
        read(params, NOW_NS)
    assert refusal.value.kind == "invalid_params"
    assert refusal.value.data["parameter"] in str(refusal.value)


@pytest.mark.parametrize("field", ["version", "kind", "question", "start_ns", "end_ns", "position"])
def test_a_cursor_comes_back_as_it_was(field: str) -> None:
    cursor = Cursor(1, "log", 7, 5, 10, (9, "edge-1", "e1", 3, 2))
    read = read_cursor(write_cursor(cursor), "log", 7)
    assert getattr(read, field) == getattr(cursor, field)


def test_a_cursor_is_safe_in_a_url() -> None:
    for time_ns in range(200):
        text = write_cursor(Cursor(1, "log", time_ns * 7_919_191, 0, 9, (time_ns, "é", "", 0, 0)))
        assert text.isascii()
        assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("text", ["", "a", "AAAA", "AAAAAAAA", "é", "../..", "x" * 5000, "AAA=AAA"])
def test_a_garbled_cursor_is_refused(text: str) -> None:
    with pytest.raises(RpcError, match=r"^cursor: it ") as refusal:
        read_log_query({"cursor": text}, NOW_NS)
    assert refusal.value.kind == "invalid_params"


def test_no_single_changed_character_gets_through() -> None:
    text = write_cursor(Cursor(1, "log", 7, 5, 10, (9, "edge-1", "e1", 3, 2)))
    for at in range(len(text)):
        changed = text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :]
        with pytest.raises(RpcError, match=r"^cursor: "):
            read_cursor(changed, "log", 7)


def test_a_cursor_serves_only_its_own_question_and_version() -> None:
    other = write_cursor(Cursor(1, "log", digest("other"), 5, 10, (9, "", "", 0, 0)))
    with pytest.raises(RpcError, match="another question"):
        read_log_query({"cursor": other}, NOW_NS)
    old = write_cursor(Cursor(99, "log", 7, 5, 10, (9, "", "", 0, 0)))
    with pytest.raises(RpcError, match="another version"):
        read_cursor(old, "log", 7)


@pytest.mark.parametrize(("start_ns", "end_ns", "time_ns"), [(10, 5, 7), (-1, 5, 3), (0, 5, 2**63)])
def test_a_cursor_with_impossible_times_is_refused(
    start_ns: int, end_ns: int, time_ns: int
) -> None:
    forged = write_cursor(Cursor(1, "log", 7, start_ns, end_ns, (time_ns, "", "", 0, 0)))
    with pytest.raises(RpcError, match="not one of ours"):
        read_cursor(forged, "log", 7)
