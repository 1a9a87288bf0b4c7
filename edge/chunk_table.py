"""What the buffer does inside a transaction. Each function runs on one connection.

Functions that change something take the books as they are and return them as they will be once the
transaction is committed; the caller writes them in the same transaction with `save_books`.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from edge import books as accounts
from edge.batch import Joined
from edge.books import Books, Entry, Segment, Sum, Totals
from shared.codec import compress
from shared.otlp import join_bodies
from shared.ranges import Ranges, of_seqs
from shared.records import Checkpoint, Chunk, ChunkHeader, Gap, read_header, seal

_ROW = "INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_totals_decoder = msgspec.msgpack.Decoder(Totals)
_segment_decoder = msgspec.msgpack.Decoder(Segment)
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Packed:
    """A body that is ready to become the next chunk, and what its header will say of it."""

    signal: str
    encoding: str
    records: int
    raw_bytes: int
    body: bytes
    body_sha256: bytes
    time_min_ns: int
    time_max_ns: int
    created_ms: int
    gaps: tuple[Gap, ...] = ()
    predecessor: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What the table knows of a chunk without its body."""

    seq: int
    signal: str
    records: int
    stored_bytes: int
    created_ms: int


def pack(joined: Joined, created_ms: int) -> Packed:
    """Join and compress. This is where the processor time of a commit goes; it needs no connection."""
    raw = join_bodies(joined.encoding, joined.bodies)
    body = compress(raw)
    return Packed(
        joined.signal,
        joined.encoding,
        joined.records,
        len(raw),
        body,
        hashlib.sha256(body).digest(),
        # A chunk without any event time is found under the time at which it was made.
        joined.time_min_ns or created_ms * 1_000_000,
        joined.time_max_ns or created_ms * 1_000_000,
        created_ms,
    )


def repack(chunk: Chunk) -> Packed:
    """A chunk that is to be written again, under a new number: the same body, byte for byte."""
    header = chunk.header
    return Packed(
        header.signal,
        header.encoding,
        header.records,
        header.raw_bytes,
        chunk.body,
        header.body_sha256,
        header.time_min_ns,
        header.time_max_ns,
        header.created_ms,
        header.gaps,
    )


def write_chunk(
    connection: sqlite3.Connection,
    books: Books,
    origin: str,
    packed: Packed,
    *,
    produced: bool = True,
) -> Books:
    """Append the next chunk of the log. `produced` is False for records that were counted before."""
    header = ChunkHeader(
        origin=origin,
        epoch=books.epoch,
        seq=books.totals.head_seq + 1,
        signal=packed.signal,
        encoding=packed.encoding,
        codec="zstd",
        records=packed.records,
        raw_bytes=packed.raw_bytes,
        stored_bytes=len(packed.body),
        time_min_ns=packed.time_min_ns,
        time_max_ns=packed.time_max_ns,
        created_ms=packed.created_ms,
        body_sha256=packed.body_sha256,
        previous_hash=books.totals.head_hash,
        gaps=packed.gaps,
        predecessor=packed.predecessor,
    )
    chunk = seal(header, packed.body)
    digest = put_chunk(connection, chunk)
    return accounts.entered(books, entry_of(header), digest, produced=produced)


def put_chunk(connection: sqlite3.Connection, chunk: Chunk) -> bytes:
    """Write a chunk's row as it is; returns its hash."""
    header, digest = chunk.header, chunk.hash
    values = (
        header.seq,
        str(header.signal),
        header.records,
        header.stored_bytes,
        header.created_ms,
        digest,
        chunk.header_bytes,
        chunk.body,
    )
    connection.execute(_ROW, values)
    return digest


def entry_of(header: ChunkHeader) -> Entry:
    """The chunk as the books see it."""
    return Entry(
        header.seq, str(header.signal), header.records, header.stored_bytes, header.created_ms
    )


def save_checkpoints(connection: sqlite3.Connection, checkpoints: Iterable[Checkpoint]) -> None:
    """Note where sources stand."""
    connection.executemany(
        "INSERT OR REPLACE INTO checkpoint VALUES (?, ?)",
        ((checkpoint.key, checkpoint.state) for checkpoint in checkpoints),
    )


