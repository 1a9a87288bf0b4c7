"""A damaged file costs what was in it and nothing else, and the loss is declared."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.salvage import SEQS_SKIPPED
from edge.segments import path_of
from shared.ranges import Ranges, of_spans
from shared.records import GENESIS_HASH, KIB, Checkpoint, Chunk, Signal
from shared.runtime import Runtime
from tests.unit.core.buffers import all_chunks, fill, noise, running, segment_files, until


def lost_in(chunks: list[Chunk]) -> Ranges:
    """What the chunks declare as damaged."""
    gaps = [gap for chunk in chunks for gap in chunk.header.gaps]
    return of_spans(span for gap in gaps if gap.reason == "damaged" for span in gap.ranges)


async def filled(folder: Path, runtime: Runtime) -> dict[int, Chunk]:
    """A buffer of several files with 30 chunks, closed; what it held."""
    async with running(folder, runtime) as buffer:
        await buffer.append(noise(Signal.LOGS, KIB), Checkpoint("tail:/x", b"here"))
        await fill(buffer, Signal.LOGS, 29)
        await until(lambda: len(segment_files(folder)) >= 5)
        chunks = {chunk.header.seq: chunk for chunk in await all_chunks(buffer)}
    assert len(chunks) == 30
    return chunks


def flip_bits(path: Path) -> None:
    """One in each of some pages, since a single one might fall into a page that holds nothing."""
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) * 3 // 4, 4096):
        content[place + 1000] ^= 0x10
    path.write_bytes(content)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite_the_start(path: Path) -> None:
    path.write_bytes(b"garbage!" * 100 + path.read_bytes()[800:])


def remove(path: Path) -> None:
    path.unlink()


HARM = (flip_bits, cut_in_half, empty, overwrite_the_start, remove)


@pytest.mark.parametrize("harm", HARM)
async def test_a_damaged_closed_file_is_bounded_declared_and_the_rest_is_served(
    harm: Callable[[Path], None], tmp_path: Path, runtime: Runtime
) -> None:
    before = await filled(tmp_path, runtime)
    harm(segment_files(tmp_path)[1])
    async with running(tmp_path, runtime) as buffer:
        in_file = next(each.live for each in buffer.books.segments if each.number == 2)
        await all_chunks(buffer)
        await until(lambda: buffer.totals.all.damaged.chunks or not buffer.seqs)
        chunks = await all_chunks(buffer)
        assert buffer.books.imbalance() == {}
        await fill(buffer, Signal.LOGS, 1)
    found = {chunk.header.seq: chunk for chunk in chunks}
    lost = lost_in(chunks)
    assert lost
    assert not lost - in_file
    for seq, chunk in before.items():
        assert seq in lost or found[seq] == chunk


@pytest.mark.parametrize("harm", HARM)
async def test_a_damaged_newest_file_never_leads_to_a_number_used_twice(
    harm: Callable[[Path], None], tmp_path: Path, runtime: Runtime
) -> None:
    before = await filled(tmp_path, runtime)
    harm(segment_files(tmp_path)[-1])
    async with running(tmp_path, runtime) as buffer:
        await all_chunks(buffer)  # A flipped bit in a body is noticed when it is read.
        await until(lambda: buffer.totals.all.damaged.chunks or buffer.totals.head_seq > 30)
        await fill(buffer, Signal.TRACES, 1)
        chunks = await all_chunks(buffer)
        assert buffer.books.imbalance() == {}
        assert await buffer.checkpoint("tail:/x") == b"here"
    found = {chunk.header.seq: chunk for chunk in chunks}
    lost = lost_in(chunks)
    for seq, chunk in before.items():
        assert seq in lost or found[seq] == chunk
    fresh = [chunk for seq, chunk in found.items() if seq not in before]
    assert fresh
    assert all(chunk.header.seq > 30 for chunk in fresh)


async def test_after_a_lost_file_the_chain_begins_anew_and_the_skipped_numbers_are_declared(
    tmp_path: Path, runtime: Runtime
) -> None:
    before = await filled(tmp_path, runtime)
    overwrite_the_start(segment_files(tmp_path)[-1])
    async with running(tmp_path, runtime) as buffer:
        chunks = await all_chunks(buffer)
    kept = max(seq for seq in before if seq not in lost_in(chunks))
    first = next(chunk for chunk in chunks if chunk.header.seq > 30)
    assert first.header.previous_hash == GENESIS_HASH
    assert first.header.seq == kept + SEQS_SKIPPED + 1
    assert list((tmp_path / "buffer").glob("*.damaged"))


async def test_a_file_that_was_only_begun_when_the_power_went_costs_nothing(
    tmp_path: Path, runtime: Runtime
) -> None:
    before = await filled(tmp_path, runtime)
    path_of(tmp_path / "buffer", 99).touch()
    async with running(tmp_path, runtime) as buffer:
        chunks = {chunk.header.seq: chunk for chunk in await all_chunks(buffer)}
        assert chunks == before
        assert buffer.totals.head_seq == 30


async def test_damaged_dead_letters_do_not_keep_the_edge_from_starting(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 2)
        await buffer.bury(1, "no")
    overwrite_the_start(tmp_path / "buffer" / "dead-letters.db")
    async with running(tmp_path, runtime) as buffer:
        assert await buffer.dead_letters() == []
        chunks = await all_chunks(buffer)
    assert any("dead" in str(chunk.body) or chunk.header.records for chunk in chunks)
    assert list((tmp_path / "buffer").glob("dead-letters.db.damaged"))
