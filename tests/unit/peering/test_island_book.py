"""Islands: who is together, since when they are not, and what answers say of it."""

from itertools import product
from typing import Any

import pytest

from hub.peering.islands import SPLIT_SECONDS, IslandBook, Rows, islands_of

HUBS = ("hub-1", "hub-2", "hub-3")
WHOLE = {a: {b: True for b in HUBS if b != a} for a in HUBS}


def parted(*islands: tuple[str, ...]) -> Rows:
    """What hubs say when they reach those of their island only."""
    return {
        a: {b: any({a, b} <= set(island) for island in islands) for b in HUBS if b != a}
        for a in HUBS
    }


def without(*links: tuple[str, str]) -> Rows:
    return {a: {b: (a, b) not in links for b in HUBS if b != a} for a in HUBS}


@pytest.mark.parametrize(
    ("rows", "islands"),
    [
        (WHOLE, (HUBS,)),
        (parted(("hub-1", "hub-2"), ("hub-3",)), (("hub-1", "hub-2"), ("hub-3",))),
        (without(("hub-1", "hub-3"), ("hub-3", "hub-1")), (HUBS,)),
        (without(("hub-1", "hub-3"), ("hub-2", "hub-3")), (("hub-1", "hub-2"), ("hub-3",))),
        ({"hub-1": {"hub-2": True}}, (("hub-1",), ("hub-2",), ("hub-3",))),
        ({}, (("hub-1",), ("hub-2",), ("hub-3",))),
    ],
)
def test_hubs_are_together_when_links_in_both_directions_lead_from_one_to_the_other(
    rows: Rows, islands: tuple[tuple[str, ...], ...]
) -> None:
    assert islands_of(rows, HUBS) == islands


def test_every_hub_is_on_exactly_one_island_whatever_hubs_say() -> None:
    links = [(a, b) for a in HUBS for b in HUBS if a != b]
    for said in product((True, False), repeat=len(links)):
        rows: dict[str, dict[str, bool]] = {hub: {} for hub in HUBS}
        for (a, b), reaches in zip(links, said, strict=True):
            rows[a][b] = reaches
        islands = islands_of(rows, HUBS)
        assert sorted(hub for island in islands for hub in island) == list(HUBS)


def test_a_split_is_told_once_it_has_lasted_and_once_when_it_is_over() -> None:
    book, apart = IslandBook("hub-1"), parted(("hub-1",), ("hub-2", "hub-3"))
    assert book.see(WHOLE, HUBS, 0.0, 1_000) == []
    assert book.see(apart, HUBS, 1.0, 2_000) == []
    assert book.standing(1.0) is None
    (told,) = book.see(apart, HUBS, 1.0 + SPLIT_SECONDS, 5_000)
    assert told == ("mesh.split", {"island": "hub-1", "missing": "hub-2, hub-3"})
    assert book.see(apart, HUBS, 9.0, 10_000) == []
    assert book.standing(11.0) == {
        "island": ["hub-1"],
        "configured": list(HUBS),
        "side": "minority",
        "age_s": 10.0,
    }
    assert book.see(WHOLE, HUBS, 13.0, 14_000) == [("mesh.whole", {"seconds": 12.0})]
    assert (book.standing(14.0), book.is_minority) == (None, False)


def test_a_short_interruption_is_no_split() -> None:
    book, apart = IslandBook("hub-1"), parted(("hub-1",), ("hub-2", "hub-3"))
    told = book.see(WHOLE, HUBS, 0.0, 0)
    for now in range(1, 20):
        told += book.see(apart if now % 3 else WHOLE, HUBS, float(now), now * 1000)
    assert told == []


def test_hubs_that_were_never_seen_are_not_apart_but_not_there_yet() -> None:
    book = IslandBook("hub-1")
    for now in range(10):
        assert book.see({}, HUBS, float(now), 0) == []
    assert not book.is_split


def test_a_hub_that_said_that_it_leaves_is_not_missed() -> None:
    book = IslandBook("hub-1")
    book.see(WHOLE, HUBS, 0.0, 0)
    for now in range(1, 10):
        rows = parted(("hub-1", "hub-2"), ("hub-3",))
        assert book.see(rows, HUBS, float(now), 0, leaving=("hub-3",)) == []


def test_a_hub_that_is_forgotten_ends_the_split() -> None:
    book, rows = IslandBook("hub-1"), parted(("hub-1", "hub-2"), ("hub-3",))
    book.see(WHOLE, HUBS, 0.0, 0)
    for now in (1.0, 5.0):
        book.see(rows, HUBS, now, 0)
    assert book.is_split
    assert [name for name, _ in book.see(rows, HUBS[:2], 6.0, 0)] == ["mesh.whole"]


