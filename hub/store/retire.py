"""Takes a day file out of the hub, in steps that a crash at any point leaves to be gone on with.

1. `choose` writes down that the file goes, and why. 2. `take_out`, again and again, moves some of its
rows from the chunk log into the record of what went. 3. `set_aside` renames the file once no row
counts on it, and `unlink` frees its blocks off the writer, since a large file takes
a while. 4. `finish` says that it is done. Each step may be repeated.
"""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hub.retention import DayFile, Reason
from hub.store.chunk_reads import LogKey
from hub.store.days import DAY_MS, DayKey, day_span_ms, path_of
from hub.store.dropped import DroppedDay, DroppedOfLog, dropped_day, note_dropped
from shared.ranges import Ranges, of_seqs
from shared.sqlite import sync_folder
from shared.sums import Sum

SLICE_ROWS = 2000  # Some 30 ms of the writer: an edge that pushes meanwhile hardly notices.
INDEX_FOLDER = "index"
GONE_SUFFIX = ".gone"
DAMAGED_SUFFIX = ".damaged-"
_BESIDE = ("-wal", "-shm")


@dataclass(slots=True)
class TakenOut:
    """What one slice took from the chunk log, for what is kept of it in memory."""

    seqs: dict[LogKey, Ranges] = field(default_factory=dict)
    sum: Sum = field(default_factory=Sum)


@dataclass(frozen=True, slots=True)
class _Row:
    arrival: int
    key: LogKey
    seq: int
    hash: bytes
    sum: Sum


def choose(connection: sqlite3.Connection, file: DayFile, reason: Reason, at_ms: int) -> DroppedDay:
    """Write down that a day file goes; one that is going already goes on."""
    key = (file.day, file.signal)
    query = "SELECT number FROM dropped_day WHERE day = ? AND signal = ? AND state = 'going'"
    if connection.execute(query, key).fetchone() is None:
        connection.execute(
            "INSERT INTO dropped_day (day, signal, reason, is_safe, chunks, records,"
            " stored_bytes, at_ms, state) VALUES (?, ?, ?, ?, 0, 0, 0, ?, 'going')",
            (*key, str(reason), file.is_safe, at_ms),
        )
    return dropped_day(connection, connection.execute(query, key).fetchone()[0])


def take_out(
    connection: sqlite3.Connection, going: DroppedDay, rows_max: int = SLICE_ROWS
) -> TakenOut:
    """Move some rows of a day file from the chunk log to what went; nothing means that all are."""
    rows = _rows_of(connection, going.key, rows_max)
    taken = TakenOut()
    for key, of_log in _by_log(rows).items():
        gone = sum((row.sum for row in of_log), Sum())
        _subtract(connection, key, going.key.signal, gone)
        _note_dropped(connection, key, of_log, gone)
        taken.seqs[key] = of_seqs(row.seq for row in of_log)
        taken.sum += gone
    connection.executemany("DELETE FROM chunk WHERE arrival = ?", ((row.arrival,) for row in rows))
    connection.execute(
        "UPDATE dropped_day SET chunks = chunks + ?, records = records + ?,"
        " stored_bytes = stored_bytes + ? WHERE number = ?",
        (taken.sum.chunks, taken.sum.records, taken.sum.stored_bytes, going.number),
    )
    return taken


def _rows_of(connection: sqlite3.Connection, key: DayKey, rows_max: int) -> list[_Row]:
    rows = connection.execute(
        "SELECT arrival, origin, epoch, seq, hash, records, stored_bytes FROM chunk"
        " WHERE signal = ? AND received_ms / 86400000 = ? ORDER BY arrival LIMIT ?",
        (key.signal, _day_number(key), rows_max),
    )
    return [_Row(row[0], (row[1], row[2]), row[3], row[4], Sum(1, row[5], row[6])) for row in rows]


def _day_number(key: DayKey) -> int:
    return day_span_ms(key.day)[0] // DAY_MS


def _by_log(rows: Iterable[_Row]) -> dict[LogKey, list[_Row]]:
    grouped: dict[LogKey, list[_Row]] = {}
    for row in rows:
        grouped.setdefault(row.key, []).append(row)
    return grouped


def _subtract(connection: sqlite3.Connection, key: LogKey, signal: str, gone: Sum) -> None:
    connection.execute(
        "UPDATE held SET chunks = chunks - ?, records = records - ?,"
        " stored_bytes = stored_bytes - ? WHERE origin = ? AND epoch = ? AND signal = ?",
        (gone.chunks, gone.records, gone.stored_bytes, *key, signal),
    )
    connection.execute(
        "UPDATE received SET records = records - ?, stored_bytes = stored_bytes - ?"
        " WHERE origin = ? AND epoch = ?",
        (gone.records, gone.stored_bytes, *key),
    )


def _note_dropped(
    connection: sqlite3.Connection, key: LogKey, of_log: list[_Row], gone: Sum
) -> None:
    last = max(of_log, key=lambda row: row.seq)
    first_seq = min(row.seq for row in of_log)
    note_dropped(connection, key, DroppedOfLog(first_seq, last.seq, last.hash, gone))


def set_aside(
    connection: sqlite3.Connection, folder: Path, key: DayKey, leave: Callable[[DayKey], None]
) -> bool:
    """Rename the day file away, in the writer's turn; False while chunks still count on it.

    `leave` lets go of what is open of it. Jobs of the same transaction may have brought chunks of
    this day, which a peer was late to tell of: then there is more to take out first.
    """
    if _rows_of(connection, key, 1):
        return False
    leave(key)
    path = path_of(folder, key.day, key.signal)
    for suffix in _BESIDE:  # First: a new file of this name must not find the log of the old one.
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if path.exists():
        path.replace(_gone(path))
    return True


def unlink(folder: Path, key: DayKey) -> None:
    """Free the room of a file that was set aside, of its index, and of copies of it that were put
    aside for damage. Raises OSError."""
    path = path_of(folder, key.day, key.signal)
    index = folder / INDEX_FOLDER / key.file_name
    _gone(path).unlink(missing_ok=True)
    for damaged in path.parent.glob(f"{path.name}{DAMAGED_SUFFIX}*"):
        damaged.unlink(missing_ok=True)
    for suffix in (*_BESIDE, ""):
        index.with_name(index.name + suffix).unlink(missing_ok=True)
    for each in (path.parent, index.parent):
        if each.exists():
            sync_folder(each)


def _gone(path: Path) -> Path:
    return path.with_name(path.name + GONE_SUFFIX)


def finish(connection: sqlite3.Connection, going: DroppedDay) -> DroppedDay:
    """Write down that a day file is gone."""
    connection.execute("UPDATE dropped_day SET state = 'gone' WHERE number = ?", (going.number,))
    return dropped_day(connection, going.number)
