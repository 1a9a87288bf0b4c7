"""Logs of hubs that ended long ago: they go, room for others comes, and nothing that counts is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.nodes.history_share import LOGS_MAX, HistorySection, HistoryShare, Standing
from hub.nodes.others_told import OthersTold
from hub.nodes.uptime import DAY_MS
from hub.store.check_table import append, attendances, heads, lines_since
from hub.store.spent_table import forget_log
from tests.unit.nodes.check_world import WALL_MS
from tests.unit.nodes.history_world import Observer, ms, new_database, transaction
from tests.unit.nodes.test_history_keep import LOG, Desk, desk

__all__ = ["desk"]

OTHER = "hub-2@e1"


def offer(at_ms: int, log: str = OTHER, head: int = 5) -> HistorySection:
    """What a peer tells of one log."""
    return HistorySection([Standing(log, head, 1, at_ms)])


async def held_at(desk: Desk, log: str, at_ms: int, lines: int) -> None:
    """Have a log of another hub on this disk, with one node for each line."""
    hub = Observer(log.partition("@")[0], Path(), new_database(Path(":memory:")))
    hub.observing.begin(0.0, at_ms)
    for number in range(lines):
        hub.observing.note(f"edge-{number}", "", "online", "", 0.0, at_ms)
    told = hub.observing.take_pending()
    hub.connection.close()
    await desk.disk.write(lambda db: append(db, log, 0, told))
    desk.keep.share.hold(log, len(told))
    desk.keep.share.attend(log, 1, at_ms)


def logs_on_disk(desk: Desk) -> list[str]:
    """All logs that are on disk."""
    with desk.disk.database.reading() as connection:
        return [each.log for each in heads(connection)]


async def test_a_log_that_ended_before_what_is_kept_goes_as_a_whole(desk: Desk) -> None:
    """Neither a line nor an attendance nor a name of it is left, on disk and in memory."""
    others = OthersTold()
    desk.keep.share.on_let_go = others.drop
    others.load(OTHER, [("edge-1", "", "online")])
    await desk.keep.keep()
    await held_at(desk, OTHER, WALL_MS, 450)
    await held_at(desk, "hub-3@e1", WALL_MS + 20 * DAY_MS, 3)
    desk.wall_ms[0] += 91 * DAY_MS
    await desk.keep.keep()
    await desk.keep.settle()
    assert logs_on_disk(desk) == [LOG, "hub-3@e1"]
    assert sorted(desk.keep.share.held) == [LOG, "hub-3@e1"]
    assert others.logs == {}
    with desk.disk.database.reading() as connection:
        assert lines_since(connection, OTHER, 0, 10) == []
        assert OTHER not in attendances(connection, 0)
        assert connection.execute("SELECT count(DISTINCT log_id) FROM span").fetchone() == (2,)


async def test_a_long_log_goes_in_several_minutes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other writers never wait for all of it, and it is held until the last line has gone."""
    monkeypatch.setattr("hub.nodes.history_keep.ROWS_TOGETHER", 2)
    monkeypatch.setattr("hub.nodes.history_keep.PAGES_MAX", 3)
    await held_at(desk, OTHER, WALL_MS, 10)
    desk.wall_ms[0] += 91 * DAY_MS
    await desk.keep.settle()
    assert OTHER in desk.keep.share.held
    await desk.keep.settle()
    assert OTHER not in desk.keep.share.held
    assert logs_on_disk(desk) == []


async def test_the_own_log_of_a_hub_stays_however_old_it_is(desk: Desk) -> None:
    """A hub that was down for a year goes on with its log where it left it."""
    await desk.keep.keep()
    desk.keep.note_verdict("edge-1", "online", "")
    await desk.keep.keep()
    desk.keep.share.held[LOG] = Standing(LOG, 2, 1, WALL_MS)
    desk.wall_ms[0] += 400 * DAY_MS
    desk.keep.share.kept_from_ms = desk.wall_ms[0]
    assert desk.keep.share.spent() == []


def test_a_log_that_ended_long_ago_is_not_pulled_from_a_peer_that_keeps_it_longer() -> None:
    """It would be let go of again, each minute."""
    share = HistoryShare(LOG, kept_from_ms=1_000)
    share.take(offer(999), "hub-3")
    assert (share.held, share.wanted(["hub-3"])) == ({}, [])
    share.take(offer(1_000), "hub-3")
    assert [want.page.log for want in share.wanted(["hub-3"])] == [OTHER]
    share.take(offer(500, head=9), "hub-4")
    (want,) = share.wanted(["hub-3", "hub-4"])
    assert want.hub == "hub-4", "it has not heard how long the observer observed, but has more"


def test_logs_that_were_let_go_of_make_room_for_others() -> None:
    """A mesh whose hubs were restored 256 times goes on."""
    share = HistoryShare(LOG)
    for number in range(LOGS_MAX):
        share.take(offer(100, f"hub-2@{number}"), "hub-2")
    share.take(offer(200, OTHER), "hub-2")
    assert (share.refused, OTHER in share.held) == (1, False)
    share.kept_from_ms = 150
    for log in share.spent():
        share.let_go(log)
    share.take(offer(200, OTHER), "hub-2")
    assert (share.refused, list(share.held)) == (1, [OTHER])
    assert share.take_moved() == [Standing(OTHER, 0, 1, 200)]


def test_a_peer_that_names_logs_without_end_fills_no_memory() -> None:
    """Logs that nobody attended yet count, too."""
    share = HistoryShare(LOG)
    for number in range(3 * LOGS_MAX):
        share.take(HistorySection([Standing(f"hub-2@{number}", 0, 0, 0)]), "hub-2")
    assert share.refused == 2 * LOGS_MAX
    share.forget("hub-2")
    share.take(offer(100), "hub-3")
    assert list(share.held) == [OTHER], "a hub that is a peer no more leaves its room"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[dict[str, Observer]]:
    hubs = {
        name: Observer(name, tmp_path / name, new_database(tmp_path / f"{name}.db"))
        for name in ("hub-1", "hub-2")
    }
    yield hubs
    for each in hubs.values():
        each.connection.close()


def test_a_hub_that_comes_back_after_its_log_went_is_pulled_from_the_beginning(
    pair: dict[str, Observer],
) -> None:
    """It numbers its lines on, and what it said last counts again."""
    mine, back = pair["hub-1"], pair["hub-2"]
    for hub in pair.values():
        hub.start(0)
    back.note(10, "online")
    mine.pull({"hub-2": back})
    mine.share.kept_from_ms = ms(100)
    assert mine.share.spent() == [back.log]
    with transaction(mine.connection):
        assert forget_log(mine.connection, back.log, 200)
    mine.share.let_go(back.log)
    assert mine.pull({"hub-2": back}) == 0, "it is not back yet"
    back.start(200)
    back.note(210, "offline")
    mine.pull({"hub-2": back})
    assert lines_since(mine.connection, back.log, 0, 10) == back.lines()
    assert mine.share.spent() == []
