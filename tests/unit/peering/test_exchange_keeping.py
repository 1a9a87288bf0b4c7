"""What becomes of records that spoil, differ, or go to disk; and which beats are told."""

import sqlite3
from pathlib import Path

import msgspec

from hub.nodes.heard import Slots
from hub.peering.exchange import Exchange
from hub.peering.exchange_moments import Moments
from hub.peering.exchange_pace import ObservationPace, ToldObservation
from hub.peering.exchange_replica import Replica
from hub.peering.exchange_saved import (
    SavedGossip,
    SavedNode,
    begin,
    put_back,
    take_dirty,
    take_some,
)
from hub.peering.exchange_values import RecordRules
from hub.store import gossip_table
from shared.merge import NodeRecord, from_bytes, to_bytes
from tests.law.exchange_draws import exchange, facts, fetch, intent, known
from tests.law.exchange_world import RULES, Hub, open_store, sweep_between

# ---- poison


def test_a_record_that_cannot_be_applied_is_parked_and_the_rest_goes_on() -> None:
    here, there = exchange(), exchange("hub-2")
    for node in ("n1", "n2", "n3"):
        here.replica.originate(facts(node))
    push = here.flush()[0]
    items = [msgspec.structs.replace(push.items[1], record=b'{"node_id":7}'), *push.items[::2]]
    there.take_push(msgspec.structs.replace(push, items=items), 5)
    assert known(there).keys() == {"n1", "n3"}
    (entry,) = there.replica.parked.newest(9)
    assert (entry["node"], entry["sender"], entry["at_ms"]) == ("n2", "hub-1", 5)
    assert entry["reason"].startswith("ValidationError")
    assert there.replica.vector.ranges[here.replica.own].to_wire() == [[1, 1], [3, 3]]
    assert fetch(there, here) == 0, "it is not asked for again in this life"
    relayed = exchange("hub-3")
    fetch(relayed, there)
    assert not relayed.replica.vector.covers(here.replica.own, 2), "what it lacks is not claimed"
    here.replica.originate(intent("n2", "draining", True))
    here.flush()
    assert fetch(there, here) == 1
    assert known(there) == known(here)
    assert not there.replica.parked.entries
    fetch(there, here)
    assert there.replica.vector.digest() == here.replica.vector.digest()


def test_a_record_of_another_node_and_a_merge_that_raises_are_parked() -> None:
    def merge_badly(mine: NodeRecord, theirs: NodeRecord) -> NodeRecord:
        raise ZeroDivisionError("a mistake of the author")

    rules = RecordRules(RULES.node_of, merge_badly, to_bytes, from_bytes)
    here, there = exchange(), Exchange(Replica(("hub-2", "s.1"), rules), "c1")
    there.replica.originate(facts("n1"))
    here.replica.originate(facts("n1", 2))
    (push,) = here.flush()
    there.take_push(push, 5)
    item = msgspec.structs.replace(push.items[0], node="n9")
    there.take_push(msgspec.structs.replace(push, items=[item], claims=None), 6)
    named, broken = there.replica.parked.newest(9)
    assert named["reason"] == "BadInput: this is a record of n1"
    assert broken["reason"] == "ZeroDivisionError: a mistake of the author"
    assert known(there) == {"n1": facts("n1")}


# ---- repairs and sweeps


def test_a_sweep_repairs_what_was_covered_and_missing_and_counts_it() -> None:
    hubs = [Hub("hub-1"), Hub("hub-2"), Hub("hub-3")]
    here, there, third = (hub.exchange for hub in hubs)
    here.replica.originate(facts("n1"))
    there.take_push(here.flush()[0], 5)
    there.replica.vector.add(here.replica.own, 2, 2)  # A lie.
    here.replica.originate(intent("n1", "draining", True))
    here.flush()
    assert fetch(there, here) == 0
    assert sweep_between(hubs[1], hubs[0]) == 1
    assert known(there) == known(here)
    assert there.replica.repaired == {"sweep": 1}
    third.take_push(there.flush()[0], 5)
    assert known(third) == known(here), "what was repaired is told to all"


def test_a_sweep_brings_changes_on_their_way_and_counts_no_repair() -> None:
    hubs = [Hub("hub-1"), Hub("hub-2")]
    for hub in hubs:
        for number in range(30):
            hub.exchange.replica.originate(facts(f"n-{number}", 1, of=hub.name))
            hub.exchange.replica.originate(facts(f"of-{hub.name}-{number}"))
    assert sweep_between(*hubs) == 90
    assert hubs[0].known() == hubs[1].known()
    assert all(not hub.exchange.replica.repaired for hub in hubs)
    assert sweep_between(*hubs) == 0


# ---- the pace of observations


def test_a_beat_is_told_when_it_is_news_to_others() -> None:
    missed = {"n2"}
    pace = ObservationPace("hub-1", missed.__contains__, seconds=60.0, spread_seconds=30.0)
    told = ToldObservation(3, 100.0)
    assert pace.is_due("n1", 3, None, 100.0)
    assert pace.is_due("n1", 4, told, 101.0)
    assert not pace.is_due("n1", 3, told, 101.0)
    assert not pace.is_due("n1", 3, told, 159.9)
    assert pace.is_due("n1", 3, told, 190.0)
    assert pace.is_due("n2", 3, told, 101.0)


