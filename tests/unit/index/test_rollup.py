"""The law of merging rollups: order and grouping make no difference where rows are apart in time."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.index.metric_rows import pack, unpack
from hub.index.rollup import RESOLUTIONS_NS, Growth, Rollup, fold, growth_of, merge, reading

numbers = st.integers(0, 1000) | st.floats(-1e9, 1e9)
rows = st.lists(numbers, min_size=1, max_size=12).map(
    lambda values: [reading(10 + 7 * at, value, value / 2) for at, value in enumerate(values)]
)


def close(one: Rollup | None, other: Rollup | None) -> bool:
    """Equal but for the rounding of sums."""
    assert one is not None
    assert other is not None
    return tuple(one) == pytest.approx(tuple(other), rel=1e-9, abs=1e-3)


def increase(values: list[float]) -> float:
    """What a counter with these readings counted after the first one."""
    return sum(after if after < before else after - before for before, after in pairwise(values))


@given(rows, st.integers(0, 12))
def test_a_row_knows_what_its_readings_tell(apart: list[Rollup], cut: int) -> None:
    """However they are grouped, and whichever group is merged into the other."""
    values = [row.last for row in apart]
    left, right = fold(apart[:cut], Growth.CUMULATIVE), fold(apart[cut:], Growth.CUMULATIVE)
    whole = fold(apart, Growth.CUMULATIVE)
    assert whole is not None
    assert whole.exact
    assert (whole.readings, whole.low, whole.high) == (len(values), min(values), max(values))
    assert (whole.first, whole.last) == (values[0], values[-1])
    assert (whole.first_ns, whole.last_ns) == (apart[0].first_ns, apart[-1].last_ns)
    assert whole.total == pytest.approx(sum(values), abs=1e-3)
    assert whole.rise == pytest.approx(increase(values), abs=1e-3)
    if left is not None and right is not None:
        assert close(merge(left, right, Growth.CUMULATIVE), whole)
        assert close(merge(right, left, Growth.CUMULATIVE), whole)


@given(rows, st.randoms(use_true_random=False), st.sampled_from(Growth))
def test_levels_do_not_depend_on_the_order_of_merging(
    apart: list[Rollup], order: Random, growth: Growth
) -> None:
    mixed = list(apart)
    order.shuffle(mixed)
    merged = mixed[0]
    for row in mixed[1:]:
        merged = merge(merged, row, growth)
    whole = fold(apart, growth)
    assert whole is not None
    assert merged[:3] == whole[:3]
    assert merged.total == pytest.approx(whole.total, abs=1e-3)
    assert (merged.low, merged.high, merged.last) == (whole.low, whole.high, whole.last)


def test_a_smaller_reading_means_that_the_counter_began_again() -> None:
    row = merge(reading(1, 100, 10.0), reading(2, 4, 2.0), Growth.CUMULATIVE)
    assert (row.rise, row.rise_amount, row.exact) == (4, 2.0, True)


@pytest.mark.parametrize("growth", [Growth.CUMULATIVE, Growth.DELTA])
def test_rows_that_overlap_are_no_longer_exact_about_increases(growth: Growth) -> None:
    around = merge(reading(10, 1, 0, 5), reading(30, 3, 0, 10), growth)
    assert around.exact
    row = merge(around, reading(20, 2, 0, 15), growth)
    assert (row.exact, row.readings, row.total) == (False, 3, 6)
    assert not merge(row, reading(50, 1, 0, 30), growth).exact


def test_the_same_reading_of_a_counter_twice_adds_nothing() -> None:
    counted = merge(reading(1, 5), reading(2, 8), Growth.CUMULATIVE)
    twice = merge(counted, reading(2, 8), Growth.CUMULATIVE)
    assert (twice.rise, twice.exact, twice.readings) == (3, True, 3)
    assert not merge(counted, reading(2, 9), Growth.CUMULATIVE).exact


@pytest.mark.parametrize(
    ("since_ns", "exact"),
    [((0, 10, 20), False), ((5, 10, 20), True), ((0, 0, 0), True), ((5, 11, 20), False)],
)
def test_deltas_add_up_where_one_begins_as_the_other_ends(
    since_ns: tuple[int, int, int], exact: bool
) -> None:
    deltas = [reading(10 * (at + 1), 2, 0.5, since) for at, since in enumerate(since_ns)]
    row = fold(deltas, Growth.DELTA)
    assert row is not None
    assert (row.first, row.rise, row.rise_amount, row.since_ns) == (2, 4, 1.0, since_ns[0])
    assert row.exact == exact


def test_of_two_readings_at_one_time_the_larger_is_the_last() -> None:
    for one, other in [(3, 4), (4, 3)]:
        assert merge(reading(1, one), reading(1, other), Growth.NONE).last == 4


@pytest.mark.parametrize(
    ("kind", "monotonic", "temporality", "growth"),
    [
        ("gauge", False, 0, Growth.NONE),
        ("sum", True, 2, Growth.CUMULATIVE),
        ("sum", False, 2, Growth.NONE),
        ("sum", False, 1, Growth.DELTA),
        ("histogram", False, 2, Growth.CUMULATIVE),
        ("summary", False, 0, Growth.CUMULATIVE),
        ("exponential_histogram", False, 1, Growth.DELTA),
    ],
)
def test_kinds_grow_each_in_their_way(
    kind: str, monotonic: bool, temporality: int, growth: Growth
) -> None:
    assert growth_of(kind, monotonic, temporality) is growth


@given(rows, st.sampled_from(RESOLUTIONS_NS), st.integers(0, 2**62), st.booleans())
def test_a_stored_row_is_the_row(
    apart: list[Rollup], width_ns: int, base_ns: int, exact: bool
) -> None:
    start_ns = base_ns // width_ns * width_ns
    moved = [
        row._replace(first_ns=start_ns + row.first_ns, last_ns=start_ns + row.last_ns)
        for row in apart
    ]
    row = fold(moved, Growth.CUMULATIVE)
    assert row is not None
    if row.readings > 1:
        row = row._replace(exact=exact)
    assert unpack(pack(row, width_ns), width_ns) == row


def test_numbers_that_the_file_cannot_hold_are_kept_as_floats() -> None:
    row = fold([reading(1, 2**64), reading(2, 2**64 + 5)], Growth.CUMULATIVE)
    assert row is not None
    back = unpack(pack(row, RESOLUTIONS_NS[0]), RESOLUTIONS_NS[0])
    assert (back.last, back.total) == (float(2**64 + 5), float(2 * 2**64 + 5))
