"""A refusal is told once, again after the peer was fine, and never fills memory or a log."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.peering.refusals import (
    ENTRIES_MAX,
    QUIET_SECONDS,
    SHOWN_SECONDS,
    STRANGER,
    STRANGER_SECONDS,
    TOLD_MAX,
    Double,
    OtherCluster,
    OtherVersion,
    Refusals,
    kind_of,
)
from shared.errors import BadInput, Refused, TooLarge, TooSlow
from tests.examples import examples

DOOR = "/peer/nodes"


def test_what_is_refused_each_second_is_told_once() -> None:
    book = Refusals()
    told = [book.note("hub-2", DOOR, "unreadable", "no map", float(at)) for at in range(5000)]
    assert told == [True] + [False] * 4999
    assert book.total == 5000


def test_trouble_that_comes_and_goes_each_second_is_told_once_too() -> None:
    book, told = Refusals(), 0
    for at in range(1000):
        told += book.note("hub-2", DOOR, "unreadable", "no map", float(at))
        book.fine("hub-2", DOOR)
    assert told == 1


def test_what_was_fine_for_long_and_is_refused_again_is_told_again() -> None:
    book = Refusals()
    assert book.note("hub-2", DOOR, "unreadable", "no map", 0)
    assert book.fine("hub-2", DOOR), "it is over"
    assert not book.fine("hub-2", DOOR), "and was before"
    assert not book.note("hub-2", DOOR, "unreadable", "no map", QUIET_SECONDS - 1)
    book.fine("hub-2", DOOR)
    assert book.note("hub-2", DOOR, "unreadable", "no map", 2 * QUIET_SECONDS)


def test_another_reason_another_peer_and_another_door_are_told_of_their_own() -> None:
    book = Refusals()
    assert book.note("hub-2", DOOR, "unreadable", "no map", 0)
    assert book.note("hub-2", DOOR, "too_large", "5 MiB", 0)
    assert book.note("hub-3", DOOR, "unreadable", "no map", 0)
    assert book.note("hub-2", "section views", "unreadable", "no list", 0)


def test_what_is_wrong_with_a_hub_as_a_whole_is_told_once_for_all_doors() -> None:
    book = Refusals()
    assert book.note("hub-2", DOOR, "version", "version 3", 0)
    assert not book.note("hub-2", "/peer/gossip", "version", "version 3", 1)
    assert not book.fine("hub-2", DOOR), "the other door refuses it still"
    assert book.of_peer("hub-2", 2) == "version 3"
    assert book.fine("hub-2", "/peer/gossip")
    assert book.of_peer("hub-2", 2) == ""


def test_what_did_not_come_again_is_not_shown_for_ever() -> None:
    book = Refusals()
    book.note("hub-2", DOOR, "unreadable", "no map", 0)
    assert book.of_peer("hub-2", SHOWN_SECONDS - 1) == "no map"
    assert book.of_peer("hub-2", SHOWN_SECONDS) == ""
    assert book.of_peer("hub-3", 1) == ""


def test_a_caller_that_makes_up_names_fills_neither_memory_nor_the_log() -> None:
    book = Refusals()
    told = sum(book.note(f"hub-{n}", DOOR, "unreadable", "x" * 10_000, 0) for n in range(5000))
    assert told == TOLD_MAX
    assert book.untold == 5000 - TOLD_MAX
    assert len(book) == ENTRIES_MAX


def test_a_peer_that_is_forgotten_begins_anew() -> None:
    book = Refusals()
    book.note("hub-2", DOOR, "unreadable", "no map", 0)
    book.note("hub-3", DOOR, "unreadable", "no map", 0)
    book.forget("hub-2")
    assert len(book) == 1
    assert book.note("hub-2", DOOR, "unreadable", "no map", 1)


def test_an_address_without_the_key_is_told_once_and_forgotten_after_an_hour() -> None:
    book = Refusals()
    assert book.note("10.0.0.9", "/peer/gossip", STRANGER, "no key", 0)
    assert not book.note("10.0.0.9", DOOR, STRANGER, "no key", STRANGER_SECONDS - 1)
    assert not book.note("10.0.0.9", DOOR, STRANGER, "no key", 2 * STRANGER_SECONDS - 2)
    assert book.note("10.0.0.8", DOOR, STRANGER, "no key", 5)
    assert book.note("10.0.0.9", DOOR, STRANGER, "no key", 3 * STRANGER_SECONDS)


def test_each_error_is_of_one_kind() -> None:
    kinds = [
        kind_of(OtherVersion("hub-2", 3, 2)),
        kind_of(OtherCluster("hub-2", "a", "b")),
        kind_of(Double("hub-2", "two")),
        kind_of(Refused("removed")),
        kind_of(TooLarge("it", 5)),
        kind_of(TooSlow("it", 5)),
        kind_of(BadInput("no map")),
    ]
    assert kinds == [
        "version",
        "cluster",
        "double",
        "not_admitted",
        "too_large",
        "unreadable",
        "unreadable",
    ]


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from(["hub-2", "hub-3"]),
            st.sampled_from([DOOR, "/peer/gossip"]),
            st.sampled_from(["version", "unreadable"]),
            st.floats(0, 50),
        ),
        max_size=60,
    )
)
@settings(max_examples=examples(200))
def test_whatever_comes_nothing_is_told_twice_within_five_minutes(
    steps: list[tuple[bool, str, str, str, float]],
) -> None:
    book, now = Refusals(), 0.0
    told: dict[tuple[str, str, str], float] = {}
    for is_fine, peer, door, kind, seconds in steps:
        now += seconds
        if is_fine:
            book.fine(peer, door)
        elif book.note(peer, door, kind, "why", now):
            key = (peer, kind, "" if kind == "version" else door)
            assert now - told.get(key, float("-inf")) >= QUIET_SECONDS
            told[key] = now
