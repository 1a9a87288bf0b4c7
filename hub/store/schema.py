"""The tables of a hub, as migrations: a newer hub opens an older store."""

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("hub")


@MIGRATIONS()
def first_tables(db: Database) -> None:
    """The chunk log with what was received of it, receipts, nodes, and how far peers are.

    `arrival` numbers chunks in the order in which this hub committed them; AUTOINCREMENT, since a
    peer's position in it must never be handed out twice.
    """
    for statement in (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE chunk (arrival INTEGER PRIMARY KEY AUTOINCREMENT, origin TEXT NOT NULL,"
        " epoch TEXT NOT NULL, seq INTEGER NOT NULL, signal TEXT NOT NULL,"
        " records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
        " time_min_ns INTEGER NOT NULL, time_max_ns INTEGER NOT NULL,"
        " received_ms INTEGER NOT NULL, hash BLOB NOT NULL, header BLOB NOT NULL,"
        " body BLOB NOT NULL)",
        "CREATE UNIQUE INDEX chunk_key ON chunk (origin, epoch, seq)",
        "CREATE INDEX chunk_time_max ON chunk (signal, time_max_ns)",
        "CREATE INDEX chunk_time_min ON chunk (signal, time_min_ns)",
        "CREATE TABLE received (origin TEXT NOT NULL, epoch TEXT NOT NULL, ranges BLOB NOT NULL,"
        " records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
        " PRIMARY KEY (origin, epoch)) WITHOUT ROWID",
        "CREATE TABLE receipt (batch TEXT PRIMARY KEY, receipt BLOB NOT NULL,"
        " received_ms INTEGER NOT NULL)",
        "CREATE INDEX receipt_age ON receipt (received_ms)",
        "CREATE TABLE node (node_id TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE peer (hub_id TEXT PRIMARY KEY, url TEXT NOT NULL, store_epoch TEXT NOT NULL,"
        " pulled_arrival INTEGER NOT NULL, confirmed_arrival INTEGER NOT NULL) WITHOUT ROWID",
    ):
        db.execute(statement)
