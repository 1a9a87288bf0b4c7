"""The log on disk: books and files that change together, one change at a time."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec

from edge import books as accounts
from edge import chunk_rows, chunk_table
from edge.books import Books, Segment, add_sums
from edge.chunk_rows import Assessment, Row
from edge.reserve import Reserve
from edge.segments import SegmentFiles, file_bytes, wal_bytes
from edge.transfers import Work
from shared.errors import Unavailable
from shared.ranges import NOTHING, Ranges
from shared.records import Checkpoint, Chunk
from shared.runtime import Runtime
from shared.sqlite import is_broken_file, is_disk_full
from shared.sums import Sum
from shared.tasks import to_its_end

Result = TypeVar("Result")

UNREADABLE = (sqlite3.Error, msgspec.MsgspecError)


class LogStore:
    """Owns the files of one buffer. What `change` has returned from is on disk."""

    def __init__(
        self,
        files: SegmentFiles,
        books: Books,
        runtime: Runtime,
        segment_bytes_max: int,
        on_damage: Callable[[int], Awaitable[None]],
    ) -> None:
        self.files = files
        self.books = books
        self._runtime = runtime
        self._segment_bytes_max = segment_bytes_max
        self._on_damage = on_damage
        self._turn = asyncio.Lock()
        self._reserve = Reserve(files.folder)
        self.seqs, self.alerts, self.held = books.seqs, books.alerts, books.held
        self.held_bytes = _bytes_of(self.held)
        self.rolls = 0

    async def change(self, work: Work, *, frees_room: bool = False) -> None:
        """Apply `work` to the books and the newest file in one transaction.

        `frees_room` marks what must succeed on a full disk: it may use the reserve. Raises
        Unavailable, and whatever the work raises. A caller that is cancelled waits for the end.
        """
        await to_its_end(self._change(work, frees_room=frees_room))

    async def _change(self, work: Work, *, frees_room: bool) -> None:
        async with self._turn:
            try:
                await self._commit(work)
            except (Unavailable, sqlite3.Error) as error:
                cause = error.__cause__ or error
                if is_broken_file(cause):
                    await self._leave_broken_file(cause)
                elif frees_room and is_disk_full(cause):
                    self.use_reserve()
                else:
                    raise
                await self._commit(work)

    async def _commit(self, work: Work) -> None:
        before = self.books
        changed: list[Books] = []
        emptied: list[Segment] = []

        def job(connection: sqlite3.Connection) -> None:
            after, empty = accounts.without_empty(work(connection, before))
            chunk_table.save_books(connection, before, after)
            changed.append(after)
            emptied.extend(empty)

        await self.files.write(job)
        self._take_up(changed[-1])
        if emptied:
            numbers = [segment.number for segment in emptied]
            await self._runtime.offload(lambda: self.files.drop(numbers))

    def _take_up(self, after: Books) -> None:
        self.seqs, self.alerts = after.seqs, after.alerts
        self.held = _held_after(self.held, self.books, after)
        self.held_bytes = _bytes_of(self.held)
        self.books = after

    async def _leave_broken_file(self, error: BaseException) -> None:
        """Go on in a new file when the newest one gives errors: what memory knows is right.

        A sync that failed is never tried again on the same file, since the system may have dropped
        the pages that it could not write.
        """
        try:
            await self._advance()
        except sqlite3.Error as second:
            raise Unavailable(f"cannot write the buffer: {error}", 5.0) from second

    @property
    def is_roll_due(self) -> bool:
        """Whether the newest file is full, or large and without anything that is still wanted."""
        active = self.books.active
        idle = not active.live and active.written_bytes > self._segment_bytes_max // 8
        return idle or active.written_bytes >= self._segment_bytes_max

    async def roll(self, renew: Work | None = None) -> None:
        """Begin a new file; `renew` may change books and file on the way, in the transaction that
        begins it. Raises Unavailable.
        """

        async def work() -> None:
            async with self._turn:
                try:
                    await self._advance(renew)
                except sqlite3.Error as error:
                    raise Unavailable(f"cannot begin a new file: {error}", 5.0) from error

        await to_its_end(work())

    async def _advance(self, renew: Work | None = None) -> None:
        active = self.books.active.number
        segments = (*self.books.segments, Segment(active + 1, self.books.epoch))
        begun, empty = accounts.without_empty(replace(self.books, segments=segments))

        def work() -> Books:
            with self.files.reading(active) as connection:
                checkpoints = _checkpoints(connection)
            books = self.files.advance(begun, checkpoints, renew)
            self.files.drop(segment.number for segment in empty)
            return books

        books: Books = await self._runtime.offload(work)
        self.rolls += 1
        self._take_up(books)

    async def read(self, wanted: Ranges, bytes_max: int, chunks_max: int) -> list[Chunk]:
        """Sound chunks of the current epoch, oldest first; at least one if there is any.

        Chunks that are no longer as they were written are handed to `on_damage` and left out.
        """
        chunks: list[Chunk] = []
        for segment in _by_first(self.books.current, wanted):
            room = (bytes_max - sum(len(each.body) for each in chunks), chunks_max - len(chunks))
            if chunks and (room[0] <= 0 or room[1] <= 0):
                break
            chunks.extend(await self.read_segment(segment, wanted & segment.live, *room))
        return sorted(chunks, key=lambda chunk: chunk.header.seq)

    async def read_segment(
        self, segment: Segment, wanted: Ranges, bytes_max: int, chunks_max: int
    ) -> tuple[Chunk, ...]:
        """Sound chunks of one file. What turns out to be damaged leaves the books."""

        def work() -> chunk_rows.Found:
            try:
                with self.files.reading(segment.number) as connection:
                    return chunk_rows.read_chunks(connection, wanted, bytes_max, chunks_max)
            except UNREADABLE:
                return chunk_rows.Found((), damaged=True)

        found: chunk_rows.Found = await self._runtime.offload(work)
        if found.damaged:
            await self._on_damage(segment.number)
        return found.chunks

    async def assess(self, number: int) -> tuple[Segment, Assessment]:
        """What is still sound in a file, chunk by chunk."""
        segment = next(each for each in self.books.segments if each.number == number)

        def work() -> Assessment:
            self.files.forget_reader(number)
            try:
                with self.files.reading(number) as connection:
                    return chunk_rows.assess(connection, segment.live)
            except UNREADABLE:
                return Assessment(NOTHING, {})

        assessed: Assessment = await self._runtime.offload(work)
        return segment, assessed

    async def measure(self, seqs: Ranges) -> dict[int, dict[str, Sum]]:
        """The sums of some chunks of the current epoch: by segment, by signal."""
        return {
            segment.number: await self._measure_one(segment, seqs & segment.live)
            for segment in self.books.current
            if seqs & segment.live
        }

    async def _measure_one(self, segment: Segment, seqs: Ranges) -> dict[str, Sum]:
        if seqs == segment.live:  # The usual case of a file that is done with: no need to look.
            return dict(segment.sums)
        return await self._query(
            segment.number, lambda connection: chunk_rows.measure(connection, seqs)
        )

    async def rows(self, segment: Segment, seqs: Ranges, signal: str | None = None) -> list[Row]:
        """Some chunks of a file without their bodies."""
        return await self._query(
            segment.number, lambda connection: chunk_rows.rows_of(connection, seqs, signal)
        )

    async def hash_of(self, seq: int) -> bytes | None:
        """The hash of a chunk of the current epoch that is still in the buffer, or the newest one."""
        if seq == self.books.totals.head_seq:
            return self.books.totals.head_hash
        for segment in self.books.current:
            if seq in segment.live:
                number = segment.number
                return await self._query(
                    number, lambda connection: chunk_rows.hash_of(connection, seq)
                )
        return None

    async def checkpoint(self, key: str) -> bytes | None:
        """The state last saved under a key."""
        number = self.books.active.number
        return await self._query(
            number, lambda connection: chunk_table.read_checkpoint(connection, key)
        )

    async def _query(self, number: int, ask: Callable[[sqlite3.Connection], Result]) -> Result:
        """Ask one file. Raises Unavailable when it cannot be read, until that is declared."""

        def work() -> Result:
            with self.files.reading(number) as connection:
                return ask(connection)

        try:
            answer: Result = await self._runtime.offload(work)
        except UNREADABLE as error:
            await self._on_damage(number)
            raise Unavailable(f"a file of the buffer cannot be read: {error}", 1.0) from error
        return answer

    def disk_use(self) -> tuple[int, int]:
        """The bytes of all files, and of the write-ahead logs among them."""
        return file_bytes(self.files.folder), wal_bytes(self.files.folder)

    @property
    def has_reserve(self) -> bool:
        """Whether there is room that is set aside."""
        return self._reserve.is_there

    def use_reserve(self) -> None:
        """Free the room that is set aside, for what must succeed on a full disk."""
        self._reserve.give_up()

    def restock(self, free_bytes: int) -> None:
        """Lay in the reserve again once there is room for it."""
        self._reserve.restock(free_bytes)

    def close(self) -> None:
        """Let go of the files."""
        self.files.close()

    def abandon(self) -> None:
        """Let go of the files as a killed process would. For simulations."""
        self.files.abandon()


def _bytes_of(held: Mapping[str, Sum]) -> int:
    return sum(each.stored_bytes for each in held.values())


def _held_after(held: dict[str, Sum], before: Books, after: Books) -> dict[str, Sum]:
    """What is held by signal, from what changed only: there may be many segments."""
    former = {segment.number: segment for segment in before.segments}
    for segment in after.segments:
        known = former.pop(segment.number, None)
        if known is not segment:
            grown = accounts.subtract_sums(segment.sums, known.sums if known else {})
            held = add_sums(held, grown)
    for segment in former.values():
        held = accounts.subtract_sums(held, segment.sums)
    return held


def _checkpoints(connection: sqlite3.Connection) -> Sequence[Checkpoint]:
    try:
        return chunk_table.all_checkpoints(connection)
    except sqlite3.Error:  # A file that gives errors: sources begin again where they can.
        return ()


def _by_first(segments: Iterable[Segment], wanted: Ranges) -> Iterator[Segment]:
    """The segments that hold any of these, in the order of their first."""
    holding = [(wanted & segment.live, segment) for segment in segments]
    for _, segment in sorted(
        ((found.first, segment) for found, segment in holding if found), key=lambda pair: pair[0]
    ):
        yield segment


def sum_up(measured: Iterable[dict[str, Sum]]) -> dict[str, Sum]:
    """The sums of several segments together."""
    total: dict[str, Sum] = {}
    for sums in measured:
        total = add_sums(total, sums)
    return total
