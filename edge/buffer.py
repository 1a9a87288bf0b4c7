"""The edge's log on disk: what is appended here is kept until enough hubs have it.

Appending returns after the commit. One group is committed at a time; what arrives meanwhile shares
the next commit and, where it is of one kind, the next chunk.
"""

import asyncio
import shutil
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge import chunk_table
from edge.batch import GatherLimits, join_parts, take_group
from edge.chunk_table import Author, Change, Inventory, Totals
from edge.schema import MIGRATIONS
from shared.errors import BufferFull, Unavailable
from shared.ranges import Ranges
from shared.records import MIB, Checkpoint, Chunk, Part
from shared.runtime import Runtime
from shared.sqlite import Database
from shared.tasks import Bell

FILE_NAME = "buffer.db"
RETRY_AFTER_SECONDS = 5.0
DISK_CHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class BufferLimits:
    """How much the buffer may hold."""

    bytes_max: int = 500 * MIB
    # Deleting and checkpointing need room too: stop taking in data while there is some left.
    disk_reserve_bytes: int = 64 * MIB
    waiting_bytes_max: int = 128 * MIB  # Bodies in memory that wait for their commit.
    gather: GatherLimits = field(default_factory=GatherLimits)


@dataclass(frozen=True, slots=True)
class BufferState:
    """What the buffer holds now."""

    epoch: str
    head_seq: int
    chunks: int
    records: int
    stored_bytes: int
    oldest_ms: int | None
    dead_letters: int


AGE_MARKS_MAX = 4096


@dataclass(slots=True)
class AgeMarks:
    """When some sequence numbers were made: enough to tell the age of any, in bounded memory."""

    marks: list[tuple[int, int]] = field(default_factory=list)

    def mark(self, seq: int, created_ms: int) -> None:
        """Note a chunk; numbers only grow. Every second mark goes when there are too many."""
        self.marks.append((seq, created_ms))
        if len(self.marks) > AGE_MARKS_MAX:
            self.marks = self.marks[::2]

    def at(self, seq: int) -> int | None:
        """The time of the last mark that is not after this number."""
        index = bisect_right(self.marks, (seq, 2**63)) - 1
        return self.marks[max(index, 0)][1] if self.marks else None

    def forget_before(self, seq: int) -> None:
        """Drop the marks that no number from `seq` on needs."""
        index = bisect_right(self.marks, (seq, 2**63)) - 1
        self.marks = self.marks[max(index, 0) :]


@dataclass(slots=True)
class _Waiting:
    part: Part
    checkpoint: Checkpoint | None
    future: "asyncio.Future[None]"


