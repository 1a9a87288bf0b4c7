"""Day files: the bodies of chunks, one SQLite file for each UTC day of arrival and each signal.

Retention unlinks such a file, and damage to one leaves all others alone. A file tells for itself
what is in it: header, body and time of arrival of each chunk. Its rows commit before those of hub.db
do, so a row there always has its body; a row here that hub.db does not know was never acknowledged,
and the next chunk that gets its arrival number replaces it.
"""

import contextlib
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlite_utils.db import Database as Schema
from sqlite_utils.migrations import Migrations

from shared.sqlite import BesideError, is_disk_full, open_writer, sync_folder

FOLDER = "days"
DAY_MS = 86_400_000
WRITERS_OPEN_MAX = 8  # Today and yesterday, of four signals.
DAY_MIGRATIONS = Migrations("hub_day")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@DAY_MIGRATIONS()
def body_table(db: Schema) -> None:
    """The body is last, so that the columns before it are read without it."""
    db.execute(
        "CREATE TABLE body (arrival INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL,"
        " header BLOB NOT NULL, body BLOB NOT NULL)"
    )


@dataclass(frozen=True, slots=True)
class DayKey:
    """Which day file: `day` as in 2026-11-21, and the signal."""

    day: str
    signal: str

    @classmethod
    def of_name(cls, file_name: str) -> "DayKey":
        """The key of a file of this name."""
        day, signal, _ = file_name.split(".")
        return cls(day, signal)

    @property
    def file_name(self) -> str:
        """The name of the file, in the folder of day files as in that of their indexes."""
        return f"{self.day}.{self.signal}.db"


def day_of(received_ms: int) -> str:
    """The UTC day of a time of arrival."""
    return (_EPOCH + timedelta(days=received_ms // DAY_MS)).strftime("%Y-%m-%d")


def day_span_ms(day: str) -> tuple[int, int]:
    """The first millisecond of a day, and the first of the next."""
    start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    start_ms = (start - _EPOCH) // timedelta(milliseconds=1)
    return start_ms, start_ms + DAY_MS


def place_of(received_ms: int, signal: str) -> DayKey:
    """The day file that a chunk lies in."""
    return DayKey(day_of(received_ms), str(signal))


def path_of(folder: Path, day: str, signal: str) -> Path:
    """Where the file of a day and signal lies, below the hub's folder."""
    return folder / FOLDER / DayKey(day, signal).file_name


def keys_in(folder: Path) -> list[DayKey]:
    """The day files that there are, oldest first."""
    names = (path.name.split(".") for path in (folder / FOLDER).glob("*.db"))
    found = (DayKey(name[0], name[1]) for name in names if len(name) == 3)
    return sorted(found, key=lambda key: (key.day, key.signal))


def inode_of(folder: Path, key: DayKey) -> int:
    """Which file has the name of a day file now, 0 when none has: an open one may be another."""
    try:
        return path_of(folder, key.day, key.signal).stat().st_ino
    except FileNotFoundError:
        return 0


def remove_day(folder: Path, key: DayKey) -> None:
    """Unlink a day file with what SQLite keeps beside it, the file itself last."""
    path = path_of(folder, key.day, key.signal)
    for beside in ("-wal", "-shm", ""):
        path.with_name(path.name + beside).unlink(missing_ok=True)


class DayWriter:
    """The open files of the writer; all calls come from its thread, within its transactions."""

    def __init__(self, folder: Path, synchronous: str) -> None:
        self._folder = folder
        self._synchronous = synchronous
        self._open: OrderedDict[DayKey, sqlite3.Connection] = OrderedDict()
        self._inodes: dict[DayKey, int] = {}
        self._error: sqlite3.Error | None = None
        self.on_broken: Callable[[DayKey, str], None] = lambda key, why: None
        """Called, from the writer's thread, with a file that cannot be written to as it is."""
        self.broken: set[DayKey] = set()
        """Those files, until they are left."""
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)

    def put(self, key: DayKey, row: tuple[int, int, bytes, bytes]) -> None:
        """Write (arrival, received_ms, header, body) as a part of the running transaction."""
        try:
            connection = self._connection(key)
            connection.execute("INSERT OR REPLACE INTO body VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            # SQLite may have rolled back what other jobs of this transaction wrote before.
            self._error = self._judged(key, error)
            self._let_go(key)
            raise self._error from None

    def _judged(self, key: DayKey, error: sqlite3.Error) -> sqlite3.Error:
        """The error to raise: a full disk is none of the file's own."""
        if is_disk_full(error):
            return error
        self.broken.add(key)
        self.on_broken(key, str(error))
        return BesideError(f"{key.file_name}: {error}")

    def _connection(self, key: DayKey) -> sqlite3.Connection:
        connection = self._open.get(key)
        if connection and not connection.in_transaction and self._is_replaced(key):
            self._let_go(key)  # Nobody would ever find what is written to a file without a name.
            connection = None
        if connection is None:
            connection = self._open[key] = self._begin(key)
            self._inodes[key] = inode_of(self._folder, key)
        self._open.move_to_end(key)
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
            self._close_eldest()  # Now: a new file without a transaction would count as idle.
        return connection

    def _is_replaced(self, key: DayKey) -> bool:
        return self._inodes[key] != inode_of(self._folder, key)

    def _begin(self, key: DayKey) -> sqlite3.Connection:
        path = path_of(self._folder, key.day, key.signal)
        is_new = not path.exists()
        connection = open_writer(path, DAY_MIGRATIONS, self._synchronous)
        if is_new:
            sync_folder(path.parent)
        return connection

    def _close_eldest(self) -> None:
        idle = [key for key, each in self._open.items() if not each.in_transaction]
        for key in idle[: max(0, len(self._open) - WRITERS_OPEN_MAX)]:
            self._open.pop(key).close()

    def commit(self) -> None:
        """Make what was put durable; raises sqlite3.Error, also when a put failed before."""
        if self._error is not None:
            raise self._error
        for key, connection in self._open.items():
            if connection.in_transaction:
                self._commit_one(key, connection)

    def _commit_one(self, key: DayKey, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._judged(key, error) from None

    def roll_back(self) -> None:
        """Forget what was put since the last commit."""
        self._error = None
        for key, connection in list(self._open.items()):
            if connection.in_transaction:
                try:
                    connection.execute("ROLLBACK")
                except sqlite3.Error:  # What cannot be rolled back is not used any more.
                    self._let_go(key)

    def _let_go(self, key: DayKey) -> None:
        connection = self._open.pop(key, None)
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):  # A file that gives errors may not close well.
                connection.close()

    def leave(self, key: DayKey) -> None:
        """Close one file, so that it can be removed or replaced."""
        self._let_go(key)
        self.broken.discard(key)

    def close(self) -> None:
        """Let go of all files."""
        for key in list(self._open):
            self._let_go(key)
