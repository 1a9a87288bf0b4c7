"""Conflicts: what two sides wrote of one thing is told, with the one that holds, and nothing else is."""

import pytest
from hypothesis import given

from hub.nodes.tombstones import merge_settled, tombstone
from hub.peering.conflicts import (
    LARGER_BYTES,
    LATER_LIFE,
    LATER_STAMP,
    UNNOTICED_MS,
    VALUE_LENGTH_MAX,
    Between,
    conflict_of_settings,
    conflicts_of,
)
from shared.conf import Entry
from shared.merge import Facts, Intent, NodeRecord, Observation
from shared.stamp import Stamp
from tests.law.drawing import node_records, patient

APART = (("hub-1", "hub-2"), ("hub-3",))
WHOLE = (("hub-1", "hub-2", "hub-3"),)
SINCE_MS = 100_000
BETWEEN = Between(((SINCE_MS, APART),))


def wish(value: object, at_ms: int, hub: str, name: str = "draining") -> NodeRecord:
    return NodeRecord("edge-1", intent={name: Intent(value, Stamp(at_ms, 0, hub))})


def test_other_values_written_on_both_sides_are_a_conflict_that_the_later_stamp_wins() -> None:
    (conflict,) = conflicts_of(
        wish(True, SINCE_MS + 5, "hub-1"), wish(False, SINCE_MS + 9, "hub-3"), BETWEEN
    )
    assert (conflict.node_id, conflict.field, conflict.rule) == ("edge-1", "draining", LATER_STAMP)
    assert (conflict.winner.value, conflict.winner.hub) == ("false", "hub-3")
    assert (conflict.loser.value, conflict.loser.at_ms) == ("true", SINCE_MS + 5)


def setting(value: object, at_ms: int, hub: str) -> Entry:
    return Entry("edges", "log_level", value, Stamp(at_ms, 0, hub), "ada", at_ms)


def test_a_setting_that_both_sides_changed_is_a_conflict_too() -> None:
    """The same from either side; one that was changed before the split, or alike, is none."""
    mine, theirs = setting("debug", SINCE_MS + 5, "hub-1"), setting("error", SINCE_MS + 9, "hub-3")
    found = conflict_of_settings(mine, theirs, BETWEEN)
    assert found == conflict_of_settings(theirs, mine, BETWEEN)
    assert found is not None
    assert (found.node_id, found.field) == ("", "log_level for edges")
    assert (found.rule, found.winner.hub, found.loser.value) == (LATER_STAMP, "hub-3", '"debug"')
    long_ago = setting("info", SINCE_MS - UNNOTICED_MS - 1, "hub-1")
    assert conflict_of_settings(long_ago, theirs, BETWEEN) is None
    alike = setting("error", SINCE_MS + 5, "hub-1")
    assert conflict_of_settings(alike, theirs, BETWEEN) is None


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (wish(True, SINCE_MS + 5, "hub-1"), wish(True, SINCE_MS + 9, "hub-3")),
        (wish(True, SINCE_MS + 5, "hub-1"), wish(False, SINCE_MS + 9, "hub-2")),
        (wish(True, SINCE_MS + 5, "hub-3"), wish(False, SINCE_MS + 9, "hub-3")),
        (wish(True, SINCE_MS - UNNOTICED_MS - 1, "hub-1"), wish(False, SINCE_MS + 9, "hub-3")),
        (wish(True, SINCE_MS + 5, "hub-1"), wish(False, SINCE_MS + 9, "hub-3", "labels")),
    ],
    ids=["same value", "same island", "same hub", "written before", "other field"],
)
def test_what_contradicts_nothing_is_no_conflict(mine: NodeRecord, theirs: NodeRecord) -> None:
    assert conflicts_of(mine, theirs, BETWEEN) == []


def test_what_was_written_before_anybody_noticed_the_split_counts() -> None:
    early = SINCE_MS - UNNOTICED_MS
    assert conflicts_of(wish(1, early, "hub-1"), wish(2, early + 1, "hub-3"), BETWEEN)


def test_a_hub_that_was_together_with_the_other_meanwhile_knew_what_it_overwrote() -> None:
    between = Between(((SINCE_MS, APART), (SINCE_MS + 10, WHOLE), (SINCE_MS + 20, APART)))
    one, other = wish(1, SINCE_MS + 5, "hub-1"), wish(2, SINCE_MS + 25, "hub-3")
    assert conflicts_of(one, other, between) == []
    assert conflicts_of(one, wish(2, SINCE_MS + 9, "hub-3"), between)


def test_a_wish_that_the_other_side_ended_by_removing_the_node_is_told() -> None:
    label = wish({"site": "a"}, SINCE_MS + 5, "hub-1", "labels")
    dead = tombstone("edge-1", Stamp(SINCE_MS + 9, 0, "hub-3"))
    (conflict,) = conflicts_of(label, dead, BETWEEN)
    assert (conflict.field, conflict.rule, conflict.loser.value) == (
        "labels",
        LATER_LIFE,
        '{"site":"a"}',
    )
    assert merge_settled(label, dead) == dead


def test_facts_and_beats_of_equal_number_with_other_contents_are_always_a_conflict() -> None:
    """A cloned node, or a hub that was restored from a copy."""
    mine = NodeRecord("edge-1", Facts(1, 1, {"a": 1}), Observation(1, 1, 5, "hub-1", {"a": 2}))
    theirs = NodeRecord("edge-1", Facts(1, 1, {"a": 2}), Observation(1, 1, 5, "hub-1", {"a": 1}))
    found = conflicts_of(mine, theirs, BETWEEN)
    assert [(each.field, each.rule) for each in found] == [
        ("facts", LARGER_BYTES),
        ("observation", LARGER_BYTES),
    ]
    assert found[0].winner.value == '{"a":2}'
    later = NodeRecord("edge-1", Facts(1, 2, {"a": 2}), Observation(1, 2, 5, "hub-1", {}))
    assert conflicts_of(mine, later, BETWEEN) == []


def test_a_long_value_is_cut() -> None:
    found = conflicts_of(
        wish("x" * 5_000, SINCE_MS, "hub-1"), wish("y", SINCE_MS + 1, "hub-3"), BETWEEN
    )
    assert len(found[0].loser.value) == VALUE_LENGTH_MAX


@given(node_records(), node_records())
@patient
def test_both_sides_tell_the_same_conflicts_and_a_record_has_none_with_itself(
    mine: NodeRecord, theirs: NodeRecord
) -> None:
    between = Between(((0, APART),))
    assert conflicts_of(mine, theirs, between) == conflicts_of(theirs, mine, between)
    assert conflicts_of(mine, mine, between) == []
