"""What the answers to a push lead to, one by one, on a clock that the test moves."""

import pytest

from edge.push import Next, Taken, Turned, Verdict, Wait
from shared.ranges import NOTHING
from shared.receipt import ChunkOutcome, Outcome
from tests.law.push_cases import answer_all, asked, gather, taken_off, turn, wait_for_a_push, world


def test_a_connect_failure_goes_to_the_next_hub_at_once() -> None:
    made = world()
    (first,) = asked(made)
    turn(made, Verdict(Next.NEXT_HUB, "connection refused"))
    made.work()
    (second,) = asked(made)
    assert second != first
    assert made.known.views[first].circuit.failures == 1


def test_a_hub_that_asks_for_time_gets_it_and_the_next_one_is_asked() -> None:
    made = world()
    (first,) = asked(made)
    turn(made, Verdict(Next.WAIT, "HTTP 503", 60.0))
    made.work()
    (second,) = asked(made)
    assert second != first
    turn(made, Verdict(Next.WAIT, "HTTP 503", 90.0))
    wait = made.work()
    assert wait.until is not None
    assert made.now + 60 <= wait.until <= made.now + 61
    made.known.views[first].circuit.hear(made.now)
    assert made.work() == wait, "a heartbeat's answer does not shorten what the hub asked for"
    made.now = wait.until
    made.work()
    assert asked(made) == [first]


def test_an_unwell_hub_makes_its_batch_wait_and_then_try_another() -> None:
    made = world()
    (first,) = asked(made)
    turn(made, Verdict(Next.BACK_OFF, "HTTP 500"))
    wait = made.work()
    assert not made.flights
    assert wait.until is not None
    assert wait.until <= made.now + 1
    made.now += 1
    made.work()
    (second,) = asked(made)
    assert second != first


def test_a_batch_that_makes_hubs_unwell_does_not_hold_up_the_others() -> None:
    made = world()
    (sick,) = [flight.step.batch for flight in made.flights]
    for _ in range(8):
        for flight in [*made.flights]:
            if flight.step.batch == sick:
                made.flights.remove(flight)
                made.talk.on_reply(Turned(sick, Verdict(Next.BACK_OFF, "HTTP 500"), 0.1), made.now)
            else:
                made.answer(flight)
        made.log.produce(1, 500)
        made.now += 2.0
        gather(made)
    made.come_to_rest()
    made.judge()


def test_waits_grow_to_five_minutes_and_never_end_in_giving_up() -> None:
    made, waits = world(hubs=1), []
    for _ in range(200):
        turn(made, Verdict(Next.BACK_OFF, "HTTP 500"))
        wait = made.work()
        assert wait.until is not None
        waits.append(wait.until - made.now)
        wait_for_a_push(made)
    assert max(waits) <= 300
    assert sum(wait > 100 for wait in waits) > 50
    assert made.log.chunks
    made.come_to_rest()
    made.judge()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_denial_is_said_and_costs_nothing(status: int) -> None:
    made = world(hubs=1)
    turn(made, Verdict(Next.DENIED, f"HTTP {status}"))
    made.work()
    assert made.talk.last_error == f"HTTP {status}"
    assert not made.flights
    made.come_to_rest()
    made.judge()
    assert not made.log.dead


def test_a_silent_hub_gets_more_time_for_the_next_push() -> None:
    made = world(hubs=1)
    (flight,) = made.flights
    before = flight.seconds_max
    turn(made, Verdict(Next.NEXT_HUB, "time-out"), before)
    made.now += 400
    made.work()
    (again,) = made.flights
    assert again.seconds_max == pytest.approx(2 * before, rel=0.01)


def test_a_receipt_that_leaves_out_a_chunk_proves_nothing() -> None:
    made = world(hubs=1, chunks=2)
    flight = taken_off(made)
    made.talk.on_reply(Taken(flight.step.batch, (), 0.1), made.now)
    assert made.known.accepted() == NOTHING
    assert "chunk 1" in made.talk.last_error
    assert isinstance(made.talk.next_step(made.now), Wait)


def test_many_failures_in_a_row_are_no_reason_to_forget_the_hub() -> None:
    made = world(hubs=1)
    made.hubs[0].is_up = False
    for _ in range(300):
        made.work()
        answer_all(made)
        made.now += 60
    made.come_to_rest()
    made.judge()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("is_date", [False, True])
def test_retry_after_counts_as_seconds_and_as_a_date(status: int, is_date: bool) -> None:
    made = world(hubs=1)
    hub = made.hubs[0]
    hub.status, hub.retry_after, hub.is_after_a_date = status, 40.0, is_date
    answer_all(made)
    wait = made.work()
    assert wait.until is not None
    assert made.now + 39 <= wait.until <= made.now + 41
    hub.status = 200
    made.now = wait.until
    made.work()
    assert asked(made) == [hub.url]


@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_asks_for_time_without_saying_how_much_gets_a_growing_wait(status: int) -> None:
    made, waits = world(hubs=1), []
    made.hubs[0].status = status
    for _ in range(40):
        answer_all(made)
        wait = made.work()
        assert wait.until is not None
        waits.append(wait.until - made.now)
        made.now = wait.until
        made.work()
    assert waits[0] <= 1
    assert 100 < max(waits) <= 300


def test_a_push_that_is_too_large_becomes_two_and_the_next_ones_are_smaller() -> None:
    made = world(hubs=1, chunks=16, size=16_000)
    hub = made.hubs[0]
    hub.body_bytes_max = 70_000
    before = made.flights[0].step.bytes_max
    made.come_to_rest()
    made.judge()
    assert made.log.dead == []
    assert len(hub.disk) == 16
    for _ in range(16):
        made.log.produce(1, 16_000)
    gather(made)
    assert made.flights[0].step.bytes_max < before


def test_the_bytes_of_a_push_stay_the_same_at_every_attempt() -> None:
    """What is appended between two attempts goes with another push."""
    made = world(chunks=3)
    turn(made, Verdict(Next.NEXT_HUB, "connection reset"))
    made.log.produce(1, 500)
    made.work()
    assert [chunk.seq for chunk in made.flights[0].chunks] == [1, 2, 3]


def test_an_answer_to_a_push_that_is_over_changes_nothing() -> None:
    made = world(hubs=1)
    flight = taken_off(made)
    outcome = ChunkOutcome(1, Outcome.ACCEPTED)
    made.talk.on_reply(Taken(flight.step.batch, (outcome,), 0.1), made.now)
    belief = made.known.accepted()
    made.talk.on_reply(Turned(flight.step.batch, Verdict(Next.BACK_OFF, "late"), 0.1), made.now)
    made.talk.on_reply(Taken(999, (outcome,), 0.1), made.now)
    assert made.known.accepted() == belief
    assert made.known.views[flight.hub.url].circuit.pushes == 0
    assert made.talk.last_error == ""


def test_a_hub_that_is_unwell_gets_nothing_else_for_a_while_either() -> None:
    made = world(hubs=1)
    turn(made, Verdict(Next.BACK_OFF, "HTTP 500"))
    made.log.produce(1, 500)
    made.log.produce(1, 200, alert=True)
    gather(made)
    assert asked(made) == []


def test_the_next_attempt_prefers_a_hub_that_has_not_failed_with_the_batch() -> None:
    """Even when the hub that failed is well again, and the preferred one."""
    made = world()
    (first,) = asked(made)
    turn(made, Verdict(Next.BACK_OFF, "HTTP 500"))
    made.beat_all()
    made.now += 40.0
    assert made.known.order(made.now)[0].url == first
    made.work()
    (second,) = asked(made)
    assert second != first
