"""How a refused batch is narrowed down to the record that hubs cannot take, and what becomes of it."""

import pytest

from edge.conversation import DOUBT_SECONDS
from edge.push import Bury, Next, Split, Taken, Verdict, Wait
from shared.receipt import ChunkOutcome, Outcome
from tests.law.push_cases import answer_all, asked, first_of, other_than, taken_off, turn, world
from tests.law.push_world import World


def test_a_refused_batch_is_halved_down_to_the_one_chunk() -> None:
    made = world(chunks=8)
    poison = made.log.chunks[3].records[0]
    for hub in made.hubs:
        hub.refused_records.add(poison)
    made.come_to_rest()
    made.judge()
    assert made.log.dead == [poison]
    sizes = [len(chunks) for chunks in made.contents.values()]
    assert sizes[:5] == [8, 4, 4, 2, 2]


@pytest.mark.parametrize("by_status", [True, False])
def test_a_refused_chunk_is_split_down_to_the_one_record(by_status: bool) -> None:
    made = world(records=9)
    for hub in made.hubs:
        hub.refused_records.add(5)
        hub.refuses_by_status = by_status
    made.come_to_rest()
    made.judge()
    assert made.log.dead == [5]


def test_a_chunk_that_one_hub_refuses_goes_to_another() -> None:
    made = world()
    first_of(made).refused_records.add(0)
    for _ in range(4):
        answer_all(made)
        made.work()
    assert made.log.dead == []
    assert [bool(hub.disk) for hub in made.hubs].count(True) == 1
    assert isinstance(made.talk.next_step(made.now), Wait), "it is not offered to the first again"


def test_a_chunk_that_cannot_be_split_is_buried() -> None:
    made = world(hubs=1, records=4)
    turn(made, Verdict(Next.SPLIT, "HTTP 400: bad"))
    assert made.talk.next_step(made.now) == Split(1, "HTTP 400: bad")
    made.talk.on_whole(1)
    assert made.talk.next_step(made.now) == Bury(1, "HTTP 400: bad")


def test_a_hub_that_does_not_answer_now_is_not_waited_for_before_a_burial() -> None:
    made = world()
    refusing = first_of(made)
    refusing.refused_records.add(0)
    for hub in made.hubs:
        hub.is_up = hub is refusing
        made.ask(hub)
    answer_all(made)
    made.observe()
    assert made.talk.next_step(made.now) == Bury(1, "HTTP 400: poison")


def test_a_hub_that_asks_for_time_is_waited_for_before_a_burial() -> None:
    made = world()
    refusing = first_of(made)
    (other,) = [hub for hub in made.hubs if hub is not refusing]
    refusing.refused_records.add(0)
    other.status, other.retry_after = 503, 60.0
    for _ in range(3):
        answer_all(made)
        wait = made.work()
    assert wait.until is not None
    assert wait.until >= made.now + 60
    other.status = 200
    made.come_to_rest()
    made.judge()
    assert made.log.dead == []


def test_what_is_wrong_with_the_header_is_not_split() -> None:
    made = world(hubs=1, records=4)
    flight = taken_off(made)
    outcome = ChunkOutcome(1, Outcome.REJECTED, "unknown_signal: songs")
    made.talk.on_reply(Taken(flight.step.batch, (outcome,), 0.1), made.now)
    assert made.talk.next_step(made.now) == Bury(1, "unknown_signal: songs")
    made.talk.on_settled(1)
    made.log.bury(1)
    made.observe()
    assert isinstance(made.talk.next_step(made.now), Wait)


def test_a_setback_of_the_log_is_waited_out() -> None:
    made = world(hubs=1)
    turn(made, Verdict(Next.SPLIT, "HTTP 400: bad"))
    made.talk.on_setback(made.now, 7.0, "no room")
    assert made.talk.next_step(made.now) == Wait(made.now + 7.0)
    made.now += 7.0
    assert made.talk.next_step(made.now) == Bury(1, "HTTP 400: bad")


def test_a_record_that_is_too_large_for_every_hub_is_the_only_one_put_aside() -> None:
    """413 for a chunk alone cuts it as well; what fits at last is delivered."""
    made = world(hubs=1, records=4, size=4000)
    made.log.produce(1, 3000)
    made.hubs[0].body_bytes_max = 1500
    made.come_to_rest()
    made.judge()
    assert made.log.dead == [4]


def test_no_more_than_three_hubs_are_asked_for_their_opinion() -> None:
    made = world(hubs=5)
    for hub in made.hubs:
        hub.refused_records.add(0)
    for _ in range(3):
        assert made.log.dead == []
        answer_all(made)
        made.work()
    assert made.log.dead == [0]
    assert sum(bool(hub.refused) for hub in made.hubs) == 3


def in_doubt(reason: Verdict) -> World:
    """One hub refuses the chunk; another was sent it before, and its answer did not come."""
    made = world()
    unsure, refusing = first_of(made), other_than(made, first_of(made))
    turn(made, reason)
    unsure.is_up = False
    refusing.refused_records.add(0)
    made.now += 1.0
    made.work()
    assert asked(made) == [refusing.url]
    answer_all(made)
    return made


LOST = Verdict(Next.NEXT_HUB, "connection reset")


@pytest.mark.parametrize("verdict", [LOST, Verdict(Next.BACK_OFF, "HTTP 502")])
def test_a_chunk_that_a_silent_hub_may_have_is_not_put_aside_at_once(verdict: Verdict) -> None:
    made = in_doubt(verdict)
    began = made.now - 1.0
    made.now = began + DOUBT_SECONDS - 0.1
    for _ in range(3):
        made.work()
        answer_all(made)
    assert made.log.dead == []
    made.now = began + DOUBT_SECONDS
    made.work()
    assert made.log.dead == [0]


def test_a_silent_hub_that_comes_back_ends_the_doubt() -> None:
    """It has the chunk and says so: there is no dead letter, and no second copy."""
    made = in_doubt(LOST)
    (unsure,) = [hub for hub in made.hubs if not hub.is_up]
    unsure.judge(made.log.chunks[1])
    made.work()
    unsure.is_up = True
    made.come_to_rest()
    made.judge()
    assert made.log.dead == []


def test_a_refused_chunk_that_another_hub_says_it_has_is_not_pushed_again() -> None:
    made = in_doubt(LOST)
    (unsure,) = [hub for hub in made.hubs if not hub.is_up]
    unsure.judge(made.log.chunks[1])
    unsure.is_up = True
    made.ask(unsure)
    made.hear(*made.beats.pop())
    made.work()
    assert asked(made) == []
    assert not made.talk.batches
    assert made.log.dead == []


def test_a_hub_that_surely_did_not_get_it_raises_no_doubt() -> None:
    made = in_doubt(Verdict(Next.NEXT_HUB, "connection refused", was_sent=False))
    assert made.talk.next_step(made.now) == Bury(1, "HTTP 400: poison")


@pytest.mark.parametrize("by_status", [True, False])
def test_the_doubt_about_a_batch_holds_for_each_chunk_of_it(by_status: bool) -> None:
    made = world(chunks=2)
    unsure, refusing = first_of(made), other_than(made, first_of(made))
    turn(made, LOST)
    unsure.is_up = False
    refusing.refused_records.update({0, 1})
    refusing.refuses_by_status = by_status
    made.work()
    for _ in range(4):
        answer_all(made)
        made.work()
    assert refusing.refused == {("e1", 1), ("e1", 2)}
    assert made.log.dead == []
