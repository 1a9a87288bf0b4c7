"""What the buffer does inside a transaction. Each function runs on one connection.

Functions that change something take the books as they are and return them as they will be once the
transaction is committed; the caller writes them in the same transaction with `save_books`.
"""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from edge import books as accounts
from edge.books import Books, Entry, Segment, Totals
from shared.receive.gather import Packed
from shared.records import Checkpoint, Chunk, ChunkHeader, seal

_ROW = "INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_totals_decoder = msgspec.msgpack.Decoder(Totals)
_segment_decoder = msgspec.msgpack.Decoder(Segment)
_encoder = msgspec.msgpack.Encoder()


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