def read_checkpoint(connection: sqlite3.Connection, key: str) -> bytes | None:
    """The state last saved under a key."""
    row = connection.execute("SELECT state FROM checkpoint WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def all_checkpoints(connection: sqlite3.Connection) -> list[Checkpoint]:
    """Where all sources stand."""
    rows = connection.execute("SELECT key, state FROM checkpoint")
    return [
        Checkpoint(key, state)
        for key, state in rows
        if isinstance(key, str) and isinstance(state, bytes)  # A damaged page may give anything.
    ]


def save_books(connection: sqlite3.Connection, before: Books | None, after: Books) -> None:
    """Write what changed in the books; everything when there is no `before`."""
    if before is None or before.totals != after.totals:
        _put_meta(connection, "totals", _encoder.encode(after.totals))
    if before is None or before.epoch != after.epoch:
        _put_meta(connection, "epoch", after.epoch.encode())
    held = {segment.number: segment for segment in before.segments} if before else {}
    for segment in after.segments:
        if held.pop(segment.number, None) is not segment:
            connection.execute(
                "INSERT OR REPLACE INTO segment VALUES (?, ?)",
                (segment.number, _encoder.encode(segment)),
            )
    connection.executemany("DELETE FROM segment WHERE number = ?", ((each,) for each in held))


def _put_meta(connection: sqlite3.Connection, key: str, value: bytes) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def set_successor(connection: sqlite3.Connection, number: int) -> None:
    """Note which file came after this one."""
    _put_meta(connection, "successor", str(number).encode())


def successor(connection: sqlite3.Connection) -> int | None:
    """Which file came after this one; None when it is the newest, as far as it knows."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'successor'").fetchone()
    return int(row[0]) if row else None


def load_books(connection: sqlite3.Connection) -> Books | None:
    """The books in this file; None when the file was never finished.

    Raises sqlite3.Error or msgspec.MsgspecError when they cannot be read.
    """
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    rows = connection.execute("SELECT info FROM segment ORDER BY number")
    segments = tuple(_segment_decoder.decode(info) for (info,) in rows)
    if "epoch" not in meta or "totals" not in meta or not segments:
        return None
    totals = _totals_decoder.decode(meta["totals"])
    return Books(bytes(meta["epoch"]).decode(), totals, segments)


def rows_of(connection: sqlite3.Connection, seqs: Ranges, signal: str | None = None) -> list[Row]:
    """These chunks of one file, oldest first, without their bodies."""
    rows: list[Row] = []
    for span in seqs.spans:
        found = connection.execute(
            "SELECT seq, signal, records, stored_bytes, created_ms FROM chunk"
            " WHERE seq BETWEEN ? AND ? ORDER BY seq",
            span,
        )
        rows.extend(Row(*_whole(row)) for row in found if signal is None or row[1] == signal)
    return rows


def measure(connection: sqlite3.Connection, seqs: Ranges) -> dict[str, Sum]:
    """The sums of these chunks of one file, by signal. Raises sqlite3.Error when one is damaged."""
    try:
        return _measure_in_order(connection, seqs)
    except (sqlite3.Error, msgspec.MsgspecError):
        assessed = assess(connection, seqs)
        if assessed.sound != seqs:
            raise
        return assessed.sums


def _measure_in_order(connection: sqlite3.Connection, seqs: Ranges) -> dict[str, Sum]:
    sums: dict[str, Sum] = {}
    for span in seqs.spans:
        rows = connection.execute(
            "SELECT signal, count(*), sum(records), sum(stored_bytes) FROM chunk"
            " WHERE seq BETWEEN ? AND ? GROUP BY signal",
            span,
        )
        sums = accounts.add_sums(sums, {signal: Sum(*rest) for signal, *rest in map(_whole, rows)})
    counted = sum((each.chunks for each in sums.values()), 0)
    if counted != seqs.count:
        raise sqlite3.DatabaseError(f"{seqs.count} chunks were expected and {counted} found")
    return sums


def _whole(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row as it is; a damaged page may hold rows with nothing in them."""
    if None in row:
        raise sqlite3.DatabaseError("a row lost its values")
    return row


def hash_of(connection: sqlite3.Connection, seq: int) -> bytes | None:
    """The header hash of one chunk of this file."""
    row = connection.execute("SELECT hash FROM chunk WHERE seq = ?", (seq,)).fetchone()
    return row[0] if row else None


@dataclass(frozen=True, slots=True)
class Found:
    """What reading gave: sound chunks, and whether some were not as they were written."""

    chunks: tuple[Chunk, ...]
    damaged: bool = False


def read_chunks(
    connection: sqlite3.Connection, wanted: Ranges, bytes_max: int, chunks_max: int
) -> Found:
    """Sound chunks of one file, oldest first, within the bounds, but at least one if any is sound."""
    try:
        found = _read_in_order(connection, wanted, bytes_max, chunks_max)
    except (sqlite3.Error, msgspec.MsgspecError):
        found = Found((), damaged=True)
    if found.chunks or not found.damaged:
        return found
    # A broken page stops a walk and not a search: what can be had one by one is still good.
    for seq in wanted:
        chunk = _try_one(connection, seq)
        if chunk is not None:
            return Found((chunk,), damaged=True)
    return found


def _read_in_order(
    connection: sqlite3.Connection, wanted: Ranges, bytes_max: int, chunks_max: int
) -> Found:
    chunks: list[Chunk] = []
    size_bytes = 0
    for span in wanted.spans:
        rows = connection.execute(
            "SELECT seq, hash, header, body FROM chunk WHERE seq BETWEEN ? AND ? ORDER BY seq", span
        )
        expected = span[0]
        for seq, digest, header_bytes, body in rows:
            chunk = sound_chunk(seq, digest, header_bytes, body)
            if chunk is None or seq != expected:
                return Found(tuple(chunks), damaged=True)
            expected += 1
            size_bytes += len(body)
            if chunks and (size_bytes > bytes_max or len(chunks) >= chunks_max):
                return Found(tuple(chunks))
            chunks.append(chunk)
        if expected != span[1] + 1:
            return Found(tuple(chunks), damaged=True)
    return Found(tuple(chunks))


def sound_chunk(seq: object, digest: object, header_bytes: object, body: object) -> Chunk | None:
    """The chunk of a row, or None when one of its bits is not as it was written."""
    if not isinstance(header_bytes, bytes) or not isinstance(body, bytes):
        return None
    if hashlib.sha256(header_bytes).digest() != digest:
        return None
    header = read_header(header_bytes)
    if header.seq != seq or hashlib.sha256(body).digest() != header.body_sha256:
        return None
    return Chunk(header, header_bytes, body)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is still sound in one file."""

    sound: Ranges
    sums: dict[str, Sum]


def assess(connection: sqlite3.Connection, live: Ranges) -> Assessment:
    """Try every chunk on its own, since a page that cannot be read must not hide its neighbours."""
    sound: list[int] = []
    sums: dict[str, Sum] = {}
    for seq in live:
        chunk = _try_one(connection, seq)
        if chunk is not None:
            sound.append(seq)
            sums = accounts.add_sums(sums, {str(chunk.header.signal): entry_of(chunk.header).sum})
    return Assessment(of_seqs(sound), sums)


def _try_one(connection: sqlite3.Connection, seq: int) -> Chunk | None:
    try:
        row = connection.execute(
            "SELECT seq, hash, header, body FROM chunk WHERE seq = ?", (seq,)
        ).fetchone()
        return sound_chunk(*row) if row else None
    except (sqlite3.Error, msgspec.MsgspecError):
        return None


def store(
    connection: sqlite3.Connection,
    books: Books,
    origin: str,
    packed: Sequence[Packed],
    checkpoints: Iterable[Checkpoint],
) -> Books:
    """Append chunks to the log, and the checkpoints that explain them."""
    for each in packed:
        books = write_chunk(connection, books, origin, each)
    save_checkpoints(connection, checkpoints)
    return books
