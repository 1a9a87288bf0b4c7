"""Version vectors: however they are paged, they tell all; and hubs that sweep each other end up alike."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from hub.pull_answers import PeerFault
from hub.replicate import LogKey, joined, missing
from hub.vectors import (
    LOGS_MAX,
    SPANS_MAX,
    START,
    Position,
    VectorPage,
    VectorQuestion,
    answer,
    digest,
    page,
    read_answer,
    read_question,
    write_question,
)
from shared.errors import BadInput
from shared.ranges import NOTHING, Ranges, of_seqs
from tests.examples import examples
from tests.law.drawing import patient, ranges_of, seq_sets

KEYS: tuple[LogKey, ...] = (("edge-1", "e1"), ("edge-1", "e2"), ("edge-2", "e1"))

vectors = st.dictionaries(st.sampled_from(KEYS), seq_sets.map(ranges_of))
bounds = st.integers(1, 4)


def pages(vector: dict[LogKey, Ranges], logs_max: int, spans_max: int) -> Iterator[VectorPage]:
    """All pages of a vector, one after the other."""
    position: Position | None = START
    while position is not None:
        part = page(vector, position, logs_max, spans_max)
        yield part
        position = part.after


@patient
@given(vectors, bounds, bounds)
def test_the_union_of_all_pages_is_the_vector(
    vector: dict[LogKey, Ranges], logs_max: int, spans_max: int
) -> None:
    told: dict[LogKey, Ranges] = {}
    for part in pages(vector, logs_max, spans_max):
        assert len(part.logs) <= logs_max
        assert sum(len(ranges.spans) for ranges in part.logs.values()) <= spans_max
        assert not any(told.get(key, NOTHING) & ranges for key, ranges in part.logs.items())
        told = joined(told, part.logs)
    assert told == {key: ranges for key, ranges in vector.items() if ranges}


@patient
@given(vectors, vectors)
def test_digests_are_equal_when_vectors_are(
    one: dict[LogKey, Ranges], other: dict[LogKey, Ranges]
) -> None:
    backwards = dict(reversed(list(one.items())))
    assert digest(one) == digest(backwards)
    held = [{key: ranges for key, ranges in each.items() if ranges} for each in (one, other)]
    assert (digest(one) == digest(other)) == (held[0] == held[1])


@patient
@given(vectors, st.sampled_from(KEYS), st.integers(0, 41))
def test_a_peer_reads_what_was_answered(
    vector: dict[LogKey, Ranges], key: LogKey, seq: int
) -> None:
    question = VectorQuestion("hub-2", (*key, seq), "")
    asked = read_question(json.loads(json.dumps(write_question(question))))
    assert asked == question
    told = read_answer(json.dumps(answer(vector, asked, 7)).encode(), asked.after)
    assert told.page == page(vector, asked.after, LOGS_MAX, SPANS_MAX)
    assert told.head == 7


def test_a_hub_with_the_same_vector_is_told_no_logs() -> None:
    vector = {KEYS[0]: of_seqs([1, 2, 9])}
    told = answer(vector, VectorQuestion("hub-2", START, digest(vector)), 3)
    assert (told["logs"], told["next"], told["digest"]) == ([], None, digest(vector))
    assert answer(vector, VectorQuestion("hub-2", START, "0" * 64), 3)["logs"]


# ---- what strangers say


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just("a" * 65),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=60))
def test_whatever_bytes_a_peer_answers_are_a_fault(body: bytes) -> None:
    with pytest.raises(PeerFault):
        read_answer(body, START)


SOUND = answer({KEYS[0]: of_seqs([1, 3])}, VectorQuestion("hub-2", START, ""), 5)
ASKED = write_question(VectorQuestion("hub-2", START, "0" * 64))


@given(st.sampled_from(sorted(SOUND)), anything)
def test_an_answer_with_any_field_spoilt_is_read_or_a_fault(name: str, value: Any) -> None:
    with contextlib.suppress(PeerFault):
        read_answer(json.dumps({**SOUND, name: value}).encode(), START)


@given(st.sampled_from(sorted(ASKED)), anything)
def test_a_question_with_any_field_spoilt_is_read_or_refused(name: str, value: Any) -> None:
    with contextlib.suppress(BadInput):
        read_question({**ASKED, name: value})


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "no logs": ({"logs": None}, "unreadable"),
    "a log without a name": ({"logs": [["", "e1", [[1, 1]]]]}, "unreadable"),
    "a log twice": ({"logs": [["a", "e", [[1, 1]]], ["a", "e", [[2, 2]]]]}, "unreadable"),
    "a log of nothing": ({"logs": [["a", "e", []]]}, "unreadable"),
    "ranges backwards": ({"logs": [["a", "e", [[5, 1]]]]}, "bad_ranges"),
    "ranges before the beginning": ({"logs": [["a", "e", [[0, 1]]]]}, "bad_ranges"),
    "ranges without end": ({"logs": [["a", "e", [[1, 2**63]]]]}, "bad_ranges"),
    "a log longer than any": ({"logs": [["a", "e", [[1, 2**50]]]]}, "too_many"),
    "too many logs": (
        {"logs": [[f"n{i:05}", "e", [[1, 1]]] for i in range(LOGS_MAX + 1)]},
        "too_many",
    ),
    "too many ranges": (
        {"logs": [["a", "e", [[2 * i, 2 * i] for i in range(1, SPANS_MAX + 2)]]]},
        "too_many",
    ),
    "logs in no order": ({"logs": [["b", "e", [[1, 1]]], ["a", "e", [[1, 1]]]]}, "no_progress"),
    "a next page that is this one": (
        {"logs": [["b", "e", [[1, 1]]]], "next": ["a", "e", 1]},
        "no_progress",
    ),
    "a next page of an empty one": ({"logs": [], "next": ["a", "e", 1]}, "no_progress"),
    "a next page of nowhere": ({"next": "later"}, "unreadable"),
    "a head that is a word": ({"head": "high"}, "unreadable"),
    "a head below zero": ({"head": -1}, "unreadable"),
    "a digest that is none": ({"digest": "abc"}, "unreadable"),
    "another version": ({"version": 2}, "version"),
}


@pytest.mark.parametrize("name", LIES)
def test_each_lie_about_a_vector_has_its_reason(name: str) -> None:
    said, reason = LIES[name]
    with pytest.raises(PeerFault) as caught:
        read_answer(json.dumps({**SOUND, "next": None, **said}).encode(), START)
    assert caught.value.reason == reason
    assert len(str(caught.value)) > 15


def test_a_page_before_the_one_that_was_asked_for_is_a_fault() -> None:
    with pytest.raises(PeerFault) as caught:
        read_answer(json.dumps(SOUND).encode(), ("edge-9", "e1", 4))
    assert caught.value.reason == "no_progress"


def test_another_version_is_refused_with_both_versions_named() -> None:
    with pytest.raises(PeerFault, match=r"speaks version 2 .* this hub speaks version 1"):
        read_answer(b'{"version": 2}', START)


def test_fields_that_are_not_known_here_are_ignored() -> None:
    said = {**SOUND, "colour": "blue", "later": [1, {"deep": None}]}
    assert read_answer(json.dumps(said).encode(), START).page.logs == {KEYS[0]: of_seqs([1, 3])}
    assert read_question({**ASKED, "colour": "blue"}).hub_id == "hub-2"


# ---- sweeping


class Side:
    """One of two hubs: what it holds, what it has dropped, and where its sweep of the other stands."""

    def __init__(self) -> None:
        self.held: dict[LogKey, Ranges] = {}
        self.dropped: dict[LogKey, Ranges] = {}
        self.position: Position | None = None
        self.lacking: dict[LogKey, Ranges] = {}

    def have(self, key: LogKey) -> Ranges:
        return self.held.get(key, NOTHING) | self.dropped.get(key, NOTHING)

    def take(self, key: LogKey, ranges: Ranges) -> None:
        self.held[key] = self.held.get(key, NOTHING) | (ranges - self.have(key))

    def lacks(self, logs: dict[LogKey, Ranges]) -> dict[LogKey, Ranges]:
        return missing(logs, {key: self.have(key) for key in logs})


class TwoHubs(RuleBasedStateMachine):
    """Two hubs sweep each other page by page while chunks come and days are dropped."""

    @initialize(logs_max=bounds, spans_max=bounds)
    def begin(self, logs_max: int, spans_max: int) -> None:
        self.bounds = logs_max, spans_max
        self.sides = Side(), Side()

    @rule(side=st.integers(0, 1), key=st.sampled_from(KEYS), seqs=seq_sets)
    def chunks_arrive(self, side: int, key: LogKey, seqs: frozenset[int]) -> None:
        self.sides[side].take(key, ranges_of(seqs))

    @rule(side=st.integers(0, 1), key=st.sampled_from(KEYS), last=st.integers(1, 40))
    def a_day_is_dropped(self, side: int, key: LogKey, last: int) -> None:
        hub = self.sides[side]
        gone = hub.held.get(key, NOTHING) & Ranges(((1, last),))
        hub.held[key] = hub.held.get(key, NOTHING) - gone
        hub.dropped[key] = hub.dropped.get(key, NOTHING) | gone

    @rule(side=st.integers(0, 1))
    def one_page_is_looked_at(self, side: int) -> None:
        mine, other = self.sides[side], self.sides[1 - side]
        part = page(other.held, mine.position or START, *self.bounds)
        mine.lacking = joined(mine.lacking, mine.lacks(part.logs))
        mine.position = part.after

    @rule(side=st.integers(0, 1))
    def what_is_lacking_is_fetched(self, side: int) -> None:
        mine, other = self.sides[side], self.sides[1 - side]
        wanted = mine.lacks(mine.lacking)
        for key, ranges in wanted.items():
            assert not ranges & mine.held.get(key, NOTHING), "what is here is not asked for"
            assert not ranges & mine.dropped.get(key, NOTHING), "nor is what retention took"
            mine.take(key, ranges & other.held.get(key, NOTHING))
        mine.lacking = {}

    def teardown(self) -> None:
        if not hasattr(self, "sides"):
            return
        for side in (0, 1, 0):
            self.sides[side].position = None
            self.one_page_is_looked_at(side)
            while self.sides[side].position is not None:
                self.one_page_is_looked_at(side)
            self.what_is_lacking_is_fetched(side)
        one, other = self.sides
        assert one.lacks(other.held) == other.lacks(one.held) == {}
        if not one.dropped and not other.dropped:
            assert digest(one.held) == digest(other.held)


TwoHubs.TestCase.settings = settings(patient, max_examples=examples(60), stateful_step_count=25)
TestTwoHubs = TwoHubs.TestCase


@patient
@given(vectors, vectors)
def test_joined_vectors_hold_what_either_holds(
    one: dict[LogKey, Ranges], other: dict[LogKey, Ranges]
) -> None:
    assume(one or other)
    both = joined(one, other)
    for key in KEYS:
        mine, theirs = one.get(key, NOTHING), other.get(key, NOTHING)
        assert set(both.get(key, NOTHING)) == set(mine) | set(theirs)
