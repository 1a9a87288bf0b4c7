"""The proof machinery proves something: it finds what is lost where a sync is missing, and only there."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from sqlite_utils.db import Database as Schema
from sqlite_utils.migrations import Migrations

from shared import sqlite as shared_sqlite
from shared.sqlite import Database, sync_folder
from tests.crash.disk import SECTOR_BYTES, Disk
from tests.crash.record import recording
from tests.crash.replay import Check, Crash, Violation, crashes, reason_of, replay
from tests.crash.trace import Beginning, Create, Rename, Sync, SyncFolder, Trace, Unlink, Write

TOY = Migrations("toy")
ROWS = 40


@TOY()
def toy_table(db: Schema) -> None:
    """A log of numbers, with enough beside them to fill pages."""
    db.execute("CREATE TABLE entry (number INTEGER PRIMARY KEY, body BLOB NOT NULL)")


async def toy_trace(folder: Path, synchronous: str, *, threads: bool = False) -> Trace:
    """Rows written one after the other; the trace is marked when each was answered."""
    with recording(folder) as trace:
        database = Database(folder / "toy.db", TOY, synchronous=synchronous, threads=threads)
        try:
            for number in range(1, ROWS + 1):
                row = (number, bytes(700))
                await database.write(lambda c, row=row: c.execute(_INSERT, row))  # type: ignore[misc]
                trace.mark()
        finally:
            database.close()
    return trace


_INSERT = "INSERT INTO entry VALUES (?, ?)"


def rows_in(folder: Path) -> list[int]:
    database = Database(folder / "toy.db", TOY, synchronous="FULL", threads=False)
    try:
        with database.reading() as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return [number for (number,) in connection.execute("SELECT number FROM entry")]
    finally:
        database.close()


async def rows_are_a_beginning(folder: Path, crash: Crash) -> None:
    rows = rows_in(folder)
    assert rows == list(range(1, len(rows) + 1)), f"a hole, or damage: {rows}"


def none_is_lost(trace: Trace) -> Check:
    async def check(folder: Path, crash: Crash) -> None:
        await rows_are_a_beginning(folder, crash)
        found, answered = len(rows_in(folder)), trace.marks_before(crash.length)
        assert found >= answered, f"{answered} rows were answered, {found} are there"

    return check


@pytest.fixture(autouse=True)
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delicate moments of a write-ahead log come often."""
    monkeypatch.setattr(shared_sqlite, "WAL_PAGES_BEFORE_CHECKPOINT", 12)


@pytest.mark.parametrize("strict", [False, True])
async def test_what_a_full_sync_has_acknowledged_survives_every_power_cut(
    tmp_path: Path, strict: bool
) -> None:
    """Even on a file system that keeps a name only when its folder was synced."""
    trace = await toy_trace(tmp_path, "FULL")
    tried = await replay(trace, crashes(trace, 1, strict=strict), none_is_lost(trace))
    assert tried > 300


async def test_threads_leave_a_trace_that_holds_as_well(tmp_path: Path) -> None:
    trace = await toy_trace(tmp_path, "FULL", threads=True)
    assert await replay(trace, crashes(trace, 2, share=0.3), none_is_lost(trace)) > 100


async def test_a_log_without_its_sync_is_caught_losing_rows(tmp_path: Path) -> None:
    """synchronous=NORMAL keeps a file whole, and loses what it had acknowledged: both are seen."""
    trace = await toy_trace(tmp_path, "NORMAL")
    with pytest.raises(Violation) as caught:
        await replay(trace, crashes(trace, 3), none_is_lost(trace))
    assert "rows were answered" in reason_of(caught.value)
    assert await replay(trace, crashes(trace, 3), rows_are_a_beginning) > 100


async def test_a_log_that_never_syncs_is_caught_broken(tmp_path: Path) -> None:
    """synchronous=OFF does not even keep the file whole."""
    trace = await toy_trace(tmp_path, "OFF")
    assert not any(isinstance(each, Sync) for each in trace.operations[trace.marks[0] :])
    with pytest.raises(Violation) as caught:
        await replay(trace, crashes(trace, 4), rows_are_a_beginning)
    assert "power cut after" in str(caught.value)
    assert "left on the disk: toy.db" in str(caught.value)


