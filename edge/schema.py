"""The tables of the edge's buffer, as migrations: a newer agent opens an older buffer."""

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("edge_buffer")


@MIGRATIONS()
def first_tables(db: Database) -> None:
    """The log, its state, checkpoints of sources, and what hubs refused."""
    for statement in (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE chunk (seq INTEGER PRIMARY KEY, header BLOB NOT NULL, signal TEXT NOT NULL,"
        " records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
        " body BLOB NOT NULL)",
        "CREATE TABLE checkpoint (key TEXT PRIMARY KEY, state BLOB NOT NULL)",
        "CREATE TABLE dead_letter (seq INTEGER PRIMARY KEY, header BLOB NOT NULL,"
        " body BLOB NOT NULL, reason TEXT NOT NULL, refused_ms INTEGER NOT NULL)",
    ):
        db.execute(statement)
