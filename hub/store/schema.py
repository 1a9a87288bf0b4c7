"""The tables of a hub, as migrations: a newer hub opens an older store."""

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

from hub.store.check_table import history_tables
from hub.store.check_time_table import check_time_tables
from hub.store.conf_table import conf_tables
from hub.store.dropped import dropped_tables
from hub.store.farewell_table import farewell_table
from hub.store.gossip_table import gossip_tables
from hub.store.grave_table import grave_tables, reissues_of_graves
from hub.store.incident_table import incident_tables
from hub.store.lead_table import lead_tables
from hub.store.offline_table import offline_tables

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


@MIGRATIONS()
def ledger_tables(db: Database) -> None:
    """What logs declare about themselves, what contradicts them, and sums by signal.

    `declared` is the union of the ranges in `gap`. `conflict` says what was refused as the work of a
    clone; `conflict_chunk` keeps the bytes that a peer had accepted and this hub could not.
    """
    for statement in (
        "CREATE TABLE gap (origin TEXT NOT NULL, epoch TEXT NOT NULL, declared_seq INTEGER NOT NULL,"
        " number INTEGER NOT NULL, signal TEXT NOT NULL, reason TEXT NOT NULL, ranges BLOB NOT NULL,"
        " chunks INTEGER NOT NULL, records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
        " since_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,"
        " PRIMARY KEY (origin, epoch, declared_seq, number))",
        "CREATE INDEX gap_time ON gap (until_ms)",
        "CREATE TABLE declared (origin TEXT NOT NULL, epoch TEXT NOT NULL, ranges BLOB NOT NULL,"
        " PRIMARY KEY (origin, epoch)) WITHOUT ROWID",
        "CREATE TABLE epoch (origin TEXT NOT NULL, epoch TEXT NOT NULL, predecessor_epoch TEXT,"
        " predecessor_seq INTEGER, declared_seq INTEGER, first_received_ms INTEGER NOT NULL,"
        " PRIMARY KEY (origin, epoch)) WITHOUT ROWID",
        "CREATE TABLE held (origin TEXT NOT NULL, epoch TEXT NOT NULL, signal TEXT NOT NULL,"
        " chunks INTEGER NOT NULL, records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
        " PRIMARY KEY (origin, epoch, signal)) WITHOUT ROWID",
        "CREATE TABLE conflict (number INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL,"
        " origin TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,"
        " held_seq INTEGER NOT NULL, held_hash BLOB NOT NULL, sent_hash BLOB NOT NULL,"
        " sender TEXT NOT NULL, reason TEXT NOT NULL, chunks INTEGER NOT NULL)",
        "CREATE TABLE conflict_chunk (hash BLOB PRIMARY KEY, origin TEXT NOT NULL,"
        " epoch TEXT NOT NULL, seq INTEGER NOT NULL, received_ms INTEGER NOT NULL,"
        " sender TEXT NOT NULL, reason TEXT NOT NULL, header BLOB NOT NULL, body BLOB NOT NULL)",
        "CREATE INDEX conflict_chunk_log ON conflict_chunk (origin, epoch)",
        "INSERT INTO held SELECT origin, epoch, signal, count(*), sum(records), sum(stored_bytes)"
        " FROM chunk GROUP BY origin, epoch, signal",
        "INSERT INTO epoch SELECT origin, epoch, NULL, NULL, NULL, coalesce((SELECT received_ms"
        " FROM chunk WHERE chunk.origin = received.origin AND chunk.epoch = received.epoch"
        " ORDER BY seq LIMIT 1), 0) FROM received",
    ):
        db.execute(statement)


_CHUNK = (
    "origin, epoch, seq, signal, records, stored_bytes, time_min_ns, time_max_ns, received_ms,"
    " hash, header"
)


@MIGRATIONS()
def bodies_in_day_files(db: Database) -> None:
    """Chunks without their bodies; those of an older store wait in `chunk_with_body` to be moved.

    `chunk_node` finds the newest chunks of a node among those of thousands, and `chunk_day` the chunks
    of a day file, in the order in which they came.
    """
    for statement in (
        "DROP INDEX chunk_key",
        "DROP INDEX chunk_time_max",
        "DROP INDEX chunk_time_min",
        "ALTER TABLE chunk RENAME TO chunk_with_body",
        "CREATE TABLE chunk (arrival INTEGER PRIMARY KEY AUTOINCREMENT, origin TEXT NOT NULL,"
        " epoch TEXT NOT NULL, seq INTEGER NOT NULL, signal TEXT NOT NULL,"
        " records INTEGER NOT NULL, stored_bytes INTEGER NOT NULL,"
        " time_min_ns INTEGER NOT NULL, time_max_ns INTEGER NOT NULL,"
        " received_ms INTEGER NOT NULL, hash BLOB NOT NULL, header BLOB NOT NULL)",
        f"INSERT INTO chunk (arrival, {_CHUNK}) SELECT arrival, {_CHUNK} FROM chunk_with_body",  # noqa: S608
        "CREATE UNIQUE INDEX chunk_key ON chunk (origin, epoch, seq)",
        "CREATE INDEX chunk_time_max ON chunk (signal, time_max_ns)",
        "CREATE INDEX chunk_time_min ON chunk (signal, time_min_ns)",
        "CREATE INDEX chunk_node ON chunk (origin, signal, time_max_ns)",
        "CREATE INDEX chunk_day ON chunk (signal, received_ms / 86400000, arrival)",
    ):
        db.execute(statement)


@MIGRATIONS()
def what_went(db: Database) -> None:
    """Sums by day file, what retention took, and in `wanting` what was lost from day files and has
    not come back yet."""
    dropped_tables(db)
    db.execute(
        "CREATE TABLE wanting (origin TEXT NOT NULL, epoch TEXT NOT NULL, day TEXT NOT NULL,"
        " signal TEXT NOT NULL, ranges BLOB NOT NULL, at_ms INTEGER NOT NULL,"
        " PRIMARY KEY (origin, epoch, day, signal)) WITHOUT ROWID"
    )


@MIGRATIONS()
def cluster_settings(db: Database) -> None:
    """Every version of the replicated settings that a hub holds."""
    conf_tables(db)


@MIGRATIONS()
def leadership(db: Database) -> None:
    """The ballot of this hub, and the newest fence of each protected thing."""
    lead_tables(db)


@MIGRATIONS()
def changes_of_nodes(db: Database) -> None:
    """Which changes of which hub are in the record of each node."""
    gossip_tables(db)


@MIGRATIONS()
def nodes_offline(db: Database) -> None:
    """The nodes that this hub last called offline."""
    offline_tables(db)


@MIGRATIONS()
def hubs_that_are_gone(db: Database) -> None:
    """The last word about each hub that people have sent away."""
    farewell_table(db)


@MIGRATIONS()
def removed_nodes(db: Database) -> None:
    """The nodes of which nothing is left but when they were removed."""
    grave_tables(db)


@MIGRATIONS()
def what_was_observed(db: Database) -> None:
    """What hubs observed of nodes over time, and how long checks took."""
    history_tables(db)
    check_time_tables(db)


@MIGRATIONS()
def what_was_seen_of_splits(db: Database) -> None:
    """What each hub saw of the times during which hubs were apart."""
    incident_tables(db)


@MIGRATIONS()
def graves_over_wrong_clocks(db: Database) -> None:
    """Removals that outrank a stamp from the future."""
    reissues_of_graves(db)
