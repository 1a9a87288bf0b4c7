"""What a hub heard reaches its peers: compact, in order, whatever gets lost on the way."""

import pytest

from hub.nodes import heard_wire
from hub.nodes.heard import HeardBooks
from hub.nodes.heard_told import HeardTold
from hub.nodes.heard_wire import (
    AGE_DS_MAX,
    BEATS_MAX,
    BYTES_MAX,
    NAMES_MAX,
    HeardReply,
    HeardSection,
    read,
    write,
)
from shared.errors import BadInput, TooLarge

NOBODY_KNOWN = HeardReply("", 0, 0)


def exchange(told: HeardTold, books: HeardBooks, now: float) -> list[str]:
    """One message from hub-1 to hub-2 and its answer; the names of the nodes that moved."""
    section = read(write(told.section("hub-2", 5.0, now)))
    reply, moved = books.take("hub-1", section, now)
    told.confirmed("hub-2", reply)
    return [books.slots.names[slot] for slot in moved]


@pytest.fixture
def told() -> HeardTold:
    return HeardTold("run-a")


@pytest.fixture
def books() -> HeardBooks:
    return HeardBooks("hub-2")


def test_a_peer_learns_what_moved_and_how_long_ago(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 7, 100, 10.0)
    told.moved("edge-2", 7, 5, 10.5)
    assert sorted(exchange(told, books, 11.0)) == ["edge-1", "edge-2"]
    assert books.ages("edge-1", 12.0) == {"hub-1": 2.0}
    assert books.ages("edge-2", 12.0) == {"hub-1": 1.5}


def test_a_quiet_second_says_nothing(told: HeardTold, books: HeardBooks) -> None:
    """Names and beats that were confirmed are not sent again."""
    told.moved("edge-1", 7, 100, 10.0)
    exchange(told, books, 11.0)
    section = told.section("hub-2", 5.0, 12.0)
    assert (section.names, section.gaps) == ([], [])
    assert len(write(section)) < 30


def test_a_lost_answer_costs_a_repetition_and_no_beat(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 7, 100, 10.0)
    books.take("hub-1", told.section("hub-2", 5.0, 10.0), 10.0)
    told.moved("edge-1", 7, 101, 15.0)
    assert exchange(told, books, 16.0) == ["edge-1"]
    assert books.ages("edge-1", 16.0) == {"hub-1": 1.0}
    assert exchange(told, books, 17.0) == []


def test_news_that_comes_twice_keeps_its_first_moment(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 7, 100, 10.0)
    section = told.section("hub-2", 5.0, 10.0)
    books.take("hub-1", section, 10.0)
    assert books.take("hub-1", section, 14.0)[1] == []
    assert books.ages("edge-1", 14.0) == {"hub-1": 4.0}


def test_a_peer_that_restarted_is_told_everything_again(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 7, 100, 10.0)
    exchange(told, books, 10.0)
    anew = HeardBooks("hub-2")
    assert exchange(told, anew, 20.0) == []
    assert exchange(told, anew, 21.0) == ["edge-1"]
    assert anew.ages("edge-1", 21.0) == {"hub-1": 11.0}


def test_a_sender_that_restarted_numbers_anew(told: HeardTold, books: HeardBooks) -> None:
    """Its old numbers are void; what it heard in its earlier life stays true."""
    told.moved("edge-1", 7, 100, 10.0)
    told.moved("edge-2", 7, 100, 10.0)
    exchange(told, books, 10.0)
    anew = HeardTold("run-b")
    anew.moved("edge-2", 7, 103, 30.0)
    assert exchange(anew, books, 30.0) == ["edge-2"]
    assert books.ages("edge-2", 30.0) == {"hub-1": 0.0}
    assert books.ages("edge-1", 30.0) == {"hub-1": 20.0}


def test_a_node_that_restarts_counts_from_below_and_is_news(
    told: HeardTold, books: HeardBooks
) -> None:
    told.moved("edge-1", 7, 100, 10.0)
    exchange(told, books, 10.0)
    told.moved("edge-1", 8, 1, 12.0)
    assert exchange(told, books, 12.0) == ["edge-1"]


@pytest.mark.parametrize(("incarnation", "beat"), [(7, 100), (7, 99), (6, 500)])
def test_an_old_beat_is_no_news(told: HeardTold, incarnation: int, beat: int) -> None:
    told.moved("edge-1", 7, 100, 10.0)
    told.moved("edge-1", incarnation, beat, 20.0)
    assert told.section("hub-2", 5.0, 20.0).ages == [100]


def test_an_old_beat_does_not_make_a_node_younger_here(books: HeardBooks) -> None:
    assert books.hear("edge-1", 7, 100, 10.0, 5.0) == 0
    for incarnation, beat in ((7, 100), (7, 99), (6, 500)):
        assert books.hear("edge-1", incarnation, beat, 20.0, 5.0) == -1
    assert books.ages("edge-1", 20.0) == {"hub-2": 10.0}


