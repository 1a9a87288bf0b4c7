"""The watch closes the door before the disk is full, says so once, and opens it by itself."""

import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.disk_guard import FULL_SECONDS, Room
from hub.disk_watch import LOOK_SECONDS, RETRY_AFTER_SECONDS, DiskWatch, room_of
from shared.errors import Unavailable
from shared.records import MIB
from shared.runtime import Runtime, system_runtime


@dataclass
class Disk:
    """A disk of 1000 MiB whose free room the test sets; 50 MiB of it are reserved."""

    free_mib: int = 500
    broken: bool = False
    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)

    def look(self, folder: Path) -> Room:
        if self.broken:
            raise OSError(5, "Input/output error")
        return Room(self.free_mib * MIB, 1000 * MIB)

    def watch(self) -> DiskWatch:
        runtime: Runtime = system_runtime()
        return DiskWatch(
            "hub-1",
            Path("/nowhere"),
            runtime,
            lambda kind, attributes: self.told.append((kind, attributes)),
            self.counters,
            look=self.look,
        )

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]


async def test_a_disk_with_room_lets_everything_in() -> None:
    disk = Disk()
    watch = disk.watch()
    watch.check()
    assert await watch.step() == LOOK_SECONDS
    watch.check()
    assert (disk.told, watch.gauges()["accepting"]) == ([], 1.0)


async def test_below_the_reserve_senders_are_asked_to_come_again() -> None:
    disk = Disk(free_mib=49)
    watch = disk.watch()
    await watch.step()
    with pytest.raises(Unavailable) as refused:
        watch.check()
    assert str(refused.value) == "the disk of hub-1 is nearly full: 49 MiB free, 50 are reserved"
    assert refused.value.retry_after_seconds == RETRY_AFTER_SECONDS
    assert watch.to_wire()["accepting"] is False
    assert disk.counters["disk_refusals"] == 1


async def test_it_tells_once_that_it_closed_and_once_that_it_opened() -> None:
    disk = Disk()
    watch = disk.watch()
    for free_mib in (500, 40, 30, 55, 62, 63, 500, 55):
        disk.free_mib = free_mib
        await watch.step()
    assert disk.kinds == ["disk.guard.closed", "disk.guard.opened"]
    assert [told["free_bytes"] // MIB for _, told in disk.told] == [40, 63]
    assert (disk.counters["disk_guard_closed"], disk.counters["disk_guard_opened"]) == (1, 1)
    watch.check()


async def test_a_write_that_finds_no_room_closes_it_at_once() -> None:
    """Also when the disk shows room: a quota does not show."""
    disk = Disk()
    watch = disk.watch()
    await watch.step()

    async def write() -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise Unavailable("the disk is full") from error

    with pytest.raises(Unavailable):
        await watch.guarded(write)
    await watch.step()
    with pytest.raises(Unavailable, match="is full: a write failed"):
        watch.check()
    assert disk.kinds == ["disk.guard.closed"]
    assert 0 < watch.state.closed_until - watch._now() <= FULL_SECONDS


async def test_other_trouble_with_a_write_does_not_close_it() -> None:
    watch = Disk().watch()

    async def write() -> None:
        raise Unavailable("the writer is behind with its work")

    with pytest.raises(Unavailable, match="behind"):
        await watch.guarded(write)
    watch.check()


async def test_work_is_not_begun_while_it_is_closed() -> None:
    watch = Disk(free_mib=1).watch()
    await watch.step()
    begun: list[int] = []

    async def write() -> None:
        begun.append(1)

    with pytest.raises(Unavailable, match="nearly full"):
        await watch.guarded(write)
    assert begun == []


async def test_work_that_goes_well_gives_its_result() -> None:
    watch = Disk().watch()

    async def write() -> int:
        return 7

    assert await watch.guarded(write) == 7


async def test_a_disk_that_cannot_be_asked_changes_nothing() -> None:
    """Whoever repeats the step says it; the door stays as it was."""
    disk = Disk(free_mib=10)
    watch = disk.watch()
    await watch.step()
    before, disk.broken = watch.state, True
    with pytest.raises(Unavailable, match="cannot be asked: Input/output error"):
        await watch.step()
    assert watch.state == before


def test_a_real_disk_has_room(tmp_path: Path) -> None:
    room = room_of(tmp_path)
    assert 0 < room.free_bytes <= room.total_bytes


def test_a_folder_that_is_gone_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        room_of(tmp_path / "gone")
