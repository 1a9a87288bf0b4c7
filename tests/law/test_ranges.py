"""Ranges are sets of numbers: whatever a Python set says, they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadInput
from shared.ranges import SEQ_MAX, Ranges, from_wire, of_spans
from tests.law.drawing import patient, ranges_of, seq_sets, seqs

spans = st.tuples(seqs, st.integers(0, 10)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def is_canonical(ranges: Ranges) -> bool:
    """Sorted, disjoint, and no two spans that touch: one set has one form."""
    gaps = zip(ranges.spans, ranges.spans[1:], strict=False)
    sound = all(first <= last for first, last in ranges.spans)
    return sound and all(after > before + 1 for (_, before), (after, _) in gaps)


@patient
@given(seq_sets, seq_sets)
def test_union_difference_and_intersection_are_those_of_sets(
    mine: frozenset[int], theirs: frozenset[int]
) -> None:
    one, other = ranges_of(mine), ranges_of(theirs)
    for ours, plain in (
        (one | other, mine | theirs),
        (one - other, mine - theirs),
        (one & other, mine & theirs),
    ):
        assert list(ours) == sorted(plain)
        assert ours == ranges_of(plain)
        assert is_canonical(ours)


@patient
@given(seq_sets)
def test_size_ends_and_members_are_those_of_the_set(numbers: frozenset[int]) -> None:
    ranges = ranges_of(numbers)
    assert bool(ranges) == bool(numbers)
    assert ranges.count == len(numbers)
    assert (ranges.first, ranges.last) == (min(numbers, default=0), max(numbers, default=0))
    assert [seq for seq in range(45) if seq in ranges] == sorted(numbers)


@patient
@given(st.lists(spans))
def test_spans_may_come_in_any_order_and_overlap(pairs: list[tuple[int, int]]) -> None:
    plain = {seq for first, last in pairs for seq in range(first, last + 1)}
    assert of_spans(pairs) == ranges_of(plain)
    grown = Ranges()
    for first, last in pairs:
        grown = grown.add(first, last)
        assert is_canonical(grown)
    assert grown == of_spans(pairs)


@patient
@given(seq_sets, seqs)
def test_the_first_missing_number_is_the_smallest_that_a_set_lacks(
    numbers: frozenset[int], start: int
) -> None:
    expected = next(seq for seq in range(start, 100) if seq not in numbers)
    assert ranges_of(numbers).first_missing(start) == expected


@patient
@given(seq_sets)
def test_the_wire_form_reads_back_as_the_same_set(numbers: frozenset[int]) -> None:
    assert from_wire(ranges_of(numbers).to_wire()) == ranges_of(numbers)


@patient
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3),
    )
)
def test_anything_at_all_reads_as_a_sound_set_or_is_refused(value: object) -> None:
    try:
        ranges = from_wire(value)
    except BadInput:
        return
    assert is_canonical(ranges)
    assert all(1 <= first <= last <= SEQ_MAX for first, last in ranges.spans)
    assert all(type(end) is int for span in ranges.spans for end in span)


@pytest.mark.parametrize("pair", [[0, 1], [2, 1], [1, SEQ_MAX + 1], [1], [1, 2, 3], ["1", 2]])
def test_pairs_that_are_no_range_are_refused(pair: list[object]) -> None:
    with pytest.raises(BadInput):
        from_wire([pair])
