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


def sent(told: HeardTold, now: float) -> HeardSection:
    """A message of hub-1 to hub-2, which is not waiting for an answer."""
    section = told.section("hub-2", 5.0, now)
    assert section is not None
    return section


def exchange(told: HeardTold, books: HeardBooks, now: float) -> list[str]:
    """One message from hub-1 to hub-2 and its answer; the names of the nodes that moved."""
    section = read(write(sent(told, now)))
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
    told.moved("edge-1", 10.0)
    told.moved("edge-2", 10.5)
    assert sorted(exchange(told, books, 11.0)) == ["edge-1", "edge-2"]
    assert books.ages("edge-1", 12.0) == {"hub-1": 2.0}
    assert books.ages("edge-2", 12.0) == {"hub-1": 1.5}


def test_a_quiet_second_says_nothing(told: HeardTold, books: HeardBooks) -> None:
    """Names and beats that were confirmed are not sent again."""
    told.moved("edge-1", 10.0)
    exchange(told, books, 11.0)
    section = sent(told, 12.0)
    assert (section.names, section.gaps) == ([], [])
    assert len(write(section)) < 30


def test_a_lost_answer_costs_a_repetition_and_no_beat(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 10.0)
    books.take("hub-1", sent(told, 10.0), 10.0)
    told.moved("edge-1", 15.0)
    assert exchange(told, books, 16.0) == ["edge-1"]
    assert books.ages("edge-1", 16.0) == {"hub-1": 1.0}
    assert exchange(told, books, 17.0) == []


def test_news_that_comes_twice_keeps_its_first_moment(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 10.0)
    section = sent(told, 10.0)
    books.take("hub-1", section, 10.0)
    assert books.take("hub-1", section, 14.0)[1] == []
    assert books.ages("edge-1", 14.0) == {"hub-1": 4.0}


def test_a_peer_that_restarted_is_told_everything_again(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 10.0)
    exchange(told, books, 10.0)
    anew = HeardBooks("hub-2")
    assert exchange(told, anew, 20.0) == []
    assert exchange(told, anew, 21.0) == ["edge-1"]
    assert anew.ages("edge-1", 21.0) == {"hub-1": 11.0}


def test_a_sender_that_restarted_numbers_anew(told: HeardTold, books: HeardBooks) -> None:
    """Its old numbers are void; what it heard in its earlier life stays true."""
    told.moved("edge-1", 10.0)
    told.moved("edge-2", 10.0)
    exchange(told, books, 10.0)
    anew = HeardTold("run-b")
    anew.moved("edge-2", 30.0)
    assert exchange(anew, books, 30.0) == ["edge-2"]
    assert books.ages("edge-2", 30.0) == {"hub-1": 0.0}
    assert books.ages("edge-1", 30.0) == {"hub-1": 20.0}


def test_what_may_be_under_way_is_not_told_twice(told: HeardTold, books: HeardBooks) -> None:
    """Both hubs ask each other each second: what is told in an answer waits for the next question."""
    told.moved("edge-1", 10.0)
    first = sent(told, 10.0)
    told.moved("edge-2", 10.2)
    assert told.section("hub-2", 5.0, 10.5) is None
    told.confirmed("hub-2", books.take("hub-1", first, 10.0)[0])
    assert sent(told, 10.6).names == ["edge-2"]


def test_an_answer_from_before_our_word_came_leaves_us_waiting(
    told: HeardTold, books: HeardBooks
) -> None:
    told.moved("edge-1", 1.0)
    answer, _ = books.take("hub-1", sent(told, 1.0), 1.0)
    told.confirmed("hub-2", answer)
    told.moved("edge-1", 6.0)
    sent(told, 6.0)
    told.confirmed("hub-2", answer)
    assert told.section("hub-2", 5.0, 6.2) is None
    assert sent(told, 7.0).ages == [10]


