"""What hubs tell each other of the settings: bounded pages, nothing lost, nothing that harms."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.conf import book as books
from hub.conf.book import PARKED_MAX, ConfBook
from hub.conf.section import (
    PAGE_BYTES,
    PAGE_ENTRIES,
    SECTION_BYTES_MAX,
    Section,
    read_section,
    write_section,
)
from shared.conf import Entry
from shared.conf_report import Wanted
from shared.errors import BadInput, TooLarge
from shared.stamp import Stamp
from tests.law.drawing import patient
from tests.unit.conf.world import World


def entry(number: int, value: Any = "debug", **changes: Any) -> Entry:
    """The entry of a peer."""
    known = Entry("edges", "log_level", value, Stamp(number, 0, "hub-2"), "bob", number)
    return msgspec.structs.replace(known, **changes)


def section(*entries: Any, **changes: Any) -> Section:
    """The first section of a peer."""
    count = len(entries)
    known = Section("hub-2#1", "h", count, count, 0, count, "", 0, list(entries))
    return msgspec.structs.replace(known, **changes)


def exchange(one: World, other: World, rounds: int = 1) -> None:
    """Each tells the other what it has to tell."""
    for _ in range(rounds):
        for teller, hearer in ((one, other), (other, one)):
            body = write_section(teller.book.section_for(hearer.name))
            hearer.book.take(read_section(body), teller.name)


def test_hubs_in_step_tell_each_other_no_entries() -> None:
    one, other = World("hub-1"), World("hub-2")
    one.write("edges", "log_level", "debug")
    exchange(one, other, 2)
    assert one.book.section_for("hub-2").entries == []
    assert other.book.section_for("hub-1").entries == []
    assert one.book.versions.hash == other.book.versions.hash


def test_many_settings_come_in_bounded_pages_oldest_first() -> None:
    one, other = World("hub-1"), World("hub-2")
    written = [one.write(f"edges:node=n{each}", "log_level", "debug") for each in range(250)]
    told: list[Entry] = []
    while page := one.book.section_for("hub-2").entries:
        assert len(page) <= PAGE_ENTRIES
        told += page
        exchange(one, other)
        exchange(other, one)
    assert told == written
    assert other.book.in_force() == one.book.in_force()


def test_a_page_of_large_values_is_bounded_by_its_bytes() -> None:
    one = World("hub-1")
    for each in range(60):
        one.write(f"edges:node=n{each}", "tail", ["/" + "x" * 10_000])
    body = write_section(one.book.section_for("hub-2"))
    assert PAGE_BYTES / 2 < len(body) < PAGE_BYTES * 1.2


def test_one_setting_that_fills_a_page_alone_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(books, "PAGE_BYTES", 10)
    one = World("hub-1")
    one.write("edges", "log_level", "debug")
    assert len(one.book.section_for("hub-2").entries) == 1


def test_a_setting_of_a_newer_version_is_kept_and_passed_on() -> None:
    one, two, three = World("hub-1"), World("hub-2"), World("hub-3")
    strange = one.write("groups:blue", "not.known.yet", {"deep": [1]})
    exchange(one, two, 2)
    exchange(two, three, 2)
    assert three.book.in_force() == [strange]
    assert three.resolver.hub_settings == {}


def test_what_is_no_entry_is_put_aside_and_the_rest_goes_on() -> None:
    world = World()
    bad = {**msgspec.to_builtins(entry(1)), "stamp": [2**60, 0, "hub-2"]}
    news = world.book.take(section(bad, msgspec.to_builtins(entry(2))), "hub-2")
    assert news == [entry(2)]
    assert [(each.hub_id, "no hub makes" in each.reason) for each in world.book.parked] == [
        ("hub-2", True)
    ]
    assert world.book.section_for("hub-2").since == 2


def test_what_is_put_aside_is_counted_and_bounded() -> None:
    world = World()
    for _ in range(3):
        world.book.take(section(*["x" * 10_000] * 20), "hub-2")
    assert world.book.counters["parked"] == 60
    assert len(world.book.parked) == PARKED_MAX
    assert max(len(each.text) for each in world.book.parked) <= 2000


def test_a_peer_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "ENTRIES_HARD_MAX", 3)
    world = World()
    entries = [entry(each, scope=f"edges:node=n{each}") for each in range(1, 7)]
    assert len(world.book.take(section(*entries), "hub-2")) == 3
    assert len(world.book.take(section(entry(9, scope="edges:node=n1")), "hub-2")) == 1


def test_the_stamps_of_this_hub_are_later_than_all_that_it_was_told() -> None:
    world = World()
    world.book.take(section(entry(5_000_000, "error")), "hub-2")
    world.write("edges", "log_level", "info")
    assert world.book.values("edges") == {"log_level": "info"}


@pytest.mark.parametrize(
    "changes", [{"after": 2}, {"through": 2}, {"instance": "hub-1#1"}, {"after": 1, "through": 0}]
)
def test_numbers_that_contradict_each_other_change_nothing(changes: dict[str, Any]) -> None:
    world = World()
    with pytest.raises(BadInput):
        world.book.take(section(entry(1), **changes), "hub-2")
    assert (world.book.in_force(), world.book.section_for("hub-2").since) == ([], 0)


def test_a_page_from_the_middle_does_not_hide_what_was_before_it() -> None:
    world = World()
    world.book.take(section(entry(9), after=8, through=9, head=9), "hub-2")
    assert world.book.section_for("hub-2").since == 0
    assert world.book.in_force() == [entry(9)]


def test_a_peer_that_claims_more_than_there_is_is_told_everything_later() -> None:
    world = World()
    world.book.take(section(since_instance="hub-1#1", since=99), "hub-2")
    world.write("edges", "log_level", "info")
    assert len(world.book.section_for("hub-2").entries) == 1


def test_a_difference_that_cannot_be_repaired_is_tried_once() -> None:
    """A peer with a set that it does not tell, or that is refused here, is not asked every second."""
    world = World()
    sent = section(msgspec.to_builtins(entry(1)), "spoilt", hash="other")
    sent = msgspec.structs.replace(sent, since_instance="hub-1#1", since=1)
    for _ in range(10):
        world.book.take(sent, "hub-2")
    assert world.book.counters["repairs"] == 1


def test_a_restarted_peer_is_told_everything_again() -> None:
    one, two = World("hub-1"), World("hub-2")
    one.write("edges", "log_level", "debug")
    exchange(one, two, 2)
    reborn = World("hub-2")
    reborn.book.instance = "hub-2#2"
    exchange(one, reborn, 2)
    assert reborn.book.in_force() == one.book.in_force()


def test_unset_leaves_a_mark_that_wins_over_what_comes_late() -> None:
    world = World(wall_ms=100)
    world.write("edges", "log_level", None, gone=True)
    world.book.take(section(entry(5)), "hub-2")
    assert world.book.in_force() == []
    assert len(world.book.versions.current) == 1


def test_a_section_is_refused_before_it_is_read_when_it_is_too_large() -> None:
    with pytest.raises(TooLarge):
        read_section(b" " * (SECTION_BYTES_MAX + 1))
    with pytest.raises(BadInput):
        read_section(write_section(section(*[1] * (PAGE_ENTRIES + 1))))


numbers = st.integers(-1, 3) | st.integers()
sections = st.fixed_dictionaries(
    {
        "instance": st.sampled_from(["hub-2#1", "hub-1#1"]) | st.text(max_size=101),
        "hash": st.text(max_size=65),
        "count": numbers,
        "head": numbers,
        "after": numbers,
        "through": numbers,
        "since_instance": st.sampled_from(["hub-1#1", ""]),
        "since": numbers,
        "entries": st.lists(
            st.none()
            | st.dictionaries(st.sampled_from(["scope", "key", "value", "stamp"]), st.text("ab"))
            | st.just(msgspec.to_builtins(entry(1))),
            max_size=3,
        ),
    }
)


@patient
@given(st.binary(max_size=100) | st.builds(msgspec.json.encode, sections))
def test_any_bytes_are_a_section_or_bad_input_and_the_book_goes_on(body: bytes) -> None:
    book = ConfBook("hub-1#1", lambda stamp: None)
    try:
        book.take(read_section(body), "hub-2")
    except BadInput:
        assert book.changes == 0
    assert read_section(write_section(book.section_for("hub-2"))).head == book.changes


def test_stamps_of_a_broken_clock_leave_the_answers_to_heartbeats_readable() -> None:
    world = World()
    for each in range(2000):
        stamp = Stamp(253_402_300_799_999, 2**53, "hub-2")
        world.book.add(entry(1, scope=f"edges:node=n{each}", stamp=stamp))
    wanted = world.resolver.wanted("n1", {})
    assert msgspec.json.decode(msgspec.json.encode(wanted), type=Wanted) == wanted
