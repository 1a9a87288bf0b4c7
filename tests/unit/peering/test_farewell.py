"""Words about hubs that are gone: one wins everywhere, people overrule clocks, lies are bounded."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.peering.farewell import HUBS_MAX, Farewell, Farewells, FarewellSection, read_section
from shared.errors import BadInput
from shared.stamp import Stamp

stamps = st.builds(Stamp, st.integers(0, 5), st.integers(0, 2), st.sampled_from(("hub-1", "hub-2")))
words = st.builds(
    Farewell, st.sampled_from(("hub-3", "hub-4")), st.integers(1, 3), stamps, st.booleans()
)


def word(hub: str = "hub-3", acts: int = 1, wall_ms: int = 1, *, gone: bool = True) -> Farewell:
    return Farewell(hub, acts, Stamp(wall_ms, 0, "hub-1"), gone)


@given(st.lists(words, max_size=6))
def test_all_hubs_come_to_the_same_whatever_the_order(told: list[Farewell]) -> None:
    """Twice, one by one, or all at once: the digests are equal."""
    digests: set[str] = set()
    for order in itertools.islice(itertools.permutations(told), 24):
        book = Farewells()
        for each in order:
            book.take(book.newer([each]))
            book.take(book.newer([each, *order]))
        digests.add(book.digest)
    assert len(digests) == 1


def test_a_person_overrules_a_word_with_a_stamp_of_the_far_future() -> None:
    book = Farewells()
    book.take([word(wall_ms=2**60)])
    admitted = book.decide("hub-3", Stamp(5, 0, "hub-2"), "", "", gone=False)
    assert book.newer([admitted]) == [admitted]
    book.take([admitted])
    assert book.gone("hub-3") is None


def test_an_older_word_changes_nothing() -> None:
    book = Farewells()
    book.take([word(acts=2, gone=False)])
    assert book.newer([word(acts=1, wall_ms=99)]) == []


def test_a_liar_cannot_fill_the_book() -> None:
    book = Farewells()
    book.take([word(f"hub-{number}") for number in range(HUBS_MAX)])
    with pytest.raises(BadInput, match="more than 256 hubs"):
        book.newer([word("one-more")])
    assert book.newer([word("hub-7", acts=2)])


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_and_nothing_else(body: bytes) -> None:
    try:
        read_section(body)
    except BadInput:
        return


@pytest.mark.parametrize("hub", ["", "a b", "x" * 64, "../x"])
def test_a_name_that_no_hub_can_have_is_refused(hub: str) -> None:
    body = msgspec.json.encode(FarewellSection("d", [word(hub)]))
    with pytest.raises(BadInput, match="gone cannot be read"):
        read_section(body)


def test_nothing_is_told_while_nobody_was_sent_away() -> None:
    assert Farewells().digest == ""
    assert Farewells().words() == []
