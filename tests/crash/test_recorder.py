"""The recorder: a trace holds all that happened to a folder, in order, and nothing else."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from random import Random

from tests.crash.disk import Content, Disk, State
from tests.crash.record import recording
from tests.crash.trace import Trace

ROOT = Path(__file__).parents[2]


def everything_a_program_does(folder: Path) -> None:
    """Files through SQLite, `open`, `os` and pathlib; made, grown, cut, moved and removed."""
    connection = sqlite3.connect(folder / "a.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", ((bytes(900),) for _ in range(30)))
    connection.execute("DELETE FROM t WHERE rowid < 20")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("VACUUM")
    connection.close()
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "text").write_text("a\nb\n", encoding="utf-8")
    with (folder / "deep" / "er" / "text").open("a", encoding="utf-8") as file:
        file.write("c\n")
    (folder / "deep").rename(folder / "moved")
    with (folder / "cut").open("w+b") as binary:
        binary.write(b"0123456789")
        binary.truncate(4)
        binary.seek(6)
        binary.write(b"x")
    handle = os.open(folder / "long", os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    os.write(handle, b"abc")
    os.posix_fallocate(handle, 0, 10_000)
    os.close(handle)
    (folder / "gone").write_bytes(b"1")
    (folder / "gone").unlink()


def folder_as_state(folder: Path) -> State:
    files, folders = {}, set()
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_dir():
            folders.add(name)
        else:
            files[name] = Content(bytearray(path.read_bytes()), path.stat().st_size)
    return State(files, frozenset(folders))


def end_of(trace: Trace) -> State:
    disk = Disk(trace)
    for operation in trace.operations:
        disk.apply(operation)
    variant, state = next(disk.after_power_cut(Random(1), 0))
    assert variant == "all kept"
    return state


def assert_same(model: State, real: State) -> None:
    for content in model.files.values():
        content.data.extend(bytes(content.size_bytes - len(content.data)))
    assert (sorted(model.files), model.folders) == (sorted(real.files), real.folders)
    for name, content in real.files.items():
        assert model.files[name] == content, name


def test_the_trace_tells_the_whole_truth(tmp_path: Path) -> None:
    """Played to its end on the model, it gives the bytes that are really there."""
    (tmp_path / "cut").write_bytes(b"was here before")
    with recording(tmp_path) as trace:
        everything_a_program_does(tmp_path)
    assert_same(end_of(trace), folder_as_state(tmp_path))


async def test_many_threads_may_write_while_it_is_recorded(tmp_path: Path) -> None:
    def work(number: int) -> None:
        connection = sqlite3.connect(tmp_path / f"{number}.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (a)")
        for row in range(50):
            connection.execute("INSERT INTO t VALUES (?)", (row,))
        connection.close()

    with recording(tmp_path) as trace:
        await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(4)))
    assert_same(end_of(trace), folder_as_state(tmp_path))


def test_nothing_is_recorded_elsewhere_or_afterwards(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    with recording(inside) as trace:
        (outside / "text").write_text("no", encoding="utf-8")
        sqlite3.connect(outside / "a.db").close()
    (inside / "late").write_text("no", encoding="utf-8")
    assert len(trace) == 0


def test_a_connection_that_outlives_the_recording_does_no_harm(tmp_path: Path) -> None:
    """A test that fails leaves connections open; the process must not fall over them later."""
    script = f"""
import pathlib, sqlite3
from tests.crash.record import recording
folder = pathlib.Path({str(tmp_path)!r})
with recording(folder) as trace:
    left = sqlite3.connect(folder / "a.db", isolation_level=None)
    left.execute("PRAGMA journal_mode=WAL")
    left.execute("CREATE TABLE t (a)")
length = len(trace)
left.execute("INSERT INTO t VALUES (1)")
assert len(trace) == length > 0
print("done")
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