@pytest.mark.parametrize(
    ("island", "configured", "side", "is_minority"),
    [
        (("hub-1", "hub-2"), HUBS, "majority", False),
        (("hub-1",), HUBS, "minority", True),
        (("hub-1",), HUBS[:2], "half", True),
    ],
)
def test_a_hub_knows_on_which_side_it_is(
    island: tuple[str, ...], configured: tuple[str, ...], side: str, is_minority: bool
) -> None:
    book = IslandBook("hub-1")
    book.see(WHOLE, configured, 0.0, 0)
    rest = tuple(hub for hub in HUBS if hub not in island)
    for now in (1.0, 5.0):
        book.see(parted(island, rest), configured, now, 0)
    assert (book.side, book.is_minority) == (side, is_minority)


def test_a_split_goes_on_after_a_restart() -> None:
    book = IslandBook("hub-1")
    book.resume(HUBS, 0.0, 5_000)
    assert book.see(parted(("hub-1",), ("hub-2", "hub-3")), HUBS, 1.0, 9_000) == []
    assert book.apart is not None
    assert (book.apart.since_ms, book.missing) == (5_000, ("hub-2", "hub-3"))
    assert [name for name, _ in book.see(WHOLE, HUBS, 2.0, 9_000)] == ["mesh.whole"]


TWO_LEFT = parted(("hub-1", "hub-2"), ("hub-3",))


def seen(book: IslandBook, rows: Rows, seconds: range, **more: Any) -> list[str]:
    """The events of some seconds, by name."""
    told = [book.see(rows, HUBS, float(now), now * 1000, **more) for now in seconds]
    return [name for events in told for name, _ in events]


def test_a_hub_that_left_is_not_missed_when_it_stays_away_for_longer_than_it_said() -> None:
    book = IslandBook("hub-1")
    assert seen(book, WHOLE, range(1)) == []
    assert seen(book, TWO_LEFT, range(1, 3), leaving=("hub-3",)) == []
    assert seen(book, TWO_LEFT, range(3, 60)) == []
    assert seen(book, WHOLE, range(60, 62)) == []
    assert seen(book, TWO_LEFT, range(62, 70)) == ["mesh.split"]


def test_a_hub_that_died_is_not_apart_and_its_next_life_is_no_other_side() -> None:
    book = IslandBook("hub-1")
    seen(book, WHOLE, range(1), lives={"hub-3": "a"})
    assert seen(book, TWO_LEFT, range(1, 30), gone=("hub-3",)) == []
    assert (book.apart, book.standing(30.0)) == (None, None)
    assert seen(book, WHOLE, range(30, 33), lives={"hub-3": "b"}) == []


def test_a_hub_that_looked_dead_and_is_back_in_the_same_life_was_apart() -> None:
    """A firewall can refuse in the name of a machine that lives on."""
    book = IslandBook("hub-1")
    seen(book, WHOLE, range(1), lives={"hub-3": "a"})
    assert seen(book, TWO_LEFT, range(1, 30), gone=("hub-3",)) == []
    (told,) = book.see(WHOLE, HUBS, 30.0, 30_000, lives={"hub-3": "a"})
    assert told == ("mesh.split", {"island": "hub-1, hub-2", "missing": "hub-3"})
    assert book.apart is not None
    assert (book.apart.since, book.apart.since_ms) == (1.0, 1_000)
    assert book.apart.islands == (("hub-1", "hub-2"), ("hub-3",))
    assert book.see(WHOLE, HUBS, 31.0, 31_000) == [("mesh.whole", {"seconds": 30.0})]


def test_a_hub_that_is_apart_stays_so_when_its_machine_refuses_later() -> None:
    """It may have been stopped meanwhile; that it was apart is true all the same."""
    book = IslandBook("hub-1")
    seen(book, WHOLE, range(1))
    assert seen(book, TWO_LEFT, range(1, 9)) == ["mesh.split"]
    assert seen(book, TWO_LEFT, range(9, 20), gone=("hub-3",)) == []
    assert book.missing == ("hub-3",)
    assert seen(book, WHOLE, range(20, 22)) == ["mesh.whole"]


def test_beside_a_dead_hub_another_one_can_be_apart() -> None:
    book = IslandBook("hub-1")
    seen(book, WHOLE, range(1))
    assert seen(book, TWO_LEFT, range(1, 30), gone=("hub-3",)) == []
    alone = parted(("hub-1",), ("hub-2",), ("hub-3",))
    assert seen(book, alone, range(30, 40), gone=("hub-3",)) == ["mesh.split"]
    assert (book.missing, book.apart and book.apart.since) == (("hub-2",), 30.0)
