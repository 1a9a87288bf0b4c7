"""Which hub is pushed to."""

from random import Random

from edge.batch import PushLimits
from edge.hubs import RETURN_SECONDS_MAX, RETURN_SECONDS_MIN, Hubs
from edge.push import Next, Verdict
from shared.backoff import Backoff
from tests.law.push_cases import (
    answer_all,
    asked,
    first_of,
    gather,
    other_than,
    turn,
    wait_for_a_push,
    world,
)
from tests.law.push_world import World


def test_the_circuit_of_a_hub_that_beats_fail_opens() -> None:
    made = world(hubs=2)
    view = made.known.order(made.now)[0]
    made.known.beat_failed(view, made.now, "no answer", Backoff(0.5, 10.0), Random(2))
    assert made.known.order(made.now)[0] is not view


def push_one(made: World) -> str:
    """Produce a little, push it, and say where it went."""
    made.log.produce(1, 500)
    gather(made)
    (url,) = asked(made)
    answer_all(made)
    return url


def test_an_edge_stays_with_the_hub_it_prefers() -> None:
    made = world(hubs=3)
    answer_all(made)
    preferred = first_of(made).url
    assert {push_one(made) for _ in range(20)} == {preferred}


def test_an_edge_comes_back_to_its_hub_after_a_while_of_luck() -> None:
    """Not at the first sign of life, for a whole fleet would do so; and not never."""
    made = world()
    preferred, other = first_of(made), other_than(made, first_of(made))
    turn(made, Verdict(Next.NEXT_HUB, "connection refused", was_sent=False))
    made.work()
    answer_all(made)
    made.now += 40.0
    made.beat_all()
    answered_at, went = made.now, []
    while made.now < answered_at + RETURN_SECONDS_MAX + 1:
        went.append((made.now - answered_at, push_one(made)))
        made.now += 0.5
    stayed = [seconds for seconds, url in went if url == other.url]
    back = [seconds for seconds, url in went if url == preferred.url]
    assert RETURN_SECONDS_MIN - 1 <= max(stayed) < min(back) <= RETURN_SECONDS_MAX + 1


def test_the_circuit_of_one_hub_says_nothing_of_another() -> None:
    made = world()
    preferred, other = first_of(made), other_than(made, first_of(made))
    turn(made, Verdict(Next.NEXT_HUB, "connection refused"))
    made.work()
    assert made.known.views[preferred.url].circuit.failures == 1
    assert made.known.views[other.url].circuit.failures == 0
    assert asked(made) == [other.url]


def test_a_hub_that_failed_gets_one_small_push_until_it_has_taken_it() -> None:
    made = world(hubs=1, chunks=60, size=50_000)
    answer_all(made)
    made.now += 6.0
    made.work()
    assert len(made.flights) == PushLimits().in_flight_max
    made.hubs[0].is_up = False
    answer_all(made)
    made.hubs[0].is_up = True
    wait_for_a_push(made)
    assert len(made.flights) == 1, "one push at a time may try"
    answer_all(made)
    made.work()
    assert len(made.flights) == PushLimits().in_flight_max


def test_a_hub_that_is_not_proven_is_tried_with_little() -> None:
    made = world(hubs=1, chunks=60, size=50_000)
    made.now += 6.0
    made.work()
    (flight,) = made.flights
    assert flight.step.bytes_max <= PushLimits().probe_bytes_max


def test_of_many_edges_every_hub_is_preferred_by_some() -> None:
    urls = [f"http://hub-{number}" for number in range(3)]
    preferred = []
    for number in range(300):
        hubs = Hubs(f"edge-{number}")
        hubs.learn(urls)
        preferred.append(hubs.order(0)[0].url)
    assert min(preferred.count(url) for url in urls) > 60
