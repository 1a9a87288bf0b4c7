"""Peers and the hub's own facts on disk. Each function runs inside a transaction."""

import logging
import sqlite3
from dataclasses import dataclass

from hub.store.lead_table import doubt_ballot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredPeer:
    """How far this hub and a peer were with each other's chunks."""

    hub_id: str
    url: str
    store_epoch: str
    pulled_arrival: int
    confirmed_arrival: int


def meta(connection: sqlite3.Connection, key: str, fresh: str) -> str:
    """A fact of this store; `fresh` is written, and returned, when it has none."""
    connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, fresh.encode()))
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return bytes(row[0]).decode()


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Write a fact of this store."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value.encode()))


_INCARNATION = "incarnation"


def store_life(connection: sqlite3.Connection, inode: int, fresh: str, starts: int = 0) -> str:
    """The life of this store: another one, `fresh`, once its file was copied, moved to another disk, or
    set back to an older state. `starts` is how often it was started by what is written beside it.

    Two copies that went on under one life would give the same numbers to different things.
    """
    if meta(connection, "store_inode", str(inode)) != str(inode):
        log.warning("this store is a copy, or was moved to another disk: it begins a new life")
        _begin_life(connection, inode, fresh)
    elif starts > int(meta(connection, _INCARNATION, "0")):
        log.warning("this store was set back to an older state: it begins a new life")
        _begin_life(connection, inode, fresh)
        save_incarnation(connection, starts)
    return meta(connection, "store_epoch", fresh)


def _begin_life(connection: sqlite3.Connection, inode: int, fresh: str) -> None:
    set_meta(connection, "store_inode", str(inode))
    set_meta(connection, "store_epoch", fresh)
    doubt_ballot(connection)


def next_incarnation(connection: sqlite3.Connection) -> int:
    """A number above those of all earlier starts, and of all that were saved."""
    number = int(meta(connection, _INCARNATION, "0")) + 1
    save_incarnation(connection, number)
    return number


def save_incarnation(connection: sqlite3.Connection, number: int) -> None:
    """Write down under which number this hub lives now."""
    set_meta(connection, _INCARNATION, str(number))


def load_peers(connection: sqlite3.Connection) -> list[StoredPeer]:
    """All hubs that were ever met and not forgotten."""
    rows = connection.execute(
        "SELECT hub_id, url, store_epoch, pulled_arrival, confirmed_arrival FROM peer"
    )
    return [StoredPeer(*row) for row in rows]


def save_peer(connection: sqlite3.Connection, peer: StoredPeer) -> None:
    """Write where we stand with a peer."""
    connection.execute(
        "INSERT OR REPLACE INTO peer VALUES (?, ?, ?, ?, ?)",
        (peer.hub_id, peer.url, peer.store_epoch, peer.pulled_arrival, peer.confirmed_arrival),
    )


def forget_peer(connection: sqlite3.Connection, hub_id: str) -> None:
    """Drop a hub that will not come back."""
    connection.execute("DELETE FROM peer WHERE hub_id = ?", (hub_id,))


def prune_receipts(before_ms: int, rows_max: int, connection: sqlite3.Connection) -> int:
    """Forget old receipts, some at a time; a replay then reads "duplicate". Returns how many."""
    cursor = connection.execute(
        "DELETE FROM receipt WHERE batch IN"
        " (SELECT batch FROM receipt WHERE received_ms < ? ORDER BY received_ms LIMIT ?)",
        (before_ms, rows_max),
    )
    return cursor.rowcount
