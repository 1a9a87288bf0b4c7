"""Vectors: which changes of which stream a hub has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.peering.vector import (
    ORIGINS_MAX,
    SPANS_MAX,
    STREAMS_MAX,
    Stream,
    Vector,
    check_bounds,
    common,
    from_wire,
    minus,
    to_wire,
)
from shared.errors import BadInput
from shared.ranges import SEQ_MAX, Ranges, of_seqs

A: Stream = ("hub-1", "s.1")
B: Stream = ("hub-2", "s.1")

any_vector = st.dictionaries(
    st.sampled_from([A, B]), st.sets(st.integers(1, 30), min_size=1).map(of_seqs)
)


@given(any_vector, any_vector)
def test_claiming_what_is_lacking_leaves_nothing_lacking(
    mine: dict[Stream, Ranges], theirs: dict[Stream, Ranges]
) -> None:
    vector = Vector(dict(mine))
    lacking = vector.lacks(theirs)
    assert common(lacking, mine) == {}
    vector.claim(lacking)
    assert vector.lacks(theirs) == {}
    assert minus(vector.ranges, mine) == lacking


@given(any_vector, any_vector)
def test_digests_are_equal_for_equal_vectors_and_only_then(
    mine: dict[Stream, Ranges], theirs: dict[Stream, Ranges]
) -> None:
    same = Vector(dict(reversed(list(mine.items()))))
    assert Vector(dict(mine)).digest() == same.digest()
    assert (Vector(dict(mine)).digest() == Vector(dict(theirs)).digest()) == (mine == theirs)


def test_a_digest_follows_every_change() -> None:
    vector = Vector()
    seen = {vector.digest()}
    vector.add(A, 1, 5)
    seen.add(vector.digest())
    vector.claim({B: Ranges(((3, 3),))})
    seen.add(vector.digest())
    vector.drop(A)
    seen.add(vector.digest())
    assert len(seen) == 4
    assert vector.covers(B, 3)
    assert not vector.covers(A, 1)


@given(any_vector)
def test_a_vector_is_read_as_it_was_written(vector: dict[Stream, Ranges]) -> None:
    assert from_wire(to_wire(vector)) == vector


def test_a_vector_with_too_many_holes_tells_of_less() -> None:
    """Telling of less is true; telling of more would lose changes."""
    full = of_seqs(range(1, 2 * SPANS_MAX + 20, 2))
    told = from_wire(to_wire({A: full, B: full}))
    assert sum(len(held.spans) for held in told.values()) == SPANS_MAX
    assert minus(told, {A: full, B: full}) == {}


@pytest.mark.parametrize(
    "spans",
    [
        [(2, 1)],
        [(0, 3)],
        [(1, 3), (3, 4)],
        [(5, 6), (1, 2)],
        [(1, SEQ_MAX + 1)],
    ],
)
def test_spans_that_make_no_sense_are_refused(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(BadInput):
        from_wire([(*A, spans)])


def test_a_stream_that_is_named_twice_and_too_many_spans_are_refused() -> None:
    with pytest.raises(BadInput, match="twice"):
        from_wire([(*A, [(1, 1)]), (*A, [(2, 2)])])
    with pytest.raises(BadInput, match="spans"):
        from_wire([(*A, [(seq, seq) for seq in range(1, 2 * SPANS_MAX + 4, 2)])])


def test_more_streams_or_hubs_than_a_cluster_has_are_refused() -> None:
    check_bounds([("hub-1", f"s.{number}") for number in range(STREAMS_MAX)])
    with pytest.raises(BadInput, match="streams"):
        check_bounds([("hub-1", f"s.{number}") for number in range(STREAMS_MAX + 1)])
    with pytest.raises(BadInput, match="hubs"):
        check_bounds([(f"hub-{number}", "s.1") for number in range(ORIGINS_MAX + 1)])
