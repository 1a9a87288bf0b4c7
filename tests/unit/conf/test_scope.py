"""Scopes: one way to write each, precise errors, and which of two wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.conf_scope import SCOPE_LENGTH_MAX, Scope, read_scope, scope_of
from shared.errors import BadInput
from tests.law.drawing import patient


@pytest.mark.parametrize(
    "text", ["hubs", "edges", "edges:role=web", "edges:role=web,zone=a=b", "edges:role="]
)
def test_a_scope_is_written_as_it_was_read(text: str) -> None:
    assert read_scope(text).text == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "settings are for hubs or edges, not for ''"),
        ("edge", "not for 'edge'"),
        ("hubs:role=web", "hubs have no labels"),
        ("edges:", "written as edges:role=web"),
        ("edges:role", "written as edges:role=web"),
        ("edges:zone=a,role=web", "this selector is written 'edges:role=web,zone=a'"),
        ("edges:role=web,role=db", "this selector is written 'edges:role=db'"),
        ("edges:=web", "the name of a label has 1 to 63 characters"),
        (f"edges:{'r' * 64}=web", "the name of a label has 1 to 63 characters"),
        (f"edges:role={'w' * 201}", "the value of a label in a selector has at most 200"),
        ("edges:role=a\nb", "characters that cannot be shown"),
        ("edges:" + ",".join(f"{each}=1" for each in "abcdefghi"), "at most 8 labels, not 9"),
        ("edges:" + "x" * SCOPE_LENGTH_MAX, "at most 600 characters"),
    ],
)
def test_what_is_no_scope_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=r"\w") as refused:
        read_scope(text)
    assert reason in str(refused.value)


@patient
@given(st.text(max_size=700) | st.builds("edges:{}".format, st.text("ab=,\x00é", max_size=20)))
def test_any_text_is_a_scope_or_bad_input(text: str) -> None:
    try:
        scope = read_scope(text)
    except BadInput:
        return
    assert scope.text == text


@patient
@given(st.dictionaries(st.text("ab=, ", max_size=3), st.text("ab=, \n", max_size=3), max_size=9))
def test_what_can_be_written_can_be_read(labels: dict[str, str]) -> None:
    try:
        scope = scope_of("edges", labels)
    except BadInput:
        return
    assert read_scope(scope.text) == scope
    assert scope.fits(labels)


def test_an_edge_is_meant_when_it_has_all_of_the_labels() -> None:
    scope = scope_of("edges", {"role": "web", "zone": "a"})
    assert scope.fits({"role": "web", "zone": "a", "node": "n1"})
    assert not scope.fits({"role": "web", "node": "n1"})
    assert not scope.fits({"role": "web", "zone": "b"})
    assert scope_of("edges", {}).fits({})
    assert not scope_of("hubs", {}).fits({})


def test_the_more_specific_wins_and_ties_go_to_the_later_in_the_alphabet() -> None:
    written = ["edges:node=n1", "edges:a=1,b=2,c=3", "edges:zone=a", "edges", "edges:role=web"]
    ranked = sorted(map(read_scope, written), key=lambda scope: scope.rank)
    assert [scope.text for scope in ranked] == [
        "edges",
        "edges:role=web",
        "edges:zone=a",
        "edges:a=1,b=2,c=3",
        "edges:node=n1",
    ]


def test_two_scopes_never_have_one_rank() -> None:
    assert Scope("edges", (("a", "1"),)).rank != Scope("edges", (("a", "2"),)).rank
