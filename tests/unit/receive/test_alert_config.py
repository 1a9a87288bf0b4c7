"""How alert rules are written: what is read, and what is refused with the rule and the key."""

import re
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.receive.alert_config import RULES_MAX, read_alert_rules
from edge.receive.alert_rule import DEFAULT_RULES, AlertRule, at_mountpoint
from tests.unit.otlp.samples import patient

WRITTEN = """
[[alerts]]
name = "disk busy"
metric = "system.disk.io"
where = { "system.device" = "sda" }
operator = "<="
threshold = 5
for_seconds = "5m"
clear = 7.5
clear_for_seconds = 30
no_data_seconds = "1h"
repeat_seconds = "1d"
severity = "fatal"
summary = "{name} at {value} ({attributes}), limit {threshold}"

[[alerts]]
name = "killed"
log = "Out of memory: Killed|oom"
min_severity = "warn"
within_seconds = "10m"

[[alerts]]
name = "cpu_busy"
enabled = false
"""

METRIC = {"name": "n", "metric": "m", "threshold": 1}


def test_rules_are_read_from_tables_and_join_those_out_of_the_box() -> None:
    read = read_alert_rules(tomllib.loads(WRITTEN)["alerts"])
    assert read[: len(DEFAULT_RULES) - 1] == DEFAULT_RULES[:-1]
    assert read[len(DEFAULT_RULES) - 1 :] == (
        AlertRule(
            "disk busy",
            metric="system.disk.io",
            where=(("system.device", "sda"),),
            operator="<=",
            threshold=5.0,
            for_seconds=300.0,
            clear=7.5,
            clear_for_seconds=30.0,
            no_data_seconds=3600.0,
            repeat_seconds=86400.0,
            severity="fatal",
            summary="{name} at {value} ({attributes}), limit {threshold}",
        ),
        AlertRule(
            "killed",
            log="Out of memory: Killed|oom",
            min_severity="warn",
            within_seconds=600.0,
            operator=">=",
            threshold=1.0,
        ),
    )


def test_a_rule_of_the_same_name_replaces_that_out_of_the_box() -> None:
    rules = {rule.name: rule for rule in read_alert_rules([{**METRIC, "name": "cpu_busy"}])}
    assert rules["cpu_busy"].metric == "m"
    assert len(rules) == len(DEFAULT_RULES)


@pytest.mark.parametrize(
    ("value", "rules"), [("off", ()), ("On", DEFAULT_RULES), ([], DEFAULT_RULES)]
)
def test_all_can_be_turned_off(value: object, rules: tuple[AlertRule, ...]) -> None:
    assert read_alert_rules(value) == rules


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("disk", "on, off, or a list"),
        ({}, "on, off, or a list"),
        ([METRIC] * (RULES_MAX + 1), f"at most {RULES_MAX} tables"),
        ([5], "in rule 1 there is no table"),
        ([{}], "in rule 1 name is missing"),
        ([{"name": "a/b"}], "in rule 1 (a/b) name must be a name"),
        ([METRIC, METRIC], "in rule 2 (n) name must be that of one rule only"),
        ([{**METRIC, "treshold": 1}], "in rule 1 (n) treshold is not known"),
        ([{"name": "n", "threshold": 1}], "in rule 1 (n) either metric or log must be given"),
        ([{**METRIC, "log": "x"}], "in rule 1 (n) either metric or log must be given"),
        ([{"name": "n", "metric": "m"}], "in rule 1 (n) threshold is missing"),
        ([{**METRIC, "threshold": "1"}], "threshold must be a number"),
        ([{**METRIC, "threshold": True}], "threshold must be a number"),
        ([{**METRIC, "threshold": float("nan")}], "threshold must be a number"),
        ([{**METRIC, "operator": "=="}], "operator must be one of >, >=, <, <="),
        ([{**METRIC, "for_seconds": "soon"}], "for_seconds must be a duration"),
        ([{**METRIC, "for_seconds": -1}], "for_seconds must be a duration"),
        ([{**METRIC, "repeat_seconds": 0}], "repeat_seconds must be more than 0"),
        ([{**METRIC, "clear": 2}], "clear must be on the other side of threshold 1"),
        ([{**METRIC, "severity": "loud"}], "severity must be one of trace"),
        ([{**METRIC, "summary": "{valeu}"}], "summary must be a text with no other braces"),
        ([{**METRIC, "summary": "{value.real}"}], "summary must be a text with no other braces"),
        ([{**METRIC, "where": "a=b"}], "where must be a table"),
        ([{**METRIC, "where": {"a": 1}}], "where must be a text"),
        ([{**METRIC, "within_seconds": 1}], "within_seconds does not go with metric"),
        ([{**METRIC, "enabled": 0}], "enabled must be true or false"),
        ([{"name": "n", "log": "("}], "log must be a regular expression"),
        ([{"name": "n", "log": "x", "where": {}}], "where does not go with log"),
        ([{"name": "n", "log": "x", "within_seconds": 0}], "within_seconds must be more than 0"),
    ],
)
def test_what_is_wrong_is_said_with_the_rule_and_the_key(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_alert_rules(value)


items: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("m")
)
keys = st.sampled_from(
    ["name", "metric", "log", "threshold", "clear", "where", "for_seconds", "summary", "operator"]
)


@patient
@given(items | st.lists(items | st.dictionaries(keys, items | st.dictionaries(st.text(), items))))
def test_any_value_is_read_or_refused(value: object) -> None:
    try:
        rules = read_alert_rules(value)
    except ValueError:
        return
    assert all(rule.text(1.0, ()) for rule in rules)


def test_a_summary_is_filled_in() -> None:
    rule = AlertRule(
        "n", metric="m", threshold=0.9, summary="{name}: {value} of {threshold} ({attributes})"
    )
    assert rule.text(0.98765, (("a", "{name}"), ("b", "2"))) == "n: 0.9877 of 0.9 (a={name}, b=2)"
    assert AlertRule("n", metric="m", threshold=2).text(3, ()) == "n: 3 > 2"


def test_the_rules_out_of_the_box_are_such_as_could_be_written() -> None:
    for rule in DEFAULT_RULES:
        table = {
            "name": rule.name,
            "metric": rule.metric,
            "where": dict(rule.where),
            "operator": rule.operator,
            "threshold": rule.threshold,
            "clear": rule.clear,
            "for_seconds": rule.for_seconds,
            "clear_for_seconds": rule.clear_for_seconds,
            "severity": rule.severity,
            "summary": rule.summary,
        }
        assert rule in read_alert_rules([table])


def test_the_mount_point_of_the_data_folder_is_filled_in() -> None:
    (disk, *_), others = at_mountpoint(DEFAULT_RULES, "/srv"), DEFAULT_RULES[1:]
    assert disk.where == (("system.filesystem.mountpoint", "/srv"),)
    assert at_mountpoint(others, "/srv") == others
