"""What hubs observed of nodes over time, on disk. Each function runs inside a transaction.

Lines of an observer's log stand by node, so that one node's history is one range of the file; a second
index has them by log and number, in which peers ask for them.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec
from sqlite_utils.db import Database

from hub.nodes.history import BEGAN, UNKNOWN, Attendance, Change
from shared.errors import BadInput

LOGS_MAX = 256
"""Stores of hubs that were ever known; a restored store begins a new one."""

COUNTED_MAX = 100_000

_COLUMNS = "number, node, subject, attendance, state, since_ms, reason, folded, ended_ms"


def history_tables(db: Database) -> None:
    """Logs of observers, the times in which they observed, and their lines."""
    for statement in (
        "CREATE TABLE span_log (id INTEGER PRIMARY KEY, log TEXT NOT NULL UNIQUE,"
        " head INTEGER NOT NULL)",
        "CREATE TABLE span_attendance (log_id INTEGER NOT NULL, attendance INTEGER NOT NULL,"
        " since_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,"
        " PRIMARY KEY (log_id, attendance)) WITHOUT ROWID",
        "CREATE TABLE span (node TEXT NOT NULL, log_id INTEGER NOT NULL, number INTEGER NOT NULL,"
        " subject TEXT NOT NULL, attendance INTEGER NOT NULL, state TEXT NOT NULL,"
        " since_ms INTEGER NOT NULL, reason TEXT NOT NULL, folded INTEGER NOT NULL,"
        " ended_ms INTEGER NOT NULL, PRIMARY KEY (node, log_id, number)) WITHOUT ROWID",
        "CREATE UNIQUE INDEX span_by_number ON span (log_id, number)",
        "CREATE INDEX span_by_time ON span (since_ms, state)",
    ):
        db.execute(statement)


@dataclass(frozen=True, slots=True)
class LogHead:
    """How far a log is held here, and its newest attendance (0: none yet)."""

    log: str
    head: int
    attendance: int
    attended_ms: int


def heads(connection: sqlite3.Connection) -> list[LogHead]:
    """All logs that are held here."""
    rows = connection.execute(
        "SELECT log, head, coalesce(attendance, 0), coalesce(until_ms, 0) FROM span_log"
        " LEFT JOIN span_attendance a ON log_id = id AND attendance ="
        " (SELECT max(attendance) FROM span_attendance WHERE log_id = id) ORDER BY log"
    )
    return [LogHead(*row) for row in rows]


def head_of(connection: sqlite3.Connection, log: str) -> LogHead:
    """One of them; a log of which nothing is held stands at 0."""
    return next((each for each in heads(connection) if each.log == log), LogHead(log, 0, 0, 0))


def _log_id(connection: sqlite3.Connection, log: str) -> int:
    query = "SELECT id FROM span_log WHERE log = ?"
    row = connection.execute(query, (log,)).fetchone()
    if row is not None:
        return int(row[0])
    known = connection.execute("SELECT count(*) FROM span_log").fetchone()[0]
    if known >= LOGS_MAX:
        raise BadInput(f"there are {known} logs of observations already: no room for {log[:80]}")
    connection.execute("INSERT INTO span_log (log, head) VALUES (?, 0)", (log,))
    return int(connection.execute(query, (log,)).fetchone()[0])


def append(
    connection: sqlite3.Connection,
    log: str,
    after: int,
    lines: Sequence[Change],
    through: int = 0,
) -> int:
    """Add lines that follow number `after`; those that are here already are passed over.

    `through` says that no other lines up to that number are left at whoever sent them. Returns how
    far the log is held now. Raises BadInput when lines between what is held and `after` are missing,
    or when the numbers do not rise.
    """
    log_id = _log_id(connection, log)
    (head,) = connection.execute("SELECT head FROM span_log WHERE id = ?", (log_id,)).fetchone()
    if after > head:
        raise BadInput(f"lines of {log[:80]} begin after {after}, but only {head} are here")
    numbers = [line.number for line in lines]
    if any(right <= left for left, right in pairwise([after, *numbers])):
        raise BadInput(f"lines of {log[:80]} are not in their order")
    _insert(connection, log_id, [line for line in lines if line.number > head])
    reached: int = max([head, *numbers, through])
    connection.execute("UPDATE span_log SET head = ? WHERE id = ?", (reached, log_id))
    return reached


def _insert(connection: sqlite3.Connection, log_id: int, fresh: Sequence[Change]) -> None:
    connection.executemany(
        f"INSERT INTO span (log_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        ((log_id, *msgspec.structs.astuple(line)) for line in fresh),
    )
    for line in fresh:
        if line.state == BEGAN:
            _open(connection, log_id, line)


def _open(connection: sqlite3.Connection, log_id: int, line: Change) -> None:
    """The line that opens an attendance has the last word on when the one before it ended."""
    connection.execute(
        "UPDATE span_attendance SET until_ms = max(since_ms, ?)"
        " WHERE log_id = ? AND attendance = (SELECT max(attendance) FROM span_attendance"
        " WHERE log_id = ? AND attendance < ?)",
        (line.ended_ms, log_id, log_id, line.attendance),
    )
    connection.execute(
        "INSERT OR IGNORE INTO span_attendance VALUES (?, ?, ?, ?)",
        (log_id, line.attendance, line.since_ms, line.since_ms),
    )


def attend(connection: sqlite3.Connection, log: str, attendance: int, until_ms: int) -> None:
    """The observer still observed then; an attendance that is not known yet is passed over."""
    connection.execute(
        "UPDATE span_attendance SET until_ms = max(until_ms, ?) WHERE attendance = ?"
        " AND log_id = (SELECT id FROM span_log WHERE log = ?)",
        (until_ms, attendance, log),
    )


def lines_since(connection: sqlite3.Connection, log: str, number: int, limit: int) -> list[Change]:
    """At most `limit` lines of a log after a number, in their order."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM span INDEXED BY span_by_number WHERE log_id ="  # noqa: S608
        " (SELECT id FROM span_log WHERE log = ?) AND number > ? ORDER BY number LIMIT ?",
        (log, number, limit),
    )
    return [Change(*row) for row in rows]


