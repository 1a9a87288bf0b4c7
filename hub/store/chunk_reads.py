"""Reads the chunk log from hub.db. Each function runs on one connection; bodies are in day files."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from hub.store.days import DAY_MS, DayKey, day_of, place_of
from hub.store.headers import true_header
from shared.errors import BadInput
from shared.ranges import Ranges, from_wire
from shared.records import ChunkHeader, Signal

LogKey = tuple[str, str]
"""Origin and epoch: one log."""


@dataclass(frozen=True, slots=True)
class HeldChunk:
    """A stored chunk without its body."""

    arrival: int
    header: ChunkHeader
    received_ms: int


HeldRow = tuple[int, int, str, bytes, bytes]
"""Arrival, received_ms, signal, hash and header bytes of a stored chunk."""

HELD_COLUMNS = "arrival, received_ms, signal, CAST(hash AS BLOB), CAST(header AS BLOB)"
"""The same in a statement. One flipped bit in a row makes a text of a blob; a cast reads it still."""

LeftOut = Callable[[int, DayKey, str], None]
"""Is told of a chunk whose header is damaged: its arrival number, its day file, and why."""


@dataclass(frozen=True, slots=True)
class WantedRow:
    """A stored chunk that somebody asks for, before its header is read."""

    arrival: int
    received_ms: int
    signal: str
    hash: bytes

    @property
    def place(self) -> DayKey:
        """The day file that it lies in."""
        return place_of(self.received_ms, self.signal)


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


def held_chunks(rows: Iterable[HeldRow], left_out: LeftOut) -> Iterator[HeldChunk]:
    """The chunks of these rows with their headers, but for those whose headers are damaged."""
    for arrival, received_ms, signal, digest, header_bytes in rows:
        try:
            header = true_header(header_bytes, digest)
        except BadInput as error:
            left_out(arrival, place_of(received_ms, signal), f"chunk {arrival} in hub.db: {error}")
            continue
        yield HeldChunk(arrival, header, received_ms)


def wanted_rows(
    connection: sqlite3.Connection, key: LogKey, wanted: Ranges
) -> Iterator[tuple[WantedRow, bytes]]:
    """Chunks of one log without bodies, oldest first, with their header bytes."""
    for span in wanted.spans:
        rows = connection.execute(
            f"SELECT {HELD_COLUMNS} FROM chunk"  # noqa: S608  # Our own words only.
            " WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ? ORDER BY seq",
            (*key, *span),
        )
        for *row, header_bytes in rows:
            yield WantedRow(*row), header_bytes


def by_arrival(
    connection: sqlite3.Connection, arrivals: Collection[int], left_out: LeftOut
) -> Iterator[HeldChunk]:
    """Chunks by their numbers; those that are no longer here are passed over."""
    query = f"SELECT {HELD_COLUMNS} FROM chunk WHERE arrival = ?"  # noqa: S608  # Our own words only.
    found = (connection.execute(query, (number,)).fetchone() for number in arrivals)
    yield from held_chunks((row for row in found if row is not None), left_out)


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
