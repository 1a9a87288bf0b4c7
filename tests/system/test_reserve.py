"""The room that a buffer sets aside: on a real disk without a free byte it forgets, declares and notes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from edge.buffer import FOLDER_NAME, Buffer
from edge.capacity import BufferLimits
from edge.quota import Policy
from edge.reserve import FILE_NAME
from shared.errors import BufferFull
from shared.ranges import Ranges
from shared.records import KIB, MIB, Checkpoint, Gap, Signal
from shared.runtime import Runtime, system_runtime
from tests.system.disks import SmallDisk, fill
from tests.unit.core.buffers import all_chunks, noise, running, until

DISK_BYTES = 64 * MIB
LIMITS = BufferLimits(
    bytes_max=8 * MIB, policy=Policy.SHED, segment_bytes_max=512 * KIB, disk_reserve_bytes=0
)


@pytest.fixture
def runtime() -> Runtime:
    return system_runtime()


@asynccontextmanager
async def on_full_disk(disk: Path, runtime: Runtime, chunks: int) -> AsyncIterator[Buffer]:
    """A buffer with so many chunks of 20 KiB, the reserve laid in, and no other room at all."""
    async with running(disk, runtime, LIMITS) as buffer:
        for seed in range(chunks):
            await buffer.append(noise(Signal.LOGS, 20 * KIB, seed))
        await until((disk / FOLDER_NAME / FILE_NAME).exists)
        fill(disk, 0)
        yield buffer


async def append_for_ever(buffer: Buffer) -> None:
    for seed in count():
        await buffer.append(noise(Signal.LOGS, 200 * KIB, seed), Checkpoint("k", b"%d" % seed))


async def declared(buffer: Buffer) -> list[Gap]:
    return [gap for chunk in await all_chunks(buffer) for gap in chunk.header.gaps]


async def test_what_is_safe_is_forgotten_one_by_one_and_its_room_is_had_again(
    small_disk: SmallDisk, runtime: Runtime
) -> None:
    disk = small_disk("edge-1", DISK_BYTES)
    async with on_full_disk(disk, runtime, 100) as buffer:
        for seq in range(1, 100):
            await buffer.release(Ranges(((seq, seq),)))
        assert buffer.seqs == Ranges(((100, 100),))
        assert buffer.books.imbalance() == {}
        # The files that were emptied have made room for what is new.
        await buffer.append(noise(Signal.LOGS, 20 * KIB, 7))
    async with running(disk, runtime, LIMITS) as buffer:
        assert buffer.seqs == Ranges(((100, 101),))


async def test_a_gap_can_be_declared_and_a_refused_chunk_put_aside(
    small_disk: SmallDisk, runtime: Runtime
) -> None:
    disk = small_disk("edge-1", DISK_BYTES)
    async with on_full_disk(disk, runtime, 20) as buffer:
        await buffer.bury(3, "not understood")
        await buffer._departures.shed(Signal.LOGS, 30 * KIB)
        assert [gap.reason for gap in await declared(buffer)] == ["dead_letter", "shed"]
        assert [letter.seq for letter in await buffer.dead_letters()] == [3]
        assert buffer.books.imbalance() == {}
    async with running(disk, runtime, LIMITS) as buffer:
        assert [gap.reason for gap in await declared(buffer)] == ["dead_letter", "shed"]
        assert [letter.seq for letter in await buffer.dead_letters()] == [3]


async def test_new_data_never_takes_the_reserve(small_disk: SmallDisk, runtime: Runtime) -> None:
    """It is refused, with its checkpoint, and what was kept before is whole."""
    disk = small_disk("edge-1", DISK_BYTES)
    async with on_full_disk(disk, runtime, 20) as buffer:
        with pytest.raises(BufferFull, match="full"):
            await append_for_ever(buffer)
        assert (disk / FOLDER_NAME / FILE_NAME).exists()
        kept = buffer.seqs.count - 20
        assert await buffer.checkpoint("k") == (b"%d" % (kept - 1) if kept else None)
        assert len(await all_chunks(buffer)) == 20 + kept


async def test_the_reserve_is_laid_in_again_once_there_is_room(
    small_disk: SmallDisk, runtime: Runtime
) -> None:
    disk = small_disk("edge-1", DISK_BYTES)
    reserve = disk / FOLDER_NAME / FILE_NAME
    async with on_full_disk(disk, runtime, 20) as buffer:
        while reserve.exists():
            await buffer.release(Ranges(((buffer.seqs.first, buffer.seqs.first),)))
        (disk / "ballast").unlink()
        await until(reserve.exists)


async def test_files_never_outgrow_the_quota_by_much(
    small_disk: SmallDisk, runtime: Runtime
) -> None:
    """Three quotas of data through a buffer that sheds: the disk's own view of it stays bounded."""
    disk = small_disk("edge-1", DISK_BYTES)
    most_bytes = most_wal_bytes = 0
    async with running(disk, runtime, LIMITS) as buffer:
        for seed in range(24 * MIB // (200 * KIB)):
            await buffer.append(noise(Signal.LOGS, 200 * KIB, seed))
            file_bytes, wal_bytes = buffer._store.disk_use()
            most_bytes, most_wal_bytes = max(most_bytes, file_bytes), max(most_wal_bytes, wal_bytes)
        assert buffer.books.imbalance() == {}
    assert most_bytes < LIMITS.bytes_max + 4 * LIMITS.segment_bytes + 8 * MIB
    assert most_wal_bytes < 8 * MIB
