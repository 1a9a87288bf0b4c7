"""The graves of removed nodes on disk. Each function runs inside a transaction."""

import sqlite3
from collections.abc import Mapping

from sqlite_utils.db import Database

from shared.stamp import Stamp


def grave_tables(db: Database) -> None:
    """A row for each node of which nothing is left but when it was removed."""
    db.execute(
        "CREATE TABLE grave (number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " node_id TEXT NOT NULL UNIQUE, wall_ms INTEGER NOT NULL, counter INTEGER NOT NULL,"
        " hub_id TEXT NOT NULL)"
    )


def load_graves(connection: sqlite3.Connection) -> list[tuple[str, Stamp]]:
    """All graves, oldest first."""
    rows = connection.execute("SELECT node_id, wall_ms, counter, hub_id FROM grave ORDER BY number")
    return [(node_id, Stamp(*stamp)) for node_id, *stamp in rows]


def save_graves(connection: sqlite3.Connection, changed: Mapping[str, Stamp | None]) -> None:
    """Write what `Graves.take_unsaved` says: new graves, and None for those that went."""
    connection.executemany(
        "DELETE FROM grave WHERE node_id = ?", ((node_id,) for node_id in changed)
    )
    connection.executemany(
        "INSERT INTO grave (node_id, wall_ms, counter, hub_id) VALUES (?, ?, ?, ?)",
        ((node_id, s.wall_ms, s.counter, s.hub_id) for node_id, s in changed.items() if s),
    )


def delete_nodes(connection: sqlite3.Connection, node_ids: list[str]) -> None:
    """Drop the records of nodes whose tombstones have gone, with the changes that are in them; write
    their graves in the same transaction."""
    rows = [(node_id,) for node_id in node_ids]
    connection.executemany("DELETE FROM node WHERE node_id = ?", rows)
    connection.executemany("DELETE FROM gossip_dots WHERE node_id = ?", rows)