def lines_of_node(connection: sqlite3.Connection, node: str) -> list[tuple[str, Change]]:
    """All lines about a node, with the log that each stands in."""
    rows = connection.execute(
        f"SELECT log, {_COLUMNS} FROM span JOIN span_log ON id = log_id"  # noqa: S608
        " WHERE node = ?",
        (node,),
    )
    return [(row[0], Change(*row[1:])) for row in rows]


def attendances(connection: sqlite3.Connection, since_ms: int) -> dict[str, list[Attendance]]:
    """When each observer observed, of attendances that did not end before a time, oldest first.

    The newest one of each log is always there: it may last longer than the disk knows.
    """
    rows = connection.execute(
        "SELECT log, attendance, since_ms, until_ms FROM span_attendance o"
        " JOIN span_log ON id = log_id WHERE until_ms >= ? OR attendance ="
        " (SELECT max(attendance) FROM span_attendance n WHERE n.log_id = o.log_id)"
        " ORDER BY log, attendance",
        (since_ms,),
    )
    found: dict[str, list[Attendance]] = {}
    for log, *attendance in rows:
        found.setdefault(log, []).append(Attendance(*attendance))
    return found


def last_states(connection: sqlite3.Connection) -> Iterator[tuple[str, str, str, str]]:
    """What each log last said of each node and subject: (log, node, subject, state).

    One look at the table for all logs: it holds months of all nodes, and stands by node.
    """
    return connection.execute(
        "SELECT log, node, subject, state FROM (SELECT log_id, node, subject, state, max(number)"
        " FROM span WHERE node != '' GROUP BY node, log_id, subject)"
        " JOIN span_log ON id = log_id WHERE state != ?",
        (UNKNOWN,),
    )


def troubled(connection: sqlite3.Connection, since_ms: int, limit: int) -> list[str]:
    """The nodes with the most lines since a time that speak of trouble, most first.

    At most the newest 100,000 lines are counted, so that a large fleet is not read whole.
    """
    rows = connection.execute(
        "SELECT node FROM (SELECT node, state FROM span INDEXED BY span_by_time"
        " WHERE since_ms >= ? ORDER BY since_ms DESC LIMIT ?)"
        " WHERE state IN ('offline', 'suspect', 'late', 'flapping', 'failed')"
        " GROUP BY node ORDER BY count(*) DESC, node LIMIT ?",
        (since_ms, COUNTED_MAX, limit),
    )
    return [node for (node,) in rows]


Place = tuple[int, str, str, int, int]
BEGINNING: Place = (-1, "", "", 0, 0)

_USELESS = (
    "CASE state"
    # The times of an attendance are needed as long as the attendance itself.
    " WHEN 'began' THEN NOT EXISTS (SELECT 1 FROM span_attendance a"
    " WHERE a.log_id = o.log_id AND a.attendance = o.attendance)"
    # Without anything before it, "unknown" says what no line at all says, too.
    " WHEN 'unknown' THEN NOT EXISTS (SELECT 1 FROM span e WHERE e.node = o.node"
    " AND e.log_id = o.log_id AND e.number < o.number AND e.subject = o.subject) ELSE 0 END"
    " OR (state != 'began' AND EXISTS (SELECT 1 FROM span n WHERE n.node = o.node"
    " AND n.log_id = o.log_id AND n.number > o.number AND n.subject = o.subject"
    " AND n.since_ms <= ?))"
)


def purge_lines(
    connection: sqlite3.Connection, before_ms: int, place: Place, rows_max: int
) -> tuple[Place | None, int]:
    """Look at some lines from before a time, and drop those that no later window needs.

    What was last said before that time is still true after it, and stays. Returns where to go on,
    None at the end, and how many went.
    """
    rows = connection.execute(
        f"SELECT since_ms, state, node, log_id, number, {_USELESS} FROM span o"  # noqa: S608
        " INDEXED BY span_by_time WHERE since_ms < ? AND"
        " (since_ms, state, node, log_id, number) > (?, ?, ?, ?, ?)"
        " ORDER BY since_ms, state, node, log_id, number LIMIT ?",
        (before_ms, before_ms, *place, rows_max),
    ).fetchall()
    useless = [row[2:5] for row in rows if row[5]]
    connection.executemany("DELETE FROM span WHERE (node, log_id, number) = (?, ?, ?)", useless)
    return (rows[-1][:5] if len(rows) == rows_max else None), len(useless)


def purge_attendances(connection: sqlite3.Connection, before_ms: int) -> int:
    """Drop attendances that ended before a time, but for the newest of each log."""
    cursor = connection.execute(
        "DELETE FROM span_attendance AS o WHERE until_ms < ? AND attendance <"
        " (SELECT max(attendance) FROM span_attendance n WHERE n.log_id = o.log_id)",
        (before_ms,),
    )
    return cursor.rowcount


def forget_history(connection: sqlite3.Connection, node: str, rows_max: int) -> int:
    """Drop what was observed of a node that is gone, some lines at a time; returns how many."""
    cursor = connection.execute(
        "DELETE FROM span WHERE (node, log_id, number) IN"
        " (SELECT node, log_id, number FROM span WHERE node = ? LIMIT ?)",
        (node, rows_max),
    )
    return cursor.rowcount
