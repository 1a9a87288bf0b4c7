"""What a hub knows of its day files and of those that are gone. Each function runs on one connection.

`received` keeps the numbers of what was dropped, so that none of it comes again; what is really here is
in `chunk`, and its sums in `held` and `day_sum`. The numbers that went are not kept one by one: signals
share the numbers of a log, so that dropping one of them would leave a range for every few chunks, for
ever. A number that was received, is not here, and lies within the span in `dropped` is one of those
that went; how many these must be is known exactly.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any

from sqlite_utils.db import Database

from hub.retention import DayFile
from hub.store.chunk_reads import LogKey, decode_ranges
from hub.store.days import DAY_MS, DayKey, day_of
from shared.ranges import NOTHING, Ranges, of_seqs
from shared.sums import Sum


def dropped_tables(db: Database) -> None:
    """Sums by day file, kept true by triggers whoever writes; and what is gone, by day file and log.

    `dropped_day` is written before anything is deleted, so that a start after a crash goes on. A
    chunk must be deleted by name, not by INSERT OR REPLACE, for which SQLite fires no trigger.
    """
    for statement in (
        "CREATE TABLE day_sum (day_number INTEGER NOT NULL, signal TEXT NOT NULL,"
        " chunks INTEGER NOT NULL, records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
        " newest_received_ms INTEGER NOT NULL, newest_arrival INTEGER NOT NULL,"
        " time_min_ns INTEGER NOT NULL, time_max_ns INTEGER NOT NULL,"
        " PRIMARY KEY (day_number, signal)) WITHOUT ROWID",
        "INSERT INTO day_sum SELECT received_ms / 86400000, signal, count(*), sum(records),"
        " sum(stored_bytes), max(received_ms), max(arrival), min(time_min_ns), max(time_max_ns)"
        " FROM chunk GROUP BY 1, 2",
        "CREATE TRIGGER chunk_comes AFTER INSERT ON chunk BEGIN"
        " INSERT INTO day_sum VALUES (new.received_ms / 86400000, new.signal, 1, new.records,"
        " new.stored_bytes, new.received_ms, new.arrival, new.time_min_ns, new.time_max_ns)"
        " ON CONFLICT DO UPDATE SET"
        " chunks = chunks + 1, records = records + excluded.records,"
        " stored_bytes = stored_bytes + excluded.stored_bytes,"
        " newest_received_ms = max(newest_received_ms, excluded.newest_received_ms),"
        " newest_arrival = max(newest_arrival, excluded.newest_arrival),"
        " time_min_ns = min(time_min_ns, excluded.time_min_ns),"
        " time_max_ns = max(time_max_ns, excluded.time_max_ns); END",
        "CREATE TRIGGER chunk_goes AFTER DELETE ON chunk BEGIN"
        " UPDATE day_sum SET chunks = chunks - 1, records = records - old.records,"
        " stored_bytes = stored_bytes - old.stored_bytes"
        " WHERE day_number = old.received_ms / 86400000 AND signal = old.signal;"
        " DELETE FROM day_sum WHERE day_number = old.received_ms / 86400000"
        " AND signal = old.signal AND chunks = 0; END",
        "CREATE TABLE dropped_day (number INTEGER PRIMARY KEY AUTOINCREMENT, day TEXT NOT NULL,"
        " signal TEXT NOT NULL, reason TEXT NOT NULL, is_safe INTEGER NOT NULL,"
        " chunks INTEGER NOT NULL, records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
        " at_ms INTEGER NOT NULL, state TEXT NOT NULL)",
        "CREATE UNIQUE INDEX dropped_day_going ON dropped_day (day, signal) WHERE state = 'going'",
        "CREATE TABLE dropped (origin TEXT NOT NULL, epoch TEXT NOT NULL,"
        " first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, last_hash BLOB NOT NULL,"
        " chunks INTEGER NOT NULL, records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
        " PRIMARY KEY (origin, epoch)) WITHOUT ROWID",
    ):
        db.execute(statement)


@dataclass(frozen=True, slots=True)
class DroppedOfLog:
    """What retention took from one log: so many chunks, between two numbers, both included."""

    first_seq: int
    last_seq: int
    last_hash: bytes
    """The hash of the chunk that was at `last_seq`: the next one follows it, and it proves a log."""
    sum: Sum


@dataclass(frozen=True, slots=True)
class DroppedDay:
    """A day file that is gone or on its way; `sum` is what has been taken out of it so far."""

    number: int
    key: DayKey
    reason: str
    is_safe: bool
    """Whether all its chunks were on enough hubs when it was chosen."""
    sum: Sum
    at_ms: int
    is_gone: bool


def day_files(connection: sqlite3.Connection, safe_arrival: int) -> list[DayFile]:
    """All day files with chunks, oldest first; safe are those with nothing beyond an arrival number."""
    rows = connection.execute(
        "SELECT day_number, signal, stored_bytes, chunks, records, newest_received_ms,"
        " newest_arrival FROM day_sum ORDER BY day_number, signal"
    )
    return [
        DayFile(
            day_of(number * DAY_MS), signal, size, chunks, records, newest, last <= safe_arrival
        )
        for number, signal, size, chunks, records, newest, last in rows
    ]


_DROPPED_DAY = "number, day, signal, reason, is_safe, chunks, records, stored_bytes, at_ms, state"


def dropped_days(connection: sqlite3.Connection, limit: int) -> list[DroppedDay]:
    """The day files that went last, newest first."""
    query = f"SELECT {_DROPPED_DAY} FROM dropped_day ORDER BY number DESC LIMIT ?"  # noqa: S608
    return [_dropped_day(row) for row in connection.execute(query, (limit,))]


def going_days(connection: sqlite3.Connection) -> list[DroppedDay]:
    """The day files that are on their way out, in the order in which they were chosen."""
    query = f"SELECT {_DROPPED_DAY} FROM dropped_day WHERE state = 'going' ORDER BY number"  # noqa: S608
    return [_dropped_day(row) for row in connection.execute(query)]


def dropped_day(connection: sqlite3.Connection, number: int) -> DroppedDay:
    """One of them, by number."""
    query = f"SELECT {_DROPPED_DAY} FROM dropped_day WHERE number = ?"  # noqa: S608
    return _dropped_day(connection.execute(query, (number,)).fetchone())


def _dropped_day(row: tuple[Any, ...]) -> DroppedDay:
    number, day, signal, reason, is_safe, *sums, at_ms, state = row
    is_gone = state == "gone"
    return DroppedDay(
        number, DayKey(day, signal), reason, bool(is_safe), Sum(*sums), at_ms, is_gone
    )


def dropped_of(connection: sqlite3.Connection, key: LogKey) -> DroppedOfLog | None:
    """What retention took from a log, None when it took nothing."""
    row = connection.execute(
        "SELECT first_seq, last_seq, last_hash, chunks, records, stored_bytes FROM dropped"
        " WHERE origin = ? AND epoch = ?",
        key,
    ).fetchone()
    return DroppedOfLog(row[0], row[1], row[2], Sum(*row[3:])) if row else None


def note_dropped(connection: sqlite3.Connection, key: LogKey, more: DroppedOfLog) -> None:
    """Add to what retention took from a log."""
    connection.execute(
        "INSERT INTO dropped VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " first_seq = min(first_seq, excluded.first_seq),"
        " last_hash = iif(excluded.last_seq > last_seq, excluded.last_hash, last_hash),"
        " last_seq = max(last_seq, excluded.last_seq), chunks = chunks + excluded.chunks,"
        " records = records + excluded.records,"
        " stored_bytes = stored_bytes + excluded.stored_bytes",
        (
            *key,
            more.first_seq,
            more.last_seq,
            more.last_hash,
            more.sum.chunks,
            more.sum.records,
            more.sum.stored_bytes,
        ),
    )


def gone(connection: sqlite3.Connection, key: LogKey, seqs: Ranges) -> Ranges:
    """Which of these numbers of a log were received and have been dropped.

    Costs one look-up for a log of which nothing went, or nothing beyond what it asks for.
    """
    of_log = dropped_of(connection, key)
    within = seqs & Ranges(((of_log.first_seq, of_log.last_seq),)) if of_log else NOTHING
    if not within:
        return NOTHING
    query = "SELECT ranges FROM received WHERE origin = ? AND epoch = ?"
    received = decode_ranges(connection.execute(query, key).fetchone()[0])
    return (within & received) - _here(connection, key, within)


def _here(connection: sqlite3.Connection, key: LogKey, seqs: Ranges) -> Ranges:
    query = "SELECT seq FROM chunk WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ?"
    return of_seqs(
        seq for span in seqs.spans for (seq,) in connection.execute(query, (*key, *span))
    )


def dropped_chunks(connection: sqlite3.Connection) -> int:
    """How many of the received chunks have been dropped, of all logs together."""
    query = "SELECT coalesce(sum(chunks), 0) FROM dropped"
    return int(connection.execute(query).fetchone()[0])
