"""Brings indexes up to their day files, a bunch of chunks at a time, the newest days first."""

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hub.index.backlog import Backlog, Behind, inode_of, place
from hub.index.files import Given, Indexer, fill, index_path, open_for_write, remove_index, through
from hub.index.logs import LogIndexer
from hub.index.metrics import MetricIndexer
from hub.index.sturdy import Sturdy
from hub.index.traces import TraceIndexer
from hub.store import chunk_reads
from hub.store.day_readers import DayReaders, body_in
from hub.store.days import DayKey, path_of
from hub.store.files import FILE_NAME
from hub.store.headers import header_of
from hub.store.reader import CHUNK_RAW_BYTES_MAX
from shared.codec import decompress
from shared.errors import BadInput, Unavailable
from shared.records import MIB, ChunkHeader, Signal
from shared.sqlite import open_reader

log = logging.getLogger(__name__)

BUNCH_CHUNKS_MAX = 256
BUNCH_BYTES_MAX = 4 * MIB  # Of stored bodies: some 80,000 log records, and a second of work.
BUNCH_RAW_BYTES_MAX = 32 * MIB  # Decompressed; the last chunk of a bunch may go beyond it.
WRITERS_OPEN_MAX = 4

INDEXERS: Mapping[str, Callable[[], Indexer]] = {
    Signal.LOGS: LogIndexer,
    Signal.EVENTS: LogIndexer,
    Signal.METRICS: MetricIndexer,
    Signal.TRACES: TraceIndexer,
}

# What SQLite says of a sound day file that others use, or when too many files are open.
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_NO_HEADER = ChunkHeader("", "", 0, "", "", "", 0, 0, 0, 0, 0, 0, b"", b"")


@dataclass(slots=True)
class _Writer:
    connection: sqlite3.Connection
    indexer: Indexer
    inode: int


class Filler:
    """The one writer of all index files of a hub. For one thread; close it."""

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._identity = identity
        self._hub = open_reader(folder / FILE_NAME)
        self._backlog = Backlog(self._hub, folder, identity)
        self._days = DayReaders(folder)
        self._writers: OrderedDict[DayKey, _Writer] = OrderedDict()
        self._touched: set[DayKey] = set()
        self._unsettled: set[DayKey] = set()

    def head_arrival(self) -> int:
        """The last arrival number that hub.db has given out. Raises sqlite3.Error."""
        return chunk_reads.head_arrival(self._hub)

    def behind(self) -> list[Behind]:
        """What is to do, the newest day first. Raises sqlite3.Error or OSError."""
        for key in self._backlog.gone(self._touched):
            self._remove(key)
            self._touched.discard(key)
        return self._backlog.late()

    def fill_some(self, late: Sequence[Behind]) -> int:
        """Index a bunch of the first day file that has one; returns how many chunks that were.

        One that gives trouble does not keep the others waiting. Raises Unavailable when nothing
        could be written now, and sqlite3.Error of hub.db.
        """
        trouble: Unavailable | None = None
        for each in late:
            try:
                if done := self._fill(each.key):
                    return done
            except Unavailable as error:
                trouble = trouble or error
                self._leave(each.key)
        if trouble is not None:
            raise trouble
        return 0

    def settle(self) -> None:
        """Bring the write-ahead logs into the indexes; for times without work.

        A reader that finds all of a log brought in looks no page up in it, and answers in a fraction
        of the time. What readers still need of an index as it was is left for the next call.
        """
        self._unsettled &= self._writers.keys()
        for key in list(self._unsettled):
            if _bring_in_log(self._writers[key].connection):
                self._unsettled.discard(key)

    def _fill(self, key: DayKey) -> int:
        writer = self._writer(key)
        try:
            bunch = self._bunch(key, through(writer.connection))
            if bunch:
                reached = fill(writer.connection, writer.indexer, bunch)
                self._backlog.note(key, reached, len(bunch))
                self._unsettled.add(key)
            else:
                self._backlog.doubt(key)  # What was to be done is gone.
        except BadInput as error:
            log.warning("the index of %s is made again: %s", key.file_name, error)
            self._remove(key)
            return 0
        return len(bunch)

    def _writer(self, key: DayKey) -> _Writer:
        path = index_path(self._folder, key.day, key.signal)
        writer = self._writers.get(key)
        if writer is not None and writer.inode != inode_of(path):
            self._leave(key)  # It was deleted, to be made again.
            writer = None
        if writer is None:
            indexer = Sturdy(INDEXERS[key.signal])
            connection = open_for_write(path, indexer.tables(), self._identity)
            writer = self._writers[key] = _Writer(connection, indexer, inode_of(path))
            if len(self._writers) > WRITERS_OPEN_MAX:
                self._leave(next(iter(self._writers)))
        self._writers.move_to_end(key)
        self._touched.add(key)
        return writer

    def _bunch(self, key: DayKey, after: int) -> list[Given]:
        rows = self._hub.execute(
            "SELECT arrival, stored_bytes, CAST(header AS BLOB) FROM chunk"
            " WHERE signal = ? AND received_ms / 86400000 = ? AND arrival > ?"
            " ORDER BY arrival LIMIT ?",
            (*place(key), after, BUNCH_CHUNKS_MAX),
        ).fetchall()
        bunch: list[Given] = []
        room, raw_room = BUNCH_BYTES_MAX, BUNCH_RAW_BYTES_MAX
        for arrival, stored_bytes, header_bytes in rows:
            bunch.append(self._given(key, arrival, header_bytes))
            room -= stored_bytes
            raw_room -= len(bunch[-1][2] or b"")
            if room <= 0 or raw_room <= 0:
                break
        return bunch

    def _given(self, key: DayKey, arrival: int, header_bytes: bytes) -> Given:
        header = _NO_HEADER
        try:
            header = header_of(header_bytes)
            return arrival, header, self._body(key, arrival)
        except (sqlite3.Error, BadInput) as error:
            log.warning("chunk %d in %s cannot be indexed: %s", arrival, key.file_name, error)
            return arrival, header, None

    def _body(self, key: DayKey, arrival: int) -> bytes | None:
        path = path_of(self._folder, key.day, key.signal)
        try:
            with self._days.reading(key) as connection:
                stored = body_in(connection, arrival)
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in _PASSING and path.exists():
                raise Unavailable(f"{key.file_name} cannot be read now: {error}") from error
            raise
        return None if stored is None else decompress(stored, CHUNK_RAW_BYTES_MAX)

    def _remove(self, key: DayKey) -> None:
        self._leave(key)
        remove_index(index_path(self._folder, key.day, key.signal))
        self._backlog.doubt(key)

    def _leave(self, key: DayKey) -> None:
        """Close what is open of a day: its files may be gone, or others now."""
        writer = self._writers.pop(key, None)
        if writer is not None:
            writer.connection.close()
        self._days.leave(key)

    def close(self) -> None:
        """Let go of all files."""
        for key in list(self._writers):
            self._leave(key)
        self._days.close()
        self._hub.close()


def _bring_in_log(connection: sqlite3.Connection) -> bool:
    """Bring as much of the write-ahead log into the file as readers allow; whether that was all."""
    try:
        row = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:  # As on a full disk: the index is as true as before.
        log.info("a log of an index is not brought in yet: %s", error)
        return False
    is_busy, pages, brought_in = row
    return not is_busy and bool(pages == brought_in)
