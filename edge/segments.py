"""The files of the buffer: the newest is written to, the others are closed and only read.

A file is begun with the whole state of the buffer in it, so that dropping an old one takes nothing
along, and so that any one of them tells what there was when it was begun.
"""

import contextlib
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from edge import chunk_table
from edge.books import Books
from edge.schema import SEGMENT_MIGRATIONS
from shared.records import Checkpoint, Chunk
from shared.sqlite import Database, open_reader, open_writer, sync_folder

Result = TypeVar("Result")

SUFFIX = ".segment"
OPEN_READERS_MAX = 4
"""Draining reads one file after the other, and so does a query."""


def path_of(folder: Path, number: int) -> Path:
    """Where a segment lies."""
    return folder / f"{number:08d}{SUFFIX}"


def numbers_in(folder: Path) -> list[int]:
    """The segments in a folder, oldest first."""
    names = (path.stem for path in folder.glob(f"*{SUFFIX}"))
    return sorted(int(name) for name in names if name.isdecimal())


def begin_file(
    folder: Path,
    number: int,
    books: Books,
    checkpoints: Iterable[Checkpoint],
    synchronous: str,
    chunks: Iterable[Chunk] = (),
    renew: Callable[[sqlite3.Connection, Books], Books] | None = None,
) -> Books:
    """Make the file of a new segment with the state of the buffer in it; durable on return."""
    connection = open_writer(path_of(folder, number), SEGMENT_MIGRATIONS, synchronous)
    try:
        connection.execute("BEGIN IMMEDIATE")
        if renew is not None:
            books = renew(connection, books)
        chunk_table.save_books(connection, None, books)
        chunk_table.save_checkpoints(connection, checkpoints)
        for chunk in chunks:
            chunk_table.put_chunk(connection, chunk)
        connection.execute("COMMIT")
    finally:
        connection.close()
    sync_folder(folder)
    return books


def file_bytes(folder: Path) -> int:
    """The room that everything in the folder takes on the disk."""
    return sum(_size(path) for path in folder.iterdir())


def wal_bytes(folder: Path) -> int:
    """The room that write-ahead logs take."""
    return sum(_size(path) for path in folder.glob("*-wal"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # It went while we were looking.
        return 0


class SegmentFiles:
    """All files of one buffer. `write` and `advance` are for one caller at a time; `reading` for any.

    The gate keeps a file from being closed or removed while somebody reads it.
    """

    def __init__(self, folder: Path, number: int, synchronous: str, *, threads: bool) -> None:
        self.folder = folder
        self._synchronous = synchronous
        self._threads = threads
        self._number = number
        self._active = self._open_active(number)
        self._readers: OrderedDict[int, sqlite3.Connection] = OrderedDict()
        self._gate = threading.RLock()

    def _open_active(self, number: int) -> Database:
        return Database(
            path_of(self.folder, number),
            SEGMENT_MIGRATIONS,
            synchronous=self._synchronous,
            threads=self._threads,
        )

    async def write(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a job in a transaction on the newest file; returns after the commit."""
        return await self._active.write(job)

    @contextmanager
    def reading(self, number: int) -> Iterator[sqlite3.Connection]:
        """A connection to one file, from any thread; raises sqlite3.Error. Keep it short."""
        with self._gate:
            if number == self._number:
                with self._active.reading() as connection:
                    yield connection
            else:
                yield self._reader(number)

    def _reader(self, number: int) -> sqlite3.Connection:
        if number in self._readers:
            self._readers.move_to_end(number)
            return self._readers[number]
        path = path_of(self.folder, number)
        # A file that was never closed in peace has its newest rows in the write-ahead log.
        connection = open_reader(path, immutable=not _has_wal(path))
        self._readers[number] = connection
        if len(self._readers) > OPEN_READERS_MAX:
            _, eldest = self._readers.popitem(last=False)
            eldest.close()
        return connection

    def forget_reader(self, number: int) -> None:
        """Close the connection to a file that gave errors."""
        with self._gate:
            connection = self._readers.pop(number, None)
            if connection is not None:
                connection.close()

    def advance(
        self,
        books: Books,
        checkpoints: Iterable[Checkpoint],
        renew: Callable[[sqlite3.Connection, Books], Books] | None = None,
    ) -> Books:
        """Begin the file of the last segment in `books` and close the one before. Blocks."""
        number = books.active.number
        begun = begin_file(self.folder, number, books, checkpoints, self._synchronous, renew=renew)
        fresh = self._open_active(number)
        with self._gate:
            former, self._active, self._number = self._active, fresh, number
            former.close()
        _name_successor(former.path, number)
        return begun

    def drop(self, numbers: Iterable[int]) -> None:
        """Remove files; what they held is safe or declared lost. Blocks."""
        with self._gate:
            for number in numbers:
                self.forget_reader(number)
                remove_file(self.folder, number)

    def close(self) -> None:
        """Let go of all files."""
        with self._gate:
            self._close_readers()
            self._active.close()

    def abandon(self) -> None:
        """Let go of all files as a killed process would. For simulations."""
        self._close_readers()
        self._active.abandon()

    def _close_readers(self) -> None:
        while self._readers:
            self._readers.popitem()[1].close()


def _name_successor(path: Path, number: int) -> None:
    """Note in a file that is done with that the next one was begun, so that its loss is noticed."""
    with contextlib.suppress(sqlite3.Error):  # Only a help for later; a broken file has none.
        connection = open_writer(path, SEGMENT_MIGRATIONS, "NORMAL")
        try:
            chunk_table.set_successor(connection, number)
        finally:
            connection.close()


def remove_file(folder: Path, number: int) -> None:
    """Remove a segment with what SQLite keeps beside it, the file itself last."""
    path = path_of(folder, number)
    for beside in ("-wal", "-shm", ""):
        path.with_name(path.name + beside).unlink(missing_ok=True)


def settle_wal(folder: Path, number: int, synchronous: str) -> None:
    """Bring the write-ahead log of a file that was not closed in peace into the file."""
    path = path_of(folder, number)
    if _has_wal(path):
        open_writer(path, SEGMENT_MIGRATIONS, synchronous).close()


def _has_wal(path: Path) -> bool:
    return _size(path.with_name(path.name + "-wal")) > 0
