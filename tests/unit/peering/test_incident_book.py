"""Incidents: what three hubs write down of a split, put together, tells all of it, on each of them."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils.db import Database

from hub.peering.incident import (
    CONFLICTS_MAX,
    MOMENTS_MAX,
    Sight,
    Writes,
    read_sight,
    sight_bytes,
)
from hub.peering.incident_book import WRITE_DOWN_SECONDS, Around, IncidentBook
from hub.peering.incident_calls import IncidentCalls
from hub.peering.incident_report import incident, incidents
from hub.peering.incident_section import WANTED_MAX, IncidentTalk, read_incidents
from hub.peering.islands import IslandBook
from hub.store.incident_table import incident_tables, load_sights, save_sights
from shared.errors import BadInput, RpcError
from shared.merge import Intent, NodeRecord
from shared.stamp import Stamp

HUBS = ("hub-1", "hub-2", "hub-3")
WHOLE = (HUBS,)
APART = (("hub-1", "hub-2"), ("hub-3",))
EPOCH_MS = 1_795_000_000_000

Islands = tuple[tuple[str, ...], ...]


@dataclass
class Hub:
    """One hub with its real books, in a world that says who reaches whom."""

    hub_id: str
    clock_ahead_ms: int = 0
    written: Writes = field(default_factory=Writes)
    instances: dict[str, str] = field(default_factory=lambda: dict.fromkeys(HUBS, "first"))
    is_equal: bool = True
    configured: tuple[str, ...] = HUBS
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.islands, self.book = IslandBook(self.hub_id), IncidentBook(self.hub_id)

    def wall_ms(self, now: float) -> int:
        return EPOCH_MS + self.clock_ahead_ms + int(now * 1000)

    def around(self, now: float) -> Around:
        offsets = {hub: 1.5 for hub in HUBS if hub != self.hub_id}
        return Around(
            now,
            self.wall_ms(now),
            self.written,
            self.instances,
            offsets,
            lambda since, hubs: self.is_equal,
        )

    def round(self, islands: Islands, now: float) -> None:
        rows = {
            a: {b: any({a, b} <= set(island) for island in islands) for b in HUBS} for a in HUBS
        }
        events = self.islands.see(rows, self.configured, now, self.wall_ms(now))
        events += self.book.round(self.islands, self.around(now))
        self.told += [name for name, _ in events]

    def restarted(self, now: float) -> "Hub":
        """The same hub after a crash: what it had on its disk, and nothing else."""
        fresh = Hub(self.hub_id, self.clock_ahead_ms, instances=dict(self.instances))
        stored = [read_sight(sight_bytes(sight)) for sight in self.book.sights.values()]
        fresh.book.load(stored, fresh.islands, fresh.around(now))
        return fresh


@pytest.fixture
def hubs() -> dict[str, Hub]:
    return {name: Hub(name, ahead) for name, ahead in zip(HUBS, (0, 900, -1500), strict=True)}


def go(hubs: dict[str, Hub], islands: Islands, begin: int, end: int) -> None:
    for now in range(begin, end):
        for hub in hubs.values():
            hub.round(islands, float(now))


def share(hubs: dict[str, Hub]) -> None:
    """Every hub learns what every other one saw."""
    for one in hubs.values():
        for other in hubs.values():
            one.book.learn(other.book.sights.values())


def wish(value: object, at_ms: int, hub: str, node: str = "edge-1") -> NodeRecord:
    return NodeRecord(node, intent={"draining": Intent(value, Stamp(at_ms, 0, hub))})


def test_all_hubs_tell_the_same_story_of_a_split(hubs: dict[str, Hub]) -> None:
    go(hubs, WHOLE, 0, 5)
    for hub in hubs.values():
        hub.written = Writes(1, 10, 100)
        hub.is_equal = False
    go(hubs, APART, 5, 35)
    hubs["hub-1"].written = Writes(3, 30, 300)
    hubs["hub-3"].written = Writes(2, 15, 104)
    go(hubs, WHOLE, 35, 37)
    for hub in hubs.values():
        hub.is_equal = True
    go(hubs, WHOLE, 37, 40)
    share(hubs)
    stories = [incidents(hub.book.sights.values()) for hub in hubs.values()]
    assert stories[0] == stories[1] == stories[2]
    (story,) = stories[0]
    assert (story["kind"], story["state"]) == ("split", "closed")
    assert story["observers"] == list(HUBS)
    assert (story["lasted_s"], story["equal_after_s"]) == (30.0, 2.0)
    assert story["id"].endswith("hub-3"), "it has the slowest clock: its sight is the earliest"
    whole = incident(story["names"][-1], hubs["hub-2"].book.sights.values())
    assert whole is not None
    assert {tuple(side["island"]): side["writes"] for side in whole["sides"]} == {
        ("hub-1", "hub-2"): {"intents": 4, "records": 40, "chunks": 400},
        ("hub-3",): {"intents": 2, "records": 15, "chunks": 104},
    }
    assert [each["islands"] for each in whole["islands"]] == [
        [list(island) for island in islands] for islands in (*[APART] * 3, *[WHOLE] * 3)
    ]
    assert {hub.told.count(name) for hub in hubs.values() for name in set(hub.told)} == {1}
    assert set(hubs["hub-1"].told) == {
        "mesh.split",
        "mesh.whole",
        "incident.opened",
        "incident.closed",
    }


def test_conflicts_are_told_once_though_every_hub_meets_them(hubs: dict[str, Hub]) -> None:
    go(hubs, WHOLE, 0, 5)
    go(hubs, APART, 5, 20)
    mine, theirs = wish(True, EPOCH_MS + 9_000, "hub-1"), wish(False, EPOCH_MS + 12_000, "hub-3")
    for hub, held, news in (
        ("hub-1", mine, theirs),
        ("hub-2", mine, theirs),
        ("hub-3", theirs, mine),
    ):
        hubs[hub].book.note_merge(held, news)
        hubs[hub].book.note_merge(held, news)
    go(hubs, WHOLE, 20, 25)
    share(hubs)
    (story,) = incidents(hubs["hub-2"].book.sights.values())
    found = incident(story["id"], hubs["hub-2"].book.sights.values())
    assert found is not None
    (conflict,) = found["conflicts"]
    assert (conflict["winner"]["hub"], conflict["loser"]["value"]) == ("hub-3", "true")
    assert conflict["rule"] == "later stamp"


def test_without_a_split_nothing_is_a_conflict(hubs: dict[str, Hub]) -> None:
    go(hubs, WHOLE, 0, 5)
    one = hubs["hub-1"]
    one.book.note_merge(wish(True, EPOCH_MS, "hub-1"), wish(False, EPOCH_MS, "hub-3"))
    go(hubs, WHOLE, 5, 9)
    assert (one.book.sights, one.book.is_open) == ({}, False)


def test_conflicts_are_bounded_and_the_rest_is_counted(hubs: dict[str, Hub]) -> None:
    go(hubs, WHOLE, 0, 2)
    go(hubs, APART, 2, 9)
    one = hubs["hub-1"]
    for number in range(CONFLICTS_MAX + 7):
        name = f"edge-{number}"
        at_ms = EPOCH_MS + 5_000
        one.book.note_merge(wish(1, at_ms, "hub-1", name), wish(2, at_ms, "hub-3", name))
    go(hubs, APART, 9, 10)
    assert one.book.own is not None
    assert (len(one.book.own.conflicts), one.book.own.conflicts_more) == (CONFLICTS_MAX, 7)
    assert len(sight_bytes(one.book.own)) < 500_000


def test_islands_that_change_are_written_down_up_to_a_bound(hubs: dict[str, Hub]) -> None:
    go(hubs, WHOLE, 0, 2)
    go(hubs, APART, 2, 7)
    alone = (("hub-1",), ("hub-2",), ("hub-3",))
    for now in range(7, 7 + 2 * MOMENTS_MAX):
        go(hubs, alone if now % 2 else APART, now, now + 1)
    own = hubs["hub-1"].book.own
    assert own is not None
    assert (len(own.moments), own.moments_more) == (MOMENTS_MAX, MOMENTS_MAX + 1)


def test_a_hub_that_was_not_running_is_an_outage_and_no_split(hubs: dict[str, Hub]) -> None:
    go(hubs, WHOLE, 0, 5)
    running = {name: hubs[name] for name in HUBS[:2]}
    go(running, APART, 5, 30)
    share(running)
    assert incidents(hubs["hub-1"].book.sights.values())[0]["kind"] == "unknown"
    hubs["hub-3"] = Hub("hub-3")
    for hub in hubs.values():
        hub.instances["hub-3"] = "second"
    go(hubs, WHOLE, 30, 35)
    share(hubs)
    (story,) = incidents(hubs["hub-3"].book.sights.values())
    assert (story["kind"], story["state"], story["observers"]) == (
        "outage",
        "closed",
        list(HUBS[:2]),
    )


def test_a_hub_that_never_comes_back_keeps_it_open_until_somebody_forgets_it(
    hubs: dict[str, Hub],
) -> None:
    go(hubs, WHOLE, 0, 5)
    go(hubs, APART, 5, 20)
    share(hubs)
    left = {name: hubs[name] for name in HUBS[:2]}
    go(left, APART, 20, 200)
    assert incidents(hubs["hub-1"].book.sights.values())[0]["state"] == "open"
    for hub in left.values():
        hub.configured = HUBS[:2]
    go(left, APART, 200, 203)
    share(left)
    (story,) = incidents(hubs["hub-1"].book.sights.values())
    assert story["state"] == "closed", "also what the forgotten hub saw is closed by that"
    found = incident(story["id"], hubs["hub-1"].book.sights.values())
    assert found is not None
    assert found["forgotten"] == ["hub-3"]


def test_a_hub_that_restarts_during_a_split_goes_on_with_its_own_sight(
    hubs: dict[str, Hub],
) -> None:
    go(hubs, WHOLE, 0, 5)
    hubs["hub-1"].written = Writes(2, 20, 200)
    go(hubs, APART, 5, 5 + int(WRITE_DOWN_SECONDS) + 10)
    hubs["hub-1"] = hubs["hub-1"].restarted(80.0)
    hubs["hub-1"].written = Writes(1, 1, 1)
    go(hubs, APART, 80, 90)
    go(hubs, WHOLE, 90, 95)
    share(hubs)
    (story,) = incidents(hubs["hub-2"].book.sights.values())
    assert (story["state"], len(story["names"])) == ("closed", 3)
    mine = next(s for s in hubs["hub-1"].book.sights.values() if s.observer == "hub-1")
    assert mine.writes == Writes(3, 21, 201)
    assert mine.lasted_s is None, "its monotonic clock began anew"


def test_a_hub_that_restarts_after_healing_closes_what_it_had_begun(hubs: dict[str, Hub]) -> None:
    go(hubs, WHOLE, 0, 5)
    for hub in hubs.values():
        hub.is_equal = False
    go(hubs, APART, 5, 20)
    go(hubs, WHOLE, 20, 25)
    fresh = hubs["hub-1"].restarted(30.0)
    assert fresh.islands.apart is None
    fresh.round(WHOLE, 30.0)
    assert not fresh.book.is_open
    (mine,) = fresh.book.sights.values()
    assert (mine.lasted_s, mine.ended_ms) == (15.0, EPOCH_MS + 20_000)


def test_two_splits_that_follow_each_other_are_two_incidents_unless_they_overlap(
    hubs: dict[str, Hub],
) -> None:
    go(hubs, WHOLE, 0, 5)
    for begin in (5, 100):
        go(hubs, APART, begin, begin + 20)
        go(hubs, WHOLE, begin + 20, begin + 40)
    share(hubs)
    assert len(incidents(hubs["hub-1"].book.sights.values())) == 2


# ---- from hub to hub


async def test_hubs_fetch_what_they_lack_and_then_say_no_more(hubs: dict[str, Hub]) -> None:
    go(hubs, WHOLE, 0, 5)
    go(hubs, APART, 5, 20)
    go(hubs, WHOLE, 20, 25)
    one, two = hubs["hub-1"].book, hubs["hub-2"].book
    talks = IncidentTalk(one), IncidentTalk(two)

    async def nobody(hub: str, method: str, params: dict[str, object]) -> dict[str, object]:
        raise AssertionError

    there = IncidentCalls(two, nobody)

    async def ask(hub: str, method: str, params: dict[str, object]) -> dict[str, object]:
        assert (hub, method) == ("hub-2", "hub.incident.sights")
        return await there.hub_incident_sights(params)

    here = IncidentCalls(one, ask)
    fetched = 0
    for _ in range(3):
        for talk, other, name in ((talks[0], talks[1], "hub-2"), (talks[1], talks[0], "hub-1")):
            told = other.of_mine("hub-1" if name == "hub-2" else "hub-2")
            wanted = talk.take(read_incidents(msgspec.json.encode(told)), name)
            fetched += await here.fetch(name, wanted) if talk is talks[0] else 0
        two.learn(one.sights.values())
    assert fetched == 1
    assert talks[0].of_mine("hub-2").heads == talks[1].of_mine("hub-1").heads == []
    listed = await here.hub_incidents({})
    assert listed["total"] == 1
    assert (await here.hub_incident({"incident": listed["items"][0]["id"]}))["state"] == "closed"
    with pytest.raises(RpcError, match="no incident is called"):
        await here.hub_incident({"incident": "never"})


async def test_a_peer_that_answers_nonsense_is_bad_input(hubs: dict[str, Hub]) -> None:
    answers: list[dict[str, object]] = [
        {"sights": ["!"]},
        {"sights": ["AAAA"]},
        {"sights": [1]},
        {},
    ]

    async def ask(hub: str, method: str, params: dict[str, object]) -> dict[str, object]:
        return answers.pop()

    calls = IncidentCalls(hubs["hub-1"].book, ask)
    while answers:
        with pytest.raises(BadInput):
            await calls.fetch("hub-2", [("hub-2", 5)])
    assert await calls.fetch("hub-2", []) == 0


def test_nobody_else_writes_what_this_hub_is_writing(hubs: dict[str, Hub]) -> None:
    go(hubs, WHOLE, 0, 5)
    go(hubs, APART, 5, 20)
    book = hubs["hub-1"].book
    assert book.own is not None
    false = msgspec.structs.replace(book.own, revision=1_000, equal_ms=5)
    assert book.learn([false]) == 0
    assert book.own.equal_ms is None


def test_a_few_sights_are_asked_for_at_a_time() -> None:
    full, empty = IncidentBook("hub-1"), IncidentBook("hub-2")
    full.learn([Sight("hub-1", number * 100_000) for number in range(10)])
    asks, tells = IncidentTalk(empty), IncidentTalk(full)
    tells.take(asks.of_mine("hub-1"), "hub-2")
    assert len(asks.take(tells.of_mine("hub-2"), "hub-1")) == WANTED_MAX


@given(st.binary(max_size=300))
def test_any_bytes_are_a_sight_or_a_list_or_bad_input(body: bytes) -> None:
    for reader in (read_sight, read_incidents):
        try:
            reader(body)
        except BadInput:
            continue


def test_sights_survive_on_disk_and_the_oldest_go(hubs: dict[str, Hub], tmp_path: Path) -> None:
    go(hubs, WHOLE, 0, 5)
    go(hubs, APART, 5, 20)
    book = hubs["hub-1"].book
    with Database(tmp_path / "hub.db") as db:
        incident_tables(db)
        with db.conn:
            save_sights(db.conn, book.take_unsaved())
    with Database(tmp_path / "hub.db") as db:
        assert load_sights(db.conn) == list(book.sights.values())
        book.learn([Sight("hub-2", number * 100_000) for number in range(30)])
        with db.conn:
            save_sights(db.conn, book.take_unsaved())
            db.execute("INSERT INTO incident_sight VALUES ('hub-9', 1, x'00')")
        stored = {sight.key for sight in load_sights(db.conn)}
    assert stored == set(book.sights)
    assert book.take_unsaved() == {}
