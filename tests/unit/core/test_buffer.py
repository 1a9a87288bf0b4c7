"""The buffer: acknowledged means on disk, sequences have no holes, sums balance, bounds hold."""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.buffer import FOLDER_NAME, Buffer
from edge.capacity import BufferLimits
from edge.letters import FILE_NAME as LETTERS_NAME
from edge.segments import path_of
from shared.codec import decompress
from shared.errors import BufferFull
from shared.otlp_rows import log_rows
from shared.ranges import Ranges, of_spans
from shared.receive.gather import GatherLimits
from shared.records import GENESIS_HASH, MIB, Checkpoint, Chunk, Encoding, Part
from shared.runtime import Runtime

MakePart = Callable[[int], Part]


@asynccontextmanager
async def running(
    folder: Path, runtime: Runtime, limits: BufferLimits | None = None
) -> AsyncIterator[Buffer]:
    """A buffer that commits, closed at the end."""
    buffer = await Buffer.open(folder, "edge-1", runtime, limits or BufferLimits())
    committing = asyncio.create_task(buffer.run())
    try:
        yield buffer
    finally:
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        buffer.close()


async def all_chunks(buffer: Buffer) -> list[Chunk]:
    return await buffer.read(buffer.seqs, 100 * MIB, 10_000)


async def test_an_appended_part_is_on_disk_when_append_returns(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await buffer.append(log_part(10))
        with sqlite3.connect(path_of(tmp_path / FOLDER_NAME, 1)) as witness:
            assert witness.execute("SELECT seq, records FROM chunk").fetchall() == [(1, 10)]
        witness.close()


async def test_the_chain_of_hashes_reaches_back_to_the_beginning(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with running(tmp_path, runtime) as buffer:
        for records in (1, 2, 3):
            await buffer.append(log_part(records))
        chunks = await all_chunks(buffer)
    previous = GENESIS_HASH
    for number, chunk in enumerate(chunks, 1):
        assert (chunk.header.seq, chunk.header.previous_hash) == (number, previous)
        assert hashlib.sha256(chunk.body).digest() == chunk.header.body_sha256
        previous = chunk.hash


async def test_parts_that_wait_together_become_one_chunk_with_all_records(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await asyncio.gather(*(buffer.append(log_part(5)) for _ in range(20)))
        chunks = await all_chunks(buffer)
    assert len(chunks) < 20
    rows = [
        row for chunk in chunks for row in log_rows(Encoding.PROTO, decompress(chunk.body, MIB))
    ]
    assert len(rows) == sum(chunk.header.records for chunk in chunks) == 100


async def test_a_reopened_buffer_goes_on_where_it_stood(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await buffer.append(log_part(3))
        await buffer.append(log_part(4), Checkpoint("tail:/x", b"here"))
        epoch = buffer.epoch
    async with running(tmp_path, runtime) as buffer:
        assert (buffer.epoch, buffer.state().records, buffer.seqs.count) == (epoch, 7, 2)
        assert await buffer.checkpoint("tail:/x") == b"here"
        await buffer.append(log_part(1))
        chunks = await all_chunks(buffer)
    assert [chunk.header.seq for chunk in chunks] == [1, 2, 3]
    assert chunks[2].header.previous_hash == chunks[1].hash


async def test_produced_is_always_safe_plus_rejected_plus_buffered(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with running(tmp_path, runtime) as buffer:
        for records in (1, 2, 4, 8, 16):
            await buffer.append(log_part(records))
        # Everything at once, as answers of several hubs arrive: nothing may be counted twice.
        await asyncio.gather(
            buffer.release(of_spans([(1, 2)])),
            buffer.release(of_spans([(1, 3)])),
            buffer.bury(4, "poison"),
            buffer.bury(4, "poison"),
            buffer.append(log_part(32)),
        )
        tally, state = buffer.totals.all, buffer.state()
    # The declaration of the dead letter is a record too.
    assert (tally.safe.records, tally.rejected.records, state.records) == (7, 8, 49)
    assert tally.produced.records == 64
    assert (tally.safe.chunks, state.dead_letters, state.chunks) == (3, 1, 3)
    assert buffer.books.imbalance() == {}


async def test_a_dead_letter_keeps_its_bytes_and_the_reason(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await buffer.append(log_part(2))
        (chunk,) = await all_chunks(buffer)
        await buffer.bury(1, "unknown_signal")
    with sqlite3.connect(tmp_path / FOLDER_NAME / LETTERS_NAME) as witness:
        kept = witness.execute("SELECT seq, body, reason FROM dead_letter").fetchall()
    witness.close()
    assert kept == [(1, chunk.body, "unknown_signal")]


async def test_a_full_buffer_refuses_and_takes_again_when_there_is_room(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    part = log_part(200)
    limits = BufferLimits(bytes_max=len(part.body) + 15_000)
    async with running(tmp_path, runtime, limits) as buffer:
        await buffer.append(part)
        await buffer.append(part)
        with pytest.raises(BufferFull, match="limit") as refusal:
            await asyncio.gather(*(buffer.append(part) for _ in range(10)))
        assert refusal.value.retry_after_seconds > 0
        await buffer.release(buffer.seqs)
        await buffer.append(part)


async def test_a_nearly_full_disk_is_refused_before_it_is_full(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    limits = BufferLimits(disk_reserve_bytes=2**62)
    async with running(tmp_path, runtime, limits) as buffer:
        with pytest.raises(BufferFull, match="disk"):
            await buffer.append(log_part(1))


async def test_what_waits_when_the_edge_stops_is_refused_and_not_forgotten(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    buffer = await Buffer.open(tmp_path, "edge-1", runtime, BufferLimits())
    waiting = asyncio.create_task(buffer.append(log_part(1)))
    await asyncio.sleep(0)
    buffer.close()
    with pytest.raises(BufferFull, match="stopping"):
        await waiting


async def test_large_bodies_are_not_joined_beyond_the_size_of_a_chunk(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    part = log_part(50)
    limits = BufferLimits(gather=GatherLimits(chunk_raw_bytes_max=2 * len(part.body)))
    async with running(tmp_path, runtime, limits) as buffer:
        await asyncio.gather(*(buffer.append(part) for _ in range(12)))
        sizes = [chunk.header.raw_bytes for chunk in await all_chunks(buffer)]
    assert sum(sizes) == 12 * len(part.body)
    assert max(sizes) <= 2 * len(part.body)


async def test_reading_takes_at_least_one_chunk_and_no_more_than_asked(
    tmp_path: Path, runtime: Runtime, log_part: MakePart
) -> None:
    async with running(tmp_path, runtime) as buffer:
        for _ in range(5):
            await buffer.append(log_part(20))
        assert len(await buffer.read(buffer.seqs, 1, 10)) == 1
        assert len(await buffer.read(buffer.seqs, 100 * MIB, 3)) == 3
        assert await buffer.read(Ranges(((9, 9),)), MIB, 3) == []
