"""Saving what a hub knows: whoever is cancelled in the middle loses nothing and doubles nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hub.nodes.grave_part import GravePart
from hub.nodes.live_part import LivePart
from hub.nodes.offline_book import OfflineBook
from hub.nodes.removals import Removals
from hub.nodes.tombstones import removal_value
from hub.peering.incident import Sight
from hub.peering.view_part import ViewPart
from hub.peering.view_watch import ViewWatch
from hub.registry import Registry
from hub.saving import Saving
from hub.store import gossip_table, offline_table
from hub.store.grave_table import load_graves
from hub.store.incident_table import load_sights, save_sights
from hub.store.schema import MIGRATIONS
from shared.beat import Beat
from shared.liveness import NodeState
from shared.merge import REMOVED
from shared.runtime import Runtime
from shared.sqlite import Database
from shared.stamp import HybridClock
from tests.unit.halting_disk import HaltingDisk

WALL_MS = 1_790_000_000_000
YEAR_MS = 365 * 86_400_000


def no_work(*_: Any) -> Any:
    raise AssertionError("nothing of this is needed here")


@dataclass
class Ground:
    """What parts need of a hub to write."""

    database: HaltingDisk


@dataclass
class Watch:
    """What the part about liveness needs to write who is offline."""

    offline: OfflineBook


@dataclass
class Desk:
    """A hub that saves its nodes and graves."""

    disk: HaltingDisk
    registry: Registry
    removals: Removals
    saving: Saving
    part: GravePart

    def beat(self, node: str, number: int = 1) -> None:
        """A node beats."""
        beat = Beat(node, 1, number, "e", number, {"number": number}, {}, {})
        self.registry.hear(beat, float(number), WALL_MS)

    def on_disk(self) -> dict[str, bytes]:
        """The records that are saved."""
        with self.disk.database.reading() as connection:
            return {each.node: each.record for each in gossip_table.load(connection).nodes}

    def in_memory(self) -> dict[str, bytes]:
        """The records as they are."""
        replica = self.registry.replica
        return {node: replica.rules.encode(record) for node, record in replica.records.items()}

    def covered_on_disk(self) -> bool:
        """Whether the vector on disk is that of the memory."""
        with self.disk.database.reading() as connection:
            saved = gossip_table.load_vector(connection).vector
        return saved == dict(self.registry.replica.vector.ranges)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = Database(tmp_path / "hub.db", MIGRATIONS, synchronous="OFF", threads=False)
    disk = HaltingDisk(database)
    registry = Registry("hub-1", 0.0, HybridClock("hub-1"), numbering="n")
    removals = Removals(registry, lambda name, facts: None, lambda: 0.0, lambda: WALL_MS + YEAR_MS)
    removals.load([])
    runtime = Runtime(lambda: WALL_MS * 1_000_000, Random(1), no_work, no_work)
    saving = Saving(registry, disk, runtime)  # type: ignore[arg-type]  # Writes as one does.
    part = GravePart(Ground(disk), removals, no_work, no_work)  # type: ignore[arg-type]
    yield Desk(disk, registry, removals, saving, part)
    database.close()


@pytest.mark.parametrize("takes", [True, False])
async def test_nodes_whose_save_was_cancelled_are_as_they_are_with_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, takes: bool
) -> None:
    """Whether the disk took them or not, in one step or ahead of the last one."""
    for page in (2, 100):
        monkeypatch.setattr("hub.saving.PAGE_RECORDS", page)
        for number in range(5):
            desk.beat(f"edge-{number}", page)
        await desk.disk.cancelled(desk.saving.save(), takes=takes)
        desk.beat("edge-1", page + 1)
        await desk.saving.save()
        assert desk.on_disk() == desk.in_memory()
        assert desk.covered_on_disk()


@pytest.mark.parametrize("takes", [True, False])
async def test_a_node_that_was_buried_after_a_cancelled_save_does_not_come_back(
    desk: Desk, *, takes: bool
) -> None:
    desk.beat("edge-1")
    desk.beat("edge-2")
    desk.registry.intend("edge-1", REMOVED, removal_value(WALL_MS, "me"), WALL_MS, 1.0)
    await desk.disk.cancelled(desk.saving.save(), takes=takes)
    assert desk.removals.bury(set()) == ["edge-1"]
    await desk.disk.cancelled(desk.part._save(["edge-1"]), takes=True)
    await desk.saving.save()
    await desk.part.close()
    assert list(desk.on_disk()) == ["edge-2"]
    with desk.disk.database.reading() as connection:
        assert [grave[0] for grave in load_graves(connection)] == ["edge-1"]


async def test_graves_that_a_cancelled_save_did_not_bring_to_the_disk_are_written_at_the_end(
    desk: Desk,
) -> None:
    for node in ("edge-1", "edge-2"):
        desk.beat(node)
        desk.registry.intend(node, REMOVED, removal_value(WALL_MS, "me"), WALL_MS, 1.0)
    await desk.saving.save()
    buried = desk.removals.bury(set())
    await desk.disk.cancelled(desk.part._save(buried), takes=False)
    await desk.part.close()
    with desk.disk.database.reading() as connection:
        assert [grave[0] for grave in load_graves(connection)] == ["edge-1", "edge-2"]


@pytest.mark.parametrize("takes", [True, False])
async def test_who_is_offline_is_on_disk_after_a_stop_in_the_middle_of_writing_it(
    desk: Desk, *, takes: bool
) -> None:
    book = OfflineBook()
    part = LivePart(Ground(desk.disk), Watch(book), no_work, no_work)  # type: ignore[arg-type]
    book.turned("edge-1", NodeState.OFFLINE, 7)
    await desk.disk.cancelled(part._save(), takes=takes)
    await part.close()
    assert await desk.disk.write(offline_table.load) == {"edge-1": 7}


@pytest.mark.parametrize("takes", [True, False])
async def test_what_was_seen_of_a_split_is_on_disk_after_a_stop_in_the_middle_of_writing_it(
    desk: Desk, *, takes: bool
) -> None:
    async def save(changed: Any) -> None:
        await desk.disk.write(lambda db: save_sights(db, changed))

    parts: tuple[Any, ...] = (no_work, no_work, no_work, no_work, {}, save)
    watch = ViewWatch("hub-1", "life", *parts)
    part = ViewPart(Ground(desk.disk), watch, no_work, no_work)  # type: ignore[arg-type]
    sight = Sight("hub-2", WALL_MS, configured=("hub-1", "hub-2"))
    watch.incidents.learn([sight])
    await desk.disk.cancelled(watch.write_down(), takes=takes)
    await part.close()
    with desk.disk.reading() as connection:
        assert load_sights(connection) == [sight]
