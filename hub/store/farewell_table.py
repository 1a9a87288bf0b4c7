"""The hubs that are gone for good, on disk. Each function runs inside a transaction of the caller."""

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec
from sqlite_utils.db import Database

from hub.peering.farewell import Farewell
from hub.store.hub_table import set_meta
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


_ADDRESSES = "addresses of removed hubs"


def load_addresses(connection: sqlite3.Connection) -> dict[str, str]:
    """The hubs that are gone by the addresses in the settings that led to them; raises BadInput."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_ADDRESSES,)).fetchone()
    try:
        return msgspec.json.decode(row[0], type=dict[str, str]) if row else {}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"where hubs were that are gone cannot be read: {error}") from error


def save_addresses(connection: sqlite3.Connection, hub_by_url: Mapping[str, str]) -> None:
    """Write all of them over those that were there."""
    set_meta(connection, _ADDRESSES, msgspec.json.encode(hub_by_url).decode())
