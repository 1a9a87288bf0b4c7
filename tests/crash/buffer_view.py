"""A buffer as a test sees it from outside: opened, looked at as a whole, given something to hold."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from edge.books import Tally
from edge.buffer import Buffer, BufferLimits
from shared.ranges import of_seqs
from shared.records import MIB, Chunk, Encoding, Part, Signal
from shared.runtime import Duplex, HttpClient, Runtime
from tests.sim.loop import VirtualLoop

Result = TypeVar("Result")

ORIGIN = "edge-1"
CHECKPOINT_KEYS = ("tail:a", "tail:b")
SETTLE_SECONDS = 2.5  # The buffer looks after its files every second.
FIRST_WALL_NS = 1_700_000_000 * 10**9

Key = tuple[str, int]
"""Epoch and sequence number."""


def _no_client() -> HttpClient:
    raise AssertionError("this test must not use the network")


async def _no_link(url: str, headers: dict[str, str]) -> Duplex:
    raise AssertionError(f"this test must not dial {url}")


@dataclass(slots=True)
class Clock:
    """Wall time that goes on by a millisecond whenever somebody looks."""

    now_ns: int = FIRST_WALL_NS

    def __call__(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns


def runtime_of(seed: int, *, threads: bool = False) -> Runtime:
    """A world in which the same seed gives the same trace, unless there are threads."""
    return Runtime(Clock(), Random(seed), _no_client, _no_link, threads)


@dataclass(frozen=True)
class View:
    """All that a buffer says about itself. Chunks are listed with their bytes."""

    epoch: str | None = None
    head_seq: int = 0
    head_hash: bytes = b""
    log: Mapping[Key, Chunk] = field(default_factory=dict)
    letters: frozenset[Key] = frozenset()
    checkpoints: Mapping[str, bytes | None] = field(default_factory=dict)
    tallies: Mapping[str, Tally] = field(default_factory=dict)


NOTHING_YET = View()


async def _all_chunks(buffer: Buffer) -> list[Chunk]:
    """A read gives what it can, at least one chunk if there is any: ask for the rest again."""
    chunks: list[Chunk] = []
    missing = buffer.seqs
    while missing and (found := await buffer.read(missing, 100 * MIB, 100_000)):
        chunks.extend(found)
        missing -= of_seqs(chunk.header.seq for chunk in found)
    return chunks


async def view_of(buffer: Buffer) -> View:
    """Look at everything."""
    chunks = await _all_chunks(buffer)
    letters = await buffer.dead_letters()
    return View(
        buffer.epoch,
        buffer.totals.head_seq,
        buffer.totals.head_hash,
        {(chunk.header.epoch, chunk.header.seq): chunk for chunk in chunks},
        frozenset((letter.epoch, letter.seq) for letter in letters),
        {key: await buffer.checkpoint(key) for key in CHECKPOINT_KEYS},
        {str(signal): tally for signal, tally in buffer.totals.by_signal.items()},
    )


@asynccontextmanager
async def running(buffer: Buffer) -> AsyncIterator[Buffer]:
    """Let a buffer commit for a while."""
    task = asyncio.create_task(buffer.run())
    try:
        yield buffer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def opened(
    folder: Path, limits: BufferLimits, seed: int = 1, synchronous: str = "FULL"
) -> AsyncIterator[Buffer]:
    """A buffer that is closed again."""
    buffer = await Buffer.open(folder, ORIGIN, runtime_of(seed), limits, synchronous)
    try:
        yield buffer
    finally:
        buffer.close()


async def settle() -> None:
    """Let the buffer's own tasks do what is due: in virtual time a wait costs nothing."""
    if isinstance(asyncio.get_running_loop(), VirtualLoop):
        await asyncio.sleep(SETTLE_SECONDS)
        return
    for _ in range(60):
        await asyncio.sleep(0)


def in_virtual_time(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a test on a loop on which waiting takes no time, and everything happens in one order."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def part_of(rng: Random, signal: Signal | None = None, size_bytes_max: int = 1500) -> Part:
    """A part that compresses badly and is like no other."""
    chosen = signal or rng.choice(list(Signal))
    body = rng.randbytes(rng.randint(20, size_bytes_max))
    return Part(chosen, Encoding.PROTO, body, rng.randint(1, 9), 1, 2)
