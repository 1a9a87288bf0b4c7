"""Whatever a program says becomes OTLP that the edge takes, and of bounded size."""

import logging
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.client_records import (
    Place,
    gauge_frame,
    log_frame,
    logging_frame,
    request_of,
    resource_of,
    span_frame,
)
from edge.client_totals import Total, Totals, series_key
from edge.client_values import ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, CUT, attributes_of, clean
from shared.otlp import PROTO_TYPE, read_part
from shared.otlp_rows import LogRow, log_rows, metric_points, span_rows
from shared.records import KIB, Encoding, Signal
from tests.examples import examples

T0 = 1_700_000_000_000_000_000
RESOURCE = resource_of({"service.name": "billing"})
PLACE = Place(bytes([1]) * 16, bytes([2]) * 8)

# Texts with lone surrogates, which Python knows and UTF-8 does not.
texts = st.text(st.characters(exclude_categories=()), max_size=20)
scalars = texts | st.integers() | st.floats() | st.booleans() | st.none() | st.binary(max_size=20)
values: st.SearchStrategy[Any] = st.recursive(
    scalars | st.sets(st.integers()) | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=5,
)
attributes = st.dictionaries(texts, values, max_size=4)
bounded = settings(max_examples=examples(60), deadline=None)


def rows(frame: bytes) -> list[LogRow]:
    return list(log_rows(Encoding.PROTO, request_of(Signal.LOGS, RESOURCE, [frame])))


class Mute:
    """An object that fails whoever wants to show it."""

    def __str__(self) -> str:
        raise LookupError("no words")


@bounded
@given(texts, values, texts, attributes)
def test_any_log_and_event_is_taken(name: str, text: object, severity: str, held: Any) -> None:
    """Lone surrogates, huge numbers and nested values included."""
    frames = [
        log_frame(T0, text, severity, held, Place()),
        log_frame(T0, text, "", held, PLACE, name),
    ]
    body = request_of(Signal.LOGS, RESOURCE, frames)
    assert read_part(Signal.LOGS, PROTO_TYPE, body).records == 2
    assert len(list(log_rows(Encoding.PROTO, body))) == 2


@bounded
@given(texts, st.floats() | st.integers(-(2**63), 2**63 - 1), texts, attributes)
def test_any_measurement_and_count_is_taken(name: str, value: float, unit: str, held: Any) -> None:
    total = Total(series_key(name, unit, held), T0)
    total.add(value, T0)
    frames = [gauge_frame(T0, name, value, unit, held), total.frame()]
    body = request_of(Signal.METRICS, RESOURCE, frames)
    assert read_part(Signal.METRICS, PROTO_TYPE, body).records == 2
    gauge, counted = metric_points(Encoding.PROTO, body)
    assert gauge.name == counted.name
    assert gauge.attributes == {key: gauge.attributes[key] for key in counted.attributes}


@bounded
@given(texts, attributes, st.none() | st.builds(ValueError, values))
def test_any_span_is_taken(name: str, held: Any, error: Exception | None) -> None:
    frame = span_frame(name, PLACE, Place(), (T0, T0 + 5), held, error)
    body = request_of(Signal.TRACES, RESOURCE, [frame])
    assert read_part(Signal.TRACES, PROTO_TYPE, body).records == 1
    (row,) = span_rows(Encoding.PROTO, body)
    assert row.status_code == (2 if error else 0)


def test_a_huge_text_is_cut_and_says_so() -> None:
    (row,) = rows(log_frame(T0, "é" * 10_000_000, "info", {"big": "x" * 10_000_000}, Place()))
    assert row.body.endswith("é" + CUT)
    assert len(row.body.encode()) <= 64 * KIB
    assert len(row.attributes["big"]) <= 64 * KIB


@pytest.mark.parametrize(
    "given",
    [
        {f"key-{n}": "x" for n in range(10_000)},
        {f"key-{n}": "x" * 60_000 for n in range(20)},
        {"many": list(range(1_000_000))},
        {"deep": [[[[[[["x" * 100] * 100] * 100] * 100] * 100]]]},
        {"bytes": bytes(1_000_000)},
        {"\ud800" * 500: "\udfff" * 500},
    ],
)
def test_attributes_have_a_bound_however_they_are_shaped(given: dict[str, object]) -> None:
    found = attributes_of(given)
    assert len(found.pairs) <= ATTRIBUTES_MAX
    assert sum(pair.ByteSize() for pair in found.pairs) <= ATTRIBUTES_BYTES_MAX
    assert len(found.pairs) + found.dropped == len(given)


