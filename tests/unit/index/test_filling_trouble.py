"""Days that go, chunks that nobody can read, and full disks stop no writer of indexes."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hub.index import filling
from hub.index.filling import INDEXERS
from hub.index.logs import LogIndexer
from hub.index.sturdy import Sturdy
from hub.store import retire
from hub.store.days import DayKey, path_of
from shared.errors import BadInput, Unavailable
from shared.records import Signal
from tests.unit.index.fill_world import choose, fill_all, filler, index_of, truly_behind
from tests.unit.index.hub_stock import (
    DAYS,
    SIGNALS,
    HubStock,
    chunks_with,
    key_of,
    opaque_in,
    reached,
)
from tests.unit.query.stock import log, logs


async def test_an_index_of_a_day_that_went_is_not_left_behind(
    stock: HubStock, one_by_one: None
) -> None:
    """Not even when it was made once more while the day went; and its day file is let go of."""
    await stock.put(3)
    await stock.put(1, 1)
    with filler(stock) as made:
        made.fill_some(made.behind())
        made.fill_some(made.behind())
        late = made.behind()
        going = await choose(stock, key_of())
        write = stock.store.files.database.write
        await write(lambda connection: retire.take_out(connection, going))
        await write(
            lambda connection: retire.set_aside(
                connection, stock.folder, key_of(), stock.store.files.writer.leave
            )
        )
        retire.unlink(stock.folder, key_of())
        assert made.fill_some(late) == 0
        assert made.behind() == []
        assert [path.name for path in (stock.folder / "index").glob("*.db")] == [
            key_of(1).file_name
        ]
        assert not any("deleted" in name for name in open_files_of(os.getpid(), stock.folder))


def open_files_of(pid: int, folder: Path) -> list[str]:
    """The files of a folder that a process holds open, as /proc tells."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    names = []
    for link in links:
        try:
            names.append(str(link.readlink()))
        except OSError:
            continue  # The one that this listing needs.
    return [name for name in names if name.startswith(str(folder))]


async def test_a_stray_index_is_removed(stock: HubStock) -> None:
    await stock.put(1)
    stray = index_of(stock, DayKey("2020-01-01", "logs"))
    stray.parent.mkdir()
    stray.write_bytes(b"")
    with filler(stock) as made:
        made.behind()
    assert not stray.exists()


def overwrite_body(stock: HubStock, arrival: int) -> None:
    path = path_of(stock.folder, DAYS[0], "logs")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE body SET body = x'00ff' WHERE arrival = ?", (arrival,))


def drop_body(stock: HubStock, arrival: int) -> None:
    path = path_of(stock.folder, DAYS[0], "logs")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM body WHERE arrival = ?", (arrival,))


def overwrite_header(stock: HubStock, arrival: int) -> None:
    with closing(sqlite3.connect(stock.folder / "hub.db", isolation_level=None)) as connection:
        connection.execute("UPDATE chunk SET header = x'c1' WHERE arrival = ?", (arrival,))


@pytest.mark.parametrize("spoil", [overwrite_body, drop_body, overwrite_header])
async def test_a_chunk_that_cannot_be_read_becomes_opaque_and_the_others_do_not(
    stock: HubStock, spoil: Callable[[HubStock, int], None]
) -> None:
    await stock.put(3)
    spoil(stock, 2)
    with filler(stock) as made:
        assert fill_all(made) == 3
    assert opaque_in(stock.folder, key_of()) == {2}
    assert chunks_with(stock.folder, "w3") == {2, 3}


@pytest.mark.parametrize("signal", SIGNALS)
async def test_a_chunk_of_nonsense_becomes_opaque(stock: HubStock, signal: Signal) -> None:
    await stock.put(1, signal=signal)
    await stock.put(1, signal=signal, bodies=[b"\xff nonsense"])
    await stock.put(1, signal=signal)
    with filler(stock) as made:
        fill_all(made)
    assert opaque_in(stock.folder, key_of(0, signal)) == {2}
    assert reached(stock.folder, key_of(0, signal)) == 3


class Tripping:
    """Stumbles over one chunk after it wrote a part of it."""

    def __init__(self, error: Exception, over: int = 2) -> None:
        self._error, self._over, self._real = error, over, LogIndexer()

    def tables(self) -> Any:
        return self._real.tables()

    def add(self, connection: Any, arrival: int, *rest: Any) -> None:
        self._real.add(connection, arrival, *rest)
        if arrival == self._over:
            raise self._error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("nobody thought of it"),
        OverflowError("too large for SQLite"),
        RecursionError(),
        sqlite3.IntegrityError("it is there twice"),
        BadInput("no"),
    ],
)
async def test_whatever_a_chunk_does_to_its_indexer_the_others_are_indexed(
    stock: HubStock, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(filling, "INDEXERS", {**INDEXERS, Signal.LOGS: lambda: Tripping(error)})
    await stock.put(3)
    with filler(stock) as made:
        assert fill_all(made) == 3
    assert opaque_in(stock.folder, key_of()) == {2}
    assert chunks_with(stock.folder, "some") == {1, 2, 3}


class Remembering:
    """Believes that what it was given once is in the file."""

    def __init__(self) -> None:
        self.known: set[int] = set()

    def tables(self) -> list[str]:
        return ["CREATE TABLE note (arrival)"]

    def add(self, connection: Any, arrival: int, *rest: Any) -> None:
        if arrival in self.known:
            return
        self.known.add(arrival)
        connection.execute("INSERT INTO nowhere VALUES (1)")


def test_what_an_indexer_remembers_is_forgotten_after_a_fault() -> None:
    """What it remembers may have been rolled back."""
    sturdy = Sturdy(Remembering)
    with closing(sqlite3.connect(":memory:")) as connection:
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError):
                sturdy.add(connection, 1, filling._NO_HEADER, b"")


async def test_after_a_full_disk_it_goes_on(stock: HubStock, one_by_one: None) -> None:
    await stock.put(1)
    await stock.put(1, bodies=[large_body()])
    await stock.put(2)
    with filler(stock) as made:
        made.fill_some(made.behind())
        writer = made._writers[key_of()].connection
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(Unavailable):
            made.fill_some(made.behind())
        assert made.behind() == truly_behind(stock.folder)
        assert fill_all(made) == 3  # The limit was one of the connection that it has left.
    assert chunks_with(stock.folder, "some") == {1, 3, 4}
    assert chunks_with(stock.folder, "v1") == {2}


def large_body() -> bytes:
    """One that needs many pages of an index."""
    return logs([log(1, " ".join(f"v{n}" for n in range(20_000)))]).SerializeToString()


async def test_a_day_file_that_gives_trouble_does_not_keep_the_others_waiting(
    stock: HubStock,
) -> None:
    await stock.put(2, 0)
    await stock.put(2, 1)
    index_of(stock, key_of(1)).mkdir(parents=True)
    with filler(stock) as made:
        assert made.fill_some(made.behind()) == 2
        with pytest.raises(Unavailable):
            made.fill_some(made.behind())
        index_of(stock, key_of(1)).rmdir()
        assert fill_all(made) == 2
