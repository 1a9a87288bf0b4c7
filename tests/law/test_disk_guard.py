"""The guard closes below the reserve, opens well above it, and does not flutter in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.disk_guard import (
    FULL_SECONDS,
    RESERVE_BYTES_MAX,
    DiskState,
    Room,
    looked,
    reopen_bytes,
    reserve_bytes,
    write_failed,
)
from shared.records import MIB
from tests.law.drawing import patient

TOTAL = 1000
free_bytes = st.integers(0, TOTAL)
GIB = 1024 * MIB


def after(looks: list[int], state: DiskState | None = None) -> DiskState:
    """The state after looks that showed so many free bytes of a disk of 1000: 50 are reserved."""
    state = state or DiskState()
    for now, free in enumerate(looks):
        state = looked(state, Room(free, TOTAL), float(now))
    return state


@patient
@given(st.lists(free_bytes), free_bytes)
def test_below_the_reserve_it_is_closed_and_well_above_it_open(looks: list[int], last: int) -> None:
    """Whatever came before."""
    state = after([*looks, last])
    if last < state.reserve_bytes:
        assert not state.is_open
    if last >= state.reopen_bytes:
        assert state.is_open


@patient
@given(st.lists(free_bytes, min_size=1), st.integers(50, 62))
def test_between_the_marks_it_stays_as_it_was(looks: list[int], last: int) -> None:
    assert after([*looks, last]).is_open == after(looks).is_open


@patient
@given(st.lists(free_bytes), free_bytes)
def test_looking_twice_changes_nothing(looks: list[int], last: int) -> None:
    assert after([*looks, last, last]) == after([*looks, last])


@pytest.mark.parametrize(
    ("free", "was_open", "is_open"),
    [(50, True, True), (49, True, False), (62, False, False), (63, False, True)],
)
def test_the_marks_are_exact(free: int, was_open: bool, is_open: bool) -> None:
    """It closes with less than 50 of 1000 bytes and opens with 62.5 or more."""
    assert looked(DiskState(was_open), Room(free, TOTAL), 0.0).is_open == is_open


@patient
@given(st.floats(0, 1e9), st.floats(0, 2 * FULL_SECONDS), free_bytes)
def test_after_a_write_failed_it_is_closed_for_a_while_whatever_a_look_shows(
    now: float, waited: float, free: int
) -> None:
    """A quota or a lack of inodes does not show as free bytes."""
    failed = write_failed(after([TOTAL]), now)
    assert not failed.is_open
    is_over = now + waited >= failed.closed_until
    seen = looked(failed, Room(free, TOTAL), now + waited)
    assert seen.is_open == (is_over and free >= seen.reopen_bytes)


@pytest.mark.parametrize(
    ("total", "wanted", "reserved"),
    [
        (100 * GIB, 0, RESERVE_BYTES_MAX),
        (20 * GIB, 0, GIB),
        (10 * GIB, 0, 512 * MIB),
        (24 * MIB, 0, 24 * MIB * 5 // 100),
        (0, 0, 0),
        (24 * MIB, 8 * MIB, 8 * MIB),
    ],
)
def test_the_reserve_is_what_is_wanted_or_a_twentieth_up_to_a_gibibyte(
    total: int, wanted: int, reserved: int
) -> None:
    assert reserve_bytes(total, wanted) == reserved


@patient
@given(st.integers(0, 2**40))
def test_the_mark_to_open_at_is_a_quarter_higher_and_whole(reserve: int) -> None:
    assert reserve * 5 <= reopen_bytes(reserve) * 4 < reserve * 5 + 4
