"""The clocks of edges: held-up beats change nothing, drift is found, and 100,000 edges are few bytes."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.nodes.edge_clocks import DRIFT_SECONDS_MIN, EdgeClocks

START_MS = 1_780_000_000_000


def beat(clocks: EdgeClocks, node: str, off_ms: float, now: float, trip_ms: float = 0) -> None:
    """A beat of an edge whose clock is off, after some time on its way."""
    wall_ms = START_MS + int(now * 1000)
    clocks.hear(node, int(wall_ms - trip_ms + off_ms), wall_ms, now)


def offset(clocks: EdgeClocks, node: str, now: float = 0.0) -> float:
    """The offset that is believed."""
    held = clocks.of(node, now)
    assert held is not None
    return held.offset_ms


@given(st.lists(st.integers(0, 60_000), min_size=4, max_size=30), st.integers(-(10**6), 10**6))
def test_the_beat_that_came_quickest_of_the_last_few_is_believed(
    trips_ms: list[int], off_ms: int
) -> None:
    clocks = EdgeClocks()
    for second, trip_ms in enumerate(trips_ms):
        beat(clocks, "edge-1", off_ms, float(second), trip_ms)
    found = offset(clocks, "edge-1")
    assert off_ms - min(trips_ms[-4:]) <= found <= off_ms - min(trips_ms)


def test_one_beat_that_was_held_up_for_a_minute_changes_nothing() -> None:
    clocks = EdgeClocks()
    for second in range(12):
        beat(clocks, "edge-1", 20, float(second), 60_000 if second == 9 else 5)
        assert offset(clocks, "edge-1") == 15


def test_an_edge_that_was_set_ahead_is_seen_at_once_and_one_set_back_after_a_few_beats() -> None:
    clocks = EdgeClocks()
    for second in range(8):
        beat(clocks, "edge-1", 0, float(second))
    beat(clocks, "edge-1", 60_000, 8.0)
    assert (offset(clocks, "edge-1"), clocks.off) == (60_000, 1)
    for second in range(9, 18):
        beat(clocks, "edge-1", -60_000, float(second))
    assert (offset(clocks, "edge-1"), clocks.off) == (-60_000, 1)
    for second in range(18, 27):
        beat(clocks, "edge-1", 0, float(second))
    assert (offset(clocks, "edge-1"), clocks.off) == (0, 0)


@pytest.mark.parametrize("ppm", [-200.0, 0.0, 35.0])
def test_the_drift_of_an_edge_is_found_within_two_hours(ppm: float) -> None:
    clocks = EdgeClocks()
    for step in range(1_440):
        now = step * 5.0
        beat(clocks, "edge-1", 300 + ppm * now / 1000, now, 3 + step % 7)
    held = clocks.of("edge-1", 7_200.0)
    assert held is not None
    assert held.drift_ppm == pytest.approx(ppm, abs=2)


def test_the_drift_is_not_told_before_there_is_enough_time_nor_across_a_step() -> None:
    clocks = EdgeClocks()
    for step in range(int(DRIFT_SECONDS_MIN / 10)):
        beat(clocks, "edge-1", 0, step * 10.0)
    held = clocks.of("edge-1", 0.0)
    assert held is not None
    assert held.drift_ppm is None
    for step in range(60, 180):
        beat(clocks, "edge-1", -9_000 if step > 100 else 0, step * 10.0)
    held = clocks.of("edge-1", 0.0)
    assert held is not None
    assert held.drift_ppm in (None, 0.0)


def test_the_worst_come_first_and_no_more_than_were_asked_for() -> None:
    clocks = EdgeClocks()
    for number in range(50):
        beat(clocks, f"edge-{number:02d}", (-1) ** number * 100 * number, 0.0)
    worst = clocks.worst(3, 10.0)
    assert [(each.node_id, each.offset_ms) for each in worst] == [
        ("edge-49", -4_900.0), ("edge-48", 4_800.0), ("edge-47", -4_700.0),
    ]  # fmt: skip
    assert worst[0].age_seconds == 10.0
    assert (clocks.off, clocks.known, len(clocks.worst(500, 10.0))) == (29, 50, 29)
    everyone = clocks.worst(500, 10.0, sound_too=True)
    assert [each.node_id for each in everyone] == [f"edge-{n:02d}" for n in reversed(range(50))]


def test_the_edge_in_the_middle_tells_when_it_is_our_clock_that_is_wrong() -> None:
    clocks = EdgeClocks()
    assert clocks.median_ms() is None
    for number in range(3_001):
        beat(clocks, f"edge-{number}", -7_000 + number % 3, 0.0)
    assert clocks.median_ms() == pytest.approx(-7_000, abs=3)


def test_when_our_own_clock_is_set_no_edge_is_blamed_for_it() -> None:
    clocks = EdgeClocks()
    for number in range(10):
        beat(clocks, f"edge-{number}", 9_000, 0.0)
    clocks.begin_anew()
    assert (clocks.off, clocks.worst(5, 1.0), clocks.of("edge-1", 1.0)) == (0, [], None)
    beat(clocks, "edge-1", 0, 2.0)
    assert offset(clocks, "edge-1") == 0


def test_an_edge_that_tells_no_time_is_not_measured() -> None:
    clocks = EdgeClocks()
    assert clocks.hear("edge-1", 0, START_MS, 1.0) is None
    assert (clocks.known, clocks.of("edge-1", 1.0)) == (0, None)


def test_a_removed_edge_leaves_its_place_to_the_next() -> None:
    clocks = EdgeClocks()
    beat(clocks, "edge-1", 9_000, 0.0)
    before_bytes = clocks.size_bytes
    clocks.forget("edge-1")
    clocks.forget("edge-9")
    assert (clocks.known, clocks.off, clocks.of("edge-1", 0.0)) == (0, 0, None)
    beat(clocks, "edge-2", 5, 0.0)
    assert (offset(clocks, "edge-2"), clocks.size_bytes) == (5, before_bytes)


def test_a_hundred_thousand_edges_take_less_than_two_hundred_bytes_each() -> None:
    """Without their names, which the registry has anyway."""
    names = [f"edge-{number:06d}" for number in range(100_000)]
    tracemalloc.start()
    clocks = EdgeClocks()
    for name in names:
        beat(clocks, name, 0, 0.0)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held_bytes / len(names) < 200
