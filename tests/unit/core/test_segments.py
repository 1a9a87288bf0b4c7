"""The buffer as a sequence of files: closed when full, dropped whole when nobody wants them."""

import asyncio
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge.books import Books
from edge.buffer import Buffer
from edge.capacity import BufferLimits
from edge.segments import begin_file, file_bytes
from shared.ranges import Ranges, of_seqs
from shared.records import KIB, MIB, Checkpoint, Signal
from shared.runtime import Runtime
from tests.unit.core.buffers import (
    SMALL,
    alert,
    all_chunks,
    fill,
    noise,
    running,
    segment_files,
    until,
)


async def test_a_full_file_is_closed_and_the_next_begun(tmp_path: Path, runtime: Runtime) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 20)
        await until(lambda: len(segment_files(tmp_path)) >= 3)
        chunks = await all_chunks(buffer)
    assert [chunk.header.seq for chunk in chunks] == list(range(1, 21))
    for one, other in pairwise(chunks):
        assert other.header.previous_hash == one.hash


async def test_a_file_in_which_everything_is_safe_is_removed(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 20)
        await until(lambda: len(segment_files(tmp_path)) >= 3)
        await buffer.release(Ranges(((1, 19),)))
        await until(lambda: len(segment_files(tmp_path)) <= 2)
        assert [chunk.header.seq for chunk in await all_chunks(buffer)] == [20]
        assert buffer.books.imbalance() == {}


async def test_an_emptied_buffer_gives_its_room_back(tmp_path: Path, runtime: Runtime) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 12)
        await buffer.release(buffer.seqs)
        await until(lambda: len(segment_files(tmp_path)) == 1)
        await until(lambda: file_bytes(tmp_path / "buffer") < 64 * KIB + 5 * MIB)
    assert sum(path.stat().st_size for path in segment_files(tmp_path)) < 160 * KIB


async def test_a_reopened_buffer_knows_what_each_file_holds(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await buffer.append(noise(Signal.LOGS, KIB), Checkpoint("tail:/x", b"here"))
        await fill(buffer, Signal.TRACES, 12)
        await buffer.append(alert("first"))
        await buffer.release(of_seqs([2, 3, 7]))
        before = (buffer.seqs, buffer.alerts, buffer.totals, buffer.state().by_signal)
    async with running(tmp_path, runtime) as buffer:
        assert (buffer.seqs, buffer.alerts, buffer.totals, buffer.state().by_signal) == before
        assert buffer.alerts == of_seqs([14])
        assert await buffer.checkpoint("tail:/x") == b"here"
        assert len(await all_chunks(buffer)) == buffer.seqs.count == 11


async def test_opening_reads_no_more_of_a_long_backlog_than_of_a_short_one(
    tmp_path: Path, runtime: Runtime
) -> None:
    """Closed files are not even looked into."""
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 30)
        await until(lambda: not buffer.books.active.live or len(segment_files(tmp_path)) > 5)
    for path in segment_files(tmp_path)[:-1]:
        path.chmod(0o000)
        path.rename(path.with_suffix(".hidden"))
        path.touch()
    async with running(tmp_path, runtime) as buffer:
        assert buffer.seqs.count == 30


async def test_what_is_wanted_of_sparse_files_is_moved_so_that_they_can_go(
    tmp_path: Path, runtime: Runtime
) -> None:
    limits = BufferLimits(
        bytes_max=600 * KIB, segment_bytes_max=64 * KIB, gather=SMALL.gather, floors={}
    )
    async with running(tmp_path, runtime, limits) as buffer:
        kept = []
        for _ in range(6):
            await buffer.append(alert("keep me"))
            kept.append(buffer.totals.head_seq)
            await fill(buffer, Signal.LOGS, 8)
            await buffer.release(buffer.seqs - of_seqs(kept))
        await until(lambda: buffer.books.written_bytes <= (600 + 2 * 64) * KIB)
        await fill(buffer, Signal.LOGS, 8)
        chunks = await all_chunks(buffer)
    assert [chunk.header.seq for chunk in chunks if chunk.header.seq in of_seqs(kept)] == kept
    assert buffer.alerts == of_seqs(kept)
    assert buffer.books.imbalance() == {}


async def test_the_hash_of_a_chunk_is_known_as_long_as_it_is_kept(
    tmp_path: Path, runtime: Runtime
) -> None:
    async with running(tmp_path, runtime) as buffer:
        await fill(buffer, Signal.LOGS, 8)
        chunks = await all_chunks(buffer)
        assert [await buffer.hash_of(chunk.header.seq) for chunk in chunks] == [
            chunk.hash for chunk in chunks
        ]
        await buffer.release(buffer.seqs)
        assert await buffer.hash_of(8) == chunks[-1].hash
        assert await buffer.hash_of(3) is None


async def test_a_buffer_that_stops_in_the_middle_of_a_new_file_waits_for_it(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the file would open after the buffer was closed, and nobody would ever close it."""
    began, may_go_on = threading.Event(), threading.Event()

    def slow_begin(*args: Any, **options: Any) -> Books:
        began.set()
        assert may_go_on.wait(30)
        return begin_file(*args, **options)

    monkeypatch.setattr("edge.segments.begin_file", slow_begin)
    buffer = await Buffer.open(tmp_path, "edge-1", runtime, SMALL)
    running_buffer = asyncio.create_task(buffer.run())
    for seed in range(4):
        await buffer.append(noise(Signal.LOGS, 20 * KIB, seed))
    await until(began.is_set)
    running_buffer.cancel()
    done, _ = await asyncio.wait([running_buffer], timeout=0.1)
    assert not done
    may_go_on.set()
    await asyncio.wait([running_buffer])
    buffer.close()
    writers = [each.name for each in threading.enumerate() if each.name.endswith(".segment")]
    assert writers == []
    assert len(segment_files(tmp_path)) == 2
