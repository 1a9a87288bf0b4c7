"""The small parts of leadership: messages, the lowest id, fences and their table."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils.db import Database

from hub.lead import messages
from hub.lead.fence import Fence, LeaderLease
from hub.lead.messages import MESSAGE_BYTES_MAX, Answer
from hub.lead.mode import Mode
from hub.lead.model import Ballot, Members
from hub.lead.reading import command_words, hub_names, web_address
from hub.lead.static import STABLE_SECONDS, HubState, StaticLeadership
from hub.store.lead_table import (
    doubt_ballot,
    fence_begun,
    guard,
    highest_fence,
    lead_tables,
    load_ballot,
    note_fence,
    save_ballot,
)
from shared.errors import BadInput, Refused, TooLarge
from tests.unit.lead.hubs import THREE, elected, vote_ask

UP = HubState(alive=True)
DOWN = HubState(alive=False)
ALONE = HubState(alive=True, isolated=True)


def test_messages_survive_the_wire() -> None:
    ask = vote_ask("hub-2", 7, released=6)
    assert messages.read_ask(messages.write(ask)) == ask
    answer = Answer("hub-1", 7, granted=True, held=(6, 2))
    assert messages.read_answer(messages.write(answer)) == answer


def test_fields_of_a_newer_hub_are_passed_over() -> None:
    body = messages.write(vote_ask("hub-2", 7)).replace(b"{", b'{"new":[1],', 1)
    assert messages.read_ask(body) == vote_ask("hub-2", 7)


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in (messages.read_ask, messages.read_answer):
        with pytest.raises(BadInput):
            read(body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"vote"', b'"revolt"'),
        (b'"term":7', b'"term":-1'),
        (b'"term":7', b'"term":1e99'),
        (b'"hub-2"', b'""'),
        (b'["hub-1","hub-2","hub-3"]', b"[]"),
        (b'["hub-1","hub-2","hub-3"]', b'["a","b","c","d","e","f","g","h","i","j"]'),
    ],
)
def test_values_out_of_bounds_are_refused(old: bytes, new: bytes) -> None:
    body = messages.write(vote_ask("hub-2", 7))
    assert old in body
    with pytest.raises(BadInput):
        messages.read_ask(body.replace(old, new, 1))


def test_a_huge_message_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLarge):
        messages.read_ask(b"[" * (MESSAGE_BYTES_MAX + 1))


# ---- settings


def test_settings_are_read_from_texts_and_lists() -> None:
    assert hub_names(" hub-2, hub-1,hub-2, ") == ("hub-1", "hub-2")
    assert hub_names(["hub-1"]) == ("hub-1",)
    assert command_words("/bin/move --to 'a b'") == ("/bin/move", "--to", "a b")
    assert command_words(["/bin/move", "a b"]) == ("/bin/move", "a b")
    assert (command_words(""), web_address("")) == ((), "")
    assert web_address("https://example.org/x") == "https://example.org/x"


@pytest.mark.parametrize(
    ("read", "value", "text"),
    [
        (hub_names, "Hub 1", "a name of"),
        (hub_names, [1], "a name of"),
        (hub_names, 7, "a list of names"),
        (hub_names, [f"hub-{n}" for n in range(10)], "at most 9"),
        (command_words, "move 'it", "a command line, but No closing quotation"),
        (command_words, 7, "a command line"),
        (web_address, "ftp://example.org", "http://"),
        (web_address, "http://:80", "http://"),
        (web_address, "http://[", "http://"),
        (web_address, "http://example.org:0/", "http://"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    read: Callable[[object], object], value: object, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        read(value)


# ---- the lowest id


def test_the_lowest_id_that_is_up_and_stable_leads() -> None:
    hub = StaticLeadership("hub-2", ("hub-1", "hub-2"))
    assert hub.look(0.0, {"hub-1": DOWN, "hub-2": UP}) == []
    names = [each.name for each in hub.look(STABLE_SECONDS, {"hub-1": UP, "hub-2": UP})]
    assert names == ["state:changed", "leader:elected"]
    assert hub.is_leading(STABLE_SECONDS)
    names = [each.name for each in hub.look(2 * STABLE_SECONDS, {"hub-1": UP, "hub-2": UP})]
    assert names == ["leader:lost", "state:changed", "leader:elected"]
    assert hub.leader == "hub-1"
    assert hub.look(3 * STABLE_SECONDS, {"hub-1": UP, "hub-2": UP}) == []


def test_a_hub_that_comes_and_goes_does_not_lead() -> None:
    hub = StaticLeadership("hub-2", ("hub-1", "hub-2"))
    for now in range(20):
        hub.look(float(now), {"hub-1": UP if now % 2 else DOWN, "hub-2": UP})
    assert hub.leader == "hub-2"


def test_an_isolated_hub_leads_only_when_it_is_alone_by_configuration() -> None:
    for hubs, leader in ((("hub-1", "hub-2"), ""), (("hub-1",), "hub-1")):
        hub = StaticLeadership("hub-1", hubs)
        for now in (0.0, 10.0):
            hub.look(now, {"hub-1": ALONE})
        assert hub.leader == leader


def test_a_leader_that_becomes_isolated_stops() -> None:
    hub = StaticLeadership("hub-1", ("hub-1", "hub-2"))
    hub.look(0.0, {"hub-1": UP, "hub-2": UP})
    hub.look(10.0, {"hub-1": UP, "hub-2": UP})
    told = hub.look(11.0, {"hub-1": ALONE, "hub-2": DOWN})
    assert [each.name for each in told] == ["leader:lost", "state:changed"]
    assert not hub.is_leading(11.0)


def test_answers_are_honest_about_islands() -> None:
    shown = StaticLeadership("hub-1", ("hub-1", "hub-2")).describe(0.0)
    assert (shown["exclusive"], shown["note"]) == (False, "not exclusive: one per island")


def test_with_mode_none_nobody_leads() -> None:
    hub = StaticLeadership("hub-1", ("hub-1",), mode=Mode.NONE)
    assert [hub.look(now, {"hub-1": UP}) for now in (0.0, 10.0)] == [[], []]
    assert not hub.is_leading(10.0)
    assert hub.describe(10.0)["leader"] is None


# ---- fences


def test_a_fence_is_given_to_the_leader_only_and_ends_with_its_lease() -> None:
    election, now = elected()
    clock = [now]
    lease = LeaderLease(election, lambda: clock[0], is_exclusive=True)
    fence = lease.acquire("sweep")
    assert fence == Fence("sweep", 1, is_exclusive=True)
    lease.check(fence)
    with pytest.raises(Refused, match="is over"):
        lease.check(Fence("sweep", 0, is_exclusive=True))
    clock[0] = now + 1.0
    assert lease.acquire("sweep") is None
    with pytest.raises(Refused, match="no longer leads"):
        lease.check(fence)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with the tables."""
    path = tmp_path / "hub.db"
    with sqlite3.connect(path) as connection:
        lead_tables(Database(connection))
    connection.close()
    return path


