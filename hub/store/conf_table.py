"""The replicated settings on disk: every version that a hub holds. Runs inside a transaction."""

import logging
import sqlite3
from collections.abc import Iterable

import msgspec
import orjson
from sqlite_utils.db import Database

from shared.conf import Entry, canonical, read_entry
from shared.errors import BadInput
from shared.stamp import Stamp

log = logging.getLogger(__name__)


def conf_tables(db: Database) -> None:
    """The table, for a migration: one row for each version, by when it was written and about what."""
    db.execute(
        "CREATE TABLE conf (wall_ms INTEGER NOT NULL, counter INTEGER NOT NULL, hub_id TEXT NOT NULL,"
        " scope TEXT NOT NULL, key TEXT NOT NULL, entry BLOB NOT NULL,"
        " PRIMARY KEY (wall_ms, counter, hub_id, scope, key)) WITHOUT ROWID"
    )


def load_conf(connection: sqlite3.Connection) -> list[Entry]:
    """All versions, oldest first; one that cannot be read is left on disk and reported."""
    entries: list[Entry] = []
    rows = connection.execute("SELECT key, entry FROM conf ORDER BY wall_ms, counter, hub_id")
    for key, stored in rows:
        try:
            entries.append(read_entry(orjson.loads(stored)))
        except (orjson.JSONDecodeError, BadInput, msgspec.MsgspecError) as error:
            log.error("a version of the setting %s cannot be read: %s", key, error)
    return entries


def save_conf(
    entries: Iterable[Entry],
    dropped: Iterable[tuple[Stamp, str, str]],
    connection: sqlite3.Connection,
) -> None:
    """Write new versions, and delete those that went."""
    connection.executemany(
        "DELETE FROM conf WHERE wall_ms = ? AND counter = ? AND hub_id = ? AND scope = ? AND key = ?",
        ((*msgspec.structs.astuple(stamp), scope, key) for stamp, scope, key in dropped),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO conf VALUES (?, ?, ?, ?, ?, ?)",
        (
            (*msgspec.structs.astuple(entry.stamp), entry.scope, entry.key, canonical(entry))
            for entry in entries
        ),
    )
