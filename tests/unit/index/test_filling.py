"""Indexes are brought up to their day files, the newest first, and nothing is left out."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest

from hub.index import filling
from hub.index.backlog import Behind
from hub.index.files import remove_index, through
from hub.index.filling import Filler
from shared.records import MIB
from shared.sqlite import open_reader
from tests.unit.index.fill_world import fill_all, filler, index_of
from tests.unit.index.hub_stock import (
    IDENTITY,
    SIGNALS,
    HubStock,
    chunks_with,
    key_of,
    reached,
)
from tests.unit.query.stock import log, logs


async def test_chunks_of_all_signals_and_days_are_indexed(stock: HubStock) -> None:
    for day in range(2):
        for signal in SIGNALS:
            await stock.put(2, day, signal)
    with filler(stock) as made:
        assert fill_all(made) == stock.count
    for key, arrivals in stock.arrivals.items():
        assert reached(stock.folder, key) == arrivals[-1]
    assert chunks_with(stock.folder, "w1") == {1}


async def test_the_newest_day_comes_first_also_when_it_is_new(
    stock: HubStock, one_by_one: None
) -> None:
    """People ask about today; and what comes today overtakes what is left of old days."""
    await stock.put(2, 0)
    await stock.put(2, 1)
    with filler(stock) as made:
        assert [each.key for each in made.behind()] == [key_of(1), key_of(0)]
        made.fill_some(made.behind())
        made.fill_some(made.behind())
        made.fill_some(made.behind())
        await stock.put(1, 2)
        made.fill_some(made.behind())
        assert reached(stock.folder, key_of(2)) == 5
        assert reached(stock.folder, key_of(0)) == 1


async def test_chunks_that_come_while_others_are_indexed_are_indexed_after_them(
    stock: HubStock, one_by_one: None
) -> None:
    await stock.put(3)
    with filler(stock) as made:
        for _ in range(4):
            assert made.fill_some(made.behind()) == 1
            await stock.put(1)
        assert fill_all(made) == 3
    assert reached(stock.folder, key_of()) == 7


async def test_a_bunch_ends_when_its_bodies_are_large_once_they_are_decompressed(
    stock: HubStock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was in their headers: a few bytes may be many megabytes."""
    monkeypatch.setattr(filling, "BUNCH_RAW_BYTES_MAX", 2 * MIB)
    await stock.put(5, bodies=[logs([log(1, "x" * MIB)]).SerializeToString()] * 5)
    with filler(stock) as made:
        assert made.fill_some(made.behind()) == 2
        monkeypatch.setattr(filling, "BUNCH_RAW_BYTES_MAX", MIB // 2)
        assert made.fill_some(made.behind()) == 1


async def test_a_bunch_ends_when_it_has_many_bytes(
    stock: HubStock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "BUNCH_BYTES_MAX", 60)
    await stock.put(9)
    with filler(stock) as made:
        assert 0 < made.fill_some(made.behind()) < 9
        assert fill_all(made) > 0


@pytest.mark.parametrize("steps_before", range(7))
async def test_another_goes_on_where_a_killed_one_was(
    stock: HubStock, one_by_one: None, tmp_path: Path, steps_before: int
) -> None:
    """From the files as they are between two bunches, none of them closed."""
    await stock.put(4)
    await stock.put(3, 1)
    copy = tmp_path / "copy"
    with filler(stock) as killed:
        for _ in range(steps_before):
            killed.fill_some(killed.behind())
        stock.store.files.close()
        shutil.copytree(tmp_path, copy, ignore=shutil.ignore_patterns("copy"))
    with closing(Filler(copy, IDENTITY)) as made:
        assert fill_all(made) == 7 - steps_before
    assert [chunks_with(copy, f"w{n}") for n in range(1, 5)] == [{1}, {2}, {3}, {4}]
    assert chunks_with(copy, "some") == {1, 2, 3, 4}
    assert chunks_with(copy, "some", key_of(1)) == {5, 6, 7}


@pytest.mark.parametrize("is_folder", [False, True])
async def test_an_index_that_is_deleted_is_noticed_and_made_again(
    stock: HubStock, is_folder: bool
) -> None:
    """While the writer has it open."""
    await stock.put(3)
    with filler(stock) as made:
        fill_all(made)
        assert made.behind() == []
        if is_folder:
            shutil.rmtree(stock.folder / "index")
        else:
            remove_index(index_of(stock))
        assert made.behind() == [Behind(key_of(), 3)]
        assert fill_all(made) == 3
    assert chunks_with(stock.folder, "some") == {1, 2, 3}


async def test_an_index_that_is_deleted_between_a_look_and_a_bunch_begins_at_the_first_chunk(
    stock: HubStock, one_by_one: None
) -> None:
    """Else what comes before would be missing for ever."""
    await stock.put(4)
    with filler(stock) as made:
        made.fill_some(made.behind())
        late = made.behind()
        remove_index(index_of(stock))
        made.fill_some(late)
        assert reached(stock.folder, key_of()) == 1
        assert fill_all(made) == 3
    assert chunks_with(stock.folder, "some") == {1, 2, 3, 4}


async def test_an_index_that_is_replaced_is_looked_at_anew(stock: HubStock) -> None:
    """As a backup that was put in its place, with less in it."""
    await stock.put(2)
    aside = stock.folder / "aside.db"
    with filler(stock) as made:
        fill_all(made)
    shutil.copy(index_of(stock), aside)
    await stock.put(2)
    with filler(stock) as made:
        fill_all(made)
        remove_index(index_of(stock))
        shutil.copy(aside, index_of(stock))
        assert made.behind() == [Behind(key_of(), 2)]
        fill_all(made)
    assert chunks_with(stock.folder, "some") == {1, 2, 3, 4}


async def test_an_index_of_another_store_is_made_again(stock: HubStock) -> None:
    await stock.put(2)
    with filler(stock, "another") as made:
        fill_all(made)
    with filler(stock) as made:
        assert fill_all(made) == 2
    assert chunks_with(stock.folder, "some") == {1, 2}


async def test_an_index_that_knows_chunks_which_never_came_is_made_again(stock: HubStock) -> None:
    """As after a backup of the store alone was restored."""
    await stock.put(2)
    with filler(stock) as made:
        fill_all(made)
    with closing(sqlite3.connect(index_of(stock), isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = 50 WHERE key = 'through'")
    with filler(stock) as made:
        assert made.behind() == [Behind(key_of(), 2)]
        fill_all(made)
    assert reached(stock.folder, key_of()) == 2


async def test_a_damaged_index_is_made_again_when_that_shows(stock: HubStock) -> None:
    await stock.put(3)
    with filler(stock) as made:
        fill_all(made)
    path = index_of(stock)
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    await stock.put(1)
    with filler(stock) as made:
        late = [Behind(key_of(), 1)]
        while made.fill_some(late) or made.behind():
            pass
    assert chunks_with(stock.folder, "some") == {1, 2, 3, 4}


# ---- The write-ahead logs


def reached_without_log(stock: HubStock) -> int:
    """How far the file of an index goes by itself, whatever its write-ahead log has."""
    with closing(open_reader(index_of(stock), immutable=True)) as connection:
        return through(connection)


async def index_one(stock: HubStock, made: Filler) -> None:
    await stock.put(1)
    fill_all(made)


async def test_what_a_reader_still_needs_is_settled_once_the_reader_is_gone(
    stock: HubStock,
) -> None:
    """Without another try questions would look pages up in the log until the next chunk comes, and
    for a day that is over none does."""
    with filler(stock) as made:
        await index_one(stock, made)
        made.settle()
        with closing(open_reader(index_of(stock))) as reader:
            reader.execute("BEGIN")
            assert through(reader) == 1
            await index_one(stock, made)
            made.settle()
            assert reached_without_log(stock) == 1
        made.settle()
        assert reached_without_log(stock) == 2


async def test_a_settled_index_is_left_alone_until_more_is_written_to_it(stock: HubStock) -> None:
    with filler(stock) as made:
        await index_one(stock, made)
        asked: list[str] = []
        made._writers[key_of()].connection.set_trace_callback(asked.append)
        for settled in (1, 2):
            made.settle()
            made.settle()
            assert len([sql for sql in asked if "wal_checkpoint" in sql]) == settled
            assert reached_without_log(stock) == settled
            await index_one(stock, made)


@contextmanager
def in_a_transaction(writer: sqlite3.Connection, path: Path) -> Iterator[None]:
    writer.execute("BEGIN IMMEDIATE")
    yield
    writer.execute("ROLLBACK")


@contextmanager
def while_another_checkpoints(writer: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Byte 121 of the shared memory is WAL_CKPT_LOCK (sqlite.org/walformat.html, 2.3.1)."""
    hold = "import fcntl, sys; file = open(sys.argv[1], 'r+b'); fcntl.lockf(file, 2, 1, 121)"
    command = [sys.executable, "-c", f"{hold}; print(flush=True); input()", f"{path}-shm"]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"
        yield
        other.communicate(b"\n")


@pytest.mark.parametrize("hindered", [in_a_transaction, while_another_checkpoints])
async def test_an_index_that_cannot_be_settled_now_is_settled_later(
    stock: HubStock, hindered: Callable[..., AbstractContextManager[None]]
) -> None:
    """Whether SQLite says so by an error or by its answer."""
    with filler(stock) as made:
        await index_one(stock, made)
        made.settle()
        await index_one(stock, made)
        with hindered(made._writers[key_of()].connection, index_of(stock)):
            made.settle()
            assert reached_without_log(stock) == 1
        made.settle()
        assert reached_without_log(stock) == 2
