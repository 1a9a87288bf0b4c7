"""The nodes that a hub last called offline, on disk. Each function runs inside a transaction."""

import sqlite3
from collections.abc import Mapping

from sqlite_utils.db import Database


def offline_tables(db: Database) -> None:
    """One row for each node that is offline, since when."""
    db.execute(
        "CREATE TABLE offline_node (node_id TEXT PRIMARY KEY, since_ms INTEGER NOT NULL)"
        " WITHOUT ROWID"
    )


def load(connection: sqlite3.Connection) -> dict[str, int]:
    """The nodes that were offline, and since when (Unix ms)."""
    return dict(connection.execute("SELECT node_id, since_ms FROM offline_node").fetchall())


def save(connection: sqlite3.Connection, changes: Mapping[str, int | None]) -> None:
    """Write what changed: None for a node that is offline no longer."""
    gone = [(node_id,) for node_id, since_ms in changes.items() if since_ms is None]
    connection.executemany("DELETE FROM offline_node WHERE node_id = ?", gone)
    kept = [(node_id, at) for node_id, at in changes.items() if at is not None]
    connection.executemany("INSERT OR REPLACE INTO offline_node VALUES (?, ?)", kept)
