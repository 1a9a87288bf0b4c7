"""What became of numbers of a log here, and numbers that are taken over as dropped by a peer.

A number that is taken over is treated as one that was here until its time was over: it is received,
not in `chunk`, and within the span in `dropped`; so nobody sends it, and nobody misses it.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from hub.replicate import LogKey
from hub.store import ledger_table
from hub.store.chunk_reads import decode_ranges
from hub.store.chunk_table import previous_hash
from hub.store.dropped import DroppedOfLog, dropped_of, note_dropped
from hub.taken_over import Fate, TakenOver, Went, share_of
from shared.ranges import NOTHING, Ranges, of_seqs, of_spans

ROWS_MAX = 50_000  # Some 50 ms of reading for one question.


# ---- what became of them here


@dataclass(slots=True)
class _Room:
    """How many more rows may be read for one question."""

    rows: int


def fates(
    connection: sqlite3.Connection, asked: Mapping[LogKey, Ranges], rows_max: int = ROWS_MAX
) -> dict[LogKey, Fate]:
    """What became of these numbers here, of as many of them as can be told by reading so many rows."""
    room, found = _Room(rows_max), {}
    connection.execute("BEGIN")  # One moment for all tables: chunks come and go meanwhile.
    try:
        for key, seqs in asked.items():
            if room.rows <= 0:
                break
            found[key] = _fate(connection, key, seqs, room)
    finally:
        connection.execute("ROLLBACK")
    return found


def _fate(connection: sqlite3.Connection, key: LogKey, seqs: Ranges, room: _Room) -> Fate:
    known = seqs & _ranges_of(connection, "received", key)
    here, looked_at = _here(connection, key, known, room)
    judged = seqs - (known - looked_at)
    went = _went(connection, key)
    span = of_spans([(went.first_seq, went.last_seq)]) if went else NOTHING
    dropped = (looked_at - here) & span
    # What damage took may come back, as long as it is wanting: nobody should give it up before us.
    wanting = (judged & _ranges_of(connection, "wanting", key)) - dropped
    return Fate(judged, (looked_at - dropped) | wanting, dropped, went)


def _ranges_of(connection: sqlite3.Connection, table: str, key: LogKey) -> Ranges:
    """All ranges of a log in a table of ours."""
    query = f"SELECT ranges FROM {table} WHERE origin = ? AND epoch = ?"  # noqa: S608
    found = NOTHING
    for (stored,) in connection.execute(query, key):
        found = found | decode_ranges(stored)
    return found


def _here(
    connection: sqlite3.Connection, key: LogKey, seqs: Ranges, room: _Room
) -> tuple[Ranges, Ranges]:
    """Which of these numbers have a chunk, and up to where there was room to look."""
    query = (
        "SELECT seq FROM chunk WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ?"
        " ORDER BY seq LIMIT ?"
    )
    here: list[int] = []
    looked_at: list[tuple[int, int]] = []
    for first, last in seqs.spans:
        rows = [seq for (seq,) in connection.execute(query, (*key, first, last, room.rows))]
        here += rows
        is_full = len(rows) >= room.rows
        room.rows -= len(rows)
        looked_at.append((first, rows[-1] if is_full else last))
        if is_full:
            break
    return of_seqs(here), of_spans(looked_at)


def _went(connection: sqlite3.Connection, key: LogKey) -> Went | None:
    of_log = dropped_of(connection, key)
    if of_log is None:
        return None
    query = "SELECT first_received_ms FROM epoch WHERE origin = ? AND epoch = ?"
    at_ms = ledger_table.first_number(connection, query, key)
    return Went(of_log.first_seq, of_log.last_seq, of_log.last_hash, of_log.sum, at_ms)


# ---- taking over


@dataclass(slots=True)
class Adopted:
    """What was taken over in one transaction, and the logs that are not the peer's."""

    seqs: dict[LogKey, Ranges] = field(default_factory=dict)
    strange: list[LogKey] = field(default_factory=list)
    """The chunks that are here do not fit what the peer says of the last one that it dropped."""

    @property
    def count(self) -> int:
        """How many numbers were taken over."""
        return sum(seqs.count for seqs in self.seqs.values())


def take_over(
    connection: sqlite3.Connection, agreed: Mapping[LogKey, TakenOver], now_ms: int
) -> Adopted:
    """Count numbers as dropped that never came here and that nobody holds.

    What is here, or was here and is lost by damage, is left alone.
    """
    adopted = Adopted()
    for key, each in agreed.items():
        received = _ranges_of(connection, "received", key)
        fresh = each.seqs - received - _ranges_of(connection, "wanting", key)
        if not fresh:
            continue
        if not _fits(connection, key, each.went):
            adopted.strange.append(key)
            continue
        _write(connection, key, received | fresh, min(each.went.first_received_ms, now_ms))
        went = each.went
        share = share_of(went, fresh.count)
        more = DroppedOfLog(went.first_seq, went.last_seq, went.last_hash, share)
        note_dropped(connection, key, more)
        adopted.seqs[key] = fresh
    return adopted


def _fits(connection: sqlite3.Connection, key: LogKey, went: Went) -> bool:
    """Whether the last chunk that a peer dropped can be of the log that is here."""
    query = "SELECT seq, hash, header FROM chunk WHERE origin = ? AND epoch = ? AND seq IN (?, ?)"
    rows = connection.execute(query, (*key, went.last_seq, went.last_seq + 1))
    told = {
        seq: digest if seq == went.last_seq else previous_hash(header)
        for seq, digest, header in rows
    }
    return all(digest in (None, went.last_hash) for digest in told.values())


def _write(
    connection: sqlite3.Connection, key: LogKey, received: Ranges, first_received_ms: int
) -> None:
    packed = msgspec.msgpack.encode(received.to_wire())
    connection.execute(
        "INSERT INTO received VALUES (?, ?, ?, 0, 0)"
        " ON CONFLICT DO UPDATE SET ranges = excluded.ranges",
        (*key, packed),
    )
    connection.execute(
        "INSERT OR IGNORE INTO epoch VALUES (?, ?, NULL, NULL, NULL, ?)", (*key, first_received_ms)
    )
