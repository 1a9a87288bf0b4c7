"""Reads the chunk log from hub.db. Each function runs on one connection; bodies are in day files."""

import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import msgspec

from hub.store.days import DAY_MS, DayKey, day_of
from shared.ranges import Ranges, from_wire
from shared.records import ChunkHeader, Signal, read_header

LogKey = tuple[str, str]
"""Origin and epoch: one log."""


@dataclass(frozen=True, slots=True)
class HeldChunk:
    """A stored chunk without its body."""

    arrival: int
    header: ChunkHeader
    received_ms: int


def decode_ranges(stored: bytes) -> Ranges:
    """Ranges as they are kept in a column."""
    return from_wire(msgspec.msgpack.decode(stored))


def all_received(connection: sqlite3.Connection) -> dict[LogKey, Ranges]:
    """Everything this hub holds, by log."""
    rows = connection.execute("SELECT origin, epoch, ranges FROM received")
    return {(origin, epoch): decode_ranges(ranges) for origin, epoch, ranges in rows}


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


def wanted_rows(
    connection: sqlite3.Connection, key: LogKey, wanted: Ranges
) -> Iterator[tuple[HeldChunk, bytes]]:
    """Chunks of one log without bodies, oldest first, with their header bytes."""
    for span in wanted.spans:
        rows = connection.execute(
            "SELECT arrival, received_ms, header FROM chunk"
            " WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ? ORDER BY seq",
            (*key, *span),
        )
        for arrival, received_ms, header_bytes in rows:
            yield HeldChunk(arrival, read_header(header_bytes), received_ms), header_bytes


def by_arrival(connection: sqlite3.Connection, arrivals: Collection[int]) -> Iterator[HeldChunk]:
    """Chunks by their numbers; those that are no longer here are left out."""
    query = "SELECT arrival, header, received_ms FROM chunk WHERE arrival = ?"
    for number in arrivals:
        row = connection.execute(query, (number,)).fetchone()
        if row is not None:
            yield HeldChunk(row[0], read_header(row[1]), row[2])


def days_between(
    connection: sqlite3.Connection, signal: Signal, start_ns: int, end_ns: int
) -> list[DayKey]:
    """The day files of a signal with records of a time range, as their headers tell; oldest first."""
    rows = connection.execute(
        "SELECT day_number FROM day_sum WHERE signal = ? AND time_max_ns >= ? AND time_min_ns < ?"
        " ORDER BY day_number",
        (str(signal), start_ns, end_ns),
    )
    return [DayKey(day_of(number * DAY_MS), str(signal)) for (number,) in rows]
