"""The graves of removed nodes on disk. Each function runs inside a transaction."""

import sqlite3
from collections.abc import Mapping

from sqlite_utils.db import Database

from hub.nodes.tombstones import Turn
from shared.stamp import Stamp


def grave_tables(db: Database) -> None:
    """A row for each node of which nothing is left but when it was removed."""
    db.execute(
        "CREATE TABLE grave (number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " node_id TEXT NOT NULL UNIQUE, wall_ms INTEGER NOT NULL, counter INTEGER NOT NULL,"
        " hub_id TEXT NOT NULL)"
    )


def reissues_of_graves(db: Database) -> None:
    """How often a person had to repeat a removal over a stamp that was ahead of its time."""
    db.execute("ALTER TABLE grave ADD COLUMN reissue INTEGER NOT NULL DEFAULT 0")


def load_graves(connection: sqlite3.Connection) -> list[tuple[str, Turn]]:
    """All graves, oldest first."""
    rows = connection.execute(
        "SELECT node_id, reissue, wall_ms, counter, hub_id FROM grave ORDER BY number"
    )
    return [(node_id, Turn(reissue, Stamp(*stamp))) for node_id, reissue, *stamp in rows]


def save_graves(connection: sqlite3.Connection, changed: Mapping[str, Turn | None]) -> None:
    """Write what `Graves.take_unsaved` says: new graves, and None for those that went."""
    connection.executemany(
        "DELETE FROM grave WHERE node_id = ?", ((node_id,) for node_id in changed)
    )
    connection.executemany(
        "INSERT INTO grave (node_id, reissue, wall_ms, counter, hub_id) VALUES (?, ?, ?, ?, ?)",
        (
            (node_id, turn.reissue, turn.stamp.wall_ms, turn.stamp.counter, turn.stamp.hub_id)
            for node_id, turn in changed.items()
            if turn
        ),
    )


def delete_nodes(connection: sqlite3.Connection, node_ids: list[str]) -> None:
    """Drop the records of nodes whose tombstones have gone, with the changes that are in them; write
    their graves in the same transaction."""
    rows = [(node_id,) for node_id in node_ids]
    connection.executemany("DELETE FROM node WHERE node_id = ?", rows)
    connection.executemany("DELETE FROM gossip_dots WHERE node_id = ?", rows)
