"""Reading scrub rules: what a table says, and what is wrong with it, in words for its writer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.receive.scrub_rules import DropRule, RedactRule, RemoveRule, read_scrub_rules
from shared.records import Signal
from tests.unit.otlp.samples import patient

DROP = {"name": "d", "action": "drop", "signals": ["logs"]}
REDACT = {"name": "r", "action": "redact", "patterns": ["email"]}
REMOVE = {"name": "k", "action": "remove", "keys": ["password"]}


def test_the_rules_of_a_settings_file_are_read() -> None:
    drop, redact, remove = read_scrub_rules(
        [
            {**DROP, "severity_below": "warn", "body_matches": "^GET /health ", "keep_ratio": 0.5},
            {**REDACT, "patterns": ["email", "ipv4"], "matches": "id=[0-9]{1,9}", "text": "***"},
            {**REMOVE, "keys_match": "(?i)secret", "signals": ["traces", "metrics"]},
        ]
    )
    assert isinstance(drop, DropRule)
    assert (drop.signals, drop.severity_below, drop.keep_ratio) == (
        frozenset({Signal.LOGS}),
        13,
        0.5,
    )
    assert isinstance(redact, RedactRule)
    assert redact.signals == set(Signal)
    assert redact.redacted("a@b.de 10.0.0.1 id=77") == "*** *** ***"
    assert isinstance(remove, RemoveRule)
    assert remove.signals == {Signal.TRACES, Signal.METRICS}
    assert [remove.removes(key) for key in ("password", "my.SECRET", "other")] == [
        True,
        True,
        False,
    ]


def test_no_rules_are_no_rules() -> None:
    assert read_scrub_rules([]) == ()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("text", "a list of at most 100 tables"),
        ([DROP] * 101, "a list of at most 100 tables"),
        (["drop"], "rule 1: it is not a table"),
        ([DROP, {}], "rule 2: name is missing"),
        ([DROP, DROP], "rule 2: name 'd' is taken"),
        ([{**DROP, "name": "x" * 65}], "name must be 1 to 64 letters"),
        ([{**DROP, "name": "a\nb"}], "name must be"),
        ([{**DROP, "action": "burn"}], "action must be one of drop, redact, remove"),
        ([{**DROP, "keys": ["a"]}], "keys is not known to drop: known are severity_below"),
        ([{"name": "d", "action": "drop"}], "signals is missing"),
        ([{**DROP, "signals": []}], "signals must be a list of some of logs, metrics"),
        ([{**DROP, "signals": ["profiles"]}], "signals must be a list"),
        ([{**DROP, "signals": "logs"}], "signals must be a list"),
        ([{**DROP, "severity_below": "loud"}], "severity_below must be one of trace, debug"),
        ([{**DROP, "severity_below": 9}], "severity_below must be one of"),
        ([{**DROP, "signals": ["traces"], "severity_below": "warn"}], "must be logs or events"),
        ([{**DROP, "signals": ["metrics"], "body_matches": "x"}], "must be logs or events"),
        ([{**DROP, "signals": ["metrics"], "keep_ratio": 0.5}], "they have no trace id"),
        ([{**DROP, "body_matches": "("}], "body_matches must be a regular expression, and"),
        ([{**DROP, "body_matches": "(a+)+b"}], "body_matches must be a regular expression that"),
        ([{**DROP, "attribute": "a"}], "attribute and either equals or matches"),
        ([{**DROP, "equals": "a"}], "attribute and either equals or matches"),
        ([{**DROP, "attribute": "a", "equals": 1, "matches": "1"}], "cannot both be given"),
        ([{**DROP, "attribute": "a", "equals": [1]}], "equals must be a text, a number"),
        ([{**DROP, "keep_ratio": 1}], "keep_ratio must be a share between 0 and 1"),
        ([{**DROP, "keep_ratio": float("nan")}], "keep_ratio must be a share"),
        ([{**DROP, "keep_ratio": True}], "keep_ratio must be a share"),
        ([{"name": "r", "action": "redact"}], "patterns or matches is missing"),
        ([{**REDACT, "patterns": ["phone"]}], "patterns must be a list of some of email, ipv4"),
        ([{**REDACT, "text": "x", "hash_key": "k" * 16}], "cannot both be given"),
        ([{**REDACT, "hash_key": "short"}], "hash_key must be a text of 16 to 256"),
        ([{"name": "k", "action": "remove"}], "keys or keys_match is missing"),
        ([{**REMOVE, "keys": "password"}], "keys must be a list of 1 to 256 texts"),
        ([{**REMOVE, "keys": [""]}], "keys must be a text of 1 to 256 characters"),
    ],
)
def test_a_mistake_is_told_with_its_place(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=r"^a list") as caught:
        read_scrub_rules(value)
    assert words in str(caught.value)


KEYS = ["name", "action", "signals", "keys", "keys_match", "patterns", "matches", "text", "equals"]
KEYS += ["hash_key", "severity_below", "name_matches", "body_matches", "attribute", "keep_ratio"]
words = st.sampled_from(["drop", "redact", "remove", "logs", "email", "a", "warn", "(", ""])
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=20,
)


@patient
@given(values)
def test_any_value_is_read_or_is_a_value_error(value: object) -> None:
    try:
        rules = read_scrub_rules(value)
    except ValueError as error:
        said = str(error)
    else:
        said = f"a list of {len(rules)} rules"
    assert said.startswith("a list")
