"""Index files: one beside each day file, made by one writer, and never worth repairing.

An index says of what it was made: the format, the identity of the hub's store, whose numbers it
uses, and its tables. One that says anything else, or that cannot be read, is begun again.
"""

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from shared.errors import BadInput, Unavailable
from shared.records import ChunkHeader
from shared.sqlite import (
    WAL_BYTES_KEPT_MAX,
    WAL_PAGES_BEFORE_CHECKPOINT,
    is_broken_file,
    open_reader,
)

FORMAT = 1
"""Raised when an index says something else about a chunk than before, so that all are remade."""

Given = tuple[int, ChunkHeader, bytes | None]
"""A chunk by its arrival, with its decompressed body; None for one that cannot be read."""

_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    "INSERT INTO meta VALUES ('through', 0)",
    "CREATE TABLE opaque (arrival INTEGER PRIMARY KEY)",
)

# What SQLite says of a file that is no database, or none of ours. Anything else may pass.
_STRANGE = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_SCHEMA,
    }
)


class Indexer(Protocol):
    """What the index of one signal is made of."""

    def tables(self) -> Sequence[str]:
        """The statements that make its tables."""
        ...

    def add(
        self, connection: sqlite3.Connection, arrival: int, header: ChunkHeader, body: bytes
    ) -> None:
        """Write what a chunk is found by; raises BadInput when it cannot be read."""
        ...


_Add = Callable[[sqlite3.Connection, Indexer, int, ChunkHeader, bytes], None]


def index_path(folder: Path, day: str, signal: str) -> Path:
    """Where the index of a day file is; `folder` is the hub's data folder."""
    return folder / "index" / f"{day}.{signal}.db"


def remove_index(path: Path) -> None:
    """Delete an index, if there is one. Whoever reads it may go on."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def open_for_write(path: Path, tables: Sequence[str], identity: str) -> sqlite3.Connection:
    """The index with these tables, begun again where the file is not of this make. One writer only.

    `identity` is that of the store which numbers the chunks. Raises Unavailable when the file cannot
    be opened or made now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    make = _make(tables, identity)
    with _in_our_words(path.name):
        if path.exists() and (connection := _reopen(path, make)) is not None:
            return connection
        remove_index(path)
        return _begin(path, tables, make)


def open_for_read(path: Path, identity: str) -> sqlite3.Connection | None:
    """The index as it stands; None when there is none, or none that this version and store can use.

    It may be one whose tables changed: reading those raises sqlite3.Error.
    """
    if not path.exists():
        return None
    connection = None
    try:
        connection = open_reader(path)
        if _make_of(connection).items() >= {"format": str(FORMAT), "identity": identity}.items():
            return connection
    except sqlite3.Error:
        pass  # Damaged or being made: the chunks have the answer.
    if connection is not None:
        connection.close()
    return None


def through(connection: sqlite3.Connection) -> int:
    """The last arrival that is in the index; 0 when there is none. Raises sqlite3.Error."""
    query = "SELECT value FROM meta WHERE key = 'through'"
    (arrival,) = connection.execute(query).fetchone()
    return int(arrival)


def set_through(connection: sqlite3.Connection, arrival: int) -> None:
    """Note that all chunks up to this one are in the index, within the caller's transaction."""
    connection.execute("UPDATE meta SET value = ? WHERE key = 'through'", (arrival,))


def opaque(connection: sqlite3.Connection) -> set[int]:
    """The chunks whose content is not known: any of them may hold a hit. Raises sqlite3.Error."""
    return {arrival for (arrival,) in connection.execute("SELECT arrival FROM opaque")}


def fill(connection: sqlite3.Connection, indexer: Indexer, chunks: Iterable[Given]) -> int:
    """Index these chunks, in order of arrival, in one transaction; returns the new `through`.

    Chunks that are in it already are passed over; one that cannot be read becomes opaque. Raises
    BadInput when the index is damaged and must be removed, Unavailable when the disk is full. After
    either nothing of the bunch is in it.
    """
    bunch = list(chunks)
    with _in_our_words("the index"):
        try:
            return _fill(connection, indexer, bunch, _add_plainly)
        except BadInput:
            # Rarely needed, and dear: at each savepoint the full-text index is written out.
            return _fill(connection, indexer, bunch, _add_carefully)


def _fill(
    connection: sqlite3.Connection, indexer: Indexer, bunch: Sequence[Given], add: _Add
) -> int:
    with _transaction(connection):
        last = through(connection)
        for arrival, header, body in bunch:
            if arrival <= last:
                continue
            if body is None:
                _add_opaque(connection, arrival)
            else:
                add(connection, indexer, arrival, header, body)
            last = arrival
        set_through(connection, last)
    return last


def _add_plainly(
    connection: sqlite3.Connection, indexer: Indexer, arrival: int, header: ChunkHeader, body: bytes
) -> None:
    indexer.add(connection, arrival, header, body)


def _add_carefully(
    connection: sqlite3.Connection, indexer: Indexer, arrival: int, header: ChunkHeader, body: bytes
) -> None:
    connection.execute("SAVEPOINT chunk")
    try:
        indexer.add(connection, arrival, header, body)
    except BadInput:
        connection.execute("ROLLBACK TO chunk")
        _add_opaque(connection, arrival)
    connection.execute("RELEASE chunk")


def _add_opaque(connection: sqlite3.Connection, arrival: int) -> None:
    connection.execute("INSERT INTO opaque VALUES (?)", (arrival,))


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # A full disk makes SQLite roll back by itself.
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _in_our_words(name: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if is_broken_file(error):
            raise BadInput(f"{name} is damaged: {error}") from error
        raise Unavailable(f"{name} cannot be written now: {error}") from error


def _make(tables: Sequence[str], identity: str) -> dict[str, str]:
    digest = hashlib.sha256("\n".join((*_TABLES, *tables)).encode()).hexdigest()
    return {"format": str(FORMAT), "identity": identity, "tables": digest}


def _make_of(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM meta WHERE key <> 'through'"))


def _reopen(path: Path, make: dict[str, str]) -> sqlite3.Connection | None:
    """The index that is there; None when it is to be begun again."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        _prepare(connection)
        if _make_of(connection) == make:
            return connection
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF not in _STRANGE:
            connection.close()
            raise
    connection.close()
    return None


def _begin(path: Path, tables: Sequence[str], make: dict[str, str]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        _prepare(connection)
        with _transaction(connection):
            for statement in (*_TABLES, *tables):
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", make.items())
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    """A power cut may undo the last commits, never tear them: what is undone is indexed again."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES_BEFORE_CHECKPOINT}")
    connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT_MAX}")
