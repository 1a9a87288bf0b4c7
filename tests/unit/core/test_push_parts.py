"""The parts of a push conversation, each by a table of cases: circuit, lanes, credit and pace."""

import math
from random import Random

import pytest

from edge.circuit import Circuit, Phase
from edge.hubs import RETURN_SECONDS_MAX, RETURN_SECONDS_MIN, Hubs
from edge.lanes import Boundary, Credit, Lane, LaneLimits, Reunion, Shares
from edge.pace import Pace
from shared.backoff import Backoff
from shared.ranges import NOTHING, Ranges
from shared.records import KIB, MIB

BACKOFF = Backoff(1.0, 300.0)


def span(first: int, last: int) -> Ranges:
    return Ranges(((first, last),))


# ---- circuit


def test_a_circuit_opens_with_a_failure_and_closes_with_a_success_only() -> None:
    circuit = Circuit(is_proven=True)
    assert circuit.phase(0) is Phase.CLOSED
    circuit.fail(0, BACKOFF, Random(3))
    assert circuit.phase(0) is Phase.OPEN
    assert circuit.phase(circuit.ready_at) is Phase.HALF_OPEN
    circuit.succeed()
    assert circuit.phase(0) is Phase.CLOSED


def test_a_half_open_circuit_lets_one_push_through() -> None:
    circuit = Circuit()
    assert circuit.allows(0)
    circuit.begin()
    assert not circuit.allows(0)
    circuit.end()
    assert circuit.allows(0)


def test_a_heartbeat_closes_a_circuit_to_half_open_only() -> None:
    circuit = Circuit(is_proven=True)
    for _ in range(9):
        circuit.fail(0, BACKOFF, Random(2))
    circuit.hear(0)
    assert circuit.phase(0) is Phase.HALF_OPEN


def test_what_a_hub_asked_for_ends_for_nothing_but_time() -> None:
    circuit = Circuit(is_proven=True)
    circuit.rest(0, 60.0, BACKOFF, Random(1))
    circuit.hear(0)
    circuit.succeed()
    assert circuit.phase(59) is Phase.OPEN
    assert 60 <= circuit.ready_at <= 61


def test_waits_double_up_to_their_bound() -> None:
    circuit, longest, rng = Circuit(), [], Random(1)
    for _ in range(12):
        circuit.open_until = 0
        circuit.fail(0, BACKOFF, rng)
        longest.append(circuit.open_until)
    assert all(wait <= min(300, 2**index) for index, wait in enumerate(longest))
    assert max(longest) > 100


# ---- hubs


def test_an_edge_returns_to_its_hub_some_time_after_that_answers_again() -> None:
    hubs = Hubs("edge-1")
    hubs.learn(["http://a", "http://b"])
    first, second = hubs.order(0)
    first.lapsed("no answer")
    assert hubs.order(10) == [second, first]
    first.answered(100, Random(1))
    assert first.returns_at is not None
    assert 100 + RETURN_SECONDS_MIN <= first.returns_at <= 100 + RETURN_SECONDS_MAX
    assert hubs.order(first.returns_at - 0.1)[0] is second
    assert hubs.order(first.returns_at) == [first, second]


def test_a_hub_that_lapses_again_has_to_answer_again() -> None:
    hubs = Hubs("edge-1")
    (view,) = hubs.learn(["http://a"])
    view.lapsed("no answer")
    view.answered(0, Random(1))
    view.lapsed("no answer")
    assert not view.is_back(1000)


