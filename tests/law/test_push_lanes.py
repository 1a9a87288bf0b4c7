"""Which data goes first, and how much of it."""

from random import Random

import pytest

from edge.push import Next, Verdict
from tests.law.push_cases import answer_all, gather, turn, world
from tests.law.push_hub import ModelHub
from tests.law.push_log import CHUNK_BYTES
from tests.law.push_world import World


def test_live_data_and_backlog_take_turns_after_an_outage() -> None:
    made = World([ModelHub("http://hub-0", credit=1e12)], Random(5))
    for _ in range(60):
        made.log.produce(1, CHUNK_BYTES)
    made.hubs[0].is_up = False
    for _ in range(20):
        made.work()
        made.beat_all()
        answer_all(made)
        made.now += 5
    made.hubs[0].is_up = True
    made.beat_all()
    made.talk.hurry(made.now)
    made.lanes.clear()
    for _ in range(30):
        for _ in range(3):
            made.log.produce(1, CHUNK_BYTES)
        made.work()
        answer_all(made)
        made.now += 0.1
    assert made.lanes[0] == "live"
    both = made.lanes[:40]
    assert abs(both.count("live") - both.count("backlog")) <= 4


def test_credit_holds_the_backlog_and_neither_live_data_nor_alerts() -> None:
    made = World([ModelHub("http://hub-0", credit=float(CHUNK_BYTES))], Random(5))
    for _ in range(30):
        made.log.produce(1, CHUNK_BYTES)
    made.beat_all()
    made.work()
    began = made.now
    for _ in range(100):
        made.log.produce(1, 2000)
        made.log.produce(1, 100, alert=True)
        made.work()
        answer_all(made)
        made.now += 0.1
    waiting = made.talk.pending(made.now)
    old = [seq for seq in waiting if seq <= 30]
    assert 30 - len(old) == pytest.approx(made.now - began, abs=3)
    assert waiting.last <= 30 or len([seq for seq in waiting if seq > 30]) <= 4


def test_without_credit_the_first_push_of_the_backlog_is_jittered() -> None:
    moments = set()
    for seed in range(12):
        made = World([ModelHub("http://hub-0")], Random(seed))
        for _ in range(300):
            made.log.produce(1, 16_384)
        made.beat_all()
        began = made.now
        while not made.flights:
            wait = made.work()
            made.now = wait.until or made.now + 0.01
        assert made.lanes == ["backlog"]
        assert made.now - began <= 5.1
        moments.add(round(made.now - began, 1))
    assert len(moments) > 6


def test_hurry_ends_the_waits_that_are_our_own() -> None:
    made = world(hubs=1)
    for _ in range(8):
        turn(made, Verdict(Next.BACK_OFF, "HTTP 500"))
        made.work()
        made.talk.hurry(made.now)
        made.work()
        assert len(made.flights) == 1


def test_an_alert_goes_at_once_past_everything_that_waits() -> None:
    """Not the time to gather, nor two large pushes under way, nor hours of backlog hold it."""
    made = world(hubs=1, chunks=60, size=CHUNK_BYTES)
    answer_all(made)
    made.now += 6.0
    made.work()
    assert len(made.flights) == 2
    made.log.produce(1, CHUNK_BYTES)
    made.log.produce(1, 200, alert=True)
    made.work()
    assert made.lanes[-1] == "alerts"
    assert [chunk.seq for chunk in made.flights[-1].chunks] == [made.log.head_seq]


def test_an_alert_that_failed_is_tried_again_before_other_data() -> None:
    made = world(hubs=1, chunks=0)
    made.log.produce(1, 200, alert=True)
    made.work()
    turn(made, Verdict(Next.BACK_OFF, "HTTP 500"))
    for _ in range(8):
        made.log.produce(1, CHUNK_BYTES)
    made.now += 2.0
    made.work()
    assert made.lanes == ["alerts", "alerts"]


def test_a_heartbeat_that_grants_credit_lets_a_held_backlog_go() -> None:
    made = World([ModelHub("http://hub-0", credit=0.0)], Random(5))
    for _ in range(300):
        made.log.produce(1, 16_384)
    made.beat_all()
    for _ in range(20):
        gather(made)
        made.now += 30
    assert made.lanes == []
    made.hubs[0].credit = float(CHUNK_BYTES)
    made.beat_all()
    made.work()
    assert made.lanes == ["backlog"]


def test_a_batch_of_a_backlog_that_has_ended_is_tried_again_in_time() -> None:
    """It waits for the moment of luck after an outage, and nothing else would wake the edge."""
    made = world(hubs=1, chunks=0)
    made.now += 6.0
    made.log.produce(1, 500)
    made.log.produce(1, 500)
    made.work()
    made.now += 31.0
    made.work()
    made.talk.hurry(made.now)
    made.work()
    assert made.lanes == ["backlog"]
    made.now += 40.0
    turn(made, Verdict(Next.SPLIT, "HTTP 400: bad"))
    made.now += 1.0
    made.come_to_rest()
    made.judge()
