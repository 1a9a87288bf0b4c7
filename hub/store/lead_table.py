"""What a hub keeps about leadership: its ballot, the highest fence of each protected thing, and the
fence of a start hook whose stop has not ended.

Each function runs inside a transaction of the caller, on a connection with synchronous = FULL.
"""

import sqlite3

import msgspec
from sqlite_utils.db import Database

from hub.lead.model import Ballot, Members
from shared.errors import BadInput, Refused


def lead_tables(db: Database) -> None:
    """One row for the ballot, and one for each name that fences protect."""
    for statement in (
        "CREATE TABLE lead_ballot (one INTEGER PRIMARY KEY CHECK (one = 1), ballot BLOB NOT NULL)",
        "CREATE TABLE lead_fence (name TEXT PRIMARY KEY, fence INTEGER NOT NULL) WITHOUT ROWID",
    ):
        db.execute(statement)


def load_ballot(connection: sqlite3.Connection) -> Ballot | None:
    """The ballot that was saved last, None for a fresh hub.

    Raises BadInput when it cannot be read: a hub that has forgotten its vote must not vote.
    """
    row = connection.execute("SELECT ballot FROM lead_ballot").fetchone()
    if row is None:
        return None
    try:
        return msgspec.json.decode(row[0], type=Ballot)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"the ballot of this hub cannot be read: {error}") from error


def save_ballot(connection: sqlite3.Connection, ballot: Ballot) -> None:
    """Write the ballot; raises Refused for a term below the one on disk, which would undo a vote."""
    held = load_ballot(connection)
    if held is not None and ballot.term < held.term:
        raise Refused(f"term {held.term} is on disk already: is the store used twice?")
    connection.execute(
        "INSERT OR REPLACE INTO lead_ballot VALUES (1, ?)", (msgspec.json.encode(ballot),)
    )


def doubt_ballot(connection: sqlite3.Connection) -> None:
    """Note that the store was restored or copied: votes may have been given that it does not hold.

    The term stays, since fences must not go back; the members count as never agreed on.
    """
    held = load_ballot(connection)
    if held is not None:
        doubted = Ballot(Members(held.members.hubs), held.term, unsure=True)
        save_ballot(connection, doubted)


def guard(connection: sqlite3.Connection, name: str, fence: int) -> None:
    """Let a write of the holder of `fence` pass, or raise Refused when a newer one has written.

    To be called in the transaction of the protected write, before it.
    """
    cursor = connection.execute(
        "INSERT INTO lead_fence VALUES (?, ?) ON CONFLICT (name) DO UPDATE"
        " SET fence = excluded.fence WHERE excluded.fence >= lead_fence.fence",
        (name, fence),
    )
    if cursor.rowcount == 0:
        newer = highest_fence(connection, name)
        raise Refused(f"fence {fence} of {name} is over: {newer} has taken its place")


def highest_fence(connection: sqlite3.Connection, name: str) -> int:
    """The newest fence that has written to `name`, 0 when none has."""
    row = connection.execute("SELECT fence FROM lead_fence WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


_BEGUN = "lead_begun"


def note_fence(connection: sqlite3.Connection, fence: int | None) -> None:
    """Write down with which fence a start hook has begun; None once its stop has ended."""
    if fence is None:
        connection.execute("DELETE FROM meta WHERE key = ?", (_BEGUN,))
    else:
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_BEGUN, fence))


def fence_begun(connection: sqlite3.Connection) -> int | None:
    """The fence of a start hook whose stop has not ended; None when this hub left nothing behind."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_BEGUN,)).fetchone()
    return int(row[0]) if row else None
