"""The tables of the edge's buffer, as migrations: a newer agent opens an older buffer."""

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

SEGMENT_MIGRATIONS = Migrations("edge_segment")
LETTER_MIGRATIONS = Migrations("edge_dead_letters")


@SEGMENT_MIGRATIONS()
def segment_tables(db: Database) -> None:
    """Chunks; and the state of the whole buffer, which is true in the newest segment only.

    `hash` is that of the header: it tells a flipped bit from the bytes that were written. The body is
    last, so that the columns before it are read without it.
    """
    for statement in (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE segment (number INTEGER PRIMARY KEY, info BLOB NOT NULL)",
        "CREATE TABLE checkpoint (key TEXT PRIMARY KEY, state BLOB NOT NULL)",
        "CREATE TABLE chunk (seq INTEGER PRIMARY KEY, signal TEXT NOT NULL,"
        " records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
        " hash BLOB NOT NULL, header BLOB NOT NULL, body BLOB NOT NULL)",
    ):
        db.execute(statement)


@LETTER_MIGRATIONS()
def letter_table(db: Database) -> None:
    """Chunks that hubs refuse for good, until a person retries or discards them."""
    db.execute(
        "CREATE TABLE dead_letter (epoch TEXT NOT NULL, seq INTEGER NOT NULL,"
        " signal TEXT NOT NULL, records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
        " reason TEXT NOT NULL, refused_ms INTEGER NOT NULL, hash BLOB NOT NULL,"
        " header BLOB NOT NULL, body BLOB NOT NULL, PRIMARY KEY (epoch, seq))"
    )
