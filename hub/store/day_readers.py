"""Reads day files: connections to lend, and what is asked of them."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.store.days import DayKey, inode_of, path_of
from shared.sqlite import open_reader

READERS_IDLE_MAX = 32


class DayReaders:
    """Read-only connections to day files, lent to one reader at a time, from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._idle: OrderedDict[tuple[DayKey, int], sqlite3.Connection] = OrderedDict()
        self._left: dict[DayKey, int] = {}
        self._inodes: dict[DayKey, int] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def reading(self, key: DayKey) -> Iterator[sqlite3.Connection]:
        """Borrow a connection to a day file; raises sqlite3.Error."""
        connection, lent_at = self.borrow(key)
        try:
            yield connection
        finally:
            self.give_back(key, connection, lent_at)

    def borrow(self, key: DayKey) -> tuple[sqlite3.Connection, int]:
        """A connection and a number to give back with it; raises sqlite3.Error.

        What is open of a file that was removed or replaced since, by whomever, is not lent any more.
        """
        inode = inode_of(self._folder, key)
        if self._inodes.setdefault(key, inode) != inode:
            self._inodes[key] = inode
            self.leave(key)
        with self._lock:
            mine = next((each for each in reversed(self._idle) if each[0] == key), None)
            lent_at = self._left.get(key, 0)
            if mine is not None:
                return self._idle.pop(mine), lent_at
        return open_reader(path_of(self._folder, key.day, key.signal)), lent_at

    def leave_gone(self) -> None:
        """Close what is open of files that are no longer there: it would keep their room taken."""
        with self._lock:
            keys = {key for key, _ in self._idle}
        for key in keys:
            if self._inodes.get(key) != inode_of(self._folder, key):
                self.leave(key)

    def give_back(self, key: DayKey, connection: sqlite3.Connection, lent_at: int) -> None:
        """Return what was borrowed; it is closed when the file was left meanwhile."""
        with self._lock:
            if not self._closed and self._left.get(key, 0) == lent_at:
                self._number += 1
                self._idle[key, self._number] = connection
                if len(self._idle) <= READERS_IDLE_MAX:
                    return
                connection = self._eldest()
        connection.close()

    def _eldest(self) -> sqlite3.Connection:
        return self._idle.popitem(last=False)[1]

    def leave(self, key: DayKey) -> None:
        """Close the connections to a file that goes or is replaced, also those that are lent now
        once they come back."""
        with self._lock:
            self._left[key] = self._left.get(key, 0) + 1
            mine = [each for each in self._idle if each[0] == key]
            closing = [self._idle.pop(each) for each in mine]
        for connection in closing:
            connection.close()

    def close(self) -> None:
        """Close all that is not lent; the rest is closed when it comes back."""
        with self._lock:
            self._closed = True
            closing = [self._eldest() for _ in range(len(self._idle))]
        for connection in closing:
            connection.close()


def body_in(connection: sqlite3.Connection, arrival: int) -> bytes | None:
    """The stored body of a chunk, None when it is not in this file; raises sqlite3.Error."""
    row = connection.execute("SELECT body FROM body WHERE arrival = ?", (arrival,)).fetchone()
    return None if row is None else row[0]


def header_in(connection: sqlite3.Connection, arrival: int) -> bytes | None:
    """The header of a chunk, None when it is not in this file; raises sqlite3.Error."""
    query = "SELECT CAST(header AS BLOB) FROM body WHERE arrival = ?"
    row = connection.execute(query, (arrival,)).fetchone()
    return None if row is None else row[0]
