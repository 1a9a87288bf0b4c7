"""What the buffer does inside a transaction. Each function runs on the writer's connection.

The totals are read and written inside the same transaction as the rows they count, so that jobs which
share a commit cannot overwrite each other's sums.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from edge.batch import Joined
from shared.codec import compress
from shared.otlp import join_bodies
from shared.ranges import NOTHING, Ranges, of_spans
from shared.records import GENESIS_HASH, Checkpoint, Chunk, ChunkHeader, read_header, seal


class Totals(msgspec.Struct, frozen=True):
    """What the log has seen in its life; the ledger balances on these."""

    head_seq: int = 0
    head_hash: bytes = GENESIS_HASH
    produced_records: int = 0
    safe_chunks: int = 0
    safe_records: int = 0
    rejected_chunks: int = 0
    rejected_records: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """What a transaction did to the buffer: the new totals, and what it holds more or less of."""

    totals: Totals
    added: Ranges = NOTHING
    removed: Ranges = NOTHING
    records: int = 0
    stored_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the buffer holds, as counted when it is opened."""

    epoch: str
    totals: Totals
    seqs: Ranges
    records: int
    stored_bytes: int
    dead_letters: int


def take_inventory(connection: sqlite3.Connection, fresh_epoch: str) -> Inventory:
    """Count what is there; a new log begins with `fresh_epoch`."""
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (fresh_epoch.encode(),))
    (epoch,) = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    records, stored_bytes = connection.execute(
        "SELECT coalesce(sum(records), 0), coalesce(sum(stored_bytes), 0) FROM chunk"
    ).fetchone()
    (dead_letters,) = connection.execute("SELECT count(*) FROM dead_letter").fetchone()
    seqs = of_spans((seq, seq) for (seq,) in connection.execute("SELECT seq FROM chunk"))
    totals = load_totals(connection)
    return Inventory(epoch.decode(), totals, seqs, records, stored_bytes, dead_letters)


def load_totals(connection: sqlite3.Connection) -> Totals:
    """The totals as this transaction sees them."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'totals'").fetchone()
    return msgspec.msgpack.decode(row[0], type=Totals) if row else Totals()


def _save_totals(connection: sqlite3.Connection, totals: Totals) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO meta VALUES ('totals', ?)", (msgspec.msgpack.encode(totals),)
    )


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes the chunks of one commit, and when."""

    origin: str
    epoch: str
    created_ms: int


def store(
    connection: sqlite3.Connection,
    author: Author,
    joined: Sequence[Joined],
    checkpoints: Iterable[Checkpoint],
) -> Change:
    """Append chunks to the log, and the checkpoints that explain them."""
    totals = before = load_totals(connection)
    stored_bytes = 0
    for each in joined:
        chunk = _seal(author, each, totals)
        connection.execute("INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?)", _row(chunk))
        stored_bytes += chunk.header.stored_bytes
        totals = _after(totals, chunk)
    connection.executemany(
        "INSERT OR REPLACE INTO checkpoint VALUES (?, ?)",
        ((checkpoint.key, checkpoint.state) for checkpoint in checkpoints),
    )
    _save_totals(connection, totals)
    records = totals.produced_records - before.produced_records
    added = Ranges().add(before.head_seq + 1, totals.head_seq) if joined else Ranges()
    return Change(totals, added=added, records=records, stored_bytes=stored_bytes)


def _seal(author: Author, joined: Joined, totals: Totals) -> Chunk:
    raw = join_bodies(joined.encoding, joined.bodies)
    body = compress(raw)
    header = ChunkHeader(
        origin=author.origin,
        epoch=author.epoch,
        seq=totals.head_seq + 1,
        signal=joined.signal,
        encoding=joined.encoding,
        codec="zstd",
        records=joined.records,
        raw_bytes=len(raw),
        stored_bytes=len(body),
        # A chunk without any event time is found under the time at which it was made.
        time_min_ns=joined.time_min_ns or author.created_ms * 1_000_000,
        time_max_ns=joined.time_max_ns or author.created_ms * 1_000_000,
        created_ms=author.created_ms,
        body_sha256=hashlib.sha256(body).digest(),
        previous_hash=totals.head_hash,
    )
    return seal(header, body)


