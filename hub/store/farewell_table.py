"""The hubs that are gone for good, on disk. Each function runs inside a transaction of the caller."""

import sqlite3
from collections.abc import Iterable

import msgspec
from sqlite_utils.db import Database

from hub.peering.farewell import Farewell
from shared.errors import BadInput


def farewell_table(db: Database) -> None:
    """The last word about each hub."""
    db.execute("CREATE TABLE farewell (hub TEXT PRIMARY KEY, word BLOB NOT NULL) WITHOUT ROWID")


def load_farewells(connection: sqlite3.Connection) -> list[Farewell]:
    """All words; raises BadInput when one cannot be read, since a gone hub must not come back by it."""
    try:
        return [
            msgspec.json.decode(word, type=Farewell)
            for (word,) in connection.execute("SELECT word FROM farewell ORDER BY hub")
        ]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"what is known of hubs that are gone cannot be read: {error}") from error


def save_farewells(connection: sqlite3.Connection, words: Iterable[Farewell]) -> None:
    """Write words over those about the same hubs."""
    connection.executemany(
        "INSERT OR REPLACE INTO farewell VALUES (?, ?)",
        [(word.hub, msgspec.json.encode(word)) for word in words],
    )
