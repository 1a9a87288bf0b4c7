"""Whatever a part of a hub tells as an event, it can be written, and it is bounded."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.own_event import (
    ATTRIBUTES_MAX,
    NAME_LENGTH_MAX,
    SEVERITY_OF,
    TEXT_LENGTH_MAX,
    VALUE_LENGTH_MAX,
    event_of,
    sound,
)
from shared.otlp import read_part
from shared.otlp_make import Event, event_part
from shared.otlp_rows import log_rows
from shared.records import Signal
from shared.signals import SEVERITIES

texts = st.text(st.characters(codec=None), max_size=20)  # Lone surrogates, too.
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
events = st.builds(
    Event, st.integers(-(2**70), 2**70), texts, texts, texts, st.dictionaries(texts, values)
)


@given(events)
def test_any_event_can_be_written_and_read_again(event: Event) -> None:
    safe = sound(event)
    part = event_part({"service.name": "x"}, "scope", [safe])
    assert read_part(Signal.LOGS, "application/x-protobuf", part.body).records == 1
    (row,) = log_rows(part.encoding, part.body)
    assert row.body == safe.text
    assert sound(safe) == safe or "nan" in repr(safe)


@given(texts, st.dictionaries(texts, values, max_size=5))
def test_any_name_and_facts_are_an_event(name: str, facts: dict[str, Any]) -> None:
    event = sound(event_of(5, name, facts))
    assert event.severity in SEVERITIES
    assert len(event.attributes) <= len(facts)


def test_an_event_is_bounded_in_every_direction() -> None:
    facts = dict.fromkeys((f"{n} " + "k" * 1000 for n in range(1000)), "v" * 10**6)
    event = sound(Event(1, "n" * 10**6, "info", "t" * 10**6, facts))
    assert len(event.name) == NAME_LENGTH_MAX
    assert len(event.text) == TEXT_LENGTH_MAX
    assert len(event.attributes) == ATTRIBUTES_MAX
    assert {len(str(value)) for value in event.attributes.values()} == {VALUE_LENGTH_MAX}


def test_numbers_and_truth_stay_what_they_are_and_the_rest_becomes_text() -> None:
    facts = {"n": 3, "f": 0.5, "b": True, "s": "x", "big": 2**64, "l": [1, {"a": None}], "o": None}
    event = sound(event_of(7, "store.refilled", facts))
    assert event.attributes == {
        "n": 3,
        "f": 0.5,
        "b": True,
        "s": "x",
        "big": str(2**64),
        "l": '[1,{"a":null}]',
        "o": "null",
    }
    assert event.text.startswith("store.refilled: n 3, f 0.5, b true, s x, big ")


def test_the_text_leaves_out_what_is_empty_and_the_attributes_keep_it() -> None:
    event = event_of(1, "adoption.begin", {"lost": "hub-3", "back": "", "names": 0, "why": None})
    assert event.text == "adoption.begin: lost hub-3, names 0"
    assert event.attributes["back"] == ""


def test_nobody_has_to_look_at_duties_that_move_because_a_hub_is_back() -> None:
    severities = [
        event_of(1, "adoption.begin", {"lost": lost, "back": back, "names": 3}).severity
        for lost, back in (("", "hub-3"), ("hub-3", ""), ("hub-2", "hub-3"))
    ]
    assert severities == ["info", "warn", "warn"]


def test_what_somebody_should_look_at_is_no_mere_information() -> None:
    assert event_of(1, "disk.guard.closed", {}).severity == "error"
    assert event_of(1, "hub.started", {}) == Event(1, "hub.started", "info", "hub.started", {})
    assert set(SEVERITY_OF.values()) <= set(SEVERITIES) - {"info"}


def test_what_was_planned_is_for_information() -> None:
    alarm = event_of(1, "hub.isolated", {"peers": 2, "by_plan": False})
    planned = event_of(1, "hub.isolated", {"peers": 2, "by_plan": True})
    assert (alarm.severity, planned.severity) == ("error", "info")
