"""What holds of failure detection whatever the luck: nobody living is buried, nobody dead is missed."""

from contextlib import suppress
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.benches.storm_net import is_open
from hub.benches.storm_world import StormWorld
from hub.peering.detect_row import read_row
from hub.peering.detect_values import INCARNATION_MAX, Failure, Life, PeerState
from hub.peering.detector import Detector
from hub.peering.matrix_drawing import draw_svg, draw_text
from shared.errors import BadInput
from tests.examples import USUAL, examples
from tests.law.drawing import patient

STORM_SECONDS = min(2.4 * examples(USUAL), 600.0)
KILLS = min(examples(USUAL) // 10, 40)
AVOID_SECONDS_P99 = 1.0
DEAD_SECONDS_MAX = 8.0
HEAL_SECONDS_MAX = 3.0


@pytest.mark.parametrize(("count", "seed"), [(2, 1), (3, 2), (5, 3)])
def test_loss_and_pauses_bury_nobody(count: int, seed: int) -> None:
    """A fifth of all messages is lost each way, and hubs stop for just under 5 s."""
    world = StormWorld(count, Random(seed), loss=0.2)
    world.pause_some(Random(seed))
    world.run(STORM_SECONDS)
    assert world.deaths() == []
    beats = [host.detector.beat for host in world.hosts.values()]
    assert min(beats) > STORM_SECONDS  # Everybody took part to the end.


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_killed_hub_is_avoided_within_a_second_and_dead_within_eight(
    count: int, loss: float
) -> None:
    avoided: list[float] = []
    for seed in range(KILLS):
        world = StormWorld(count, Random(seed), loss)
        world.run(12.0 + Random(seed).random())
        killed_at = world.now
        world.kill("hub-1")
        world.run(DEAD_SECONDS_MAX)
        for number in range(2, count + 1):
            hub = f"hub-{number}"
            assert world.hosts[hub].states["hub-1"] is PeerState.DEAD
            avoided.append(world.left_alive(hub, "hub-1", killed_at))
        assert {peer for _, peer in world.deaths()} == {"hub-1"}
    # Too few runs for a percentile under loss: there all of them have 0.2 s more.
    assert max(avoided) <= AVOID_SECONDS_P99 + (0.2 if loss else 0.0)


@pytest.mark.parametrize("count", [3, 5])
def test_a_hub_that_vanishes_without_a_word_is_dead_within_eight_seconds(count: int) -> None:
    """Its machine is gone: nobody refuses, requests just get lost."""
    world = StormWorld(count, Random(4), loss=0.2, refuses=False)
    world.run(15.3)
    world.kill("hub-1")
    world.run(DEAD_SECONDS_MAX)
    assert all(
        world.hosts[f"hub-{n}"].states["hub-1"] is PeerState.DEAD for n in range(2, count + 1)
    )


@pytest.mark.parametrize("count", [3, 5])
def test_an_isolated_hub_buries_nobody_and_is_back_everywhere_within_three_seconds(
    count: int,
) -> None:
    world = StormWorld(count, Random(5))
    world.run(12.0)
    world.cut = lambda one, other: "hub-1" in (one, other)
    world.run(30.0)
    names = {name for name, _ in world.deaths()}
    assert world.hosts["hub-1"].detector.is_isolated
    assert names == {f"hub-{n}" for n in range(2, count + 1)}
    world.cut = is_open
    world.run(HEAL_SECONDS_MAX)
    assert world.is_one()
    told = [tell.name for tell in world.hosts["hub-1"].told]
    assert [each for each in told if each != "hub.refuted"] == ["hub.isolated", "hub.rejoined"]
    assert "hub-1" not in {name for name, _ in world.deaths()}


@pytest.mark.parametrize("seed", range(3))
def test_a_healed_partition_is_alive_everywhere_within_three_seconds(seed: int) -> None:
    world = StormWorld(5, Random(seed))
    west = {"hub-1", "hub-2"}
    world.run(12.0)
    world.cut = lambda one, other: (one in west) != (other in west)
    world.run(60.0)
    assert world.hosts["hub-3"].states["hub-1"] is PeerState.DEAD
    assert world.hosts["hub-1"].states["hub-3"] is PeerState.DEAD
    world.cut = is_open
    world.run(HEAL_SECONDS_MAX)
    assert world.is_one()
    world.run(15.0)
    assert world.is_one()


def test_a_dead_link_and_a_one_way_link_bury_nobody() -> None:
    dead = frozenset({"hub-1", "hub-2"})
    for cut in (
        lambda one, other: {one, other} == dead,
        lambda one, other: (one, other) == ("hub-1", "hub-2"),
    ):
        world = StormWorld(3, Random(6))
        world.run(12.0)
        world.cut = cut
        world.run(40.0)
        assert world.deaths() == []
        assert world.hosts["hub-1"].states["hub-2"] is PeerState.AVOID
        assert world.hosts["hub-3"].states["hub-1"] is PeerState.ALIVE


def test_a_hub_that_starts_again_is_alive_everywhere_within_three_seconds() -> None:
    """Also when it has lost its count of incarnations."""
    for incarnation in (1, 2):
        world = StormWorld(3, Random(7))
        world.run(12.0)
        world.kill("hub-1")
        world.run(20.0)
        world.restart("hub-1", incarnation)
        world.run(HEAL_SECONDS_MAX)
        assert world.is_one()


# ---- laws of one machine

PEERS = ("hub-2", "hub-3", "hub-4")
peers = st.sampled_from(PEERS)
lives = st.builds(Life, st.sampled_from("xy"), st.integers(0, 3), st.integers(0, 20))
failures = st.sampled_from(list(Failure))
gaps = st.floats(0.0, 12.0)
steps = st.one_of(
    st.tuples(st.just("answered"), peers, lives),
    st.tuples(st.just("failed"), peers, failures),
    st.tuples(st.just("heard"), peers, lives),
    st.tuples(st.just("indirect"), peers, lives | st.none()),
)


def play(detector: Detector, step: tuple[str, str, object], now: float) -> None:
    match step:
        case ("answered", peer, Life() as life):
            detector.answered(peer, now, 0.01, life)
        case ("failed", peer, Failure() as failure):
            detector.failed(peer, now, now, failure)
        case ("heard", peer, Life() as life):
            detector.heard(peer, now, life)
        case ("indirect", peer, Life() | None as life):
            detector.indirect("hub-2", peer, now, life)


@patient
@given(st.lists(st.tuples(gaps, steps), max_size=60))
def test_whatever_happens_the_verdicts_keep_their_promises(
    story: list[tuple[float, tuple[str, str, object]]],
) -> None:
    detector, now = Detector("hub-1", "one", 1, 0.0), 0.0
    for peer in PEERS:
        detector.expect(peer, now)
    for gap, step in story:
        before = {peer: detector.state(peer) for peer in PEERS}
        was_isolated = detector.is_isolated
        now += gap
        play(detector, step, now)
        if step[0] == "answered":
            assert detector.state(step[1]) is PeerState.ALIVE
        detector.tick(now)
        assert now < detector.next_at <= now + detector.limits.tick_seconds
        assert 1.0 <= detector.health.factor(now) <= 8.0
        for each in detector.verdicts(now):
            if each.state is PeerState.DEAD is not before[each.peer]:
                assert not was_isolated
                assert len(each.observers) >= 2
                assert (each.lives_age_s or 0.0) >= detector.limits.silent_seconds
            assert each.state_age_s >= 0
        matrix = detector.matrix(now)
        assert draw_text(matrix)
        assert draw_svg(matrix)


@patient
@given(st.lists(st.integers(0, INCARNATION_MAX), max_size=20))
def test_the_incarnation_only_grows_and_stays_within_its_bound(told: list[int]) -> None:
    detector = Detector("hub-1", "one", 1, 0.0)
    detector.expect("hub-2", 0.0)
    seen = [detector.incarnation]
    for beat, incarnation in enumerate(told, 1):
        words = {"peer": "hub-1", "state": "dead", "instance": "z", "incarnation": incarnation}
        row = {"hub": "hub-2", "instance": "i", "incarnation": 1, "beat": beat, "entries": [words]}
        detector.take_row(read_row(msgspec.json.encode(row)), "hub-2", float(beat))
        seen.append(detector.incarnation)
    assert all(one <= other for one, other in pairwise(seen))
    assert seen[-1] <= INCARNATION_MAX


@patient
@given(st.binary(max_size=300))
def test_any_bytes_are_a_row_or_bad_input(body: bytes) -> None:
    with suppress(BadInput):
        assert read_row(body).hub


def test_what_a_hub_writes_others_read() -> None:
    world = StormWorld(3, Random(8))
    world.run(12.0)
    row = world.hosts["hub-1"].detector.next_row(world.now)
    assert read_row(msgspec.json.encode(row)) == row
    assert len(msgspec.json.encode(row)) < 1000
