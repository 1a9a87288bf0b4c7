"""Keeping observations: nothing is lost when the disk refuses, and only what is old goes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hub.nodes.history_keep import HistoryKeep
from hub.nodes.history_share import HistoryShare
from hub.nodes.history_write import Observing
from hub.nodes.uptime import DAY_MS
from hub.store.check_table import attendances, lines_since
from hub.store.check_time_table import COARSE_MS, check_times
from hub.store.schema import MIGRATIONS
from shared.errors import Unavailable
from shared.sqlite import Database
from tests.unit.halting_disk import HaltingDisk
from tests.unit.nodes.check_world import WALL_MS, World, tcp, world

LOG = "hub-1@e1"


@dataclass
class Desk:
    """What keeps the observations of a hub, with its clocks."""

    disk: HaltingDisk
    hub: World
    keep: HistoryKeep
    wall_ms: list[int]
    listening: list[bool]
    sound: list[bool] = field(default_factory=lambda: [True])

    def states(self) -> list[tuple[str, str]]:
        """What is on disk of the log: number and state."""
        with self.disk.database.reading() as connection:
            return [(each.node, each.state) for each in lines_since(connection, LOG, 0, 1000)]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = Database(tmp_path / "hub.db", MIGRATIONS, synchronous="OFF", threads=False)
    hub, wall_ms, listening, sound = world(), [WALL_MS], [False], [True]
    runtime = replace(hub.checks.runtime, wall_ns=lambda: wall_ms[0] * 1_000_000)
    observing, disk = Observing(0, 0, 0), HaltingDisk(database)
    hub.checks.observing = observing
    keep = HistoryKeep(
        disk,  # type: ignore[arg-type]  # Writes as one, or refuses.
        runtime,
        observing,
        HistoryShare(LOG),
        hub.checks,
        lambda now: listening[0],
        lambda: sound[0],
        90,
    )
    yield Desk(disk, hub, keep, wall_ms, listening, sound)
    database.close()


async def test_a_hub_that_has_only_begun_to_listen_says_nothing_yet(desk: Desk) -> None:
    desk.listening[0] = True
    desk.keep.note_verdict("edge-1", "online", "")
    await desk.keep.keep()
    assert desk.states() == []
    assert desk.keep.share.held == {}
    desk.listening[0] = False
    await desk.keep.keep()
    assert desk.states() == [("", "began"), ("edge-1", "online")]


async def test_lines_that_the_disk_refused_are_written_later_in_their_order(desk: Desk) -> None:
    await desk.keep.keep()
    desk.disk.takes = False
    desk.keep.note_verdict("edge-1", "online", "")
    with pytest.raises(Unavailable):
        await desk.keep.keep()
    desk.keep.note_verdict("edge-1", "offline", "")
    with pytest.raises(Unavailable):
        await desk.keep.keep()
    assert desk.keep.share.head(LOG) == 1, "peers are told of what is on disk only"
    desk.disk.takes = True
    await desk.keep.keep()
    assert [state for _, state in desk.states()] == ["began", "online", "offline"]
    assert desk.keep.share.head(LOG) == 3


async def test_many_lines_are_written_in_several_transactions(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.nodes.history_keep.LINES_TOGETHER", 3)
    for number in range(10):
        desk.keep.note_verdict(f"edge-{number}", "online", "")
    await desk.keep.keep()
    assert len(desk.states()) == 11


async def test_times_that_the_disk_refused_are_written_later(desk: Desk) -> None:
    await desk.keep.keep()
    desk.hub.checks.put_back([("edge-1", "ssh", WALL_MS, 1000)])
    desk.wall_ms[0] += 1
    await desk.keep.keep()
    desk.disk.takes = False
    with pytest.raises(Unavailable):
        await desk.keep.settle()
    desk.disk.takes = True
    await desk.keep.settle()
    with desk.disk.database.reading() as connection:
        (bucket,) = check_times(connection, "edge-1", "ssh", COARSE_MS, 0)
        (attendance,) = attendances(connection, 0)[LOG]
    assert (bucket.runs, bucket.average_us) == (1, 1000)
    assert attendance.until_ms == WALL_MS + 1


@pytest.mark.parametrize("is_sound", [True, False])
async def test_what_is_older_than_the_limit_goes_unless_the_clock_is_wrong(
    desk: Desk, *, is_sound: bool
) -> None:
    desk.sound[0] = is_sound
    await desk.keep.keep()
    for state in ("online", "offline", "online"):
        desk.keep.note_verdict("edge-1", state, "")
    await desk.keep.keep()
    desk.wall_ms[0] += 91 * DAY_MS
    await desk.keep.settle()
    await desk.keep.settle()
    states = [state for _, state in desk.states()]
    expected = ["began", "online"] if is_sound else ["began", "online", "offline", "online"]
    assert states == expected, "what was said last is still true"
    assert desk.keep.purged == (2 if is_sound else 0)


async def test_a_node_that_is_back_before_it_was_forgotten_keeps_its_history(desk: Desk) -> None:
    await desk.keep.keep()
    for node in ("edge-1", "edge-2"):
        desk.keep.note_verdict(node, "online", "")
    await desk.keep.keep()
    desk.keep.forget("edge-1", lambda: True)
    desk.keep.forget("edge-2", lambda: False)
    await desk.keep.settle()
    assert [node for node, _ in desk.states()] == ["", "edge-2"]


async def test_lines_that_come_late_about_a_removed_node_go_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that learns of the removal later still says something of the node meanwhile."""
    await desk.keep.keep()
    desk.keep.forget("edge-1", lambda: True)
    await desk.keep.settle()
    desk.keep.note_verdict("edge-1", "online", "")
    await desk.keep.keep()
    await desk.keep.settle()
    assert desk.states() == [("", "began")]
    monkeypatch.setattr("hub.nodes.history_keep.LATE_LINES_SECONDS", 0.0)
    desk.keep.forget("edge-1", lambda: True)
    await desk.keep.settle()
    desk.keep.note_verdict("edge-1", "offline", "")
    await desk.keep.keep()
    await desk.keep.settle()
    assert [node for node, _ in desk.states()] == ["", "edge-1"], "nobody looks for ever"


