"""Stamps only grow, whatever wall clocks, restarts and other hubs do."""

from hypothesis import given
from hypothesis import strategies as st

from shared.stamp import ZERO, HybridClock, Stamp
from tests.law.drawing import hub_ids, patient, stamps

walls = st.lists(st.integers(0, 100), min_size=1)
AHEAD_MS = 10


@patient
@given(walls)
def test_stamps_grow_when_the_clock_is_set_back_or_stands_still(readings: list[int]) -> None:
    clock = HybridClock("hub-1")
    made = [clock.next(wall_ms) for wall_ms in readings]
    assert all(before < after for before, after in zip([ZERO, *made], made, strict=False))
    assert all(stamp.wall_ms >= wall for stamp, wall in zip(made, readings, strict=True))


@patient
@given(st.lists(st.tuples(st.integers(0, 100), st.none() | stamps), min_size=1))
def test_a_stamp_is_later_than_all_that_were_witnessed(
    steps: list[tuple[int, Stamp | None]],
) -> None:
    clock, latest = HybridClock("hub-2"), ZERO
    for wall_ms, witnessed in steps:
        if witnessed is not None:
            clock.witness(witnessed)
            latest = max(latest, witnessed)
        made = clock.next(wall_ms)
        assert (made.wall_ms, made.counter) > (latest.wall_ms, latest.counter)
        assert clock.reached_ms >= made.wall_ms
        latest = made


@patient
@given(walls, walls, hub_ids)
def test_a_restart_issues_no_stamp_below_the_persisted_mark(
    before: list[int], after: list[int], hub_id: str
) -> None:
    """As a hub does it: the mark is written ahead of use, with the first stamp that passes it."""
    clock, persisted, made = HybridClock(hub_id), 0, []
    for wall_ms in before:
        made.append(clock.next(wall_ms))
        if clock.reached_ms >= persisted:
            persisted = clock.reached_ms + AHEAD_MS
    reborn = HybridClock(hub_id, high_water_ms=persisted)
    assert all(max(made) < reborn.next(wall_ms) for wall_ms in after)
