"""Reads the ledger of a hub from its disk. Each function runs on one connection."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from hub.epochs import EpochBook, Predecessor
from hub.ledger import DeclaredGap, LogKey
from hub.store.day_readers import DayReaders, body_in
from hub.store.days import DayKey, place_of
from hub.store.headers import header_of
from hub.store.ledger_table import declared_of, first_number, hashes_at, unpacked
from hub.verify import StoredChunk
from shared.errors import BadInput
from shared.ranges import NOTHING, Ranges
from shared.records import Chunk, Gap
from shared.sums import Sum

GAPS_READ_MAX = 20_000  # About 0.1 s of reading.
EPOCHS_READ_MAX = 100
_GAP = "signal, reason, ranges, chunks, records, stored_bytes, since_ms, until_ms"
_CONFLICT = (
    *("number", "at_ms", "node", "epoch", "seq", "held_seq"),
    *("held_hash", "sent_hash", "sender", "reason", "chunks"),
)


def _received(connection: sqlite3.Connection, key: LogKey) -> Ranges:
    query = "SELECT ranges FROM received WHERE origin = ? AND epoch = ?"
    row = connection.execute(query, key).fetchone()
    return unpacked(row[0]) if row else NOTHING


def epoch_books(connection: sqlite3.Connection, origin: str) -> list[EpochBook]:
    """The newest epochs of one origin, in the order in which they came."""
    rows = connection.execute(
        "SELECT epoch, predecessor_epoch, predecessor_seq, first_received_ms FROM epoch"
        " WHERE origin = ? ORDER BY first_received_ms DESC, epoch LIMIT ?",
        (origin, EPOCHS_READ_MAX),
    ).fetchall()
    return [_book(connection, origin, *row) for row in reversed(rows)]


def _book(
    connection: sqlite3.Connection,
    origin: str,
    epoch: str,
    former: str | None,
    former_seq: int | None,
    first_received_ms: int,
) -> EpochBook:
    key = (origin, epoch)
    held = _received(connection, key)
    gaps = [each for _, each in gaps_of(connection, "origin = ? AND epoch = ?", key)]
    succeeded = "SELECT count(*) FROM epoch WHERE origin = ? AND predecessor_epoch = ?"
    beside = "SELECT count(*) FROM conflict_chunk WHERE origin = ? AND epoch = ?"
    return EpochBook(
        origin,
        epoch,
        held,
        dict(_sums(connection, key)),
        declared_of(connection, key),
        [without_held(connection, key, gap, held) for gap in gaps],
        first_number(connection, "SELECT count(*) FROM gap WHERE origin = ? AND epoch = ?", key),
        _predecessor(connection, origin, former, former_seq) if former is not None else None,
        first_number(connection, succeeded, key) > 0,
        first_received_ms,
        first_number(connection, beside, key),
    )


def _sums(connection: sqlite3.Connection, key: LogKey) -> Iterator[tuple[str, Sum]]:
    query = "SELECT signal, chunks, records, stored_bytes FROM held WHERE origin = ? AND epoch = ?"
    for signal, *sums in connection.execute(query, key):
        yield signal, Sum(*sums)


def _predecessor(
    connection: sqlite3.Connection, origin: str, epoch: str, last_seq: int | None
) -> Predecessor:
    key = (origin, epoch)
    return Predecessor(
        epoch, last_seq or 0, _received(connection, key), declared_of(connection, key)
    )


def gaps_of(
    connection: sqlite3.Connection, where: str, values: Sequence[Any]
) -> list[tuple[LogKey, DeclaredGap]]:
    """The newest gaps that a condition of our own words selects, newest first, bounded."""
    rows = connection.execute(
        f"SELECT origin, epoch, declared_seq, {_GAP} FROM gap WHERE {where}"  # noqa: S608
        " ORDER BY declared_seq DESC, number DESC LIMIT ?",
        (*values, GAPS_READ_MAX),
    )
    return [((row[0], row[1]), DeclaredGap(row[2], _gap(row[3:]))) for row in rows]


def _gap(row: Sequence[Any]) -> Gap:
    signal, reason, ranges, *rest = row
    return Gap(signal, reason, unpacked(ranges).spans, *rest)


def gaps_between(
    connection: sqlite3.Connection,
    origins: Collection[str] | None,
    since_ms: int,
    until_ms: int,
) -> dict[LogKey, tuple[Ranges, list[DeclaredGap]]]:
    """By log, what is held of it and the gaps whose times overlap [since, until)."""
    where, values = "until_ms >= ? AND since_ms < ?", [since_ms, until_ms]
    if origins is not None:
        where += f" AND origin IN ({', '.join('?' * len(origins))})"
    grouped: dict[LogKey, list[DeclaredGap]] = {}
    for key, gap in gaps_of(connection, where, [*values, *(origins or ())]):
        grouped.setdefault(key, []).append(gap)
    found: dict[LogKey, tuple[Ranges, list[DeclaredGap]]] = {}
    for key, gaps in grouped.items():
        held = _received(connection, key)
        found[key] = (held, [without_held(connection, key, gap, held) for gap in gaps])
    return found


def without_held(
    connection: sqlite3.Connection, key: LogKey, declared: DeclaredGap, held: Ranges
) -> DeclaredGap:
    """The gap without those of its chunks that came all the same; one that is filled stays whole.

    An edge may give up chunks whose bytes are on their way already.
    """
    here = declared.seqs & held
    if not here or here == declared.seqs:
        return declared
    gap = declared.gap
    left = msgspec.structs.replace(
        gap,
        ranges=(declared.seqs - here).spans,
        chunks=max(0, gap.chunks - here.count),
        records=max(0, gap.records - _total(connection, key, here, "records")),
        stored_bytes=max(0, gap.stored_bytes - _total(connection, key, here, "stored_bytes")),
    )
    return DeclaredGap(declared.declared_seq, left)


def _total(connection: sqlite3.Connection, key: LogKey, seqs: Ranges, column: str) -> int:
    query = (
        f"SELECT coalesce(sum({column}), 0) FROM chunk"  # noqa: S608  # A word of our own.
        " WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ?"
    )
    return sum(first_number(connection, query, (*key, *span)) for span in seqs.spans)


def conflicts(
    connection: sqlite3.Connection, origin: str | None, limit: int
) -> list[dict[str, Any]]:
    """The newest conflicts, newest first."""
    rows = connection.execute(
        "SELECT number, at_ms, origin, epoch, seq, held_seq, lower(hex(held_hash)),"
        " lower(hex(sent_hash)), sender, reason, chunks FROM conflict"
        " WHERE ? IS NULL OR origin = ? ORDER BY number DESC LIMIT ?",
        (origin, origin, limit),
    )
    return [dict(zip(_CONFLICT, row, strict=True)) for row in rows]


def stored_chunks(
    connection: sqlite3.Connection, days: DayReaders, key: LogKey, first: int, last: int
) -> Iterator[tuple[int, StoredChunk | str]]:
    """The chunks of one log in order, as they lie on disk, or why one cannot be read."""
    rows = connection.execute(
        "SELECT seq, arrival, received_ms, signal, hash, header FROM chunk"
        " WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ? ORDER BY seq",
        (*key, first, last),
    )
    for seq, arrival, received_ms, signal, digest, header_bytes in rows:
        try:
            header = header_of(header_bytes)
        except BadInput as error:
            yield seq, str(error)
            continue
        if header.seq != seq:
            yield seq, "the header names another number"
            continue
        body = _body(days, place_of(received_ms, signal), arrival)
        if isinstance(body, str):
            yield seq, body
        else:
            yield seq, StoredChunk(Chunk(header, header_bytes, body), digest)


def _body(days: DayReaders, key: DayKey, arrival: int) -> bytes | str:
    try:
        with days.reading(key) as connection:
            body = body_in(connection, arrival)
    except sqlite3.Error as error:
        return f"the day file {key.file_name} cannot be read: {error}"
    return f"its body is not in the day file {key.file_name}" if body is None else body


def days_of(connection: sqlite3.Connection, key: LogKey, seqs: Ranges) -> set[DayKey]:
    """The day files that some chunks of a log lie in."""
    return {
        place_of(received_ms, signal)
        for span in seqs.spans
        for received_ms, signal in connection.execute(
            "SELECT received_ms, signal FROM chunk WHERE origin = ? AND epoch = ?"
            " AND seq BETWEEN ? AND ?",
            (*key, *span),
        )
    }


def hash_at(connection: sqlite3.Connection, key: LogKey, seq: int) -> tuple[int, bytes] | None:
    """The number with the hash of the chunk held there, if one is."""
    found = hashes_at(connection, key, Ranges(((seq, seq),)))
    return (seq, found[seq]) if found else None
