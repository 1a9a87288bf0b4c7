"""Observations on disk that nobody needs any more: whole logs, and those of nodes that were removed.

Each function runs inside a transaction.
"""

import sqlite3
from collections.abc import Iterable


def forget_log(connection: sqlite3.Connection, log: str, rows_max: int) -> bool:
    """Drop a log, some lines at a time; whether nothing is left of it. Lines that came meanwhile count."""
    row = connection.execute("SELECT id FROM span_log WHERE log = ?", (log,)).fetchone()
    if row is None:
        return True
    cursor = connection.execute(
        "DELETE FROM span WHERE (node, log_id, number) IN (SELECT node, log_id, number FROM span"
        " INDEXED BY span_by_number WHERE log_id = ? LIMIT ?)",
        (*row, rows_max),
    )
    if cursor.rowcount == rows_max:
        return False
    connection.execute("DELETE FROM span_attendance WHERE log_id = ?", row)
    connection.execute("DELETE FROM span_log WHERE id = ?", row)
    return True


def with_history(connection: sqlite3.Connection, nodes: Iterable[str]) -> list[str]:
    """Those of these nodes of which anything was observed or measured."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM span WHERE node = ?1)"
        " OR EXISTS (SELECT 1 FROM check_time WHERE node = ?1)"
    )
    return [node for node in nodes if connection.execute(query, (node,)).fetchone()[0]]
