"""What one answer proves of a clock, what several do, and how our own clock is watched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.peering.clock_samples import Echo, Offset, OwnClock, PeerClock, drift_ppm, offset_of
from hub.peering.clocks import Clocks
from shared.errors import BadInput
from tests.unit.peering.clock_mesh import START_MS, Mesh

# ---- One answer

clock_ms = st.integers(-10_000_000, 10_000_000)


@given(clock_ms, st.floats(0, 5_000), st.floats(0, 5_000), st.floats(0, 2_000), st.floats(0, 0.999))
def test_the_true_offset_lies_within_the_error_whatever_the_way_there_and_back_takes(
    true_ms: int, there_ms: float, held_ms: float, back_ms: float, fraction: float
) -> None:
    """Also where one way takes all the time, and all four times are cut to whole milliseconds."""
    at = [0.0, there_ms, there_ms + held_ms, there_ms + held_ms + back_ms]
    ours = [int(START_MS + fraction + ms) for ms in at]
    theirs = [int(START_MS + fraction + true_ms + ms) for ms in at]
    echo = Echo(0.0, at[3] / 1000, ours[0], ours[3], theirs[1], theirs[2])
    offset = offset_of(echo)
    assert offset.low_ms - 0.01 <= true_ms <= offset.high_ms + 0.01


@pytest.mark.parametrize(("received", "sent"), [(500.0, 100.0), (0.0, 90_000.0), (0.0, 60.0)])
def test_an_answer_that_was_written_before_its_question_or_held_too_long_is_refused(
    received: float, sent: float
) -> None:
    with pytest.raises(BadInput, match="says that it had the question for"):
        offset_of(Echo(1.0, 1.05, 0.0, 50.0, received, sent))


def test_the_answer_of_least_delay_is_believed_and_loses_with_age() -> None:
    clock = PeerClock()
    clock.add(Offset(30.0, 41.0, 80.0, 1.0))
    clock.add(Offset(10.0, 3.0, 4.0, 2.0))
    clock.add(Offset(-20.0, 61.0, 120.0, 3.0))
    best = clock.best(3.0)
    assert best is not None
    assert (best.offset_ms, best.error_ms) == (10.0, 3.5)
    older = clock.best(1_003.0)
    assert older is not None
    assert older.error_ms > 500


def test_a_clock_that_was_set_is_believed_at_once_and_not_after_eight_answers() -> None:
    clock = PeerClock()
    for second in range(20):
        assert clock.add(Offset(2.0, 2.0, 2.0, float(second))) is None
    assert clock.add(Offset(7_002.0, 2.0, 2.0, 20.0)) == 7_000.0
    best = clock.best(20.0)
    assert best is not None
    assert best.offset_ms == 7_002.0


def test_a_slow_answer_is_no_step() -> None:
    clock = PeerClock()
    clock.add(Offset(2.0, 2.0, 2.0, 0.0))
    assert clock.add(Offset(900.0, 950.0, 1_900.0, 1.0)) is None
    best = clock.best(1.0)
    assert best is not None
    assert best.offset_ms == 2.0


@given(st.floats(-400, 400), st.data())
def test_the_drift_is_found_although_a_quarter_of_the_points_are_far_off(
    ppm: float, data: st.DataObject
) -> None:
    points = [(10.0 * step, 5.0 + ppm * step / 100) for step in range(31)]
    for step in data.draw(st.sets(st.integers(0, 30), max_size=7)):
        points[step] = (points[step][0], points[step][1] + data.draw(st.floats(-5_000, 5_000)))
    found = drift_ppm(points)
    assert found is not None
    assert abs(found - ppm) < 400


def test_the_drift_of_sound_points_is_exact_and_that_of_a_few_is_not_told() -> None:
    points = [(10.0 * step, 5.0 + 0.5 * step) for step in range(31)]
    assert drift_ppm(points) == pytest.approx(50.0)
    assert drift_ppm(points[:6]) is None


# ---- Our own clock


def test_our_clock_was_set_when_two_readings_agree() -> None:
    own = OwnClock()
    readings = [(1.0, 1_000), (2.0, 2_000), (3.0, 10_000), (3.1, 10_100), (4.0, 11_000)]
    assert [own.read(now, ms) for now, ms in readings] == [None, None, None, 7_000.0, None]


def test_a_pause_between_reading_the_two_clocks_is_no_step() -> None:
    own = OwnClock()
    readings = [(1.0, 1_000), (2.0, 7_000), (8.0, 8_000), (9.0, 9_000)]
    assert [own.read(now, ms) for now, ms in readings] == [None] * 4
    assert not own.is_doubtful


def test_a_clock_that_is_slowly_corrected_is_not_set() -> None:
    own = OwnClock()
    assert [own.read(s, s * 1000 + s * 0.5) for s in map(float, range(10_000))] == [None] * 10_000


@pytest.mark.parametrize("by_ms", [-3_600_000, -7_000, 7_000, 3_600_000])
def test_a_step_of_our_own_clock_blames_us_and_no_peer(by_ms: float) -> None:
    mesh = Mesh({"a": 0.0, "b": 0.0, "c": 0.0}).run(30)
    assert mesh.events == {"a": [], "b": [], "c": []}
    mesh.wrong_ms["a"] += by_ms
    mesh.run(30)
    assert mesh.told("a") == [("clock.stepped", "a"), ("clock.quarantined", "a")]
    assert mesh.told("b") == mesh.told("c") == [("clock.stepped", "a"), ("clock.quarantined", "a")]
    assert abs(mesh.events["a"][0][1]["by_ms"] - by_ms) < 5
    assert mesh.verdicts("a") == {"a": "quarantined", "b": "sound", "c": "sound"}


def test_an_answer_to_a_question_from_before_the_step_is_not_used() -> None:
    """Several questions are on their way at any time; this one returns when the step is known."""
    clocks = Clocks("a")
    for now in (1.0, 2.0):
        clocks.read_own(now, START_MS + now * 1000)
    clocks.read_own(3.0, START_MS + 10_000)
    (step,) = clocks.read_own(3.1, START_MS + 10_100)
    assert step[1] == {"hub": "a", "is_own": True, "by_ms": 7_000.0}
    there_ms = START_MS + 3_000
    late = Echo(2.5, 3.5, START_MS + 2_500, START_MS + 10_500, there_ms, there_ms)
    assert clocks.measured("b", late) == []
    assert clocks.offset("b", 3.5) is None
    assert clocks.counters["samples_doubtful"] == 1


@pytest.mark.parametrize("hubs", [3, 5])
def test_a_machine_that_stood_still_with_both_of_its_clocks_is_not_the_fault_of_its_peers(
    hubs: int,
) -> None:
    """As when a virtual machine is paused: for itself no time has passed, and all others jumped."""
    mesh = Mesh({f"h{n}": 0.0 for n in range(hubs)}).run(30)
    for other in range(1, hubs):
        mesh.wrong_ms[f"h{other}"] += 60_000
    mesh.run(30)
    assert mesh.told("h0") == [("clock.stepped", "h0"), ("clock.quarantined", "h0")]
    assert mesh.events["h0"][0][1]["by_ms"] == pytest.approx(-60_000, abs=5)
    assert set(mesh.verdicts("h0").values()) == {"quarantined", "sound"}


def test_who_measures_against_our_clock_too_hears_that_it_was_set() -> None:
    calls: list[str] = []
    clocks = Clocks("a", on_own_step=lambda: calls.append("set"))
    for now, ms in ((1.0, 1_000), (2.0, 9_000), (3.0, 10_000)):
        clocks.read_own(now, ms)
    assert calls == ["set"]
