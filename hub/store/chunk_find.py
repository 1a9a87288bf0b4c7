"""Finds chunks by time in hub.db, in order, also when there are millions and few are wanted."""

import heapq
import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hub.query.picks import Picks, PicksByDay
from hub.query.scan import MayHold
from hub.store.chunk_reads import HELD_COLUMNS, HeldChunk, LeftOut, held_chunks
from shared.records import Signal

NUMBERS_MAX = 5000
"""So many chunks of a day are looked up by their numbers; of more, walking meets one soon."""

SPAN_NS_MAX = 3 * 86_400 * 1_000_000_000
"""A day whose chunks span more time than this has some with odd times. Walking through all that lies
between would meet other days' chunks, so its own are sorted instead."""

CURSORS_MAX = 32
"""So many nodes have a walk each; of more, one walk past all nodes meets enough."""

_SIGNALS = {signal.value: signal for signal in Signal}

Row = tuple[int, int, int, str, bytes, bytes]
"""The place in the order, then what chunk_reads.HeldRow has."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What `ChunkReader.find` is asked for."""

    signals: Collection[Signal]
    nodes: Collection[str] | None
    start_ns: int
    end_ns: int
    newest_first: bool


@dataclass(frozen=True, slots=True)
class _Day:
    """A day file with chunks of the range; the times are those of all that ever were in it."""

    signal: str
    number: int
    chunks: int
    time_min_ns: int
    time_max_ns: int


def find(
    connection: sqlite3.Connection, sought: Sought, may_hold: MayHold | None, left_out: LeftOut
) -> Iterator[HeldChunk]:
    """Chunks whose time range overlaps [start_ns, end_ns), by latest or by earliest event time.

    `may_hold` leaves out chunks before their headers are read; one that answers for whole days saves
    looking at their rows, too. `left_out` is told of those whose headers cannot be read.
    """
    days = _days(connection, sought)
    if not days:
        return
    if isinstance(may_hold, PicksByDay):
        rows = _merged([_stream(connection, sought, day, may_hold) for day in days])
    else:
        rows = _kept(_walk(connection, sought, _hull(days)), may_hold)
    yield from held_chunks((row[1:] for row in rows), left_out)


def _days(connection: sqlite3.Connection, sought: Sought) -> list[_Day]:
    rows = connection.execute(
        "SELECT signal, day_number, chunks, time_min_ns, time_max_ns FROM day_sum"
        " WHERE signal IN (SELECT value FROM json_each(?))"
        " AND time_max_ns >= ? AND time_min_ns < ?",
        (json.dumps([*map(str, sought.signals)]), sought.start_ns, sought.end_ns),
    )
    return [_Day(*row) for row in rows]


def _hull(days: Sequence[_Day]) -> tuple[int, int]:
    return min(day.time_min_ns for day in days), max(day.time_max_ns for day in days)


def _kept(rows: Iterable[Row], may_hold: MayHold | None) -> Iterator[Row]:
    for row in rows:
        if may_hold is None or may_hold(row[1], row[2], _SIGNALS[row[3]]):
            yield row


# ---- Day by day

_Stream = tuple[int, Callable[[], Iterator[Row]]]
"""A place before which none of its rows lies, and how to get these in order."""


def _merged(streams: Iterable[_Stream]) -> Iterator[Row]:
    """All rows in order; a stream is opened when its turn comes, so that old days cost nothing while
    nobody asks for them."""
    waiting = sorted(streams, key=lambda stream: stream[0], reverse=True)
    heads: list[tuple[Row, int, Iterator[Row]]] = []
    opened = 0
    while waiting or heads:
        while waiting and (not heads or waiting[-1][0] <= heads[0][0][0]):
            rows = waiting.pop()[1]()
            opened += 1
            if (first := next(rows, None)) is not None:
                heapq.heappush(heads, (first, opened, rows))
        if heads:
            row, number, rows = heads[0]
            yield row
            if (following := next(rows, None)) is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (following, number, rows))


def _stream(
    connection: sqlite3.Connection, sought: Sought, day: _Day, by_day: PicksByDay
) -> _Stream:
    def rows() -> Iterator[Row]:
        picks = by_day.of_day(day.number, _SIGNALS[day.signal])
        numbers = _numbers(connection, day, picks)
        if numbers is not None:
            return _by_number(connection, sought, day, numbers)
        return (row for row in _walk_day(connection, sought, day) if row[1] in picks)

    return (-day.time_max_ns if sought.newest_first else day.time_min_ns), rows


