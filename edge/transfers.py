"""Changes of the books and the newest file, as jobs for one transaction each."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from edge import books as accounts
from edge import chunk_table
from edge.books import Books, Segment
from edge.chunk_table import repack
from shared.ranges import Ranges
from shared.receive.gather import Packed
from shared.records import Chunk
from shared.sums import Sum

Work = Callable[[sqlite3.Connection, Books], Books]


def take_out(gone: Ranges, measured: Mapping[int, Mapping[str, Sum]], fate: str) -> Work:
    """Take chunks out of several segments, and book what became of them."""

    def work(connection: sqlite3.Connection, books: Books) -> Books:
        for number, sums in measured.items():
            books = take_out_of(number, gone, sums, fate)(connection, books)
        return books

    return work


def take_out_of(number: int, gone: Ranges, sums: Mapping[str, Sum], fate: str) -> Work:
    """Take chunks out of one segment, and book what became of them."""

    def work(_: sqlite3.Connection, books: Books) -> Books:
        books = accounts.removed(books, number, gone, sums)
        return replace(books, totals=accounts.booked(books.totals, fate, sums))

    return work


def renewed(books: Books, epoch: str) -> Books:
    """The books at the beginning of a new life of the log, in a file that was just begun."""
    totals = msgspec.structs.replace(
        books.totals, head_seq=0, head_hash=accounts.Totals().head_hash
    )
    segments = (*books.segments[:-1], Segment(books.active.number, epoch))
    return replace(books, epoch=epoch, totals=totals, segments=segments)


def rewrite(origin: str, number: int, chunks: Sequence[Chunk]) -> Work:
    """Write chunks of a former life of the log again, under new numbers."""

    def work(connection: sqlite3.Connection, books: Books) -> Books:
        for chunk in chunks:
            entry = chunk_table.entry_of(chunk.header)
            gone = Ranges(((entry.seq, entry.seq),))
            books = accounts.removed(books, number, gone, {entry.signal: entry.sum})
            books = chunk_table.write_chunk(
                connection, books, origin, without_gaps(repack(chunk)), produced=False
            )
        return books

    return work


def without_gaps(packed: Packed) -> Packed:
    """Gaps speak of the numbers of their own life of the log; people still read them in the body."""
    return replace(packed, gaps=(), predecessor=None)


def move(number: int, chunks: Sequence[Chunk]) -> Work:
    """Move chunks as they are from an old file to the newest."""

    def work(connection: sqlite3.Connection, books: Books) -> Books:
        for chunk in chunks:
            entry = chunk_table.entry_of(chunk.header)
            gone = Ranges(((entry.seq, entry.seq),))
            books = accounts.removed(books, number, gone, {entry.signal: entry.sum})
            chunk_table.put_chunk(connection, chunk)
            books = accounts.placed(books, entry)
        return books

    return work


def declare(origin: str, statement: Packed) -> Work:
    """Say something in the log itself."""
    return lambda connection, books: chunk_table.write_chunk(connection, books, origin, statement)


def put_back(origin: str, chunk: Chunk) -> Work:
    """Put a refused chunk back into the log."""

    def work(connection: sqlite3.Connection, books: Books) -> Books:
        entry = chunk_table.entry_of(chunk.header)
        if chunk.header.epoch == books.epoch:
            chunk_table.put_chunk(connection, chunk)
            books = accounts.placed(books, entry)
        else:
            again = without_gaps(repack(chunk))
            books = chunk_table.write_chunk(connection, books, origin, again, produced=False)
        taken = {entry.signal: Sum() - entry.sum}
        return replace(books, totals=accounts.booked(books.totals, "rejected", taken))

    return work
