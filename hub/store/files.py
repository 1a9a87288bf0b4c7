"""The files of a hub's store: hub.db, and the day files that commit together with it."""

import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from hub.store.day_readers import DayReaders
from hub.store.days import DayWriter, place_of
from hub.store.schema import MIGRATIONS
from shared.sqlite import Database, is_broken_file

log = logging.getLogger(__name__)

FILE_NAME = "hub.db"
MOVE_ROWS = 200


@dataclass(frozen=True, slots=True)
class StoreFiles:
    """All open files of one store. `writer` is used in jobs of `database` only."""

    folder: Path
    database: Database
    writer: DayWriter
    readers: DayReaders

    async def move_bodies(self) -> int:
        """Bring the bodies of an older store into day files; returns how many chunks were moved."""
        moved = 0
        while more := await self.database.write(self._move_some):
            if moved == 0:
                log.info("moving chunks of an older version into day files; this is done once")
            moved += more
        return moved

    def _move_some(self, connection: sqlite3.Connection) -> int:
        if not connection.execute(
            "SELECT 1 FROM sqlite_master WHERE name = 'chunk_with_body'"
        ).fetchone():
            return 0
        rows = connection.execute(
            "SELECT arrival, received_ms, header, body, signal FROM chunk_with_body LIMIT ?",
            (MOVE_ROWS,),
        ).fetchall()
        for *row, signal in rows:
            self.writer.put(place_of(row[1], signal), (row[0], row[1], row[2], row[3]))
        connection.executemany(
            "DELETE FROM chunk_with_body WHERE arrival = ?", ((row[0],) for row in rows)
        )
        if not rows:
            connection.execute("DROP TABLE chunk_with_body")
        return len(rows)

    @property
    def inode(self) -> int:
        """Of hub.db: a copy has another one."""
        return (self.folder / FILE_NAME).stat().st_ino

    def close(self) -> None:
        """Finish what was handed in, then let go of everything."""
        self.database.close()
        self.readers.close()

    def abandon(self) -> None:
        """Let go as a killed process would. For simulations."""
        self.database.abandon()
        self.readers.close()


def open_files(folder: Path, synchronous: str, *, threads: bool) -> StoreFiles:
    """Open or create the files of a store; raises sqlite3.Error or OSError.

    A hub.db that is damaged is put aside: day files and peers tell again what was in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writer = DayWriter(folder, synchronous)

    def opened() -> Database:
        path = folder / FILE_NAME
        return Database(path, MIGRATIONS, synchronous=synchronous, threads=threads, beside=writer)

    try:
        database = opened()
    except sqlite3.DatabaseError as error:
        if not is_broken_file(error):
            raise
        _put_aside(folder / FILE_NAME, error)
        database = opened()
    return StoreFiles(folder, database, writer, DayReaders(folder))


def _put_aside(path: Path, error: sqlite3.Error) -> None:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    log.error("%s cannot be read (%s): it is put aside as %s", path.name, error, aside.name)
    for beside in ("-wal", "-shm"):
        path.with_name(path.name + beside).unlink(missing_ok=True)
    path.rename(aside)
