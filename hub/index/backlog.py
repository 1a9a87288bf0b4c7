"""How far the indexes are behind the chunks, known without counting millions of them again and again."""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from hub.index.files import open_for_read, remove_index, through
from hub.store.days import DAY_MS, DayKey, day_of, day_span_ms
from hub.store.retire import INDEX_FOLDER

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Behind:
    """A day file with chunks that its index does not have."""

    key: DayKey
    chunks: int


@dataclass(frozen=True, slots=True)
class _Held:
    """What hub.db has of a day file. `newest_arrival` may be that of a chunk that went."""

    newest_arrival: int
    chunks: int


@dataclass(slots=True)
class _Progress:
    """How far an index file goes, and how much of hub.db that is. `chunks` is None until that was
    counted; `held_chunks` were there when it was."""

    inode: int
    through: int
    chunks: int | None = None
    held_chunks: int = 0


class Backlog:
    """What is left to do, for the one writer of the indexes."""

    def __init__(self, hub: sqlite3.Connection, folder: Path, identity: str) -> None:
        """`hub` reads hub.db, and stays the caller's; `identity` is that of the store."""
        self._hub = hub
        self._folder = folder / INDEX_FOLDER
        self._identity = identity
        self._progress: dict[DayKey, _Progress] = {}

    def late(self) -> list[Behind]:
        """The day files that are not all indexed, newest first. Raises sqlite3.Error or OSError."""
        held = self._held()
        for key in self._progress.keys() - held.keys():
            del self._progress[key]
        return [late for key in held if (late := self._measure(key, held[key])).chunks > 0]

    def _held(self) -> dict[DayKey, _Held]:
        rows = self._hub.execute(
            "SELECT day_number, signal, newest_arrival, chunks FROM day_sum"
            " ORDER BY day_number DESC, signal"
        )
        return {DayKey(day_of(row[0] * DAY_MS), row[1]): _Held(*row[2:]) for row in rows}

    def gone(self, known: Collection[DayKey]) -> list[DayKey]:
        """Those of the known days, and of the indexes there are, that hub.db does not have any more.
        Raises sqlite3.Error."""
        held = self._held()
        names = (path.name.split(".") for path in self._folder.glob("*.db"))
        made = (DayKey(name[0], name[1]) for name in names if len(name) == 3)
        return [key for key in {*known, *made} if key not in held]

    def _measure(self, key: DayKey, held: _Held) -> Behind:
        done = self._reached(key, held)
        if done.through >= held.newest_arrival:
            return Behind(key, 0)
        if done.chunks is None or held.chunks < done.held_chunks:  # Some of them went.
            done.chunks = self._count(key, done.through)
        done.held_chunks = held.chunks
        return Behind(key, held.chunks - done.chunks)

    def _reached(self, key: DayKey, held: _Held) -> _Progress:
        """How far an index goes; one that was deleted or replaced is looked at anew."""
        path = self._folder / key.file_name
        inode, known = inode_of(path), self._progress.get(key)
        if known is not None and known.inode == inode:
            return known
        reached = self._read_through(path) if inode else 0
        if reached > held.newest_arrival:
            log.warning("the index of %s knows chunks that never came: made again", key.file_name)
            remove_index(path)
            inode = reached = 0
        known = self._progress[key] = _Progress(inode, reached)
        return known

    def _read_through(self, path: Path) -> int:
        connection = open_for_read(path, self._identity)
        if connection is None:
            return 0
        with contextlib.closing(connection):
            return through(connection)

    def _count(self, key: DayKey, last: int) -> int:
        if last == 0:
            return 0
        (chunks,) = self._hub.execute(
            "SELECT count(*) FROM chunk"
            " WHERE signal = ? AND received_ms / 86400000 = ? AND arrival <= ?",
            (*place(key), last),
        ).fetchone()
        return int(chunks)

    def note(self, key: DayKey, reached: int, chunks: int) -> None:
        """So many more chunks were indexed, up to an arrival."""
        known = self._progress.get(key)
        if known is None or known.chunks is None or reached <= known.through:
            self._progress.pop(key, None)
            return
        known.inode, known.through = inode_of(self._folder / key.file_name), reached
        known.chunks += chunks

    def doubt(self, key: DayKey) -> None:
        """What is known of a day may be wrong."""
        self._progress.pop(key, None)


def place(key: DayKey) -> tuple[str, int]:
    """Signal and day number, by which hub.db finds the chunks of a day file."""
    return key.signal, day_span_ms(key.day)[0] // DAY_MS


def inode_of(path: Path) -> int:
    """Which file this is; 0 when there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