@pytest.fixture
def store(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection to it."""
    connection = sqlite3.connect(file)
    yield connection
    connection.close()


def test_a_write_with_an_older_fence_is_refused_and_undone(store: sqlite3.Connection) -> None:
    store.execute("CREATE TABLE report (text TEXT)")
    for fence, text in ((3, "first"), (5, "second"), (5, "third")):
        with store:
            guard(store, "report", fence)
            store.execute("INSERT INTO report VALUES (?)", (text,))

    def write_late() -> None:
        with store:
            store.execute("INSERT INTO report VALUES ('late')")
            guard(store, "report", 4)

    with pytest.raises(Refused, match="fence 4 of report is over: 5 has taken its place"):
        write_late()
    texts = [row[0] for row in store.execute("SELECT text FROM report")]
    assert texts == ["first", "second", "third"]
    assert highest_fence(store, "report") == 5


def test_names_are_fenced_apart_and_survive_a_restart(
    store: sqlite3.Connection, file: Path
) -> None:
    with store:
        guard(store, "report", 9)
        guard(store, "sweep", 1)
    again = sqlite3.connect(file)
    assert (highest_fence(again, "report"), highest_fence(again, "sweep")) == (9, 1)
    assert highest_fence(again, "other") == 0
    again.close()


def test_a_ballot_survives_a_restart(store: sqlite3.Connection, file: Path) -> None:
    ballot = Ballot(Members(THREE.hubs, 4, 1), 6, "hub-3")
    assert load_ballot(store) is None
    with store:
        save_ballot(store, Ballot(THREE, 2, ""))
        save_ballot(store, ballot)
    again = sqlite3.connect(file)
    assert load_ballot(again) == ballot
    again.close()


def test_a_term_never_goes_back_on_disk(store: sqlite3.Connection) -> None:
    save_ballot(store, Ballot(THREE, 5, "hub-1"))
    with pytest.raises(Refused, match="term 5 is on disk"):
        save_ballot(store, Ballot(THREE, 4, "hub-2"))


def test_a_restored_store_doubts_its_ballot_and_keeps_its_term(store: sqlite3.Connection) -> None:
    """The vote and the members may be old; fences must not go back."""
    save_ballot(store, Ballot(Members(THREE.hubs, 4, 1), 6, "hub-3"))
    doubt_ballot(store)
    assert load_ballot(store) == Ballot(THREE, 6, "", unsure=True)


def test_a_hub_remembers_over_a_restart_which_start_has_not_been_stopped(tmp_path: Path) -> None:
    store = sqlite3.connect(tmp_path / "hub.db")
    store.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    assert fence_begun(store) is None
    for fence in (6, 7):
        note_fence(store, fence)
    store.commit()
    with closing(sqlite3.connect(tmp_path / "hub.db")) as again:
        assert fence_begun(again) == 7
    note_fence(store, None)
    assert fence_begun(store) is None
    store.close()


def test_a_store_without_a_ballot_has_nothing_to_doubt(store: sqlite3.Connection) -> None:
    doubt_ballot(store)
    assert load_ballot(store) is None


def test_a_damaged_ballot_is_not_taken_for_none(store: sqlite3.Connection) -> None:
    """A hub that has forgotten its vote must not vote."""
    store.execute("INSERT INTO lead_ballot VALUES (1, x'00ff')")
    with pytest.raises(BadInput, match="cannot be read"):
        load_ballot(store)
