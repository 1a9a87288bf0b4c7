"""The files of a hub as they lie on its disk, read without any code of the hub, and changed by it not."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATABASE = "hub.db"
DAYS = "days"


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as it lies there; its header and body are bytes of its origin. `file` is the name of the
    day file that holds it."""

    origin: str
    epoch: str
    seq: int
    hash: bytes
    header: bytes
    body: bytes
    file: str


def rows(path: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a query finds. Read-only: a second connection that does checkpoints would change things."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def chunks_in(folder: Path) -> Iterator[StoredChunk]:
    """Every chunk of a store, by log; a body that its row promises and that is not there fails."""
    found = rows(
        folder / DATABASE,
        "SELECT date(received_ms / 1000, 'unixepoch') || '.' || signal || '.db', arrival,"
        " origin, epoch, seq, hash, header FROM chunk ORDER BY origin, epoch, seq",
    )
    # After the rows: what they promise was committed before them.
    bodies = dict(body for path in day_files(folder) for body in _bodies(path))
    for file, arrival, origin, epoch, seq, digest, header in found:
        kept_header, body = bodies[file, arrival]
        assert kept_header == header, f"chunk {seq} of {origin} is not the one in its day file"
        yield StoredChunk(origin, epoch, seq, digest, header, body, file)


def _bodies(path: Path) -> Iterator[tuple[tuple[str, int], tuple[bytes, bytes]]]:
    # The table is not there yet in a file that is just being made.
    if rows(path, "SELECT 1 FROM sqlite_master WHERE name = 'body'"):
        for arrival, header, body in rows(path, "SELECT arrival, header, body FROM body"):
            yield (path.name, arrival), (header, body)


def day_files(folder: Path) -> list[Path]:
    """The day files of a store."""
    return sorted((folder / DAYS).glob("*.db"))


def remove_store(folder: Path) -> None:
    """What a new disk looks like; the hub's keys stay."""
    for file in folder.glob(f"{DATABASE}*"):
        file.unlink()
    for name in (DAYS, "index"):
        shutil.rmtree(folder / name, ignore_errors=True)
