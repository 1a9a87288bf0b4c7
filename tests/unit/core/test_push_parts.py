"""The parts of a push conversation, each by a table of cases: circuit, lanes, credit, pace, lineage."""

import math
from random import Random

import pytest

from edge.circuit import Circuit, Phase
from edge.hubs import RETURN_SECONDS_MAX, RETURN_SECONDS_MIN, Hubs
from edge.lanes import Boundary, Credit, Lane, LaneLimits, Reunion, Shares
from edge.lineage import Belief, Claim, Renewal, conflict, own_push, read_claim, to_look_up, weigh
from edge.pace import Pace
from shared.backoff import Backoff
from shared.errors import BadInput
from shared.ranges import NOTHING, SEQ_MAX, Ranges
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


# ---- lineage

MINE, OTHER = b"m" * 32, b"o" * 32


def test_a_span_is_believed_when_its_last_hash_is_ours() -> None:
    claim = Claim("e", 1, Ranges(((1, 5), (8, 9))), span(1, 5), ((5, MINE), (9, MINE)))
    assert to_look_up(claim, 20) == (5, 9)
    belief, is_lost = weigh(claim, {5: MINE, 9: None}, Belief(), 2)
    assert (belief.have, belief.safe, is_lost) == (span(1, 5), span(1, 5), False)


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


def test_an_answer_that_was_overtaken_is_no_loss() -> None:
    before = own_push(Belief(), span(1, 9), 5)
    belief, is_lost = weigh(Claim("e", 4.9, span(1, 3), span(1, 3), ()), {}, before, 7)
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
