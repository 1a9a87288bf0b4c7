"""A store of an older hub is opened as it is, and its sums are those of its chunks."""

import sqlite3
from pathlib import Path

from sqlite_utils.migrations import Migrations

from hub.replicate import SafeLedger
from hub.store import ledger_reads
from hub.store.chunks import ChunkStore
from hub.store.files import open_files
from hub.store.schema import first_tables
from shared.runtime import system_runtime
from shared.sqlite import Database
from tests.law.drawing import chunk_of

OLD = Migrations("hub")
OLD()(first_tables)


async def test_the_chunks_of_an_older_store_are_in_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    before = Database(path, OLD, synchronous="OFF", threads=False)

    def fill(connection: sqlite3.Connection) -> None:
        for seq, signal in ((1, "logs"), (2, "logs"), (3, "events")):
            connection.execute(
                "INSERT INTO chunk (origin, epoch, seq, signal, records, stored_bytes, time_min_ns,"
                " time_max_ns, received_ms, hash, header, body)"
                " VALUES ('edge-1', 'e1', ?, ?, 5, 70, 1, 2, 900, x'00', x'00', x'00')",
                (seq, signal),
            )
        connection.execute("INSERT INTO received VALUES ('edge-1', 'e1', x'91920103', 15, 210)")

    await before.write(fill)
    before.close()
    files = open_files(tmp_path, "OFF", threads=False)
    store = ChunkStore(files, system_runtime(), SafeLedger(1))
    await store.open()
    (book,) = await store.reading(lambda db: ledger_reads.epoch_books(db, "edge-1"))
    assert {name: each.to_wire() for name, each in book.by_signal.items()} == {
        "events": {"chunks": 1, "records": 5, "bytes": 70},
        "logs": {"chunks": 2, "records": 10, "bytes": 140},
    }
    assert (book.first_received_ms, book.predecessor, book.holes.count) == (900, None, 0)
    (outcome,) = await store.keep([chunk_of(9)], "hub-2")
    assert outcome.held
    (grown,) = await store.reading(lambda db: ledger_reads.epoch_books(db, "edge-1"))
    assert grown.by_signal["logs"].chunks == 3
    files.close()
