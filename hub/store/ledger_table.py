"""What the hub's disk knows of losses, lives of logs and conflicts. Each function runs on one connection."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hub.accept import Conflict
from hub.ledger import LedgerState, LogKey, known_reason
from shared.ranges import NOTHING, Ranges, from_wire, of_spans
from shared.records import Chunk, Gap
from shared.sums import Sum

CONFLICTS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A chunk that is refused for good, and why."""

    chunk: Chunk
    reason: str


# ---- writing, in the transaction that keeps the chunks


def note(
    connection: sqlite3.Connection, key: LogKey, fresh: Sequence[Chunk], received_ms: int
) -> None:
    """Take in what new chunks of one log add up to, and what they declare."""
    connection.execute(
        "INSERT OR IGNORE INTO epoch VALUES (?, ?, NULL, NULL, NULL, ?)", (*key, received_ms)
    )
    _add_sums(connection, key, fresh)
    for chunk in fresh:
        if chunk.header.predecessor is not None:
            _note_predecessor(connection, key, chunk.header.seq, chunk.header.predecessor)
    gaps = [(chunk.header.seq, chunk.header.gaps) for chunk in fresh if chunk.header.gaps]
    for seq, declared in gaps:
        _note_gaps(connection, key, seq, declared)


def _add_sums(connection: sqlite3.Connection, key: LogKey, fresh: Sequence[Chunk]) -> None:
    sums: dict[str, Sum] = {}
    for chunk in fresh:
        header = chunk.header
        more = Sum(1, header.records, header.stored_bytes)
        sums[str(header.signal)] = sums.get(str(header.signal), Sum()) + more
    connection.executemany(
        "INSERT INTO held VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " chunks = chunks + excluded.chunks, records = records + excluded.records,"
        " stored_bytes = stored_bytes + excluded.stored_bytes",
        (
            (*key, signal, each.chunks, each.records, each.stored_bytes)
            for signal, each in sums.items()
        ),
    )


def _note_predecessor(
    connection: sqlite3.Connection, key: LogKey, seq: int, predecessor: tuple[str, int]
) -> None:
    # The earliest chunk that names one counts, so that hubs agree in whatever order chunks come.
    connection.execute(
        "UPDATE epoch SET predecessor_epoch = ?, predecessor_seq = ?, declared_seq = ?"
        " WHERE origin = ? AND epoch = ? AND (declared_seq IS NULL OR declared_seq > ?)",
        (*predecessor, seq, *key, seq),
    )


def _note_gaps(connection: sqlite3.Connection, key: LogKey, seq: int, gaps: Sequence[Gap]) -> None:
    connection.executemany(
        "INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((*key, seq, number, *_gap_row(gap)) for number, gap in enumerate(gaps)),
    )
    union = declared_of(connection, key) | of_spans(span for gap in gaps for span in gap.ranges)
    connection.execute(
        "INSERT OR REPLACE INTO declared VALUES (?, ?, ?)", (*key, _packed(union.spans))
    )


def _gap_row(gap: Gap) -> tuple[Any, ...]:
    sums = (gap.chunks, gap.records, gap.stored_bytes)
    return (gap.signal, gap.reason, _packed(gap.ranges), *sums, gap.since_ms, gap.until_ms)


def _packed(spans: Iterable[tuple[int, int]]) -> bytes:
    return msgspec.msgpack.encode(list(spans))


def unpacked(stored: bytes) -> Ranges:
    return from_wire(msgspec.msgpack.decode(stored))


def note_conflict(
    connection: sqlite3.Connection, conflicts: Sequence[Conflict], sender: str, at_ms: int
) -> None:
    """Write down that a log was contradicted: one row for all conflicts of one batch."""
    first = conflicts[0]
    header = first.chunk.header
    cursor = connection.execute(
        "INSERT INTO conflict (at_ms, origin, epoch, seq, held_seq, held_hash, sent_hash, sender,"
        " reason, chunks) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            at_ms,
            header.origin,
            header.epoch,
            header.seq,
            first.held_seq,
            first.held_hash,
            first.chunk.hash,
            sender,
            first.reason,
            len(conflicts),
        ),
    )
    newest = (cursor.lastrowid or 0) - CONFLICTS_KEPT
    connection.execute("DELETE FROM conflict WHERE number <= ?", (newest,))


def keep_beside(
    connection: sqlite3.Connection, refusals: Sequence[Refusal], sender: str, received_ms: int
) -> set[bytes]:
    """Keep what a peer accepted and this hub cannot; returns the hashes that were not here yet."""
    kept: set[bytes] = set()
    for refusal in refusals:
        chunk, header = refusal.chunk, refusal.chunk.header
        cursor = connection.execute(
            "INSERT OR IGNORE INTO conflict_chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                chunk.hash,
                header.origin,
                header.epoch,
                header.seq,
                received_ms,
                sender,
                refusal.reason,
                chunk.header_bytes,
                chunk.body,
            ),
        )
        if cursor.rowcount:
            kept.add(chunk.hash)
    return kept


# ---- reading what writing needs


def load_state(connection: sqlite3.Connection) -> LedgerState:
    """What is kept in memory of all this."""
    state = LedgerState()
    for origin, epoch, ranges in connection.execute("SELECT origin, epoch, ranges FROM declared"):
        state.declared[origin, epoch] = unpacked(ranges)
        state.origins.add(origin)
    for reason, records in connection.execute("SELECT reason, sum(records) FROM gap GROUP BY 1"):
        state.records_by_reason[known_reason(reason)] += records
    named = "SELECT origin, predecessor_epoch FROM epoch WHERE predecessor_epoch IS NOT NULL"
    state.succeeded = set(connection.execute(named))
    state.conflicts = first_number(connection, "SELECT max(number) FROM conflict")
    state.kept_beside = first_number(connection, "SELECT count(*) FROM conflict_chunk")
    return state


def first_number(connection: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> int:
    row = connection.execute(query, values).fetchone()
    return (row[0] if row else 0) or 0


def hashes_at(connection: sqlite3.Connection, key: LogKey, seqs: Ranges) -> dict[int, bytes]:
    """The hashes of the chunks held at some numbers of one log."""
    found: dict[int, bytes] = {}
    for span in seqs.spans:
        rows = connection.execute(
            "SELECT seq, hash FROM chunk WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ?",
            (*key, *span),
        )
        found.update(rows)
    return found


def is_beside(connection: sqlite3.Connection, digest: bytes) -> bool:
    """Whether a chunk is kept beside the log."""
    query = "SELECT 1 FROM conflict_chunk WHERE hash = ?"
    return connection.execute(query, (digest,)).fetchone() is not None


def declared_of(connection: sqlite3.Connection, key: LogKey) -> Ranges:
    query = "SELECT ranges FROM declared WHERE origin = ? AND epoch = ?"
    row = connection.execute(query, key).fetchone()
    return unpacked(row[0]) if row else NOTHING