def test_hubs_take_turns_and_spread_what_they_tell() -> None:
    """Whoever waits least tells; of all nodes, each hub tells about a third."""
    paces = [ObservationPace(f"hub-{number}", lambda node: False) for number in range(3)]
    told, first = ToldObservation(1, 0.0), [0, 0, 0]
    for node in (f"edge-{number}" for number in range(3000)):
        due = [next(s for s in range(60, 92) if pace.is_due(node, 1, told, s)) for pace in paces]
        first[due.index(min(due))] += 1
    assert all(800 < count < 1400 for count in first), first


# ---- on disk


def reopened(path: Path, store: sqlite3.Connection) -> sqlite3.Connection:
    """The store as another process finds it."""
    with sqlite3.connect(path) as copy:
        store.backup(copy)
    copy.close()
    return sqlite3.connect(path, isolation_level=None)


def test_records_and_vector_come_back_together(tmp_path: Path) -> None:
    here, there = exchange(), exchange("hub-2")
    for number in range(5):
        here.replica.originate(facts("n1", number + 1))
        here.replica.originate(facts(f"n{number + 2}"))
    fetch(there, here)
    there.replica.originate(intent("n1", "draining", True))
    store = open_store()
    saved = take_dirty(there.replica)
    put_back(there.replica, saved.nodes)
    assert take_dirty(there.replica) == saved
    gossip_table.save(store, saved)
    gossip_table.save(store, take_dirty(there.replica))
    store = reopened(tmp_path / "hub.db", store)
    loaded = gossip_table.load(store)
    assert (loaded.vector, loaded.retired) == (there.replica.vector.ranges, {})
    reborn, unreadable = begin(("hub-2", "s.2"), RULES, loaded)
    assert unreadable == {}
    assert reborn.records == known(there)
    assert reborn.digests.table() == there.replica.digests.table()
    assert all(reborn.dots.of(node) == there.replica.dots.of(node) for node in known(there))
    assert (reborn.seq, reborn.unsaid) == (0, {})
    store.close()


def test_each_life_has_an_epoch_of_its_own() -> None:
    store = open_store()
    lives = [gossip_table.begin_life(store, "s1", "one run") for _ in range(3)]
    assert lives == ["s1.1.one run", "s1.2.one run", "s1.3.one run"]


def test_a_store_that_was_set_back_gives_no_epoch_again() -> None:
    """Nobody tells a hub that its disk was: the file is in its place, and older."""
    store, before = open_store(), open_store()
    assert gossip_table.begin_life(store, "s1", "a") != gossip_table.begin_life(before, "s1", "b")


def test_records_of_an_older_release_become_changes_of_this_hub() -> None:
    store = open_store()
    store.execute("INSERT INTO node VALUES ('n1', ?)", (to_bytes(facts("n1")),))
    replica, _ = begin(("hub-1", "s.1"), RULES, gossip_table.load(store))
    assert replica.dots.of("n1") == {("hub-1", "s.1"): 1}
    there = exchange("hub-2")
    there.take_push(Exchange(replica, "c1").flush()[0], 5)
    assert known(there) == {"n1": facts("n1")}


def test_a_record_that_cannot_be_read_from_disk_is_fetched_again() -> None:
    here, there = exchange(), exchange("hub-2")
    for node in ("n1", "n2"):
        here.replica.originate(facts(node))
    fetch(there, here)
    saved = take_dirty(there.replica)
    nodes = [SavedNode("n1", b"damaged", saved.nodes[0].dots), saved.nodes[1]]
    replica, unreadable = begin(("hub-2", "s.2"), RULES, SavedGossip(nodes, saved.vector))
    assert list(unreadable) == ["n1"]
    reborn = Exchange(replica, "c1")
    assert fetch(reborn, here) == 1
    assert known(reborn) == known(here)
    assert not reborn.replica.repaired


def test_records_that_are_saved_ahead_of_the_vector_lose_nothing_when_the_rest_never_comes() -> (
    None
):
    """A crash between the pages: all is known, and what was not covered yet is told again."""
    here, there = exchange(), exchange("hub-2")
    for number in range(4):
        here.replica.originate(facts(f"n{number}"))
    fetch(there, here)
    store = open_store()
    some = take_some(there.replica, ["n0", "n1"])
    gossip_table.save_records(store, some)
    assert there.replica.dirty == {"n2", "n3"}
    replica, unreadable = begin(("hub-2", "s.2"), RULES, gossip_table.load(store))
    assert (sorted(replica.records), unreadable) == (["n0", "n1"], {})
    assert here.replica.own not in replica.vector.ranges
    reborn = Exchange(replica, "c1")
    fetch(reborn, here)
    assert known(reborn) == known(here)
    assert not reborn.replica.repaired


def test_what_is_saved_ahead_leaves_the_vector_on_disk_as_it_was() -> None:
    here = exchange()
    here.replica.originate(facts("n1"))
    store = open_store()
    gossip_table.save(store, take_dirty(here.replica))
    covered = gossip_table.load_vector(store).vector
    here.replica.originate(facts("n2"))
    gossip_table.save_records(store, take_some(here.replica, ["n2"]))
    assert gossip_table.load_vector(store).vector == covered
    pages = [gossip_table.load_page(store, after, 1) for after in ("", "n1", "n2")]
    assert [[each.node for each in page] for page in pages] == [["n1"], ["n2"], []]


def test_moments_of_nodes_can_be_forgotten() -> None:
    moments = Moments(Slots())
    assert moments.get("n1") is None
    moments.put("n2", 5.0)
    moments.put("n1", 0.0)
    assert (moments.get("n1"), moments.get("n2")) == (0.0, 5.0)
    moments.forget("n2")
    moments.forget("n3")
    assert (moments.get("n1"), moments.get("n2")) == (0.0, None)
