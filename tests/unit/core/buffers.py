"""A running buffer for tests, and looks at what it holds."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from edge.buffer import FOLDER_NAME, Buffer
from edge.capacity import BufferLimits
from shared.otlp_make import Event, event_part
from shared.receive.gather import GatherLimits
from shared.records import KIB, MIB, Chunk, Encoding, Part, Signal
from shared.runtime import Runtime

SMALL = BufferLimits(segment_bytes_max=64 * KIB, gather=GatherLimits(linger_seconds=0.0))


@asynccontextmanager
async def running(
    folder: Path, runtime: Runtime, limits: BufferLimits = SMALL
) -> AsyncIterator[Buffer]:
    """A buffer that commits, closed at the end."""
    buffer = await Buffer.open(folder, "edge-1", runtime, limits)
    committing = asyncio.create_task(buffer.run())
    try:
        yield buffer
    finally:
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        buffer.close()


async def all_chunks(buffer: Buffer) -> list[Chunk]:
    """Everything that is in the buffer and can be read."""
    return await buffer.read(buffer.seqs, 1000 * MIB, 100_000)


def noise(signal: Signal, size_bytes: int, seed: int = 0) -> Part:
    """A part that does not get smaller; the buffer never looks inside."""
    body = random.Random(seed).randbytes(size_bytes)
    return Part(signal, Encoding.PROTO, body, 10, 1, 2)


def alert(text: str) -> Part:
    """An event."""
    return event_part({}, "test", [Event(1, "test", "warn", text)])


async def fill(buffer: Buffer, signal: Signal, chunks: int, size_bytes: int = 20 * KIB) -> None:
    """So many chunks of so many bytes, one after the other, in files that are never late to close."""
    for seed in range(chunks):
        await buffer.append(noise(signal, size_bytes, seed))
        await until(lambda: not buffer._store.is_roll_due)


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something has come true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def until_done(step: Callable[[], Awaitable[object]], seconds: float = 60.0) -> None:
    """Repeat something until it answers with something true."""
    async with asyncio.timeout(seconds):
        while not await step():
            await asyncio.sleep(0.01)


def segment_files(folder: Path) -> list[Path]:
    """The files of the buffer, oldest first."""
    return sorted((folder / FOLDER_NAME).glob("*.segment"))
