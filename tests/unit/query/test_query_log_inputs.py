"""Bad input to the log queries: refused by name, or taken literally, and never for long."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.query.histogram import count_logs, read_histogram_query
from hub.query.log_values import list_label_values, read_label_query
from hub.query.logs import read_event_query, read_log_query, search_logs
from shared.errors import RpcError
from shared.records import Signal
from tests.unit.query.stock import NOW_NS, ListReader, S, log, logs

Read = Callable[[dict[str, Any], int], Any]
HUGE = "x" * 10_000_000


def read_labels(params: dict[str, Any], now_ns: int) -> Any:
    return read_label_query({"label": "service", **params}, now_ns)


READERS: list[Read] = [read_log_query, read_event_query, read_histogram_query, read_labels]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("params", "parameter"),
    [
        ({"start": 10, "end": 5}, "start"),
        ({"start": 10, "end": 10}, "start"),
        ({"start": HUGE}, "start"),
        ({"end": "9" * 5000}, "end"),
        ({"text": HUGE}, "text"),
        ({"text": 5}, "text"),
        ({"severity": HUGE}, "severity"),
        ({"severity": "9" * 5000}, "severity"),
        ({"severity": "²"}, "severity"),
        ({"severity": -1}, "severity"),
        ({"severity_max": "loud"}, "severity_max"),
        ({"severity_max": 25}, "severity_max"),
        ({"nodes": "edge-1"}, "nodes"),
        ({"nodes": ["x"] * 1001}, "nodes"),
        ({"backfilled": "yes"}, "backfilled"),
        ({"attributes": {"a": HUGE}}, "attributes"),
        ({"attributes": {HUGE: "a"}}, "attributes"),
        ({"attributes": {"a": None}}, "attributes"),
        ({"attributes": {"a": []}}, "attributes"),
        ({"attributes": {"a": ["b"] * 51}}, "attributes"),
        ({"attributes": {"a": [["b"]]}}, "attributes"),
        ({"attributes": {"a": {"not": []}}}, "attributes"),
        ({"attributes": {"a": {"prefix": 5}}}, "attributes"),
        ({"attributes": {"a": {"suffix": "b"}}}, "attributes"),
        ({"attributes": {str(n): n for n in range(21)}}, "attributes"),
        ({"attributes": [["a", "b"]]}, "attributes"),
        ({"regex": "(a+)+$"}, "regex"),
        ({"pattern": "(a+)+$"}, "pattern"),
        ({"attributes": {"a": {"regex": "(a+)+$"}}}, "attributes"),
        ({"txt": "a"}, "txt"),
        ({"\x00": "a"}, "\x00"),
        ({"text": "half \ud800"}, "text"),
        ({"attributes": {"a": ["\udcff"]}}, "attributes"),
        ({"attributes": {"\udcff": "a"}}, "attributes"),
    ],
)
def test_wrong_parameters_are_refused_by_name(
    read: Read, params: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(RpcError) as refusal:
        read(params, NOW_NS)
    assert refusal.value.kind == "invalid_params"
    assert refusal.value.data["parameter"] == parameter
    assert str(refusal.value).startswith(f"{parameter}: ")
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("read", [read_log_query, read_histogram_query, read_labels])
@pytest.mark.parametrize(
    "params",
    [
        {"words": ["two words"]}, {"words": [""]}, {"words": ["a.b"]}, {"words": "a"},
        {"words": ["a"] * 21}, {"words": [HUGE]}, {"words": ["(a+)+$"]}, {"words": ["\x00"]},
    ],
)  # fmt: skip
def test_what_is_not_a_word_is_refused(read: Read, params: dict[str, Any]) -> None:
    with pytest.raises(RpcError, match=r"^words: ") as refusal:
        read(params, NOW_NS)
    assert refusal.value.data == {"parameter": "words"}


@pytest.mark.parametrize("params", [{"regex": "a"}, {"attributes": {"a": {"match": "a.*"}}}])
def test_whoever_wants_a_pattern_is_told_what_there_is_instead(params: dict[str, Any]) -> None:
    with pytest.raises(RpcError, match=r"no regular expressions .* `text` or `words`"):
        read_log_query(params, NOW_NS)


@pytest.mark.parametrize(
    "text",
    ["(a+)+$", ".*", "%", "_%", "'; DROP TABLE chunk; --", '" OR "', "a*", "\x00\x01", "\x7f",
     "NEAR(a b)", "[a-z]{1,99999}", "\u202e"],
)  # fmt: skip
def test_texts_are_taken_literally(text: str) -> None:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(S, f"before {text} after"), log(2 * S, "a" * 5000)]))
    items = search_logs(reader, read_log_query({"text": text}, NOW_NS))["items"]
    assert [item["index"] for item in items] == [0]


@pytest.mark.parametrize("value", ["(a+)+$", "a*", "%", "\x00"])
def test_values_of_attributes_are_taken_literally(value: str) -> None:
    reader = ListReader()
    records = [log(S, "one", attributes={"a": value}), log(2 * S, "two", attributes={"a": "aaa"})]
    reader.put(Signal.LOGS, logs(records))
    for wish in (value, [value], {"prefix": value}):
        query = read_log_query({"attributes": {"a": wish}}, NOW_NS)
        assert [item["body"] for item in search_logs(reader, query)["items"]] == ["one"]


def test_ten_years_are_answered_within_the_limits() -> None:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(NOW_NS - S, "tick")]))
    asked = {"start": "-520w", "end": "+1d"}
    assert len(search_logs(reader, read_log_query(asked, NOW_NS))["items"]) == 1
    assert count_logs(reader, read_histogram_query(asked, NOW_NS))["totals"] == {"INFO": 1}
    assert list_label_values(reader, read_labels(asked, NOW_NS))["items"] == [
        {"value": "shop", "records": 1}
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
NAMES = ["start", "end", "nodes", "severity", "severity_max", "text", "words", "service", "services",
         "trace_id", "attributes", "backfilled", "signal", "limit", "cursor", "order", "step", "bins",
         "by", "type", "subject", "label"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), json_values, max_size=4))
def test_any_json_is_a_question_or_refused(params: dict[str, Any]) -> None:
    reader = ListReader()
    reader.put(Signal.LOGS, logs([log(S, "tick", attributes={"a": 1})]))
    asks: list[tuple[Read, Callable[[ListReader, Any], Any]]] = [
        (read_log_query, search_logs),
        (read_event_query, search_logs),
        (read_histogram_query, count_logs),
        (read_label_query, list_label_values),
    ]
    for read, answer in asks:
        try:
            query = read(params, NOW_NS)
        except RpcError as refusal:
            assert refusal.kind == "invalid_params"  # noqa: PT017  # It may also be a question.
        else:
            answer(reader, query)
