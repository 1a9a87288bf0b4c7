"""What the chunk log does inside a transaction. Each function runs on one connection."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import msgspec

from hub.accept import Conflict, Judgement, Link, judge_all
from hub.store import ledger_table
from hub.store.ledger_table import Refusal
from shared.ranges import Ranges, from_wire, of_seqs, of_spans
from shared.receipt import ChunkOutcome, Receipt, decode_receipt, encode_receipt
from shared.records import Chunk, ChunkHeader, Gap, Signal, read_header

LogKey = tuple[str, str]
"""Origin and epoch: one log."""


@dataclass(slots=True)
class Stored:
    """What one commit added: each new chunk in arrival order, and what the new ones say."""

    arrivals: list[tuple[LogKey, int, int]] = field(default_factory=list)
    """(log, seq, arrival) of each new chunk."""
    hashes: list[bytes] = field(default_factory=list)
    """The hash of each new chunk."""
    records: int = 0
    stored_bytes: int = 0
    gaps: list[tuple[LogKey, tuple[Gap, ...]]] = field(default_factory=list)
    succeeded: list[LogKey] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    """The first conflict with each log."""
    kept_beside: int = 0


@dataclass(frozen=True, slots=True)
class HeldChunk:
    """A stored chunk without its body."""

    arrival: int
    header: ChunkHeader
    received_ms: int


def accept_batch(
    connection: sqlite3.Connection,
    name: str,
    chunks: Sequence[Chunk],
    received_ms: int,
    sender: str,
) -> tuple[Receipt, Stored]:
    """Judge and keep an edge's batch; a batch seen before gets its first receipt again."""
    row = connection.execute("SELECT receipt FROM receipt WHERE batch = ?", (name,)).fetchone()
    if row:
        return decode_receipt(row[0]), Stored()
    header = chunks[0].header
    stored = Stored()
    key = (header.origin, header.epoch)
    judged = _keep_of_log(connection, key, chunks, received_ms, stored)
    if judged.conflicts:
        ledger_table.note_conflict(connection, judged.conflicts, sender, received_ms)
        stored.conflicts.append(judged.conflicts[0])
    receipt = Receipt(name, *key, judged.outcomes)
    connection.execute(
        "INSERT INTO receipt VALUES (?, ?, ?)", (name, encode_receipt(receipt), received_ms)
    )
    return receipt, stored


def keep(
    connection: sqlite3.Connection, chunks: Sequence[Chunk], received_ms: int, peer: str
) -> tuple[tuple[ChunkOutcome, ...], Stored]:
    """Judge chunks of any origins that a peer has accepted, and keep every one of them.

    The edge was told that they are on a disk, and our next question will confirm that they are on
    ours too; so what cannot be part of the log here is kept beside it.
    """
    outcomes: list[ChunkOutcome] = []
    stored = Stored()
    for key, group in groupby(chunks, key=_log_key):
        of_log = list(group)
        judged = _keep_of_log(connection, key, of_log, received_ms, stored)
        outcomes.extend(judged.outcomes)
        _keep_refused(connection, of_log, judged, received_ms, peer, stored)
    return tuple(outcomes), stored


def _keep_refused(
    connection: sqlite3.Connection,
    chunks: Sequence[Chunk],
    judged: Judgement,
    received_ms: int,
    peer: str,
    stored: Stored,
) -> None:
    refusals = [
        Refusal(chunk, outcome.reason)
        for chunk, outcome in zip(chunks, judged.outcomes, strict=True)
        if not outcome.held
    ]
    kept = ledger_table.keep_beside(connection, refusals, peer, received_ms)
    stored.kept_beside += len(kept)
    # What is beside already was told of when it came first.
    conflicts = [each for each in judged.conflicts if each.chunk.hash in kept]
    if conflicts:
        ledger_table.note_conflict(connection, conflicts, peer, received_ms)
        stored.conflicts.append(conflicts[0])


def _keep_of_log(
    connection: sqlite3.Connection,
    key: LogKey,
    chunks: Sequence[Chunk],
    received_ms: int,
    stored: Stored,
) -> Judgement:
    """Judge chunks of one log, store the new ones and note their ranges as received."""
    judged = judge_all(chunks, _held_links(connection, key, chunks))
    for chunk in judged.fresh:
        header = chunk.header
        stored.arrivals.append((key, header.seq, _insert(connection, chunk, received_ms)))
        stored.hashes.append(chunk.hash)
        stored.records += header.records
        stored.stored_bytes += header.stored_bytes
        if header.gaps:
            stored.gaps.append((key, header.gaps))
        if header.predecessor is not None:
            stored.succeeded.append((key[0], header.predecessor[0]))
    if judged.fresh:
        _note_received(connection, key, judged.fresh)
        ledger_table.note(connection, key, judged.fresh, received_ms)
    return judged


def _log_key(chunk: Chunk) -> LogKey:
    return chunk.header.origin, chunk.header.epoch


def _held_links(
    connection: sqlite3.Connection, key: LogKey, chunks: Sequence[Chunk]
) -> dict[int, Link]:
    """What is held at the numbers of these chunks and next to them."""
    seqs = [chunk.header.seq for chunk in chunks]
    links: dict[int, Link] = {}
    for first, last in of_spans((seq - 1, seq + 1) for seq in seqs).spans:
        rows = connection.execute(
            "SELECT seq, hash, header FROM chunk"
            " WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ?",
            (*key, first, last),
        )
        for seq, digest, header_bytes in rows:
            links[seq] = Link(digest, _previous_hash(header_bytes))
    return links