async def test_checks_that_were_taken_away_while_the_hub_was_down_are_unknown_from_its_start(
    desk: Desk,
) -> None:
    desk.keep.observing.recall([("edge-1", "ssh", "failed"), ("edge-1", "web", "failed")])
    desk.hub.checks.plan("edge-1", tcp("web"), 0.0)
    await desk.keep.keep()
    with desk.disk.database.reading() as connection:
        lines = lines_since(connection, LOG, 1, 10)
    assert [(each.subject, each.state) for each in lines] == [("ssh", "unknown")]
    assert desk.keep.observing.state_of("edge-1", "web") == "failed"


async def test_the_end_of_an_orderly_stop_is_on_disk(desk: Desk) -> None:
    await desk.keep.keep()
    desk.keep.note_verdict("edge-1", "online", "")
    desk.wall_ms[0] += 700
    await desk.keep.close()
    assert desk.states()[-1] == ("edge-1", "online")
    with desk.disk.database.reading() as connection:
        assert attendances(connection, 0)[LOG][0].until_ms == WALL_MS + 700


async def test_what_is_written_although_its_loop_was_cancelled_is_not_written_again(
    desk: Desk,
) -> None:
    """A hub that stops does not count a run of a check twice, nor hold a line twice."""
    await desk.keep.keep()
    desk.keep.note_verdict("edge-1", "online", "")
    desk.hub.checks.put_back([("edge-1", "ssh", WALL_MS, 1000)])
    for step in (desk.keep.keep, desk.keep.settle):
        await desk.disk.cancelled(step(), takes=True)
    await desk.keep.close()
    with desk.disk.database.reading() as connection:
        (bucket,) = check_times(connection, "edge-1", "ssh", COARSE_MS, 0)
    assert bucket.runs == 1
    assert desk.states() == [("", "began"), ("edge-1", "online")]
