"""What a hub knows of changes, on disk: in the same transaction as the records that they changed.

Each function runs inside a transaction. `gossip_dots` has for each node the newest number of each
stream, as MessagePack `[[stream, number], ...]` with streams by their row in `gossip_stream`.
"""

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec
from sqlite_utils.db import Database

from hub.peering.exchange_saved import SavedGossip, SavedNode
from hub.peering.exchange_values import RetiredStream
from hub.peering.vector import Stream
from shared.ranges import Ranges, from_wire

_LIFE = "gossip_life"


def gossip_tables(db: Database) -> None:
    """Streams in the order in which this hub met them, dots by node, and streams that are no more."""
    for statement in (
        "CREATE TABLE gossip_stream (number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " origin TEXT NOT NULL, epoch TEXT NOT NULL, ranges BLOB NOT NULL, UNIQUE (origin, epoch))",
        "CREATE TABLE gossip_dots (node_id TEXT PRIMARY KEY, dots BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE gossip_retired (origin TEXT NOT NULL, epoch TEXT NOT NULL,"
        " successor_origin TEXT NOT NULL, successor_epoch TEXT NOT NULL, through INTEGER NOT NULL,"
        " covered BLOB NOT NULL, PRIMARY KEY (origin, epoch))",
    ):
        db.execute(statement)


def begin_life(connection: sqlite3.Connection, store_epoch: str, instance: str) -> str:
    """The epoch of a new life: never given before by this store, nor by a later state of it, when a
    disk was set back under our feet: that is what the word for this run is for. It must be on disk,
    synced, before the first number in it is told to anybody."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_LIFE,)).fetchone()
    life = 1 + (int(bytes(row[0])) if row else 0)
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_LIFE, str(life).encode()))
    return f"{store_epoch}.{life}.{instance}"


def save_records(connection: sqlite3.Connection, nodes: list[SavedNode]) -> None:
    """Write some records over what was there, with their dots, ahead of the vector."""
    streams = {stream for each in nodes for stream in each.dots}
    connection.executemany(
        "INSERT OR IGNORE INTO gossip_stream (origin, epoch, ranges) VALUES (?, ?, ?)",
        [(*stream, _pack_ranges(Ranges())) for stream in sorted(streams)],
    )
    _save_nodes(connection, nodes, _numbers(connection))


def _save_nodes(
    connection: sqlite3.Connection, nodes: list[SavedNode], numbers: Mapping[Stream, int]
) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO node (node_id, record) VALUES (?, ?)",
        ((each.node, each.record) for each in nodes),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO gossip_dots VALUES (?, ?)",
        ((each.node, _pack(each.dots, numbers)) for each in nodes),
    )


def save(connection: sqlite3.Connection, saved: SavedGossip) -> None:
    """Write records over what was there, with their dots and the vector."""
    _save_nodes(connection, saved.nodes, _save_vector(connection, saved))
    connection.execute("DELETE FROM gossip_retired")
    connection.executemany(
        "INSERT INTO gossip_retired VALUES (?, ?, ?, ?, ?, ?)",
        (
            (*stream, *each.successor, each.through, _pack_ranges(each.covered))
            for stream, each in saved.retired.items()
        ),
    )


def _save_vector(connection: sqlite3.Connection, saved: SavedGossip) -> dict[Stream, int]:
    # A stream may stand in dots before anything of it is covered.
    streams = dict.fromkeys((*saved.vector, *(key for each in saved.nodes for key in each.dots)))
    packed = [(*key, _pack_ranges(saved.vector.get(key, Ranges()))) for key in streams]
    connection.executemany(
        "INSERT INTO gossip_stream (origin, epoch, ranges) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET ranges = excluded.ranges WHERE ranges != excluded.ranges",
        packed,
    )
    connection.executemany(
        "DELETE FROM gossip_stream WHERE origin = ? AND epoch = ?", list(saved.retired)
    )
    return _numbers(connection)


def _numbers(connection: sqlite3.Connection) -> dict[Stream, int]:
    rows = connection.execute("SELECT number, origin, epoch FROM gossip_stream")
    return {(origin, epoch): number for number, origin, epoch in rows}


def _pack(dots: Mapping[Stream, int], numbers: Mapping[Stream, int]) -> bytes:
    return msgspec.msgpack.encode([(numbers[key], seq) for key, seq in dots.items()])


def _pack_ranges(ranges: Ranges) -> bytes:
    return msgspec.msgpack.encode(ranges.to_wire())


def _unpack_ranges(packed: bytes) -> Ranges:
    return from_wire(msgspec.msgpack.decode(packed))


def load(connection: sqlite3.Connection) -> SavedGossip:
    """All that was saved; records of an older release come without dots."""
    known = load_vector(connection)
    return SavedGossip(load_page(connection, "", -1), known.vector, known.retired)


def load_vector(connection: sqlite3.Connection) -> SavedGossip:
    """What was covered, without the records."""
    rows = connection.execute("SELECT origin, epoch, ranges FROM gossip_stream ORDER BY number")
    read = (((origin, epoch), _unpack_ranges(packed)) for origin, epoch, packed in rows)
    return SavedGossip(
        [], {stream: held for stream, held in read if held}, _load_retired(connection)
    )


def load_page(connection: sqlite3.Connection, after: str, rows_max: int) -> list[SavedNode]:
    """The next records by name, with names after this one; as many as there are for -1."""
    streams = {number: stream for stream, number in _numbers(connection).items()}
    rows = connection.execute(
        "SELECT node.node_id, record, dots FROM node LEFT JOIN gossip_dots USING (node_id)"
        " WHERE node.node_id > ? ORDER BY node.node_id LIMIT ?",
        (after, rows_max),
    )
    return [SavedNode(node, record, _unpack(packed, streams)) for node, record, packed in rows]


def _unpack(packed: bytes | None, streams: Mapping[int, Stream]) -> dict[Stream, int]:
    pairs: Iterable[tuple[int, int]] = msgspec.msgpack.decode(packed) if packed else ()
    return {streams[number]: seq for number, seq in pairs if number in streams}


def _load_retired(connection: sqlite3.Connection) -> dict[Stream, RetiredStream]:
    rows = connection.execute("SELECT * FROM gossip_retired ORDER BY rowid")
    return {
        (origin, epoch): RetiredStream(
            (successor, successor_epoch), through, _unpack_ranges(covered)
        )
        for origin, epoch, successor, successor_epoch, through, covered in rows
    }
