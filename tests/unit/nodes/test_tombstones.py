"""Tombstones: what they hide, how long they stay, and what is left of them."""

from pathlib import Path

import pytest
from sqlite_utils.db import Database

from hub.nodes.graves import Admission, Graves
from hub.nodes.tombstone_acks import ASKED_MAX, Held, TombstoneAcks, TombstoneSection
from hub.nodes.tombstones import (
    DAY_MS,
    RETENTION_MS,
    Turn,
    lift_of,
    lifted,
    merge_settled,
    needs_snapshot,
    reenrolled,
    removal_of,
    removal_value,
    settled,
    tombstone,
)
from hub.store.gossip_table import gossip_tables
from hub.store.grave_table import (
    delete_nodes,
    grave_tables,
    load_graves,
    reissues_of_graves,
    save_graves,
)
from shared.beat import Beat
from shared.merge import LABELS, Facts, Intent, NodeRecord, Observation
from shared.stamp import Stamp

EARLY, MIDDLE, LATE = (Stamp(at, 0, "hub-1") for at in (1_000, 2_000, 3_000))
HUBS = ("hub-1", "hub-2", "hub-3")


def live(node_id: str = "edge-1", incarnation: int = 7) -> NodeRecord:
    return NodeRecord(
        node_id,
        Facts(incarnation, 1, {"key_sha256": "old"}),
        Observation(incarnation, 9, 5, "hub-1", {}),
        {LABELS: Intent({"site": "a"}, EARLY)},
    )


def beat(incarnation: int) -> Beat:
    return Beat("edge-1", incarnation, 1, "e", 1, {"key_sha256": "new"}, {}, {})


def test_a_plain_true_of_an_older_hub_is_read_as_a_tombstone() -> None:
    removal = removal_of(tombstone("edge-1", MIDDLE, True))
    assert removal is not None
    assert (removal.at_ms, removal.by, removal.stamp) == (2_000, "hub-1", MIDDLE)
    assert removal_of(reenrolled("edge-1", LATE)) is None


def test_a_tombstone_says_who_removed_the_node_and_why() -> None:
    value = removal_value(1_234, "ada", "sold" + "!" * 500)
    removal = removal_of(tombstone("edge-1", MIDDLE, value))
    assert removal is not None
    assert removal.words().startswith("removed by ada (sold!")
    assert len(removal.why) == 200


def test_removal_leaves_nothing_of_the_node_but_the_tombstone() -> None:
    after = merge_settled(live(), tombstone("edge-1", MIDDLE))
    assert after == tombstone("edge-1", MIDDLE)


def test_a_node_that_was_let_back_has_neither_its_old_key_nor_its_old_labels() -> None:
    after = merge_settled(
        merge_settled(live(), tombstone("edge-1", MIDDLE)), reenrolled("edge-1", LATE)
    )
    assert (after.facts, after.observation, after.intent_value(LABELS)) == (None, None, None)
    assert merge_settled(after, live()) == after


def test_a_node_that_was_installed_anew_outranks_its_earlier_life() -> None:
    """It counts its lives from 1 again, and would lose against the 7 of before."""
    back = settled(reenrolled("edge-1", LATE))
    told = lifted(beat(1), back)
    after = merge_settled(back, NodeRecord("edge-1", Facts(told.incarnation, 1, told.facts)))
    again = merge_settled(after, live())
    assert again.facts is not None
    assert again.facts.data == {"key_sha256": "new"}


def test_a_beat_of_a_node_that_was_never_removed_is_left_as_it_is() -> None:
    told = beat(3)
    assert lifted(told, live()) is told
    assert lifted(told, None) is told
    assert lift_of(tombstone("edge-1", Stamp(2**60, 0, "hub-1"))) < 2**53


@pytest.mark.parametrize(
    ("last_contact_ms", "needed"),
    [
        (None, True),
        (10 * DAY_MS, False),
        (10 * DAY_MS - RETENTION_MS, False),
        (10 * DAY_MS - RETENTION_MS - 1, True),
        (10 * DAY_MS + 1, True),
    ],
)
def test_a_hub_that_was_away_for_longer_than_tombstones_stay_takes_a_snapshot(
    last_contact_ms: int | None, needed: bool
) -> None:
    assert needs_snapshot(last_contact_ms, 10 * DAY_MS) is needed


# ---- how long a tombstone stays


def told_by(
    acks: TombstoneAcks, peer: str, records: dict[str, NodeRecord], graves: Graves | None = None
) -> None:
    """One exchange with a peer that holds these records."""
    theirs = TombstoneAcks(peer)
    theirs.take(acks.section_for(peer), acks.hub_id, records, graves or Graves())
    acks.take(theirs.section_for(acks.hub_id), peer, {}, Graves())


def test_a_tombstone_goes_when_every_configured_hub_has_it_and_seven_days_have_passed() -> None:
    acks, dead = TombstoneAcks("hub-1"), tombstone("edge-1", MIDDLE)
    acks.note(dead)
    old_ms = MIDDLE.wall_ms + RETENTION_MS
    told_by(acks, "hub-2", {"edge-1": dead})
    assert acks.due(HUBS, old_ms) == []
    told_by(acks, "hub-3", {"edge-1": live()})
    assert acks.due(HUBS, old_ms) == []
    assert acks.lacking(HUBS) == {"hub-2": 0, "hub-3": 1}
    told_by(acks, "hub-3", {"edge-1": dead})
    assert acks.due(HUBS, old_ms - 1) == []
    assert acks.due(HUBS, old_ms) == ["edge-1"]


