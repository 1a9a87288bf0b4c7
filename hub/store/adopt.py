"""Puts hub.db together again from the day files, when it was lost and they were not.

A day file tells for itself what is in it. Without this, an empty hub.db would begin to number chunks
at 1 again, and they would replace what lies in the day files under these numbers.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

from hub.store import chunk_table
from hub.store.chunk_table import Arrived
from hub.store.days import DayKey, keys_in
from hub.store.files import StoreFiles
from shared.records import Chunk, read_header

log = logging.getLogger(__name__)

PAGE_ROWS = 256

Row = tuple[int, int, Chunk]
"""Arrival, received_ms and chunk."""


async def adopt_days(files: StoreFiles, suspect: Callable[[DayKey, str], None]) -> int:
    """Note every sound chunk in day files that hub.db does not know; returns how many there were.

    Does nothing to a store that knows any chunk. What is damaged is left where it is.
    """
    if not await files.database.write(_is_empty):
        return 0
    adopted = 0
    for key in keys_in(files.folder):
        try:
            adopted += await _adopt_day(files, key)
        except sqlite3.Error as error:
            suspect(key, str(error))
    if adopted:
        log.warning("hub.db was lost: it was put together from %d chunks in day files", adopted)
    return adopted


def _is_empty(connection: sqlite3.Connection) -> bool:
    ever = connection.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'chunk' AND seq > 0")
    return ever.fetchone() is None


async def _adopt_day(files: StoreFiles, key: DayKey) -> int:
    adopted, after = 0, 0
    while True:
        with files.readers.reading(key) as connection:
            page = list(_sound_rows(connection, after))
        if not page:
            return adopted
        after = page[-1][0]
        sound = [(arrival, ms, chunk) for arrival, ms, chunk in page if chunk is not None]
        adopted += await files.database.write(partial(_adopt, files, sound))


def _sound_rows(
    connection: sqlite3.Connection, after: int
) -> Iterator[tuple[int, int, Chunk | None]]:
    rows = connection.execute(
        "SELECT arrival, received_ms, header, body FROM body WHERE arrival > ?"
        " ORDER BY arrival LIMIT ?",
        (after, PAGE_ROWS),
    )
    for arrival, received_ms, header_bytes, body in rows:
        yield arrival, received_ms, sound_chunk(header_bytes, body)


def sound_chunk(header_bytes: bytes, body: bytes) -> Chunk | None:
    """The chunk, when its header can be read and names the hash of its body."""
    try:
        header = read_header(header_bytes)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    is_sound = hashlib.sha256(body).digest() == header.body_sha256
    return Chunk(header, header_bytes, body) if is_sound else None


def _adopt(files: StoreFiles, rows: Sequence[Row], connection: sqlite3.Connection) -> int:
    taken = {
        number
        for (number,) in connection.execute(
            f"SELECT arrival FROM chunk WHERE arrival IN ({', '.join('?' * len(rows))})",  # noqa: S608
            [row[0] for row in rows],
        )
    }
    # A number that another file has as well belongs to a commit that never came to its end.
    arrived = Arrived(
        [row[2] for row in rows],
        [row[1] for row in rows],
        [0 if row[0] in taken else row[0] for row in rows],
    )
    now_ms = max((row[1] for row in rows), default=0)
    _, stored = chunk_table.keep(connection, files.writer.put, arrived, now_ms, "a day file")
    return len(stored.arrivals)
