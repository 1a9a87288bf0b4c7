"""What may count as dropped here: only what nobody holds, as all who are known have just said."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.pull_answers import PeerFault
from hub.taken_over import (
    Fate,
    TakenOver,
    Went,
    Witness,
    agreed,
    dropped_of,
    joined_fates,
    share_of,
    silent,
)
from hub.taken_over_wire import ASKED_SPANS_MAX, check_asked, part_of, read_answer, write_answer
from shared.errors import BadInput
from shared.ranges import NOTHING, Ranges, of_seqs
from shared.sums import Sum

KEY = ("edge-1", "e1")
HASH = bytes(range(32))
WENT = Went(1, 20, HASH, Sum(20, 600, 4000), 1_700_000_000_000)


def seqs(*numbers: int) -> Ranges:
    return of_seqs(numbers)


def fate(judged: Ranges, held: Ranges = NOTHING, dropped: Ranges = NOTHING) -> Fate:
    return Fate(judged, held, dropped, WENT if dropped else None)


ASKED = seqs(1, 2, 3, 4)
FIRST = {KEY: fate(ASKED, held=seqs(4), dropped=seqs(1, 2, 3))}

CASES: dict[str, tuple[list[dict[Any, Fate]], Ranges]] = {
    "there is no other hub": ([], seqs(1, 2, 3)),
    "the other never had them": ([{KEY: fate(ASKED)}], seqs(1, 2, 3)),
    "the other dropped them, too": ([{KEY: fate(ASKED, dropped=ASKED)}], seqs(1, 2, 3)),
    "the other holds one": ([{KEY: fate(ASKED, held=seqs(2))}], seqs(1, 3)),
    "the other holds all": ([{KEY: fate(ASKED, held=ASKED)}], NOTHING),
    "the other told of one only": ([{KEY: fate(seqs(3))}], seqs(3)),
    "the other told of another log": ([{("edge-2", "e1"): fate(ASKED)}], NOTHING),
    "the other told nothing": ([{}], NOTHING),
    "each of two holds one": (
        [{KEY: fate(ASKED, held=seqs(1))}, {KEY: fate(ASKED, held=seqs(3))}],
        seqs(2),
    ),
    "one of two told nothing": ([{KEY: fate(ASKED)}, {}], NOTHING),
}


@pytest.mark.parametrize("name", CASES)
def test_what_may_be_taken_over(name: str) -> None:
    others, expected = CASES[name]
    assert agreed(FIRST, others) == ({KEY: TakenOver(expected, WENT)} if expected else {})


def test_what_nobody_dropped_is_missing_and_stays_so() -> None:
    assert agreed({KEY: fate(ASKED)}, []) == {}
    assert dropped_of({KEY: fate(ASKED)}) == {}


@pytest.mark.parametrize(
    ("witnesses", "expected"),
    [
        ([], []),
        ([Witness("a", has_answered=True, is_swept=True)], []),
        ([Witness("a", has_answered=False, is_swept=True)], ["a"]),
        ([Witness("a", has_answered=True, is_swept=False)], ["a"]),
        (
            [
                Witness("a", has_answered=True, is_swept=True),
                Witness("b", has_answered=False, is_swept=False),
            ],
            ["b"],
        ),
    ],
)
def test_everybody_who_is_known_must_have_been_heard(
    witnesses: list[Witness], expected: list[str]
) -> None:
    assert silent(witnesses) == expected


numbers = st.sets(st.integers(1, 30)).map(of_seqs)


@st.composite
def fates_of(draw: st.DrawFn) -> Fate:
    judged, held, dropped = draw(numbers), draw(numbers), draw(numbers)
    return fate(judged, judged & held, (judged & dropped) - held)


@given(fates_of(), st.lists(fates_of(), max_size=3))
def test_nothing_is_taken_over_that_anybody_holds_or_was_not_asked_for(
    first: Fate, others: list[Fate]
) -> None:
    taken = agreed({KEY: first}, [{KEY: other} for other in others])
    found = taken[KEY].seqs if taken else NOTHING
    for seq in range(1, 31):
        is_free = all(seq in other.judged and seq not in other.held for other in others)
        assert (seq in found) == (seq in first.dropped and is_free)


def test_the_sum_of_all_that_went_is_exact_and_that_of_a_part_is_its_share() -> None:
    assert share_of(WENT, 20) == WENT.sum
    assert share_of(WENT, 5) == Sum(5, 150, 1000)
    assert share_of(Went(1, 3, HASH, Sum(3, 10, 10), 0), 1) == Sum(1, 3, 3)


def test_two_answers_of_one_hub_are_joined() -> None:
    one, more = {KEY: fate(seqs(1, 2), held=seqs(1))}, {KEY: fate(seqs(3), dropped=seqs(3))}
    assert joined_fates(one, more) == {KEY: Fate(seqs(1, 2, 3), seqs(1), seqs(3), WENT)}


# ---- the question


def test_a_question_is_cut_to_what_fits() -> None:
    many = Ranges(tuple((n * 2, n * 2) for n in range(1, ASKED_SPANS_MAX + 50)))
    asked = {KEY: many, ("edge-2", "e1"): seqs(1)}
    part = part_of(asked)
    assert list(part) == [KEY]
    assert part[KEY].spans == many.spans[:ASKED_SPANS_MAX]
    check_asked(part)
    with pytest.raises(BadInput, match="at most"):
        check_asked(asked)


# ---- the answer


def answer(**changes: Any) -> bytes:
    item = {
        "origin": "edge-1",
        "epoch": "e1",
        "judged": [[1, 4]],
        "held": [[4, 4]],
        "dropped": [[1, 3]],
        "went": [1, 20, HASH.hex(), 20, 600, 4000, WENT.first_received_ms],
        **changes,
    }
    return orjson.dumps({"version": 1, "logs": [item]})


def went(**changes: Any) -> list[Any]:
    names = ("first", "last", "hash", "chunks", "records", "bytes", "at")
    sound = orjson.loads(answer())["logs"][0]["went"]
    return list({**dict(zip(names, sound, strict=True)), **changes}.values())


def test_an_answer_is_read_as_it_was_written() -> None:
    assert read_answer(answer(), {KEY: ASKED}) == FIRST
    assert read_answer(orjson.dumps(write_answer(FIRST)), {KEY: ASKED}) == FIRST
    assert read_answer(answer(colour="blue"), {KEY: ASKED}) == FIRST


LIES: dict[str, tuple[bytes, str]] = {
    "garbage": (b"\xff", "unreadable"),
    "a list": (b"[]", "unreadable"),
    "no logs": (b"{}", "unreadable"),
    "logs of another kind": (b'{"logs": [5]}', "unreadable"),
    "another version": (b'{"version": 2, "logs": []}', "version"),
    "nothing of what was asked": (b'{"logs": []}', "no_progress"),
    "nothing judged": (answer(judged=[], held=[], dropped=[]), "no_progress"),
    "a log that was not asked for": (answer(origin="edge-2"), "not_asked"),
    "a number that was not asked for": (answer(judged=[[1, 5]]), "not_asked"),
    "a huge range": (answer(judged=[[1, 2**61]]), "not_asked"),
    "dropped without being judged": (answer(dropped=[[1, 3], [7, 7]]), "contradiction"),
    "held and dropped": (answer(held=[[3, 4]]), "contradiction"),
    "a range that goes back": (answer(dropped=[[3, 1]]), "bad_ranges"),
    "ranges that overlap": (answer(dropped=[[1, 2], [2, 3]]), "bad_ranges"),
    "ranges in no order": (answer(dropped=[[3, 3], [1, 1]]), "bad_ranges"),
    "a range of texts": (answer(dropped=[["1", "3"]]), "bad_ranges"),
    "a range beyond all numbers": (answer(dropped=[[1, 2**63]]), "bad_ranges"),
    "no range": (answer(held=None), "bad_ranges"),
    "dropped, but nothing went": (answer(went=None), "unreadable"),
    "what went is too short": (answer(went=[1, 20]), "unreadable"),
    "dropped before the first that went": (answer(went=went(first=2)), "contradiction"),
    "dropped after the last that went": (answer(went=went(last=2, chunks=2)), "contradiction"),
    "the last before the first": (answer(went=went(first=20, last=1)), "contradiction"),
    "a first of 0": (answer(went=went(first=0)), "contradiction"),
    "fewer went than were dropped": (answer(went=went(chunks=2)), "contradiction"),
    "more went than there are numbers": (answer(went=went(chunks=21)), "contradiction"),
    "more than any log has": (answer(went=went(last=2**61, chunks=2**41)), "contradiction"),
    "a count below 0": (answer(went=went(records=-1)), "unreadable"),
    "a count of fractions": (answer(went=went(records=1.5)), "unreadable"),
    "a count beyond all": (answer(went=went(bytes=2**60)), "too_many"),
    "a hash of another length": (answer(went=went(hash="ab")), "unreadable"),
    "a hash that is none": (answer(went=went(hash="xy" * 32)), "unreadable"),
    "a hash with spaces": (answer(went=went(hash="ab " * 21 + "a")), "unreadable"),
    "a name of no text": (answer(epoch=5), "unreadable"),
}


@pytest.mark.parametrize("name", LIES)
def test_what_no_sound_hub_says_is_a_fault_of_the_peer(name: str) -> None:
    body, reason = LIES[name]
    with pytest.raises(PeerFault) as found:
        read_answer(body, {KEY: ASKED})
    assert found.value.reason == reason


def test_a_log_told_of_twice_is_a_fault_of_the_peer() -> None:
    item = orjson.loads(answer())["logs"][0]
    other = ("edge-2", "e1")
    with pytest.raises(PeerFault) as found:
        read_answer(orjson.dumps({"logs": [item, item]}), {KEY: ASKED, other: ASKED})
    assert found.value.reason == "twice"
    with pytest.raises(PeerFault) as found:
        read_answer(orjson.dumps({"logs": [item, item]}), {KEY: ASKED})
    assert found.value.reason == "too_many"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(st.binary() | json_values.map(orjson.dumps))
def test_arbitrary_bytes_raise_only_a_peer_fault(body: bytes) -> None:
    with pytest.raises(PeerFault):
        read_answer(body, {KEY: ASKED})


@given(
    st.dictionaries(
        st.sampled_from(["judged", "held", "dropped", "went", "origin"]), json_values, min_size=1
    )
)
def test_an_answer_that_is_read_is_within_what_was_asked(changes: dict[str, Any]) -> None:
    try:
        fates = read_answer(answer(**changes), {KEY: ASKED})
    except PeerFault:
        return
    (found,) = fates.values()
    assert not found.judged - ASKED
    assert not (found.held | found.dropped) - found.judged
    assert not found.held & found.dropped