def test_a_fleet_comes_back_in_a_trickle() -> None:
    """The moments at which many edges return are spread over the whole time."""
    returns = []
    for number in range(200):
        (view,) = Hubs(f"edge-{number}").learn(["http://a"])
        view.lapsed("no answer")
        view.answered(0, Random(number))
        returns.append(view.returns_at or 0.0)
    per_five_seconds = [sum(at // 5 == slot for at in returns) for slot in range(1, 6)]
    assert min(per_five_seconds) > 20


# ---- lanes


def test_two_busy_lanes_share_the_bytes_evenly() -> None:
    shares, sent, rng = Shares(), {Lane.LIVE: 0, Lane.BACKLOG: 0}, Random(1)
    for _ in range(1000):
        lane = shares.choose([Lane.LIVE, Lane.BACKLOG])
        size = rng.randrange(1, MIB)
        shares.charge(lane, size)
        sent[lane] += size
        assert abs(sent[Lane.LIVE] - sent[Lane.BACKLOG]) <= MIB


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_live_lane_gets_the_share_that_is_asked_for(share: float) -> None:
    shares, sent = Shares(share), {Lane.LIVE: 0, Lane.BACKLOG: 0}
    for _ in range(1000):
        lane = shares.choose([Lane.LIVE, Lane.BACKLOG])
        shares.charge(lane, 1000)
        sent[lane] += 1000
    assert sent[Lane.LIVE] / 1_000_000 == pytest.approx(share, abs=0.01)


def test_an_idle_lane_gives_its_share_away_and_saves_nothing_up() -> None:
    shares = Shares()
    for _ in range(100):
        assert shares.choose([Lane.BACKLOG]) is Lane.BACKLOG
        shares.charge(Lane.BACKLOG, MIB)
    first = []
    for _ in range(10):
        lane = shares.choose([Lane.LIVE, Lane.BACKLOG])
        shares.charge(lane, MIB)
        first.append(lane)
    assert first[0] is Lane.LIVE
    assert first.count(Lane.BACKLOG) == 5


def test_a_few_pushes_are_no_backlog_and_many_are() -> None:
    boundary = Boundary(LaneLimits())
    boundary.look(0, span(1, 3), 3, 1 * MIB)
    assert boundary.part(span(1, 3)) == (NOTHING, span(1, 3))
    boundary.look(1, span(1, 5), 5, 1 * MIB)
    assert boundary.part(span(1, 8)) == (span(1, 5), span(6, 8))


def test_what_has_waited_half_a_minute_is_backlog() -> None:
    boundary = Boundary(LaneLimits())
    for now in range(0, 36, 2):
        boundary.mark(now, 2 + now)
        boundary.look(now, span(1, 2), 2 + now, 100)
    backlog, live = boundary.part(span(1, 40))
    assert 2 in backlog
    assert live.last == 40


def test_the_backlog_ends_when_it_has_arrived() -> None:
    boundary = Boundary(LaneLimits())
    boundary.look(0, span(1, 50), 50, MIB)
    boundary.look(1, span(51, 51), 51, MIB)
    assert boundary.part(span(1, 51)) == (NOTHING, span(1, 51))


def test_without_credit_the_backlog_starts_at_a_moment_of_luck() -> None:
    moments = set()
    for seed in range(20):
        reunion = Reunion(LaneLimits())
        reunion.meet(100, False, Random(seed))
        assert 100 <= reunion.backlog_from <= 105
        moments.add(round(reunion.backlog_from, 1))
    assert len(moments) > 10


def test_with_credit_or_without_an_outage_it_starts_at_once() -> None:
    reunion = Reunion(LaneLimits())
    reunion.meet(100, True, Random(1))
    reunion.meet(120, False, Random(1))
    reunion.meet(149, False, Random(1))
    assert reunion.backlog_from == -math.inf


# ---- credit


def test_credit_bounds_the_bytes_of_any_stretch_of_time() -> None:
    credit, now, sent = Credit(), 0.0, 0
    credit.grant(0, 1000.0)
    while sent < 100_000:
        now = max(now, credit.ready_at(now))
        credit.spend(now, 5000)
        sent += 5000
    assert 94 <= now <= 100


def test_no_word_is_no_bound_and_no_credit_is_no_time() -> None:
    credit = Credit()
    assert credit.ready_at(7) == 7
    credit.grant(7, 0.0)
    credit.spend(7, 1)
    assert credit.ready_at(7) == math.inf
    credit.grant(8, -5.0)
    assert credit.ready_at(8) == math.inf
    credit.grant(9, None)
    assert credit.ready_at(9) == 9


@pytest.mark.parametrize("nonsense", [math.inf, math.nan, -5.0])
def test_credit_that_is_no_pace_is_none_and_the_next_word_counts_again(nonsense: float) -> None:
    credit = Credit()
    credit.grant(0, nonsense)
    credit.spend(0, 500)
    assert credit.ready_at(1) == math.inf
    credit.grant(2, 1000.0)
    assert credit.ready_at(2) == pytest.approx(2.5)


# ---- pace


def test_the_time_for_an_answer_grows_with_the_push_and_with_silence() -> None:
    pace = Pace()
    small, large = pace.seconds_max(1 * KIB), pace.seconds_max(64 * MIB)
    assert small < 11
    assert large > 600
    pace.timed_out(1 * KIB, small)
    assert pace.seconds_max(1 * KIB) == pytest.approx(2 * small)
    pace.answered(1 * KIB, 0.1)
    assert pace.seconds_max(1 * KIB) == pytest.approx(small, rel=0.01)


def test_a_slow_line_is_learned_and_then_never_timed_out() -> None:
    """At ten kilobytes a second the first pushes are cut off; soon all fit their time."""
    pace, cut_off = Pace(), []
    for _ in range(40):
        size = pace.bytes_target(1 * MIB)
        needed, given = size / 10_000, pace.seconds_max(size)
        cut_off.append(needed > given)
        if needed > given:
            pace.timed_out(size, given)
        else:
            pace.answered(size, needed)
    assert not any(cut_off[8:])
    assert pace.bytes_target(1 * MIB) == 64 * KIB


def test_a_fast_line_gets_large_pushes_and_a_hub_with_a_limit_gets_less() -> None:
    pace = Pace()
    for _ in range(20):
        pace.answered(1 * MIB, 0.01)
    assert pace.bytes_target(1 * MIB) == 1 * MIB
    pace.too_large(1 * MIB)
    assert pace.bytes_target(1 * MIB) == 512 * KIB


def test_a_limit_that_a_hub_had_once_is_outgrown_after_a_while() -> None:
    """A limit that stays is run into now and then; one that is gone does not last for ever."""
    pace, pushes, too_large = Pace(bytes_per_s=10 * MIB), 0, 0
    pace.too_large(1 * MIB)
    while pushes < 500:
        size = pace.bytes_target(1 * MIB)
        if size > 600 * KIB:
            pace.too_large(size)
            too_large += 1
        else:
            pace.answered(size, 0.05)
        pushes += 1
    assert 5 <= too_large <= 25
    for _ in range(100):
        pace.answered(pace.bytes_target(1 * MIB), 0.05)
    assert pace.bytes_target(1 * MIB) == 1 * MIB
