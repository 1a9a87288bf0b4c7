"""What the chunk log does inside a transaction. Each function runs on one connection."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import msgspec

from hub.accept import Conflict, Judgement, Link, judge_all
from hub.store import dropped, ledger_table
from hub.store.chunk_reads import LogKey, decode_ranges
from hub.store.days import DayKey, place_of
from hub.store.headers import header_of
from hub.store.ledger_table import Refusal
from shared.errors import BadInput
from shared.ranges import Ranges, of_seqs, of_spans
from shared.receipt import ChunkOutcome, Receipt, decode_receipt, encode_receipt
from shared.records import Chunk, Gap

PutBody = Callable[[DayKey, tuple[int, int, bytes, bytes]], None]
"""Puts (arrival, received_ms, header, body) into a day file, in the running transaction."""


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


def accept_batch(
    connection: sqlite3.Connection,
    put_body: PutBody,
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
    arrived = Arrived(chunks, [received_ms] * len(chunks))
    judged = _keep_of_log(connection, put_body, key, arrived, stored)
    if judged.conflicts:
        ledger_table.note_conflict(connection, judged.conflicts, sender, received_ms)
        stored.conflicts.append(judged.conflicts[0])
    receipt = Receipt(name, *key, judged.outcomes)
    connection.execute(
        "INSERT INTO receipt VALUES (?, ?, ?)", (name, encode_receipt(receipt), received_ms)
    )
    return receipt, stored


@dataclass(frozen=True, slots=True)
class Arrived:
    """Chunks, and when the first hub of the cluster took in each of them."""

    chunks: Sequence[Chunk]
    received_ms: Sequence[int]
    arrivals: Sequence[int] = ()
    """The numbers that they had in a store which is put together again; else they get new ones."""


def keep(
    connection: sqlite3.Connection,
    put_body: PutBody,
    arrived: Arrived,
    now_ms: int,
    peer: str,
) -> tuple[tuple[ChunkOutcome, ...], Stored]:
    """Judge chunks of any origins that a peer has accepted, and keep every one of them.

    The edge was told that they are on a disk, and our next question will confirm that they are on
    ours too; so what cannot be part of the log here is kept beside it.
    """
    outcomes: list[ChunkOutcome] = []
    stored = Stored()
    numbers = arrived.arrivals or [0] * len(arrived.chunks)
    rows = zip(arrived.chunks, arrived.received_ms, numbers, strict=True)
    for key, group in groupby(rows, key=lambda row: _log_key(row[0])):
        chunks, times, arrivals = zip(*group, strict=True)
        of_log = Arrived(chunks, times, arrivals)
        judged = _keep_of_log(connection, put_body, key, of_log, stored)
        outcomes.extend(judged.outcomes)
        _keep_refused(connection, chunks, judged, now_ms, peer, stored)
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
    put_body: PutBody,
    key: LogKey,
    arrived: Arrived,
    stored: Stored,
) -> Judgement:
    """Judge chunks of one log, store the new ones and note their ranges as received."""
    chunks = arrived.chunks
    gone = dropped.gone(connection, key, of_seqs(chunk.header.seq for chunk in chunks))
    judged = judge_all(chunks, _held_links(connection, key, chunks), gone)
    times = {chunk.hash: ms for chunk, ms in zip(chunks, arrived.received_ms, strict=True)}
    numbers = dict(zip((chunk.hash for chunk in chunks), arrived.arrivals, strict=False))
    for chunk in judged.fresh:
        header, received_ms = chunk.header, times[chunk.hash]
        arrival = _insert(connection, chunk, received_ms, numbers.get(chunk.hash) or None)
        if not numbers.get(chunk.hash):
            place = place_of(received_ms, header.signal)
            put_body(place, (arrival, received_ms, chunk.header_bytes, chunk.body))
        stored.arrivals.append((key, header.seq, arrival))
        stored.hashes.append(chunk.hash)
        stored.records += header.records
        stored.stored_bytes += header.stored_bytes
        if header.gaps:
            stored.gaps.append((key, header.gaps))
        if header.predecessor is not None:
            stored.succeeded.append((key[0], header.predecessor[0]))
    if judged.fresh:
        _note_received(connection, key, judged.fresh)
        ledger_table.note(connection, key, judged.fresh, min(times.values()))
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
            links[seq] = Link(digest, previous_hash(header_bytes))
    return links


def previous_hash(header_bytes: bytes) -> bytes | None:
    """The hash of the chunk before, as a stored header names it; None when it cannot be read."""
    try:
        return header_of(header_bytes).previous_hash
    except BadInput:
        return None  # Damage on this disk is for `ledger.verify` to tell, and stops no edge.


def _insert(
    connection: sqlite3.Connection, chunk: Chunk, received_ms: int, arrival: int | None
) -> int:
    header = chunk.header
    cursor = connection.execute(
        "INSERT INTO chunk (arrival, origin, epoch, seq, signal, records, stored_bytes, time_min_ns,"
        " time_max_ns, received_ms, hash, header) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            arrival,
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
        ),
    )
    return cursor.lastrowid or 0


def _note_received(connection: sqlite3.Connection, key: LogKey, fresh: Sequence[Chunk]) -> None:
    row = connection.execute(
        "SELECT ranges, records, stored_bytes FROM received WHERE origin = ? AND epoch = ?", key
    ).fetchone()
    ranges, records, stored_bytes = (
        (decode_ranges(row[0]), row[1], row[2]) if row else (Ranges(), 0, 0)
    )
    ranges = ranges | of_seqs(chunk.header.seq for chunk in fresh)
    records += sum(chunk.header.records for chunk in fresh)
    stored_bytes += sum(chunk.header.stored_bytes for chunk in fresh)
    connection.execute(
        "INSERT OR REPLACE INTO received VALUES (?, ?, ?, ?, ?)",
        (*key, msgspec.msgpack.encode(ranges.to_wire()), records, stored_bytes),
    )
