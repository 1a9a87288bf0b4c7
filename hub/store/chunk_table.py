"""What the chunk log does inside a transaction. Each function runs on one connection."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec

from hub.accept import judge_all
from shared.ranges import Ranges, from_wire, of_seqs
from shared.receipt import ChunkOutcome, Receipt, decode_receipt, encode_receipt
from shared.records import Chunk, ChunkHeader, Signal, read_header

LogKey = tuple[str, str]
"""Origin and epoch: one log."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What one commit added: (origin, epoch, seq, arrival) of each new chunk, in arrival order."""

    arrivals: tuple[tuple[LogKey, int, int], ...]
    records: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class HeldChunk:
    """A stored chunk without its body."""

    arrival: int
    header: ChunkHeader
    received_ms: int


def accept_batch(
    connection: sqlite3.Connection, name: str, chunks: Sequence[Chunk], received_ms: int
) -> tuple[Receipt, Stored]:
    """Judge and keep an edge's batch; a batch seen before gets its first receipt again."""
    row = connection.execute("SELECT receipt FROM receipt WHERE batch = ?", (name,)).fetchone()
    if row:
        return decode_receipt(row[0]), Stored((), 0, 0)
    outcomes, stored = keep(connection, chunks, received_ms)
    header = chunks[0].header
    receipt = Receipt(name, header.origin, header.epoch, outcomes)
    connection.execute(
        "INSERT INTO receipt VALUES (?, ?, ?)", (name, encode_receipt(receipt), received_ms)
    )
    return receipt, stored


def keep(
    connection: sqlite3.Connection, chunks: Sequence[Chunk], received_ms: int
) -> tuple[tuple[ChunkOutcome, ...], Stored]:
    """Judge chunks of any origins, store the new ones and note their ranges as received."""
    outcomes: list[ChunkOutcome] = []
    arrivals: list[tuple[LogKey, int, int]] = []
    records = stored_bytes = 0
    for key, group in groupby(chunks, key=_log_key):
        of_log = list(group)
        judged, fresh = judge_all(of_log, _held_hashes(connection, key, of_log))
        outcomes.extend(judged)
        for chunk in fresh:
            arrivals.append((key, chunk.header.seq, _insert(connection, chunk, received_ms)))
            records += chunk.header.records
            stored_bytes += chunk.header.stored_bytes
        if fresh:
            _note_received(connection, key, fresh)
    return tuple(outcomes), Stored(tuple(arrivals), records, stored_bytes)


def _log_key(chunk: Chunk) -> LogKey:
    return chunk.header.origin, chunk.header.epoch


def _held_hashes(
    connection: sqlite3.Connection, key: LogKey, chunks: Sequence[Chunk]
) -> dict[int, bytes]:
    seqs = [chunk.header.seq for chunk in chunks]
    rows = connection.execute(
        "SELECT seq, hash FROM chunk WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ?",
        (*key, min(seqs), max(seqs)),
    )
    wanted = set(seqs)
    return {seq: digest for seq, digest in rows if seq in wanted}


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
