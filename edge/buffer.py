"""The edge's log on disk: what is appended here is kept until enough hubs have it.

Appending returns after the commit. One group is committed at a time; what arrives meanwhile shares
the next commit and, where it is of one kind, the next chunk.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from edge import chunk_table
from edge.ages import AgeMarks
from edge.books import Books, Totals, oldest_ms
from edge.capacity import BufferLimits, BufferState
from edge.departures import Departures
from edge.letters import DeadLetter, Letters
from edge.log_store import LogStore
from edge.quota import admit
from edge.reserve import FreeSpace
from edge.salvage import Opened, open_files
from edge.segments import SegmentFiles
from shared.errors import BufferFull, Unavailable
from shared.ranges import Ranges
from shared.receive.gather import Packed, join_parts
from shared.receive.intake import Intake, Waiting
from shared.receive.pack import pack
from shared.records import Checkpoint, Chunk, Part, Signal
from shared.runtime import Runtime
from shared.sums import Sum
from shared.tasks import Bell

__all__ = ["FOLDER_NAME", "Buffer", "BufferLimits", "BufferState"]

log = logging.getLogger(__name__)

FOLDER_NAME = "buffer"
FIRST_LAYOUT_NAME = "buffer.db"
RETRY_AFTER_SECONDS = 5.0
TIDY_SECONDS = 1.0


class Buffer:
    """The append-only log of one origin. Open it, keep `run` running, append."""

    def __init__(
        self,
        files: SegmentFiles,
        letters: Letters,
        opened: Opened,
        origin: str,
        runtime: Runtime,
        limits: BufferLimits,
    ) -> None:
        self._runtime = runtime
        self._limits = limits
        self._origin = origin
        self._quota = limits.quota
        self._store = LogStore(files, opened.books, runtime, limits.segment_bytes, self._damaged)
        self._departures = Departures(self._store, letters, origin, runtime)
        self._letters = letters
        self._intake = Intake(limits.gather, limits.waiting_bytes_max)
        self._broken: set[int] = set()
        self._untidy = Bell()
        self._free = FreeSpace(files.folder)
        self._disk_use = (0, 0)
        self._ages = AgeMarks()
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
        """Open or create the log in a folder, whatever is left of it. Raises Unavailable."""
        if (folder / FIRST_LAYOUT_NAME).exists():
            raise Unavailable(
                f"{folder / FIRST_LAYOUT_NAME} was written by version 0.1: drain it with that "
                "version, then remove the file",
                0,
            )
        try:
            opened, files, letters = await runtime.offload(
                lambda: open_files(
                    folder / FOLDER_NAME, runtime.token_hex(8), synchronous, threads=runtime.threads
                )
            )
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"the buffer in {folder} cannot be opened: {error}", 0) from error
        buffer = cls(files, letters, opened, origin, runtime, limits)
        await buffer._take_stock(opened)
        return buffer

    async def _take_stock(self, opened: Opened) -> None:
        await self._departures.settle_letters()
        for segment in self._store.books.current:
            if segment.live:
                self._ages.mark(segment.live.first, segment.first_ms)
        active = self._store.books.active
        for row in await self._store.rows(active, active.live):
            self._ages.mark(row.seq, row.created_ms)
        if opened.findings:
            await self._departures.declare_found(opened)
        await self._departures.rewrite_former()
        self._look_at_disk()

    async def append(self, part: Part, checkpoint: Checkpoint | None = None) -> None:
        """Keep a part, and the checkpoint with it; returns after the commit. Raises BufferFull.

        A part without records only carries its checkpoint.
        """
        self._refuse_when_full(part)
        await self._intake.add(part, checkpoint)

    def _refuse_when_full(self, part: Part) -> None:
        if self._disk_free_bytes() < self._limits.disk_reserve_bytes:
            raise BufferFull("the disk of the buffer is almost full", RETRY_AFTER_SECONDS)
        # Waiting bytes are not compressed yet, so this errs on the side of refusing early.
        coming = self._intake.total_bytes + len(part.body)
        if self._store.held_bytes + coming <= self._quota.easy_bytes:
            return
        used = self._used_bytes()
        for signal, waiting in self._intake.bytes.items():
            used[signal] += waiting
        admission = admit(used, part.signal, len(part.body), self._quota)
        if not admission.admitted:
            raise BufferFull(admission.reason, RETRY_AFTER_SECONDS)

    def _used_bytes(self) -> dict[Signal, int]:
        held = self._store.held
        return {signal: held.get(signal, Sum()).stored_bytes for signal in Signal}

    def _disk_free_bytes(self) -> int:
        return self._free.bytes_at(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Commit what is appended, and keep the files in order, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit_all())
            tasks.create_task(self._tidy_all())

    async def _commit_all(self) -> None:
        """One group is compressed while the one before it is on its way to the disk."""
        committing: asyncio.Task[None] | None = None
        try:
            while True:
                group = await self._intake.next_group()
                packed = await self._pack(group)
                if committing is not None:
                    await committing
                committing = asyncio.ensure_future(self._commit(group, packed))
        finally:
            if committing is not None:
                await asyncio.gather(committing, return_exceptions=True)

    async def _pack(self, group: Sequence[Waiting]) -> list[Packed]:
        joined = join_parts((waiting.part for waiting in group), self._limits.gather)
        created_ms = self._runtime.wall_ms()
        packed: list[Packed] = await self._runtime.offload(
            lambda: [pack(each, created_ms) for each in joined]
        )
        return packed

    async def _commit(self, group: Sequence[Waiting], packed: Sequence[Packed]) -> None:
        checkpoints = [waiting.checkpoint for waiting in group if waiting.checkpoint]

        def work(connection: sqlite3.Connection, books: Books) -> Books:
            return chunk_table.store(connection, books, self._origin, packed, checkpoints)

        before = self._store.books.totals.head_seq
        try:
            await self._make_room(packed)
            await self._store.change(work)
        except (Unavailable, sqlite3.Error) as error:
            self._intake.settle(group, BufferFull(_reason(error), RETRY_AFTER_SECONDS))
            return
        if packed:
            self._ages.mark(before + 1, packed[0].created_ms)
        self._intake.settle(group, None)
        self.appended.ring()
        if self._store.is_roll_due:
            self._untidy.ring()

    async def _make_room(self, packed: Sequence[Packed]) -> None:
        used = self._used_bytes()
        for each in packed:
            signal = Signal(each.signal)
            admission = admit(used, signal, len(each.body), self._quota)
            for victim, bytes_min in admission.shed:
                used[victim] -= await self._shed(victim, bytes_min)
            used[signal] += len(each.body)

    async def _shed(self, victim: Signal, bytes_min: int) -> int:
        shed_bytes = 0
        while shed_bytes < bytes_min:
            freed = await self._departures.shed(victim, bytes_min - shed_bytes)
            if not freed:
                break
            shed_bytes += freed
        return shed_bytes

    async def _tidy_all(self) -> None:
        while True:
            await self._untidy.wait(TIDY_SECONDS)
            try:
                await self._tidy()
            except (Unavailable, sqlite3.Error, OSError) as error:
                log.warning("buffer: tidying up has to wait: %s", error)
                await asyncio.sleep(TIDY_SECONDS)

    async def _tidy(self) -> None:
        while self._broken:
            number = min(self._broken)
            await self._departures.declare_damage(number)
            self._broken.discard(number)
            self.appended.ring()
        if self._store.is_roll_due:
            await self._store.roll()
        allowed = self._limits.bytes_max + 2 * self._limits.segment_bytes
        await self._departures.compact(allowed)
        free_bytes = self._disk_free_bytes()
        await self._runtime.offload(lambda: self._store.restock(free_bytes))
        self._look_at_disk()

    def _look_at_disk(self) -> None:
        self._disk_use = self._store.disk_use()

    async def _damaged(self, number: int) -> None:
        """A file has rows that cannot be read: look at it closely as soon as nothing else is done."""
        self._broken.add(number)
        self._untidy.ring()

    @property
    def epoch(self) -> str:
        """The life of this log."""
        return self._store.books.epoch

    @property
    def seqs(self) -> Ranges:
        """The sequence numbers that are in the buffer, and can be read as far as is known."""
        return self._store.seqs

    @property
    def alerts(self) -> Ranges:
        """Those of them that hold events: they go first."""
        return self._store.alerts

    @property
    def totals(self) -> Totals:
        """The head of the log, and what became of everything."""
        return self._store.books.totals

    @property
    def books(self) -> Books:
        """The whole account."""
        return self._store.books

    def state(self) -> BufferState:
        """What the buffer holds now."""
        books, held = self._store.books, self._store.held
        total = sum(held.values(), Sum())
        return BufferState(
            epoch=books.epoch,
            head_seq=books.totals.head_seq,
            chunks=total.chunks,
            records=total.records,
            stored_bytes=total.stored_bytes,
            by_signal=held,
            oldest_ms=self.created_ms(self.seqs) or oldest_ms(books),
            dead_letters=self._departures.letters_count,
            segments=len(books.segments),
            file_bytes=self._disk_use[0],
            wal_bytes=self._disk_use[1],
            bytes_max=self._limits.bytes_max,
            disk_free_bytes=self._disk_free_bytes(),
            has_reserve=self._store.has_reserve,
            commits=self._intake.commits,
            committed_parts=self._intake.committed_parts,
        )

    def created_ms(self, seqs: Ranges) -> int | None:
        """About when the first of these chunks was made, never later; None when there is none."""
        return self._ages.at(seqs.first) if seqs else None

    async def read(self, wanted: Ranges, bytes_max: int, chunks_max: int) -> list[Chunk]:
        """Chunks with the wanted numbers, oldest first: at least one that is sound, if any is."""
        return await self._store.read(wanted, bytes_max, chunks_max)

    async def measure(self, seqs: Ranges) -> tuple[int, int]:
        """How many records and stored bytes these chunks hold. Raises Unavailable."""
        total = await self._departures.measure(seqs)
        return total.records, total.stored_bytes

    async def measure_by_signal(self, seqs: Ranges) -> dict[str, Sum]:
        """What these chunks hold, by signal. Raises Unavailable."""
        return await self._departures.measure_by_signal(seqs)

    async def hash_of(self, seq: int) -> bytes | None:
        """The header hash of an own chunk, as far as it is still known."""
        return await self._store.hash_of(seq)

    async def checkpoint(self, key: str) -> bytes | None:
        """The state last saved under a key."""
        return await self._store.checkpoint(key)

    async def release(self, safe: Ranges) -> None:
        """Forget the chunks that enough hubs have on disk. Raises Unavailable."""
        await self._departures.release(safe)
        self._ages.forget_before(self.seqs.first or self.totals.head_seq)

    async def bury(self, seq: int, reason: str) -> None:
        """Make a dead letter of a chunk that hubs refuse for good. Raises Unavailable."""
        await self._departures.bury(seq, reason)
        self.appended.ring()

    async def split(self, seq: int, parts: Sequence[Part]) -> None:
        """Put smaller chunks with the same records in the place of one. Raises Unavailable."""
        await self._departures.split(seq, parts)
        self.appended.ring()

    async def new_epoch(self, reason: str, keep: Ranges) -> None:
        """Begin a new life of the log, in which the chunks in `keep` are written again.

        The other buffered chunks are proven to be on a hub, and are left to it.
        """
        self._ages.forget_all()
        await self._departures.new_epoch(reason, self._runtime.token_hex(8), keep)
        oldest = oldest_ms(self._store.books)
        if oldest is not None:
            self._ages.mark(1, oldest)
        self.appended.ring()

    async def dead_letters(self) -> list[DeadLetter]:
        """What hubs refused, oldest first."""
        return await self._letters.all()

    async def dead_letter(self, seq: int) -> Chunk | None:
        """The newest dead letter with this number, whole."""
        return await self._departures.letter(seq)

    async def retry_dead_letters(self, seqs: Ranges | None = None) -> int:
        """Put dead letters back into the log; returns how many."""
        count = await self._departures.retry_letters(seqs)
        self.appended.ring()
        return count

    async def discard_dead_letters(self, seqs: Ranges | None = None) -> int:
        """Give dead letters up for good, which is declared; returns how many."""
        return await self._departures.discard_letters(seqs)

    def close(self) -> None:
        """Let go of the files; what was appended and not yet committed fails with BufferFull."""
        self._intake.close(BufferFull("the edge is stopping", RETRY_AFTER_SECONDS))
        self._store.close()
        self._letters.close()

    def abandon(self) -> None:
        """Let go of the files as a killed process would. For simulations."""
        self._store.abandon()
        self._letters.abandon()


def _reason(error: Unavailable | sqlite3.Error) -> str:
    return str(error) if isinstance(error, Unavailable) else f"cannot write the buffer: {error}"