def _row(chunk: Chunk) -> tuple[object, ...]:
    header = chunk.header
    return (
        header.seq,
        chunk.header_bytes,
        str(header.signal),
        header.records,
        header.stored_bytes,
        header.created_ms,
        chunk.body,
    )


def _after(totals: Totals, chunk: Chunk) -> Totals:
    return msgspec.structs.replace(
        totals,
        head_seq=chunk.header.seq,
        head_hash=chunk.hash,
        produced_records=totals.produced_records + chunk.header.records,
    )


def delete_safe(connection: sqlite3.Connection, gone: Ranges) -> Change:
    """Forget chunks that enough hubs have."""
    records, stored_bytes = _remove(connection, gone)
    totals = load_totals(connection)
    totals = msgspec.structs.replace(
        totals,
        safe_chunks=totals.safe_chunks + gone.count,
        safe_records=totals.safe_records + records,
    )
    _save_totals(connection, totals)
    return Change(totals, removed=gone, records=-records, stored_bytes=-stored_bytes)


def bury(connection: sqlite3.Connection, seq: int, reason: str, refused_ms: int) -> Change:
    """Move a chunk to the dead letters, with the reason for which hubs refuse it."""
    only = Ranges(((seq, seq),))
    connection.execute(
        "INSERT INTO dead_letter SELECT seq, header, body, ?, ? FROM chunk WHERE seq = ?",
        (reason, refused_ms, seq),
    )
    records, stored_bytes = _remove(connection, only)
    totals = load_totals(connection)
    totals = msgspec.structs.replace(
        totals,
        rejected_chunks=totals.rejected_chunks + 1,
        rejected_records=totals.rejected_records + records,
    )
    _save_totals(connection, totals)
    return Change(totals, removed=only, records=-records, stored_bytes=-stored_bytes)


def _remove(connection: sqlite3.Connection, gone: Ranges) -> tuple[int, int]:
    measured = measure(connection, gone)
    connection.executemany("DELETE FROM chunk WHERE seq BETWEEN ? AND ?", gone.spans)
    return measured


def measure(connection: sqlite3.Connection, seqs: Ranges) -> tuple[int, int]:
    """The records and stored bytes of these chunks."""
    records = stored_bytes = 0
    for span in seqs.spans:
        row = connection.execute(
            "SELECT coalesce(sum(records), 0), coalesce(sum(stored_bytes), 0)"
            " FROM chunk WHERE seq BETWEEN ? AND ?",
            span,
        ).fetchone()
        records, stored_bytes = records + row[0], stored_bytes + row[1]
    return records, stored_bytes


def read_chunks(
    connection: sqlite3.Connection, wanted: Ranges, bytes_max: int, chunks_max: int
) -> list[Chunk]:
    """Chunks with the wanted numbers, oldest first: at least one that is there, within the bounds."""
    chunks: list[Chunk] = []
    size_bytes = 0
    for first, last in wanted.spans:
        rows = connection.execute(
            "SELECT header, body FROM chunk WHERE seq BETWEEN ? AND ? ORDER BY seq", (first, last)
        )
        for header_bytes, body in rows:
            size_bytes += len(body)
            if chunks and (size_bytes > bytes_max or len(chunks) >= chunks_max):
                return chunks
            chunks.append(Chunk(read_header(header_bytes), header_bytes, body))
    return chunks


def read_checkpoint(connection: sqlite3.Connection, key: str) -> bytes | None:
    """The state last saved under a key."""
    row = connection.execute("SELECT state FROM checkpoint WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def ages(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """When the oldest and the newest chunk in the buffer were made: (seq, Unix milliseconds)."""
    return [
        *connection.execute("SELECT seq, created_ms FROM chunk ORDER BY seq LIMIT 1"),
        *connection.execute("SELECT seq, created_ms FROM chunk ORDER BY seq DESC LIMIT 1"),
    ]
