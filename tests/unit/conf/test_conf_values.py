"""Entries and documents from anywhere: bounded, checked, canonical; and the table of settings."""

from dataclasses import fields
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.settings import HubSettings
from shared.beat import check_json
from shared.conf import (
    DOCUMENT_BYTES_MAX,
    EMPTY_HASH,
    Document,
    Entry,
    canonical,
    read_document,
    read_entry,
    write_document,
)
from shared.conf_report import Age, Report
from shared.conf_scope import EDGES, HUBS
from shared.conf_table import TABLES, check_together
from shared.errors import BadInput, TooLarge
from shared.settings import settings_class
from shared.stamp import Stamp
from tests.law.drawing import patient

ENTRY: dict[str, Any] = {
    "scope": "edges",
    "key": "log_level",
    "value": "debug",
    "stamp": [1, 0, "hub-1"],
    "author": "ann",
    "at_ms": 1,
}

jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)


def test_an_entry_survives_its_own_bytes() -> None:
    entry = read_entry({**ENTRY, "more": {"from": "a newer version"}})
    assert read_entry(msgspec.json.decode(canonical(entry))) == entry
    assert entry.more == {"from": "a newer version"}


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": ""},
        {"scope": "e" * 601},
        {"key": "k" * 65},
        {"value": 2**70},
        {"value": "v" * 20_000},
        {"before": "v" * 20_000},
        {"more": {"m": "v" * 20_000}},
        {"value": "\ud800"},
        {"stamp": [1, 0]},
        {"stamp": [-1, 0, "hub-1"]},
        {"stamp": [2**60, 0, "hub-1"]},
        {"stamp": [1, -1, "hub-1"]},
        {"stamp": [1, 0, "Not A Name"]},
        {"author": "a" * 201},
        {"at_ms": -1},
        {"gone": "yes"},
        {"more": []},
    ],
)
def test_what_is_no_entry_is_bad_input(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        read_entry({**ENTRY, **changes})


@patient
@given(st.dictionaries(st.sampled_from([*ENTRY, "before", "gone", "more"]), jsons) | jsons)
def test_any_value_is_an_entry_or_bad_input(changes: Any) -> None:
    try:
        entry = read_entry({**ENTRY, **changes} if isinstance(changes, dict) else changes)
    except BadInput:
        return
    assert canonical(entry)


@patient
@given(
    st.binary(max_size=200) | st.builds(msgspec.json.encode, st.dictionaries(st.text(), st.text()))
)
def test_any_bytes_are_a_document_or_bad_input(body: bytes) -> None:
    try:
        document = read_document(body)
    except BadInput:
        return
    assert read_document(write_document(document)) == document


def test_a_document_is_refused_before_it_is_read_when_it_is_too_large() -> None:
    with pytest.raises(TooLarge):
        read_document(b" " * (DOCUMENT_BYTES_MAX + 1))


def test_the_hash_of_a_document_is_of_its_settings_alone() -> None:
    """An edge asks when what it should have has changed, not when somebody else's has."""
    settings = {"b": 1.0, "a": {"y": [1], "x": None}}
    turned = {"a": {"x": None, "y": [1]}, "b": 1.0}
    assert Document(settings).hash == Document(turned, Age(5, 1)).hash != EMPTY_HASH
    assert Document({}, Age(9, 9)).hash == EMPTY_HASH
    assert EMPTY_HASH == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@patient
@given(jsons)
def test_any_report_is_one_or_none(value: Any) -> None:
    """It comes within a heartbeat, and is bounded before anything else is done with it."""
    try:
        report = msgspec.convert(value, Report)
    except msgspec.ValidationError:
        return
    assert len(report.error) <= 500
    assert len(report.waiting) <= 100


def test_every_setting_that_can_be_given_is_one_of_that_role() -> None:
    """A key that nobody reads would be a setting that does nothing."""
    for kind, role in ((HUBS, "hub"), (EDGES, "edge")):
        declared = {item.name for item in fields(settings_class(role))}
        assert TABLES[kind].keys() <= declared


def test_no_hub_can_change_what_is_for_the_owner_of_a_machine() -> None:
    owned = {"data", "insecure", "cluster_key", "masters", "templates", "allow_unisolated", "scrub"}
    assert not owned & TABLES[EDGES].keys()
    assert not {"data", "host", "port", "peers", "cluster_key", "insecure"} & TABLES[HUBS].keys()


def test_the_defaults_of_a_hub_fit_the_table() -> None:
    settings = HubSettings()
    for key, setting in TABLES[HUBS].items():
        assert setting.read(getattr(settings, key)) == getattr(settings, key)


@pytest.mark.parametrize(
    ("kind", "key", "given", "kept"),
    [
        (HUBS, "keep_logs_days", "30", 30),
        (HUBS, "keep_logs_bytes", "2GiB", 2 * 2**30),
        (HUBS, "backlog_bytes_per_s", 0, 0),
        (EDGES, "log_level", "DEBUG", "debug"),
        (EDGES, "host_metrics_seconds", "500ms", 0.5),
        (EDGES, "host_metrics_seconds", 0, 0.0),
        (EDGES, "alerts", "Off", "off"),
        (EDGES, "alerts", [{"name": "mine"}], [{"name": "mine"}]),
        (EDGES, "tail", "/a.log, /b.log", ["/a.log", "/b.log"]),
        (EDGES, "tail", [{"pattern": "/a.log"}], [{"pattern": "/a.log"}]),
        (EDGES, "buffer_bytes_max", "1GiB", 2**30),
        (EDGES, "buffer_floors", "events=0.1,logs=0.2", {"events": 0.1, "logs": 0.2}),
    ],
)
def test_values_are_kept_in_one_form(kind: str, key: str, given: object, kept: object) -> None:
    setting = TABLES[kind][key]
    assert setting.read(given) == kept
    assert canonical(setting.read(kept)) == canonical(kept)


@pytest.mark.parametrize(
    ("kind", "key", "given"),
    [
        (HUBS, "keep_logs_days", -1),
        (HUBS, "keep_logs_days", 40_000),
        (HUBS, "keep_logs_bytes", "2 floors"),
        (HUBS, "log_level", "loud"),
        (EDGES, "host_metrics_seconds", "0.01s"),
        (EDGES, "host_metrics_seconds", "2d"),
        (EDGES, "scrape_seconds", 0),
        (EDGES, "alerts", [{"severity": "error"}]),
        (EDGES, "alerts", None),
        (EDGES, "alerts", [{"name": "x"}] * 101),
        (EDGES, "tail", [1]),
        (EDGES, "tail", None),
        (EDGES, "tail", ["/a.log"] * 257),
        (EDGES, "buffer_bytes_max", "1MiB"),
        (EDGES, "buffer_floors", {"nothing": 0.1}),
    ],
)
def test_values_out_of_bounds_are_refused(kind: str, key: str, given: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        TABLES[kind][key].read(given)


@patient
@given(st.sampled_from([(kind, key) for kind in TABLES for key in TABLES[kind]]), jsons)
def test_any_value_is_kept_in_one_form_or_refused(place: tuple[str, str], given: Any) -> None:
    """And what is kept can be written, read and kept again without a change."""
    read = TABLES[place[0]][place[1]].read
    try:
        kept = read(given)
    except ValueError:
        return
    try:
        check_json(kept)
    except BadInput:  # Tables of rules may hold what cannot be kept as JSON.
        assert place[1] in ("tail", "alerts")
        return
    entry = Entry("edges", place[1], kept, Stamp(1, 0, "hub-1"), "ann", 1)
    again = read_entry(msgspec.json.decode(canonical(entry)))
    assert canonical(read(again.value)) == canonical(kept)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"buffer_floors": {"events": 0.6, "logs": 0.6}}, "more than the whole buffer"),
        (
            {"buffer_floors": {"events": 0.6}, "buffer_ceilings": {"events": 0.5}},
            "buffer_floors keep 0.6 of the buffer for events, of which buffer_ceilings allow 0.5",
        ),
        ({"scrape_seconds": 5.0, "scrape_timeout_seconds": 9.0}, "scrape_timeout_seconds (9)"),
    ],
)
def test_settings_that_contradict_each_other_are_named(
    settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        check_together(settings)
    assert reason in str(refused.value)
    for key in settings if len(settings) > 1 else ():
        check_together({key: settings[key]})