async def test_an_answer_before_the_commit_is_caught(tmp_path: Path) -> None:
    """The marks mean what they say: moved to before the write, they cannot be kept."""
    trace = await toy_trace(tmp_path, "FULL")
    trace.marks = [0, *trace.marks[:-1]]
    with pytest.raises(Violation, match="promises made"):
        await replay(trace, crashes(trace, 5), none_is_lost(trace))


def after(trace: Trace, *, strict: bool = False) -> Disk:
    """The model of the disk at the end of a trace."""
    disk = Disk(trace, strict=strict)
    for operation in trace.operations:
        disk.apply(operation)
    return disk


def replace_carelessly(folder: Path) -> None:
    (folder / "new").write_bytes(b"new")
    os.replace(folder / "new", folder / "it")


def replace_with_care(folder: Path) -> None:
    with (folder / "new").open("wb") as file:
        file.write(b"new")
        file.flush()
        os.fsync(file.fileno())
    (folder / "new").replace(folder / "it")
    sync_folder(folder)


def replace_by_descriptor(folder: Path) -> None:
    handle = os.open(folder / "new", os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(handle, b"n")
    os.write(handle, b"ew")
    os.fdatasync(handle)
    os.close(handle)
    os.rename(folder / "new", folder / "it")
    sync_folder(folder)


def outcomes(folder: Path, work: Callable[[Path], None]) -> tuple[set[bytes], set[bytes]]:
    """What a file may hold at some time, and at the end of the work."""
    (folder / "it").write_bytes(b"old")
    with recording(folder) as trace:
        work(folder)
    held = [
        (crash.length, bytes(crash.state.files["it"].data)) for crash in crashes(trace, 6, draws=20)
    ]
    return {data for _, data in held}, {data for length, data in held if length == len(trace)}


def test_a_file_replaced_without_a_sync_may_come_out_empty(tmp_path: Path) -> None:
    assert b"" in outcomes(tmp_path, replace_carelessly)[1]


@pytest.mark.parametrize("work", [replace_with_care, replace_by_descriptor])
def test_a_file_replaced_with_care_is_the_old_or_the_new(
    tmp_path: Path, work: Callable[[Path], None]
) -> None:
    ever, _ = outcomes(tmp_path, work)
    assert ever == {b"old", b"new"}


def test_after_the_sync_of_the_folder_it_is_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(b"old")
    with recording(tmp_path) as trace:
        replace_with_care(tmp_path)
    assert trace.operations[-1] == SyncFolder("")
    states = [state for _, state in after(trace, strict=True).after_power_cut(Random(1), 3)]
    assert [bytes(state.files["it"].data) for state in states] == [b"new"]


def files_after(trace: Trace, *, strict: bool = False) -> dict[str, set[bytes]]:
    """By variant, what "a" may hold at the end of a trace; b"-" stands for no such file."""
    held: dict[str, set[bytes]] = {}
    for variant, state in after(trace, strict=strict).after_power_cut(Random(1), 50):
        data = bytes(state.files["a"].data) if "a" in state.files else b"-"
        held.setdefault(variant.partition(" ")[0], set()).add(data)
    return held


def test_a_torn_write_is_torn_between_sectors() -> None:
    old, new = b"o" * 3 * SECTOR_BYTES, b"n" * 3 * SECTOR_BYTES
    trace = Trace(Beginning({0: old}, {"a": 0}), [Write(0, 0, new)])
    held = set.union(*files_after(trace).values())
    assert {old, new} < held
    for data in held:
        sectors = [data[at : at + SECTOR_BYTES] for at in range(0, len(data), SECTOR_BYTES)]
        assert all(len(set(sector)) == 1 for sector in sectors), data


def test_the_sync_of_a_file_keeps_its_name_and_a_strict_disk_does_not() -> None:
    trace = Trace(Beginning(), [Create(0, "a"), Write(0, 0, b"x"), Sync(0)])
    assert set.union(*files_after(trace).values()) == {b"x"}
    assert set.union(*files_after(trace, strict=True).values()) == {b"x", b"-"}


def test_changes_to_a_folder_reach_the_disk_in_order() -> None:
    """No state has the second change without the first."""
    beginning = Beginning({0: b"1", 1: b"2"}, {"a": 0, "b": 1})
    trace = Trace(beginning, [Rename("a", "c"), Unlink("b")])
    states = {frozenset(crash.state.files) for crash in crashes(trace, 9, draws=20)}
    assert states == {frozenset("ab"), frozenset("cb"), frozenset("c")}