class Buffer:
    """The append-only log of one origin. Open it, keep `run` running, append."""

    def __init__(
        self, database: Database, folder: Path, origin: str, runtime: Runtime, limits: BufferLimits
    ) -> None:
        self._database = database
        self._folder = folder
        self._origin = origin
        self._runtime = runtime
        self._limits = limits
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._bell = Bell()
        self._free_bytes = 0
        self._free_checked_at: float | None = None
        self._held = Inventory("", Totals(), Ranges(), 0, 0, 0)
        self._ages = AgeMarks()
        self._letting_go = asyncio.Lock()
        self.appended = Bell()
        """Rings when there is something new to push."""

    @classmethod
    async def open(
        cls,
        folder: Path,
        origin: str,
        runtime: Runtime,
        limits: BufferLimits,
        synchronous: str = "FULL",
    ) -> "Buffer":
        """Open or create the log in a folder, and count what it holds."""
        database = Database(
            folder / FILE_NAME, MIGRATIONS, synchronous=synchronous, threads=runtime.threads
        )
        buffer = cls(database, folder, origin, runtime, limits)
        fresh_epoch = runtime.token_hex(8)
        buffer._held = await database.write(
            lambda connection: chunk_table.take_inventory(connection, fresh_epoch)
        )
        for seq, created_ms in await database.write(chunk_table.ages):
            buffer._ages.mark(seq, created_ms)
        return buffer

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        """Keep a part, and the checkpoint with it; returns after the commit. Raises BufferFull."""
        self._refuse_when_full(len(part.body))
        waiting = _Waiting(part, checkpoint, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_bytes += len(part.body)
        self._bell.ring()
        await waiting.future

    def _refuse_when_full(self, coming_bytes: int) -> None:
        if self._waiting_bytes + coming_bytes > self._limits.waiting_bytes_max:
            raise BufferFull("too much data waits for the disk", 1.0)
        # Waiting bytes are not compressed yet, so this errs on the side of refusing early.
        if self._held.stored_bytes + self._waiting_bytes + coming_bytes > self._limits.bytes_max:
            limit = self._limits.bytes_max
            raise BufferFull(f"the buffer is at its limit of {limit} bytes", RETRY_AFTER_SECONDS)
        if self._disk_free_bytes() < self._limits.disk_reserve_bytes:
            raise BufferFull("the disk of the buffer is almost full", RETRY_AFTER_SECONDS)

    def _disk_free_bytes(self) -> int:
        now = asyncio.get_running_loop().time()
        if self._free_checked_at is None or now - self._free_checked_at >= DISK_CHECK_SECONDS:
            self._free_checked_at = now
            self._free_bytes = shutil.disk_usage(self._folder).free
        return self._free_bytes

    async def run(self) -> None:
        """Commit what is appended, for ever."""
        while True:
            await self._bell.wait()
            while self._waiting:
                await self._commit_next()

    async def _commit_next(self) -> None:
        count = take_group([waiting.part for waiting in self._waiting], self._limits.gather)
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        author = Author(self._origin, self._held.epoch, self._runtime.wall_ms())
        joined = join_parts((waiting.part for waiting in group), self._limits.gather)
        checkpoints = [waiting.checkpoint for waiting in group if waiting.checkpoint]
        try:
            change = await self._database.write(
                lambda connection: chunk_table.store(connection, author, joined, checkpoints)
            )
        except (Unavailable, sqlite3.Error) as error:
            _settle(group, BufferFull(_reason(error), RETRY_AFTER_SECONDS))
        else:
            self._apply(change)
            _settle(group, None)
            self.appended.ring()
        finally:
            self._waiting_bytes -= sum(len(waiting.part.body) for waiting in group)

    def _apply(self, change: Change) -> None:
        for first, _ in change.added.spans:
            self._ages.mark(first, self._runtime.wall_ms())
        held = self._held
        seqs = held.seqs - change.removed if change.removed else held.seqs
        for first, last in change.added.spans:
            seqs = seqs.add(first, last)
        self._held = Inventory(
            held.epoch,
            change.totals,
            seqs,
            held.records + change.records,
            held.stored_bytes + change.stored_bytes,
            held.dead_letters,
        )

    @property
    def epoch(self) -> str:
        """The life of this log."""
        return self._held.epoch

    @property
    def seqs(self) -> Ranges:
        """The sequence numbers that are in the buffer."""
        return self._held.seqs

    @property
    def totals(self) -> Totals:
        """What the log has seen in its life."""
        return self._held.totals

    def state(self) -> BufferState:
        """What the buffer holds now."""
        held = self._held
        return BufferState(
            epoch=held.epoch,
            head_seq=held.totals.head_seq,
            chunks=held.seqs.count,
            records=held.records,
            stored_bytes=held.stored_bytes,
            oldest_ms=self.created_ms(held.seqs),
            dead_letters=held.totals.rejected_chunks,
        )

    def created_ms(self, seqs: Ranges) -> int | None:
        """About when the first of these chunks was made, never later; None when there is none."""
        return self._ages.at(seqs.first) if seqs else None

    async def read(self, wanted: Ranges, bytes_max: int, chunks_max: int) -> list[Chunk]:
        """Chunks with the wanted numbers, oldest first: at least one, within the bounds."""

        def work() -> list[Chunk]:
            with self._database.reading() as connection:
                return chunk_table.read_chunks(connection, wanted, bytes_max, chunks_max)

        chunks: list[Chunk] = await self._runtime.offload(work)
        return chunks

    async def measure(self, seqs: Ranges) -> tuple[int, int]:
        """How many records and stored bytes these chunks hold."""

        def work() -> tuple[int, int]:
            with self._database.reading() as connection:
                return chunk_table.measure(connection, seqs)

        measured: tuple[int, int] = await self._runtime.offload(work)
        return measured

    async def checkpoint(self, key: str) -> bytes | None:
        """The state last saved under a key."""

        def work() -> bytes | None:
            with self._database.reading() as connection:
                return chunk_table.read_checkpoint(connection, key)

        state: bytes | None = await self._runtime.offload(work)
        return state

    async def release(self, safe: Ranges) -> None:
        """Forget the chunks that enough hubs have on disk."""
        async with self._letting_go:  # Two callers must not count the same chunks twice.
            gone = self.seqs & safe
            if gone:
                self._apply(
                    await self._database.write(
                        lambda connection: chunk_table.delete_safe(connection, gone)
                    )
                )
                self._ages.forget_before(self.seqs.first or self.totals.head_seq)

    async def bury(self, seq: int, reason: str) -> None:
        """Put a chunk aside that hubs refuse for good, as a dead letter with their reason."""
        refused_ms = self._runtime.wall_ms()
        async with self._letting_go:
            if seq in self.seqs:
                self._apply(
                    await self._database.write(
                        lambda connection: chunk_table.bury(connection, seq, reason, refused_ms)
                    )
                )

    def close(self) -> None:
        """Let go of the file; what was appended and not yet committed fails with BufferFull."""
        _settle(self._waiting, BufferFull("the edge is stopping", RETRY_AFTER_SECONDS))
        self._waiting = []
        self._database.close()

    def abandon(self) -> None:
        """Let go of the file as a killed process would. For simulations."""
        self._database.abandon()


def _settle(group: Sequence[_Waiting], error: BufferFull | None) -> None:
    for waiting in group:
        if waiting.future.done():
            continue
        if error is not None:
            waiting.future.set_exception(error)
        else:
            waiting.future.set_result(None)


def _reason(error: Unavailable | sqlite3.Error) -> str:
    return str(error) if isinstance(error, Unavailable) else f"cannot write the buffer: {error}"
