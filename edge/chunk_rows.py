"""Reading the chunks of one file, also of one whose pages are damaged."""

import contextlib
import hashlib
import sqlite3
from dataclasses import dataclass
from typing import Any

import msgspec

from edge import books as accounts
from edge import chunk_table
from shared.ranges import SEQ_MAX, Ranges, of_seqs
from shared.records import Chunk, read_header
from shared.sums import Sum


@dataclass(frozen=True, slots=True)
class Row:
    """What the table knows of a chunk without its body."""

    seq: int
    signal: str
    records: int
    stored_bytes: int
    created_ms: int


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
        chunk = sound_at(connection, seq)
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
        chunk = sound_at(connection, seq)
        if chunk is not None:
            sound.append(seq)
            sums = accounts.add_sums(
                sums, {str(chunk.header.signal): chunk_table.entry_of(chunk.header).sum}
            )
    return Assessment(of_seqs(sound), sums)


def sound_at(connection: sqlite3.Connection, seq: int) -> Chunk | None:
    """One chunk of a file, or None when it is not there as it was written."""
    try:
        row = connection.execute(
            "SELECT seq, hash, header, body FROM chunk WHERE seq = ?", (seq,)
        ).fetchone()
        return sound_chunk(*row) if row else None
    except (sqlite3.Error, msgspec.MsgspecError):
        return None


def seqs_in(connection: sqlite3.Connection) -> Ranges:
    """The numbers of the rows that can be had from both ends: a broken page stops a walk."""
    found: set[int] = set()
    for direction in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.Error):
            rows = connection.execute(  # One of two words of our own is put into the text.
                f"SELECT seq FROM chunk ORDER BY seq {direction}"  # noqa: S608
            )
            found.update(seq for (seq,) in rows if isinstance(seq, int) and 1 <= seq <= SEQ_MAX)
    return of_seqs(found)