def test_a_hub_that_let_go_of_a_tombstone_already_has_it() -> None:
    acks, graves = TombstoneAcks("hub-1"), Graves()
    acks.note(tombstone("edge-1", MIDDLE))
    graves.bury("edge-1", Turn(0, MIDDLE))
    told_by(acks, "hub-2", {}, graves)
    assert acks.due(("hub-1", "hub-2"), MIDDLE.wall_ms + RETENTION_MS) == ["edge-1"]


def test_the_word_of_a_hub_whose_store_was_restored_counts_no_more() -> None:
    acks, dead = TombstoneAcks("hub-1"), tombstone("edge-1", MIDDLE)
    acks.note(dead)
    told_by(acks, "hub-2", {"edge-1": dead})
    acks.forget("hub-2")
    assert acks.due(("hub-1", "hub-2"), MIDDLE.wall_ms + RETENTION_MS) == []


def test_a_later_removal_must_be_acknowledged_anew() -> None:
    acks, dead = TombstoneAcks("hub-1"), tombstone("edge-1", MIDDLE)
    acks.note(dead)
    told_by(acks, "hub-2", {"edge-1": dead})
    acks.note(tombstone("edge-1", LATE))
    assert acks.lacking(HUBS[:2]) == {"hub-2": 1}


def test_tombstones_without_an_answer_hold_up_no_other() -> None:
    acks = TombstoneAcks("hub-1")
    names = [f"edge-{number}" for number in range(3 * ASKED_MAX)]
    for name in names:
        acks.note(tombstone(name, MIDDLE))
    asked: set[str] = set()
    for _ in range(3):
        section = acks.section_for("hub-2")
        assert len(section.asks) == ASKED_MAX
        asked |= {held.node_id for held in section.asks}
    assert asked == set(names)


# ---- graves


def test_an_old_copy_of_a_buried_node_is_kept_out_and_answered_with_the_tombstone() -> None:
    graves = Graves()
    graves.bury("edge-1", Turn(0, MIDDLE))
    assert graves.judge(live()) is Admission.BURIED
    assert graves.judge(reenrolled("edge-1", EARLY)) is Admission.BURIED
    answer = graves.answer("edge-1")
    removal = removal_of(answer)
    assert removal is not None
    assert removal.stamp == MIDDLE
    assert graves.judge(answer) is Admission.KNOWN
    assert graves.refused == 2


def test_a_grave_of_a_reissued_removal_outranks_every_stamp_of_before() -> None:
    """An old copy of a stamp from the future is kept out, and its hub is told the removal anew."""
    ahead = Stamp(2**45, 0, "hub-3")
    graves = Graves()
    graves.bury("edge-1", Turn(1, MIDDLE))
    for old in (reenrolled("edge-1", ahead), tombstone("edge-1", ahead), live()):
        assert graves.judge(old) is Admission.BURIED
        assert merge_settled(old, graves.answer("edge-1")) == graves.answer("edge-1")
    assert graves.judge(graves.answer("edge-1")) is Admission.KNOWN
    assert graves.judge(tombstone("edge-1", LATE, True, 1)) is Admission.TAKE


def test_the_word_about_another_removal_with_the_same_stamp_counts_for_nothing() -> None:
    """As an older hub gives it, which names no reissue."""
    acks = TombstoneAcks("hub-1")
    acks.note(tombstone("edge-1", MIDDLE, True, 1))
    acks.take(TombstoneSection(acks=[Held("edge-1", MIDDLE)]), "hub-2", {}, Graves())
    assert acks.due(("hub-2",), 2**45) == []
    acks.take(TombstoneSection(acks=[Held("edge-1", MIDDLE, 1)]), "hub-2", {}, Graves())
    assert acks.due(("hub-2",), 2**45) == ["edge-1"]


@pytest.mark.parametrize("word", [reenrolled("edge-1", LATE), tombstone("edge-1", LATE)])
def test_a_later_word_of_a_person_opens_the_grave(word: NodeRecord) -> None:
    graves = Graves()
    graves.bury("edge-1", Turn(0, MIDDLE))
    assert graves.judge(word) is Admission.TAKE
    assert not graves.holds("edge-1")


def test_the_oldest_graves_go_first() -> None:
    graves = Graves(graves_max=2)
    for name in ("edge-1", "edge-2", "edge-3"):
        graves.bury(name, Turn(0, MIDDLE))
    assert [name for name, _ in graves] == ["edge-2", "edge-3"]
    assert graves.take_unsaved() == {"edge-1": None, "edge-2": (0, MIDDLE), "edge-3": (0, MIDDLE)}
    assert graves.take_unsaved() == {}


def test_graves_survive_on_disk_in_their_order(tmp_path: Path) -> None:
    graves = Graves()
    graves.bury("edge-9", Turn(0, MIDDLE))
    graves.bury("edge-1", Turn(3, EARLY))
    with Database(tmp_path / "hub.db") as db:
        grave_tables(db)
        reissues_of_graves(db)
        gossip_tables(db)
        db.execute("CREATE TABLE node (node_id TEXT PRIMARY KEY, record BLOB)")
        db.execute("INSERT INTO node VALUES ('edge-9', x'00'), ('edge-5', x'00')")
        with db.conn:
            delete_nodes(db.conn, ["edge-9", "edge-1"])
            save_graves(db.conn, graves.take_unsaved())
    with Database(tmp_path / "hub.db") as db:
        assert load_graves(db.conn) == [("edge-9", (0, MIDDLE)), ("edge-1", (3, EARLY))]
        assert [row["node_id"] for row in db["node"].rows] == ["edge-5"]
        graves.judge(reenrolled("edge-9", LATE))
        with db.conn:
            save_graves(db.conn, graves.take_unsaved())
        assert load_graves(db.conn) == [("edge-1", (3, EARLY))]