def test_attributes_keep_their_types() -> None:
    given = {"s": "a", "i": 7, "b": True, "f": 0.5, "n": None, "l": [1, "x"], "m": {"k": 2}}
    (row,) = rows(log_frame(T0, "typed", "info", given, Place()))
    assert row.attributes == given
    assert rows(log_frame(T0, "", "", {"huge": 2**70}, Place()))[0].attributes["huge"] == str(2**70)


def test_an_object_that_cannot_be_shown_costs_nothing_but_itself() -> None:
    (row,) = rows(log_frame(T0, Mute(), "info", {"mute": Mute(), "n": 1}, Place()))
    assert row.body == "<Mute that cannot be shown: LookupError>"
    assert row.attributes == {"mute": row.body, "n": 1}


@bounded
@given(texts, st.integers(4, 60))
def test_cleaned_text_is_utf_8_within_its_bound(text: str, bytes_max: int) -> None:
    cleaned = clean(text, bytes_max)
    assert len(cleaned.encode()) <= bytes_max
    if len(text.encode("utf-8", "backslashreplace")) <= bytes_max:
        assert cleaned == text.encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize(
    ("severity", "text", "number"),
    [("warn", "WARN", 13), ("WARNING", "WARN", 13), ("critical", "FATAL", 21), ("odd", "ODD", 0)],
)
def test_severities_have_their_usual_names(severity: str, text: str, number: int) -> None:
    (row,) = rows(log_frame(T0, "x", severity, {}, Place()))
    assert (row.severity_text, row.severity_number) == (text, number)


def test_a_record_of_logging_keeps_its_extra_and_its_exception() -> None:
    try:
        raise KeyError("lost")
    except KeyError:
        raised = sys.exc_info()
    record = logging.LogRecord("shop.cart", 40, "/x/cart.py", 7, "no %s", ("cart",), raised)
    record.order = 12
    (row,) = rows(logging_frame(record, PLACE))
    assert (row.body, row.severity_text, row.trace_id) == ("no cart", "ERROR", "01" * 16)
    assert row.attributes["logger.name"] == "shop.cart"
    assert (row.attributes["order"], row.attributes["code.line.number"]) == (12, 7)
    assert row.attributes["exception.type"] == "KeyError"
    assert 'raise KeyError("lost")' in row.attributes["exception.stacktrace"]


def test_series_differ_by_name_unit_and_attributes_and_not_by_their_order() -> None:
    same = series_key("n", "s", {"a": 1, "b": 2})
    assert series_key("n", "s", {"b": 2, "a": 1}) == same
    others = [("m", "s", {"a": 1, "b": 2}), ("n", "", {"a": 1, "b": 2}), ("n", "s", {"a": 1})]
    assert same not in {series_key(*other) for other in others}


def test_series_beyond_the_bound_share_one_that_says_so() -> None:
    """No count is lost to a careless attribute, and the memory of a program stays bounded."""
    totals = Totals(T0, series_max=2, bytes_max=1000)
    for user in range(50):
        total = totals.find(series_key("hits", "", {"user": user}))
        assert total is not None
        total.add(1, T0)
    frames = {
        total.frame()
        for user in range(50)
        if (total := totals.find(series_key("hits", "", {"user": user})))
    }
    points = list(metric_points(Encoding.PROTO, request_of(Signal.METRICS, RESOURCE, frames)))
    told = {tuple(point.attributes.items()): point.value for point in points}
    assert told == {(("user", 0),): 1, (("user", 1),): 1, (("otel.metric.overflow", True),): 48}
    found = [totals.find(series_key(f"name-{n}", "", {})) for n in range(50)]
    assert sum(total is not None for total in found) == 1  # Twice series_max in all.


def test_a_clock_that_is_set_back_leaves_no_point_before_its_start() -> None:
    total = Total(series_key("n", "", {}), T0)
    total.add(1, T0 - 10**9)
    body = request_of(Signal.METRICS, RESOURCE, [total.frame()])
    (point,) = metric_points(Encoding.PROTO, body)
    assert point.time_ns == point.start_ns == T0
