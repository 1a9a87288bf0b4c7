"""Saving what a hub knows of nodes: whoever is cancelled in the middle loses nothing and doubles nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hub.nodes.grave_part import GravePart
from hub.nodes.removals import Removals
from hub.nodes.tombstones import removal_value
from hub.registry import Registry
from hub.saving import Saving
from hub.store import gossip_table
from hub.store.grave_table import load_graves
from hub.store.schema import MIGRATIONS
from shared.beat import Beat
from shared.errors import Unavailable
from shared.merge import REMOVED
from shared.runtime import Runtime
from shared.sqlite import Database
from shared.stamp import HybridClock

WALL_MS = 1_790_000_000_000
YEAR_MS = 365 * 86_400_000


def no_work(*_: Any) -> Any:
    raise AssertionError("nothing of this is needed here")


@dataclass
class Disk:
    """A database that writes what was handed in, and says so when the test lets it, or refuses."""

    database: Database
    handed_in: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None
    takes: bool = True

    async def write(self, job: Any) -> Any:
        """Raises Unavailable for what it did not take."""
        done = await self.database.write(job) if self.takes else None
        self.handed_in.set()
        if self.gate is not None:
            await self.gate.wait()
        if not self.takes:
            raise Unavailable("the disk is full", retry_after_seconds=1.0)
        return done

    async def cancelled(self, work: Any, *, takes: bool) -> None:
        """Have the work cancelled while it waits for what it handed in."""
        self.takes, self.handed_in, self.gate = takes, asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self.handed_in.set())  # It may fail before that.
        await self.handed_in.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        self.takes, self.gate = True, None


@dataclass
class Ground:
    """What the part about removed nodes needs of a hub to write."""

    database: Disk


@dataclass
class Desk:
    """A hub that saves its nodes and graves."""

    disk: Disk
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
    disk = Disk(database)
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
