"""The edge's log on disk: what is appended here is kept until enough hubs have it."""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from edge.ages import AgeMarks
from edge.books import Books, Totals, oldest_ms
from edge.capacity import BufferLimits, BufferState
from edge.departures import Departures
from edge.entrance import Entrance
from edge.letters import DeadLetter, Letters
from edge.log_store import LogStore
from edge.reserve import FreeSpace
from edge.salvage import Opened, open_files
from edge.segments import SegmentFiles
from shared.errors import Unavailable
from shared.ranges import Ranges
from shared.receive.gather import Packed
from shared.records import Checkpoint, Chunk, Part
from shared.runtime import Runtime
from shared.sums import Sum
from shared.tasks import Bell

__all__ = ["FOLDER_NAME", "Buffer", "BufferLimits", "BufferState"]

log = logging.getLogger(__name__)

FOLDER_NAME = "buffer"
FIRST_LAYOUT_NAME = "buffer.db"
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
        self._store = LogStore(files, opened.books, runtime, limits.segment_bytes, self._damaged)
        self._departures = Departures(self._store, letters, origin, runtime)
        self._letters = letters
        self._broken: set[int] = set()
        self._untidy = Bell()
        self._free = FreeSpace(files.folder)
        self._disk_use = (0, 0)
        self._ages = AgeMarks()
        self.appended = Bell()
        """Rings when there is something new to push."""
        self._entrance = Entrance(
            self._store, self._departures, origin, runtime, limits, self._free, self._kept
        )

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
        await self._departures.dead.settle()
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
        await self._entrance.append(part, checkpoint)

    def _disk_free_bytes(self) -> int:
        return self._free.bytes_at(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Commit what is appended, and keep the files in order, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._entrance.run())
            tasks.create_task(self._tidy_all())

    def _kept(self, seq: int, packed: Sequence[Packed]) -> None:
        """A group was committed, and its first chunk has this number."""
        if packed:
            self._ages.mark(seq, packed[0].created_ms)
        self.appended.ring()
        if self._store.is_roll_due:
            self._untidy.ring()

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
            dead_letters=self._departures.dead.count,
            segments=len(books.segments),
            file_bytes=self._disk_use[0],
            wal_bytes=self._disk_use[1],
            bytes_max=self._limits.bytes_max,
            disk_free_bytes=self._disk_free_bytes(),
            has_reserve=self._store.has_reserve,
            commits=self._entrance.intake.commits,
            committed_parts=self._entrance.intake.committed_parts,
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
        return await self._departures.dead.newest(seq)

    async def retry_dead_letters(self, seqs: Ranges | None = None) -> int:
        """Put dead letters back into the log; returns how many."""
        count = await self._departures.dead.retry(seqs)
        self.appended.ring()
        return count

    async def discard_dead_letters(self, seqs: Ranges | None = None) -> int:
        """Give dead letters up for good, which is declared; returns how many."""
        return await self._departures.dead.discard(seqs)

    def close(self) -> None:
        """Let go of the files; what was appended and not yet committed fails with BufferFull."""
        self._entrance.close()
        self._store.close()
        self._letters.close()

    def abandon(self) -> None:
        """Let go of the files as a killed process would. For simulations."""
        self._store.abandon()
        self._letters.abandon()