def _previous_hash(header_bytes: bytes) -> bytes | None:
    try:
        return read_header(header_bytes).previous_hash
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # Damage on this disk is for `ledger.verify` to tell, and stops no edge.


def _insert(connection: sqlite3.Connection, chunk: Chunk, received_ms: int) -> int:
    header = chunk.header
    cursor = connection.execute(
        "INSERT INTO chunk (origin, epoch, seq, signal, records, stored_bytes, time_min_ns,"
        " time_max_ns, received_ms, hash, header, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            header.origin,
            header.epoch,
            header.seq,
            str(header.signal),
            header.records,
            header.stored_bytes,
            header.time_min_ns,
            header.time_max_ns,
            received_ms,
            chunk.hash,
            chunk.header_bytes,
            chunk.body,
        ),
    )
    return cursor.lastrowid or 0


def _note_received(connection: sqlite3.Connection, key: LogKey, fresh: Sequence[Chunk]) -> None:
    row = connection.execute(
        "SELECT ranges, records, stored_bytes FROM received WHERE origin = ? AND epoch = ?", key
    ).fetchone()
    ranges, records, stored_bytes = (_decode(row[0]), row[1], row[2]) if row else (Ranges(), 0, 0)
    ranges = ranges | of_seqs(chunk.header.seq for chunk in fresh)
    records += sum(chunk.header.records for chunk in fresh)
    stored_bytes += sum(chunk.header.stored_bytes for chunk in fresh)
    connection.execute(
        "INSERT OR REPLACE INTO received VALUES (?, ?, ?, ?, ?)",
        (*key, msgspec.msgpack.encode(ranges.to_wire()), records, stored_bytes),
    )


def _decode(stored: bytes) -> Ranges:
    return from_wire(msgspec.msgpack.decode(stored))


def all_received(connection: sqlite3.Connection) -> dict[LogKey, Ranges]:
    """Everything this hub holds, by log."""
    rows = connection.execute("SELECT origin, epoch, ranges FROM received")
    return {(origin, epoch): _decode(ranges) for origin, epoch, ranges in rows}


def arrivals_after(
    connection: sqlite3.Connection, arrival: int, limit: int
) -> list[tuple[LogKey, int, int]]:
    """The chunks that came after `arrival`, in order: log, seq, arrival."""
    rows = connection.execute(
        "SELECT origin, epoch, seq, arrival FROM chunk WHERE arrival > ? ORDER BY arrival LIMIT ?",
        (arrival, limit),
    )
    return [((origin, epoch), seq, number) for origin, epoch, seq, number in rows]


def announcements_after(
    connection: sqlite3.Connection, arrival: int, limit: int
) -> list[tuple[LogKey, int, int, bytes]]:
    """What came after `arrival` as peers are told of it: log, seq, arrival and hash."""
    rows = connection.execute(
        "SELECT origin, epoch, seq, arrival, hash FROM chunk"
        " WHERE arrival > ? ORDER BY arrival LIMIT ?",
        (arrival, limit),
    )
    return [((row[0], row[1]), *row[2:]) for row in rows]


def head_arrival(connection: sqlite3.Connection) -> int:
    """The last arrival number ever given out."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunk'").fetchone()
    return row[0] if row else 0


def totals(connection: sqlite3.Connection) -> tuple[int, int]:
    """Records and stored bytes of the whole log."""
    row = connection.execute(
        "SELECT coalesce(sum(records), 0), coalesce(sum(stored_bytes), 0) FROM received"
    ).fetchone()
    return row[0], row[1]


def read_wanted(
    connection: sqlite3.Connection, key: LogKey, wanted: Ranges, bytes_max: int, chunks_max: int
) -> list[Chunk]:
    """Chunks of one log, oldest first, within the bounds; none is a valid answer."""
    chunks: list[Chunk] = []
    size_bytes = 0
    for span in wanted.spans:
        rows = connection.execute(
            "SELECT header, body FROM chunk"
            " WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ? ORDER BY seq",
            (*key, *span),
        )
        for header_bytes, body in rows:
            size_bytes += len(body)
            if len(chunks) >= chunks_max or (chunks and size_bytes > bytes_max):
                return chunks
            chunks.append(Chunk(read_header(header_bytes), header_bytes, body))
    return chunks


def find(
    connection: sqlite3.Connection,
    signals: Collection[Signal],
    nodes: Collection[str] | None,
    start_ns: int,
    end_ns: int,
    newest_first: bool,
) -> Iterator[HeldChunk]:
    """Chunks whose time range overlaps [start_ns, end_ns), by latest or by earliest event time."""
    marks = ", ".join("?" * len(signals))
    where = f"signal IN ({marks}) AND time_max_ns >= ? AND time_min_ns < ?"
    values: list[object] = [*map(str, signals), start_ns, end_ns]
    if nodes is not None:
        where += f" AND origin IN ({', '.join('?' * len(nodes))})"
        values.extend(nodes)
    order = "time_max_ns DESC, arrival" if newest_first else "time_min_ns, arrival"
    rows = connection.execute(  # Only question marks and our own words are put into the text.
        f"SELECT arrival, header, received_ms FROM chunk WHERE {where} ORDER BY {order}",  # noqa: S608
        values,
    )
    for arrival, header_bytes, received_ms in rows:
        yield HeldChunk(arrival, read_header(header_bytes), received_ms)
