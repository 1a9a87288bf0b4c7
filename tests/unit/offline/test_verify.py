"""Damage is named precisely, whatever file it is in."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import msgspec

from edge import chunk_table
from edge.books import booked
from edge.segments import path_of
from shared.ranges import from_wire
from shared.records import Chunk
from shared.sums import Sum
from tests.crash.damage import Blank, Flip, Removal
from tests.unit.core.buffers import segment_files
from tests.unit.offline.conftest import Run
from tests.unit.offline.mending import found, live_in, name_of, place_of


async def test_one_flipped_bit_costs_one_chunk_and_verify_names_it(
    before: dict[int, Chunk], run: Run, folder: Path
) -> None:
    """Not the file, and not the neighbours."""
    assert found(run) == []
    seq = live_in(folder, 2).first
    Flip(name_of(2), place_of(folder, 2, seq), 3).apply(folder)
    (finding,) = found(run)
    assert (finding["file"], finding["kind"]) == ("00000002.segment", "damaged")
    assert finding["seqs"] == [[seq, seq]]
    assert "1 chunks (10 records, " in finding["text"]


async def test_a_file_that_is_gone_is_named_with_all_that_it_held(
    before: dict[int, Chunk], run: Run, folder: Path
) -> None:
    """The books of the newest file know."""
    lost = live_in(folder, 2)
    Removal(name_of(2)).apply(folder)
    (finding,) = found(run)
    assert (finding["kind"], from_wire(finding["seqs"])) == ("missing", lost)
    assert run("show").exit_code == 3
    assert run("query", "--signal", "logs").exit_code == 3


async def test_damaged_dead_letters_are_found(
    before: dict[int, Chunk], run: Run, folder: Path
) -> None:
    """They are all that is left of what hubs refused."""
    Blank("buffer/dead-letters.db", 0, 512).apply(folder)
    (finding,) = found(run)
    assert (finding["file"], finding["kind"]) == ("dead-letters.db", "unreadable")
    assert run("dead-letters", "list").exit_code == 1
    Removal("buffer/dead-letters.db").apply(folder)
    assert "is gone" in found(run)[0]["text"]


def tampered(folder: Path, number: int, statement: str, *values: object) -> None:
    """Change a file as no disk does: SQLite itself finds nothing wrong with it."""
    connection = sqlite3.connect(path_of(folder / "buffer", number))
    connection.execute(statement, values)
    connection.commit()
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()


async def test_columns_that_contradict_their_chunk_are_found_and_mended(
    before: dict[int, Chunk], run: Run, folder: Path
) -> None:
    """The header is what the origin wrote; the columns beside it are a copy."""
    seq = live_in(folder, 2).first
    tampered(folder, 2, "UPDATE chunk SET records = 11 WHERE seq = ?", seq)
    (finding,) = found(run)
    assert finding["kind"] == "row"
    await asyncio.to_thread(run, "repair", "--apply")
    assert found(run) == []


async def test_a_broken_chain_is_found_and_left_to_people(
    before: dict[int, Chunk], run: Run, folder: Path
) -> None:
    """Both chunks are as they were written; only one of them is of this log."""
    first, second = list(live_in(folder, 2))[:2]
    other = before[second].header
    forged = Chunk(other, *forge(before[second]))
    tampered(
        folder,
        2,
        "UPDATE chunk SET hash = ?, header = ? WHERE seq = ?",
        forged.hash,
        forged.header_bytes,
        second,
    )
    kinds = {(finding["kind"], finding["seqs"][0][0]) for finding in found(run)}
    assert kinds == {("chain", second), ("chain", second + 1)}
    result = run("repair")
    assert result.stdout == "nothing is to be done\n"
    assert (
        f"no repair mends this: 00000002.segment: chunk {second} does not follow from chunk "
        in (result.stderr)
    )
    assert first == second - 1


def forge(chunk: Chunk) -> tuple[bytes, bytes]:
    """The same chunk as if it followed another one."""
    header = msgspec.structs.replace(chunk.header, previous_hash=b"\7" * 32)
    return msgspec.msgpack.encode(header), chunk.body


async def test_books_that_do_not_balance_are_found(
    before: dict[int, Chunk], run: Run, folder: Path
) -> None:
    """The ledger of an edge is its word: it must add up."""
    newest = segment_files(folder)[-1]
    connection = sqlite3.connect(newest)
    books = chunk_table.load_books(connection)
    assert books is not None
    totals = booked(books.totals, "safe", {"logs": Sum(0, 4, 0)})
    chunk_table.save_books(connection, books, replace(books, totals=totals))
    connection.commit()
    connection.close()
    (finding,) = found(run)
    assert finding["kind"] == "balance"
    assert "86 records should be in the buffer, which holds 90" in finding["text"]