def test_an_old_beat_does_not_make_a_node_younger_here(books: HeardBooks) -> None:
    assert books.hear("edge-1", 7, 100, 10.0, 5.0) == 0
    for incarnation, beat in ((7, 100), (7, 99), (6, 500)):
        assert books.hear("edge-1", incarnation, beat, 20.0, 5.0) == -1
    assert books.ages("edge-1", 20.0) == {"hub-2": 10.0}


def test_nodes_that_come_and_go_for_ever_do_not_fill_the_memory(
    told: HeardTold, books: HeardBooks
) -> None:
    told.moved("edge-1", 0.0)
    for second in range(1, 5_000):
        told.moved(f"guest-{second}", float(second))
        told.forget(f"guest-{second}")
        if second % 100 == 0:
            exchange(told, books, float(second))
    assert len(told._names) < 1_100
    exchange(told, books, 5_000.0)
    exchange(told, books, 5_001.0)
    assert books.ages("edge-1", 5_001.0) == {"hub-1": 5_001.0}


def test_the_log_of_moves_stays_small_while_a_peer_is_away(told: HeardTold) -> None:
    for beat in range(1, 100_000):
        told.moved("edge-1", float(beat))
    assert len(told._log_number) <= BEATS_MAX + 2


def test_a_message_is_bounded_and_the_oldest_moves_come_first(
    told: HeardTold, books: HeardBooks
) -> None:
    for number in range(20_000):
        told.moved(f"edge-{number}", number / 1_000)
    first = sent(told, 30.0)
    assert (len(first.names), len(first.gaps)) == (NAMES_MAX, NAMES_MAX)
    messages = 0
    while len(books.slots) < 20_000 or told._places["hub-2"].through < 20_000:
        moved = exchange(told, books, 31.0 + messages)
        assert moved == [f"edge-{n}" for n in range(NAMES_MAX * messages, 20_000)][: len(moved)]
        messages += 1
    assert messages == 5
    for number in range(20_000):
        told.moved(f"edge-{number}", 40.0 + number / 1_000)
    assert exchange(told, books, 60.0) == [f"edge-{n}" for n in range(BEATS_MAX)]


def test_moves_of_nodes_that_are_not_named_yet_are_not_passed_over(
    told: HeardTold, books: HeardBooks
) -> None:
    """The last of 5,000 nodes moved first; a message names only 4,096 of them."""
    for beat in (1, 2):
        for number in range(5_000) if beat == 1 else reversed(range(5_000)):
            told.moved(f"edge-{number}", float(beat))
    moved = [name for _ in range(3) for name in exchange(told, books, 3.0)]
    assert sorted(moved) == sorted(f"edge-{number}" for number in range(5_000))


def test_a_new_node_waits_for_no_other_message(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 1.0)
    exchange(told, books, 1.0)
    told.moved("edge-2", 2.0)
    assert exchange(told, books, 2.0) == ["edge-2"]


def test_a_removed_node_that_comes_again_is_told_again(told: HeardTold, books: HeardBooks) -> None:
    told.moved("edge-1", 1.0)
    exchange(told, books, 1.0)
    told.forget("edge-1")
    told.moved("edge-1", 2.0)
    assert exchange(told, books, 2.0) == ["edge-1"]


def test_very_old_news_is_told_as_so_old(told: HeardTold) -> None:
    told.moved("edge-1", 0.0)
    assert sent(told, 1e6).ages == [AGE_DS_MAX]


def section(**changes: object) -> HeardSection:
    """A section as a peer may make it up."""
    facts: dict[str, object] = {
        "numbering": "x.0",
        "interval_ds": 50,
        "through": 1,
        "first": 0,
        "names": ["edge-1"],
        "gaps": [0],
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
        ({"gaps": [0, 0], "ages": [0, 0]}, "twice"),
        ({"names": [], "gaps": [0]}, "has not named"),
        (
            {"gaps": [600_000, 600_000], "ages": [0, 0]},
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
        {"names": ["../etc"]},
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
    told.moved("edge-1", 1.0)
    exchange(told, books, 1.0)
    books.drop("hub-1")
    told.dropped("hub-2")
    assert books.ages("edge-1", 2.0) == {}
    assert exchange(told, books, 2.0) == ["edge-1"]
