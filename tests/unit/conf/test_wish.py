"""Which settings an edge asks for, when its hubs do not yet agree, are empty, silent or wrong."""

from random import Random

import pytest

from edge.conf.wish import (
    HEARD_SECONDS_MAX,
    HUBS_MAX,
    PATIENCE_SECONDS,
    REFUSED_SECONDS,
    RETRY_SECONDS_MAX,
    Ask,
    Wish,
)
from shared.conf import EMPTY_HASH
from shared.conf_report import Age, Wanted


def wanted(letter: str, age: int = 1) -> Wanted:
    """What a hub wants: a hash, and how much the hub knows."""
    return Wanted(letter * 64, Age(age))


def wish(applied: str = EMPTY_HASH, age: int = 0) -> Wish:
    """An edge that has applied this."""
    return Wish(applied, Age(age))


def hash_of(ask: Ask | None) -> str:
    """The first letter of what is asked for, nothing when nothing is."""
    return ask.wanted.hash[0] if ask else ""


def test_what_is_applied_already_is_not_asked_for() -> None:
    edge = wish("a" * 64)
    assert edge.next_ask(0) is None
    edge.heard("hub-1", wanted("a"), 0)
    assert edge.next_ask(0) is None


def test_what_differs_is_asked_of_a_hub_that_wants_it() -> None:
    edge = wish()
    edge.heard("hub-1", wanted("a"), 0)
    assert edge.next_ask(0) == Ask("hub-1", wanted("a"))


def test_the_hub_that_knows_most_is_followed() -> None:
    edge = wish()
    edge.heard("hub-1", wanted("b", 1), 0)
    edge.heard("hub-2", wanted("a", 2), 0)
    assert edge.next_ask(0) == Ask("hub-2", wanted("a", 2))


@pytest.mark.parametrize("seed", range(20))
def test_hubs_out_of_step_never_pull_an_edge_to_and_fro(seed: int) -> None:
    """Each hub learns of three changes in its own time; the edge moves at most once for each."""
    luck, edge, moves = Random(seed), wish(), 0
    knows = {"hub-1": 0, "hub-2": 0, "hub-3": 0}
    for second in range(60):
        hub = luck.choice(sorted(knows))
        knows[hub] = min(3, knows[hub] + luck.choice((0, 0, 1)))
        edge.heard(hub, wanted("xabc"[knows[hub]], knows[hub]), float(second))
        ask = edge.next_ask(float(second))
        if ask:
            moves += 1
            edge.has_applied(ask.wanted.hash, ask.wanted.age)
    assert moves <= 4
    if set(knows.values()) == {3}:
        assert edge.applied == "c" * 64


def test_hubs_that_know_the_same_and_want_different_things_are_told_apart_by_the_hash() -> None:
    """As while the labels of the edge are on their way from one hub to the other."""
    edge = wish()
    for second in range(10):
        edge.heard("hub-1", wanted("a"), second)
        edge.heard("hub-2", wanted("b"), second)
        ask = edge.next_ask(second)
        if ask:
            edge.has_applied(ask.wanted.hash, ask.wanted.age)
    assert edge.applied == "b" * 64


def test_a_hub_with_an_empty_disk_does_not_blank_an_edge() -> None:
    edge = wish("a" * 64, 5)
    for second in range(0, 290, 5):
        edge.heard("hub-2", Wanted(EMPTY_HASH), float(second))
        assert edge.next_ask(float(second)) is None
    edge.heard("hub-1", wanted("a", 5), 290.0)
    assert edge.next_ask(1000.0) is None


def test_a_cluster_that_was_set_up_anew_is_followed_after_a_while() -> None:
    edge = wish("a" * 64, 5)
    edge.heard("hub-1", wanted("b", 1), 0.0)
    edge.heard("hub-1", wanted("b", 2), PATIENCE_SECONDS - 1)
    assert edge.next_ask(PATIENCE_SECONDS - 1) is None
    edge.heard("hub-1", wanted("b", 2), PATIENCE_SECONDS)
    assert hash_of(edge.next_ask(PATIENCE_SECONDS)) == "b"


def test_settings_of_others_that_change_make_the_word_of_an_older_hub_count_less() -> None:
    edge = wish("a" * 64, 1)
    edge.heard("hub-1", wanted("a", 9), 0)
    edge.forget("hub-1")
    edge.heard("hub-2", wanted("b", 5), 0)
    assert edge.next_ask(0) is None


def test_the_word_of_a_hub_that_is_silent_for_long_does_not_count() -> None:
    edge = wish()
    edge.heard("hub-1", wanted("z", 9), 0.0)
    edge.heard("hub-2", wanted("b", 1), HEARD_SECONDS_MAX)
    assert hash_of(edge.next_ask(HEARD_SECONDS_MAX)) == "z"
    assert hash_of(edge.next_ask(HEARD_SECONDS_MAX + 1)) == "b"


def test_what_was_refused_is_tried_again_after_a_while_or_when_others_come() -> None:
    edge = wish()
    edge.heard("hub-1", wanted("a"), 0.0)
    edge.has_refused("a" * 64, 0.0)
    assert edge.next_ask(REFUSED_SECONDS - 1) is None
    assert hash_of(edge.next_ask(REFUSED_SECONDS)) == "a"
    edge.has_refused("a" * 64, REFUSED_SECONDS)
    edge.heard("hub-1", wanted("b", 2), REFUSED_SECONDS)
    assert hash_of(edge.next_ask(REFUSED_SECONDS)) == "b"


def test_a_hub_that_does_not_answer_is_asked_ever_more_rarely() -> None:
    edge, now, waits = wish(), 0.0, []
    for _ in range(10):
        edge.heard("hub-1", wanted("a"), now)
        edge.has_failed(now)
        begun = now
        while edge.next_ask(now) is None:
            now += 1.0
        waits.append(now - begun)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert max(waits) == RETRY_SECONDS_MAX
    edge.has_applied("b" * 64, Age(1))
    assert hash_of(edge.next_ask(now)) == "a"


def test_no_more_hubs_are_remembered_than_a_cluster_has() -> None:
    edge = wish()
    for number in range(HUBS_MAX * 2):
        edge.heard(f"hub-{number}", wanted("a"), 0)
    assert len(edge._words) == HUBS_MAX
