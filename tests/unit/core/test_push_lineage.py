"""What a log believes of a hub's word, and when it takes itself for a clone: a table of cases."""

from random import Random

import pytest

from edge.lineage import Belief, Claim, Renewal, conflict, own_push, read_claim, to_look_up, weigh
from shared.backoff import Backoff
from shared.errors import BadInput
from shared.ranges import NOTHING, SEQ_MAX, Ranges

BACKOFF = Backoff(1.0, 300.0)
MINE, OTHER = b"m" * 32, b"o" * 32


def span(first: int, last: int) -> Ranges:
    return Ranges(((first, last),))


def test_a_span_is_believed_when_its_last_hash_is_ours() -> None:
    claim = Claim("e", 1, Ranges(((1, 5), (8, 9))), span(1, 5), ((5, MINE), (9, MINE)))
    assert to_look_up(claim, 20) == (5, 9)
    belief, is_lost = weigh(claim, {5: MINE, 9: None}, Belief(), 2)
    assert (belief.have, belief.safe, is_lost) == (span(1, 5), span(1, 5), False)


def test_the_beginning_of_a_span_is_believed_up_to_a_proof_within_it() -> None:
    """A log that was set back finds what hubs got of it before they got what it lost."""
    claim = Claim("e", 1, span(1, 53), span(1, 40), ((31, MINE), (53, OTHER)))
    assert to_look_up(claim, 33) == (31,)
    belief, _ = weigh(claim, {31: MINE}, Belief(), 2)
    assert (belief.have, belief.safe) == (span(1, 31), span(1, 31))


def test_safe_is_believed_within_what_is_proven_only() -> None:
    claim = Claim("e", 1, span(1, 9), span(1, 9), ())
    belief, _ = weigh(claim, {}, own_push(Belief(), span(3, 4), 0.5), 2)
    assert (belief.have, belief.safe) == (span(3, 4), span(3, 4))


@pytest.mark.parametrize(
    ("claim", "is_ours"),
    [
        (Claim("e", 1, span(1, 9), NOTHING, ((9, MINE),)), True),
        (Claim("e", 1, span(1, 9), NOTHING, ((9, OTHER),)), False),
        (Claim("e", 1, span(1, 11), NOTHING, ()), False),
        (Claim("e", 1, span(1, 10), NOTHING, ()), True),
        (Claim("e", 1, span(1, 8), NOTHING, ((9, OTHER),)), True),
    ],
)
def test_another_hash_or_a_number_beyond_the_head_is_a_clone(claim: Claim, is_ours: bool) -> None:
    assert (conflict(claim, {9: MINE}, 10) == "") is is_ours


def test_a_hash_that_is_not_known_any_more_accuses_nobody() -> None:
    claim = Claim("e", 1, span(1, 9), NOTHING, ((9, OTHER),))
    assert conflict(claim, {9: None}, 10) == ""


def test_a_hub_without_what_it_had_has_lost_its_disk() -> None:
    before = own_push(Belief(), span(1, 9), 5)
    belief, is_lost = weigh(Claim("e", 6, span(8, 9), NOTHING, ()), {}, before, 7)
    assert (belief.have, is_lost) == (NOTHING, True)


@pytest.mark.parametrize("asked_at", [4.9, 5.0])
def test_an_answer_that_was_overtaken_is_no_loss(asked_at: float) -> None:
    before = own_push(Belief(), span(1, 9), 5)
    belief, is_lost = weigh(Claim("e", asked_at, span(1, 3), span(1, 3), ()), {}, before, 7)
    assert (belief.have, belief.safe, is_lost) == (span(1, 9), span(1, 3), False)


@pytest.mark.parametrize("text", ["zz", "abc", "\udc80"])
def test_a_proof_that_is_no_hash_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        read_claim("e", 0, [[1, 2]], [], [(2, text)])


def test_a_new_life_keeps_what_is_appended_in_its_last_moment() -> None:
    renewal = Renewal()
    renewal.suspect("cloned_origin: first")
    renewal.suspect("second")
    keep = renewal.keep([Belief(span(1, 5)), Belief(span(8, 8), span(8, 8))])
    assert keep == Ranges(((6, 7), (9, SEQ_MAX)))
    assert renewal.keep([]) == keep
    assert renewal.conflict == "cloned_origin: first"


def test_a_hub_that_calls_every_life_a_clone_does_not_keep_the_disk_busy() -> None:
    renewal, rng, waits = Renewal(), Random(1), []
    for _ in range(12):
        renewal.suspect("cloned_origin")
        waits.append(renewal.due_at(100, BACKOFF, rng) - 100)
        assert renewal.due_at(101, BACKOFF, rng) - 100 == waits[-1]
        renewal.reborn()
    assert waits[0] == 0
    assert max(waits) > 50
    renewal.accepted()
    renewal.suspect("cloned_origin")
    assert renewal.due_at(100, BACKOFF, rng) == 100
