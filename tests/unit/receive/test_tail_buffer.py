"""The tail and the real buffer: a line and the place after it are on disk together, or neither is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.buffer import Buffer
from edge.capacity import BufferLimits
from edge.receive.reading import FollowLimits
from edge.receive.tail import FileTail
from shared.codec import decompress
from shared.otlp_rows import log_rows
from shared.records import MIB, Encoding
from tests.unit.receive.sinks import runtime

FAST = FollowLimits(block_bytes=2048, line_bytes_max=1024, poll_seconds=0.005)


@contextlib.asynccontextmanager
async def edge(folder: Path, log_file: Path) -> AsyncIterator[Buffer]:
    """A buffer and a tail that fills it; at the end the tail is cut off wherever it is."""
    buffer = await Buffer.open(folder, "edge-1", runtime(), BufferLimits())
    tail = FileTail(runtime(), buffer, "edge-1", [log_file], FAST)
    tasks = [asyncio.create_task(buffer.run()), asyncio.create_task(tail.run())]
    try:
        yield buffer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        buffer.close()


async def lines_of(buffer: Buffer) -> list[str]:
    chunks = await buffer.read(buffer.seqs, 100 * MIB, 10_000)
    return [
        row.body
        for chunk in chunks
        for row in log_rows(Encoding(chunk.header.encoding), decompress(chunk.body, 10 * MIB))
    ]


@pytest.mark.parametrize("lines_before_end", [1, 40, 200, 500])
async def test_a_tail_cut_off_anywhere_has_every_line_once_after_a_restart(
    tmp_path: Path, lines_before_end: int
) -> None:
    log_file = tmp_path / "app.log"
    lines = [f"line {number:04d} of a log file" for number in range(1000)]
    log_file.write_text("\n".join(lines[:600]) + "\n")
    async with asyncio.timeout(60):
        async with edge(tmp_path, log_file) as buffer:
            while buffer.state().records < lines_before_end:
                await asyncio.sleep(0.001)
        with log_file.open("a") as file:
            file.write("\n".join(lines[600:]) + "\n")
        async with edge(tmp_path, log_file) as buffer:
            while buffer.state().records < len(lines):
                await asyncio.sleep(0.005)
            assert await lines_of(buffer) == lines
