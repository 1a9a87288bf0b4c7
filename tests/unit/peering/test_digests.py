"""Digests in buckets: equal for equal records, whatever happened before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.peering.digests import BUCKETS, TABLE_BYTES, Digests, bucket_of, hash_of
from shared.errors import BadInput

some_puts = st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=3)), max_size=30)


@given(some_puts)
def test_the_table_depends_on_the_last_state_only(puts: list[tuple[str, bytes]]) -> None:
    kept, fresh = Digests(), Digests()
    for node, stored in puts:
        before = kept.hashes.get(node)
        assert kept.put(node, hash_of(stored)) == (before != hash_of(stored))
    for node, stored in sorted(dict(puts).items()):
        fresh.put(node, hash_of(stored))
    assert kept.table() == fresh.table()
    assert len(kept.table()) == TABLE_BYTES


@given(some_puts, some_puts, st.integers(1, 3))
def test_paging_through_the_unequal_buckets_finds_just_what_differs(
    mine: list[tuple[str, bytes]], theirs: list[tuple[str, bytes]], limit: int
) -> None:
    here, there = Digests(), Digests()
    for side, puts in ((here, mine), (there, theirs)):
        for node, stored in puts:
            side.put(node, hash_of(stored))
    buckets, found, after = there.unequal(here.table()), list[str](), ""
    while True:
        page = there.listing(buckets, after, limit)
        through = page[-1][0] if len(page) == limit else ""
        found += here.differing(buckets, after, through, page)
        if not through:
            break
        after = through
    names = dict(mine).keys() | dict(theirs).keys()
    assert found == sorted(each for each in names if dict(mine).get(each) != dict(theirs).get(each))


def test_nodes_spread_over_the_buckets_and_a_short_table_is_refused() -> None:
    assert len({bucket_of(f"edge-{number}") for number in range(10_000)}) == BUCKETS
    with pytest.raises(BadInput):
        Digests().unequal(b"short")
