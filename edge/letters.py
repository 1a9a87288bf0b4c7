"""Dead letters: chunks that hubs refuse for good, kept with their reason until a person decides."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge.chunk_rows import sound_chunk
from edge.schema import LETTER_MIGRATIONS
from shared.ranges import Ranges
from shared.records import Chunk, read_header
from shared.sqlite import Database, check_quickly, is_disk_full, open_writer

FILE_NAME = "dead-letters.db"

_COLUMNS = "epoch, seq, signal, records, stored_bytes, reason, refused_ms"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused chunk, without its body. `refused_ms` is Unix milliseconds."""

    epoch: str
    seq: int
    signal: str
    records: int
    stored_bytes: int
    reason: str
    refused_ms: int


class Letters:
    """The file of dead letters. All verbs return after the commit and may raise Unavailable."""

    def __init__(self, folder: Path, *, threads: bool) -> None:
        self._database = Database(
            folder / FILE_NAME, LETTER_MIGRATIONS, synchronous="FULL", threads=threads
        )

    async def add(self, chunk: Chunk, reason: str, refused_ms: int) -> None:
        """Keep a refused chunk."""
        header = chunk.header
        row = (header.epoch, header.seq, str(header.signal), header.records, header.stored_bytes)
        row_rest = (reason, refused_ms, chunk.hash, chunk.header_bytes, chunk.body)
        await self._database.write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO dead_letter VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, *row_rest),
            )
        )

    async def all(self) -> list[DeadLetter]:
        """Every dead letter, oldest first."""
        return await self._database.write(_all)

    async def chunk(self, epoch: str, seq: int) -> Chunk | None:
        """A dead letter's chunk."""
        return await self._database.write(lambda connection: _chunk(connection, epoch, seq))

    async def remove(self, epoch: str, seqs: Ranges) -> None:
        """Forget dead letters."""
        await self._database.write(
            lambda connection: connection.executemany(
                "DELETE FROM dead_letter WHERE epoch = ? AND seq BETWEEN ? AND ?",
                ((epoch, *span) for span in seqs.spans),
            )
        )

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def abandon(self) -> None:
        """Let go of the file as a killed process would. For simulations."""
        self._database.abandon()


def open_letters(
    folder: Path, *, threads: bool, is_expected: bool = False
) -> tuple[Letters, tuple[str, ...]]:
    """The dead letters of a folder, and what was found broken: a damaged file is set aside."""
    path = folder / FILE_NAME
    if is_expected and (not path.exists() or not path.stat().st_size):
        finding = f"{FILE_NAME} is gone: dead letters, if there were any, are lost"
        return Letters(folder, threads=threads), (finding,)
    if path.exists() and not _is_sound(path):
        aside = path.with_name(path.name + ".damaged")
        path.replace(aside)
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        finding = f"{FILE_NAME} could not be read and was set aside as {aside.name}"
        return Letters(folder, threads=threads), (finding,)
    return Letters(folder, threads=threads), ()


_EVERYTHING = f"SELECT {_COLUMNS}, hash, header, body FROM dead_letter"  # noqa: S608  # Our own words.


def is_letter(row: tuple[Any, ...]) -> bool:
    """Whether a row of the file is as it was written: its facts, then hash, header and body."""
    chunk = sound_chunk(row[1], *row[-3:])
    if chunk is None:
        return False
    header = chunk.header
    facts = (header.epoch, header.seq, header.signal, header.records, header.stored_bytes)
    return facts == row[:5]


def _is_sound(path: Path) -> bool:
    try:
        connection = open_writer(path, LETTER_MIGRATIONS, "FULL")
    except sqlite3.DatabaseError as error:
        if is_disk_full(error):
            raise
        return False
    try:
        check_quickly(connection)
        return all(map(is_letter, connection.execute(_EVERYTHING)))
    except (sqlite3.DatabaseError, msgspec.MsgspecError):
        return False
    finally:
        connection.close()


def _all(connection: sqlite3.Connection) -> list[DeadLetter]:
    rows = connection.execute(  # Only our own words are put into the text.
        f"SELECT {_COLUMNS} FROM dead_letter ORDER BY refused_ms, epoch, seq"  # noqa: S608
    )
    return [DeadLetter(*row) for row in rows]


def _chunk(connection: sqlite3.Connection, epoch: str, seq: int) -> Chunk | None:
    row = connection.execute(
        "SELECT header, body FROM dead_letter WHERE epoch = ? AND seq = ?", (epoch, seq)
    ).fetchone()
    return Chunk(read_header(row[0]), row[0], row[1]) if row else None
