"""Digests in buckets: equal for equal records, whatever happened before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.peering import digests
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


def test_a_question_for_one_bucket_looks_at_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100,000 nodes a bucket has a hundred, and a sweep asks for a few buckets, page by page."""
    held = Digests()
    for number in range(3000):
        held.put(f"edge-{number}", number + 1)
    (bucket, node) = (bucket_of("edge-7"), "edge-7")
    monkeypatch.setattr(digests, "bucket_of", lambda node: pytest.fail(f"{node} was looked at"))
    assert (node, 8) in held.listing([bucket, bucket], "", 5000)
    assert all(bucket_of(each) == bucket for each, _ in held.listing([bucket], "", 5000))
    assert node in held.differing([bucket], "", "", [])
    assert held.listing([BUCKETS, -1], "", 10) == []


def test_a_node_that_was_let_go_is_listed_no_more() -> None:
    held = Digests()
    for value in (1, 2):
        held.put("edge-1", value)
    assert held.listing([bucket_of("edge-1")], "", 10) == [("edge-1", 2)]
    held.drop("edge-1")
    held.drop("edge-1")
    assert (held.listing(range(BUCKETS), "", 10), held.table()) == ([], Digests().table())
    held.put("edge-1", 3)
    assert held.listing(range(BUCKETS), "", 10) == [("edge-1", 3)]