def _numbers(connection: sqlite3.Connection, day: _Day, picks: Picks) -> list[int] | None:
    """The chunks that are picked; None when they are many."""
    room = NUMBERS_MAX - len(picks.among)
    if room < 0 or (picks.through <= 0 and day.chunks > room):
        return None
    fresh = connection.execute(
        "SELECT arrival FROM chunk WHERE signal = ? AND received_ms / 86400000 = ? AND arrival > ?"
        " LIMIT ?",
        (day.signal, day.number, picks.through, room + 1),
    ).fetchall()
    return None if len(fresh) > room else [*picks.among, *(arrival for (arrival,) in fresh)]


# ---- Statements


def _place(sought: Sought) -> str:
    return "-time_max_ns" if sought.newest_first else "time_min_ns"


def _order(sought: Sought) -> str:
    return "time_max_ns DESC, arrival" if sought.newest_first else "time_min_ns, arrival"


def _select(sought: Sought, where: str) -> str:
    """Only question marks and our own words are put into the text."""
    return (
        f"SELECT {_place(sought)}, {HELD_COLUMNS} FROM chunk"  # noqa: S608
        f" WHERE time_max_ns >= ? AND time_min_ns < ? AND {where}"
        f" ORDER BY {_order(sought)}"
    )


def _of_nodes(sought: Sought) -> str:
    """The condition that takes one value: the nodes as JSON, or null."""
    if sought.nodes is None:
        return "? IS NULL"
    return "+origin IN (SELECT value FROM json_each(?))"


def _node_value(sought: Sought) -> str | None:
    return None if sought.nodes is None else json.dumps(sorted(sought.nodes))


def _by_number(
    connection: sqlite3.Connection, sought: Sought, day: _Day, numbers: Sequence[int]
) -> Iterator[Row]:
    """Of a day that is retired and filled again numbers stay what they were; of a damaged index they
    may be anything, so signal and day are checked."""
    picked = "arrival IN (SELECT value FROM json_each(?))"
    where = f"{picked} AND +signal = ? AND +received_ms / 86400000 = ? AND {_of_nodes(sought)}"
    values = (json.dumps(numbers), day.signal, day.number, _node_value(sought))
    return connection.execute(_select(sought, where), (sought.start_ns, sought.end_ns, *values))


def _walk_day(connection: sqlite3.Connection, sought: Sought, day: _Day) -> Iterator[Row]:
    hull = (day.time_min_ns, day.time_max_ns)
    if hull[1] - hull[0] <= SPAN_NS_MAX or sought.nodes is not None:
        rows = _walk(connection, sought, hull, (_SIGNALS[day.signal],))
        return (row for row in rows if row[2] // 86_400_000 == day.number)
    where = f"signal = ? AND received_ms / 86400000 = ? AND {_of_nodes(sought)}"
    values = (sought.start_ns, sought.end_ns, day.signal, day.number, _node_value(sought))
    return connection.execute(_select(sought, where), values)


def _walk(
    connection: sqlite3.Connection,
    sought: Sought,
    hull: tuple[int, int],
    signals: Collection[Signal] | None = None,
) -> Iterator[Row]:
    """All chunks of the range, none of which reaches over the hull; lazily, along an index."""
    cursors = [
        connection.execute(_select(sought, f"{_within(sought)} AND {where}"), values)
        for signal in signals or sought.signals
        for where, values in _cuts(sought, hull, signal)
    ]
    return heapq.merge(*cursors)


def _within(sought: Sought) -> str:
    """Where an index must end that begins at the other edge of the range."""
    return "time_max_ns <= ?" if sought.newest_first else "time_min_ns >= ?"


def _cuts(
    sought: Sought, hull: tuple[int, int], signal: Signal
) -> Iterator[tuple[str, tuple[object, ...]]]:
    edge = hull[1] if sought.newest_first else hull[0]
    values = (sought.start_ns, sought.end_ns, edge, str(signal))
    nodes = sought.nodes
    if nodes is not None and len(nodes) <= CURSORS_MAX:
        for node in sorted(nodes):
            yield "signal = ? AND origin = ?", (*values, node)
    else:
        yield f"signal = ? AND {_of_nodes(sought)}", (*values, _node_value(sought))
