"""What hubs saw of splits, on disk. Each function runs inside a transaction."""

import logging
import sqlite3
from collections.abc import Mapping

from sqlite_utils.db import Database

from hub.peering.incident import Key, Sight, read_sight, sight_bytes
from shared.errors import BadInput

log = logging.getLogger(__name__)


def incident_tables(db: Database) -> None:
    """A row for each hub and split, as that hub saw it."""
    db.execute(
        "CREATE TABLE incident_sight (observer TEXT NOT NULL, began_ms INTEGER NOT NULL,"
        " sight BLOB NOT NULL, PRIMARY KEY (observer, began_ms)) WITHOUT ROWID"
    )


def load_sights(connection: sqlite3.Connection) -> list[Sight]:
    """All of them; one that cannot be read is left on disk and reported."""
    sights: list[Sight] = []
    for observer, began_ms, stored in connection.execute("SELECT * FROM incident_sight"):
        try:
            sights.append(read_sight(stored))
        except BadInput as error:
            log.error("the split of %d seen by %s: %s", began_ms, observer, error)
    return sights


def save_sights(connection: sqlite3.Connection, changed: Mapping[Key, Sight | None]) -> None:
    """Write what `IncidentBook.take_unsaved` says: new versions, and None for what went."""
    connection.executemany(
        "DELETE FROM incident_sight WHERE observer = ? AND began_ms = ?",
        [key for key, sight in changed.items() if sight is None],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO incident_sight VALUES (?, ?, ?)",
        [(*key, sight_bytes(sight)) for key, sight in changed.items() if sight is not None],
    )