def test_nodes_that_restart_for_ever_do_not_fill_the_memory(
    told: HeardTold, books: HeardBooks
) -> None:
    for incarnation in range(1, 5_000):
        told.moved("edge-1", incarnation, 1, float(incarnation))
        if incarnation % 100 == 0:
            exchange(told, books, float(incarnation))
    assert len(told._names) < 1_100
    exchange(told, books, 5_000.0)
    exchange(told, books, 5_000.0)
    assert books.ages("edge-1", 5_000.0) == {"hub-1": 1.0}


def test_the_log_of_moves_stays_small_while_a_peer_is_away(told: HeardTold) -> None:
    for beat in range(1, 100_000):
        told.moved("edge-1", 7, beat, float(beat))
    assert len(told._log_number) <= BEATS_MAX + 2


def test_a_message_is_bounded_and_the_oldest_moves_come_first(
    told: HeardTold, books: HeardBooks
) -> None:
    for number in range(20_000):
        told.moved(f"edge-{number}", 1, 1, number / 1_000)
    first = told.section("hub-2", 5.0, 30.0)
    assert (len(first.names), len(first.gaps)) == (NAMES_MAX, NAMES_MAX)
    messages = 0
    while len(books.slots) < 20_000 or told.section("hub-2", 5.0, 30.0).gaps:
        moved = exchange(told, books, 30.0)
        assert moved == [f"edge-{n}" for n in range(NAMES_MAX * messages, 20_000)][: len(moved)]
        messages += 1
    assert messages == 5
    for number in range(20_000):
        told.moved(f"edge-{number}", 1, 2, 40.0 + number / 1_000)
    assert exchange(told, books, 60.0) == [f"edge-{n}" for n in range(BEATS_MAX)]


def test_moves_of_nodes_that_are_not_named_yet_are_not_passed_over(
    told: HeardTold, books: HeardBooks
) -> None:
    """The last of 5,000 nodes moved first; a message names only 4,096 of them."""
    for beat in (1, 2):
        for number in range(5_000) if beat == 1 else reversed(range(5_000)):
            told.moved(f"edge-{number}", 1, beat, float(beat))
    moved = [name for _ in range(3) for name in exchange(told, books, 3.0)]
    assert sorted(moved) == sorted(f"edge-{number}" for number in range(5_000))


def test_a_new_node_waits_for_no_other_message(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 1, 1, 1.0)
    exchange(told, books, 1.0)
    told.moved("edge-2", 1, 1, 2.0)
    assert exchange(told, books, 2.0) == ["edge-2"]


def test_a_removed_node_that_comes_again_is_told_again(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 1, 5, 1.0)
    exchange(told, books, 1.0)
    told.forget("edge-1")
    told.moved("edge-1", 1, 6, 2.0)
    assert exchange(told, books, 2.0) == ["edge-1"]


def test_very_old_news_is_told_as_so_old(told: HeardTold) -> None:
    told.moved("edge-1", 1, 1, 0.0)
    assert told.section("hub-2", 5.0, 1e6).ages == [AGE_DS_MAX]


def section(**changes: object) -> HeardSection:
    """A section as a peer may make it up."""
    facts: dict[str, object] = {
        "numbering": "x.0",
        "interval_ds": 50,
        "through": 1,
        "first": 0,
        "names": [("edge-1", 1, 1)],
        "gaps": [0],
        "beats": [0],
        "ages": [0],
    }
    return HeardSection(**(facts | changes))  # type: ignore[arg-type]  # Made up on purpose.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gaps": [0, 1]}, "different length"),
        ({"ages": []}, "different length"),
        ({"first": heard_wire.NUMBERS_MAX}, "numbers at most"),
        ({"gaps": [1]}, "has not named"),
        ({"gaps": [0, 0], "beats": [0, 0], "ages": [0, 0]}, "twice"),
        ({"names": [], "gaps": [0]}, "has not named"),
        (
            {"gaps": [600_000, 600_000], "beats": [0, 0], "ages": [0, 0]},
            "a number that no hub gives",
        ),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(
    books: HeardBooks, changes: dict[str, object], reason: str
) -> None:
    """And it leaves nothing behind that could be taken for hearing a node."""
    with pytest.raises(BadInput, match=reason):
        books.take("hub-1", section(**changes), 1.0)
    assert books.ages("edge-1", 1.0) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"numbering": ""},
        {"interval_ds": 0},
        {"ages": [-1]},
        {"ages": [AGE_DS_MAX + 1]},
        {"beats": [-1]},
        {"names": [("../etc", 1, 1)]},
        {"gaps": [1] * (BEATS_MAX + 1)},
    ],
)
def test_a_section_out_of_bounds_is_not_read(changes: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read(write(section(**changes)))


def test_a_huge_body_is_not_even_decoded() -> None:
    with pytest.raises(TooLarge):
        read(b"\0" * (BYTES_MAX + 1))


def test_a_section_that_begins_in_the_middle_asks_for_the_start(books: HeardBooks) -> None:
    reply, moved = books.take("hub-1", section(first=10), 1.0)
    assert (reply, moved) == (NOBODY_KNOWN, [])


def test_a_peer_that_is_dropped_is_heard_no_more(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 1, 1, 1.0)
    exchange(told, books, 1.0)
    books.drop("hub-1")
    told.dropped("hub-2")
    assert books.ages("edge-1", 2.0) == {}
    assert exchange(told, books, 2.0) == ["edge-1"]
