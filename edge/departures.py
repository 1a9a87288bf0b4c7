"""The ways out of the buffer: safe on hubs, refused, shed, damaged, or written again.

Every way but the first leaves a gap record, which is a chunk of the log itself and travels like one.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace

from edge import books as accounts
from edge import chunk_table
from edge.books import Books, Segment
from edge.chunk_rows import Row
from edge.dead_letters import DeadLetters
from edge.letters import Letters
from edge.log_store import LogStore, sum_up
from edge.salvage import Opened
from edge.statements import epoch_statement, finding_statement, gap_statement
from edge.transfers import declare, move, renewed, rewrite, take_out, take_out_of
from shared.ranges import Ranges, of_seqs
from shared.receive.gather import GatherLimits, Packed, join_parts
from shared.receive.pack import pack
from shared.records import MIB, Chunk, Gap, Part, Signal
from shared.runtime import Runtime
from shared.sums import Sum

log = logging.getLogger(__name__)

LOT_BYTES = 4 * MIB  # What is moved or rewritten in one transaction.
LOT_CHUNKS = 1024
SHED_CHUNKS_MAX = 500  # A gap record with more ranges would be a long header.
SHED_QUIET_SECONDS = 60.0
COMPACT_RATIO = 0.8  # A file of which more than this is wanted is not worth rewriting.


@dataclass(slots=True)
class Departures:
    """Takes chunks out of the books of one log, one departure at a time."""

    store: LogStore
    letters: InitVar[Letters]
    origin: str
    runtime: Runtime
    dead: DeadLetters = field(init=False)
    _shed_at: float | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self, letters: Letters) -> None:
        self.dead = DeadLetters(self.store, letters, self.origin, self.runtime, self._turn)

    async def measure(self, seqs: Ranges) -> Sum:
        """What these chunks hold. Raises Unavailable."""
        return sum((await self.measure_by_signal(seqs)).values(), Sum())

    async def measure_by_signal(self, seqs: Ranges) -> dict[str, Sum]:
        """What these chunks hold, by signal. Raises Unavailable."""
        return sum_up((await self.store.measure(seqs & self.store.seqs)).values())

    async def release(self, safe: Ranges) -> None:
        """Forget the chunks that enough hubs have."""
        async with self._turn:  # Two callers must not count the same chunks twice.
            gone = self.store.seqs & safe
            if gone:
                measured = await self.store.measure(gone)
                await self.store.change(take_out(gone, measured, "safe"), frees_room=True)

    async def shed(self, signal: Signal, bytes_min: int) -> int:
        """Give up the oldest chunks of a signal; returns the bytes freed, less than asked if many."""
        async with self._turn:
            chosen = await self._oldest(signal, bytes_min)
            rows = [row for each in chosen.values() for row in each]
            if not rows:
                return 0
            gone = of_seqs(row.seq for row in rows)
            measured = {number: {signal.value: _sum(each)} for number, each in chosen.items()}
            times = (min(row.created_ms for row in rows), max(row.created_ms for row in rows))
            gap = accounts.gap_of(signal, "shed", gone, _sum(rows), times)
            await self._depart(gone, measured, "shed", [gap])
            self._tell_of_shedding(gap)
            return gap.stored_bytes

    def _tell_of_shedding(self, gap: Gap) -> None:
        """A line in the log when it begins; the gap records tell the rest."""
        now = asyncio.get_running_loop().time()
        if self._shed_at is None or now - self._shed_at > SHED_QUIET_SECONDS:
            log.warning("the buffer is full: the oldest %s are given up", gap.signal)
        self._shed_at = now

    async def _oldest(self, signal: Signal, bytes_min: int) -> dict[int, list[Row]]:
        chosen: dict[int, list[Row]] = {}
        needed, room = bytes_min, SHED_CHUNKS_MAX
        for segment in self.store.books.current:
            if needed <= 0:
                break
            if signal.value not in segment.sums:
                continue
            for row in await self.store.rows(segment, segment.live, signal.value):
                if needed <= 0:
                    break
                chosen.setdefault(segment.number, []).append(row)
                needed -= row.stored_bytes
                room -= 1
                if room <= 0:
                    return chosen
        return chosen

    async def _depart(
        self,
        gone: Ranges,
        measured: Mapping[int, Mapping[str, Sum]],
        fate: str,
        gaps: Sequence[Gap],
    ) -> None:
        """Take chunks out and declare it, in one transaction."""
        statement = gap_statement(self.origin, gaps, self.runtime.wall_ns())
        taking_out = take_out(gone, measured, fate)

        def work(connection: sqlite3.Connection, books: Books) -> Books:
            books = taking_out(connection, books)
            return chunk_table.write_chunk(connection, books, self.origin, statement)

        await self.store.change(work, frees_room=True)

    async def bury(self, seq: int, reason: str) -> None:
        """Make a dead letter of a chunk."""
        async with self._turn:
            chunk = await self._chunk(seq)
            if chunk is None:  # Gone meanwhile, or about to be declared damaged.
                return
            await self.dead.put_aside(chunk, reason)
            await self._depart_one(chunk, "rejected", "dead_letter")
            self.dead.count += 1

    async def _chunk(self, seq: int) -> Chunk | None:
        found = await self.store.read(Ranges(((seq, seq),)), 1, 1) if seq in self.store.seqs else []
        return found[0] if found else None

    async def _depart_one(self, chunk: Chunk, fate: str, reason: str) -> None:
        entry = chunk_table.entry_of(chunk.header)
        gone = Ranges(((entry.seq, entry.seq),))
        times = (entry.created_ms, entry.created_ms)
        gap = accounts.gap_of(entry.signal, reason, gone, entry.sum, times)
        measured = {self._segment_of(entry.seq).number: {entry.signal: entry.sum}}
        await self._depart(gone, measured, fate, [gap])

    def _segment_of(self, seq: int) -> Segment:
        return next(each for each in self.store.books.current if seq in each.live)

    async def split(self, seq: int, parts: Sequence[Part]) -> None:
        """Put smaller chunks with the same records in the place of one."""
        async with self._turn:
            chunk = await self._chunk(seq)
            if chunk is not None:
                packed = await self._pack(parts, chunk.header.created_ms)
                await self._replace(chunk, packed)

    async def _pack(self, parts: Sequence[Part], created_ms: int) -> list[Packed]:
        def work() -> list[Packed]:
            alone = (joined for part in parts for joined in join_parts([part], GatherLimits()))
            return [pack(each, created_ms) for each in alone]

        packed: list[Packed] = await self.runtime.offload(work)
        return packed

    async def _replace(self, chunk: Chunk, packed: Sequence[Packed]) -> None:
        entry = chunk_table.entry_of(chunk.header)
        gone = Ranges(((entry.seq, entry.seq),))
        number = self._segment_of(entry.seq).number
        times = (entry.created_ms, entry.created_ms)
        gap = accounts.gap_of(entry.signal, "split", gone, entry.sum, times)
        statement = gap_statement(self.origin, [gap], self.runtime.wall_ns())

        def work(connection: sqlite3.Connection, books: Books) -> Books:
            books = accounts.removed(books, number, gone, {entry.signal: entry.sum})
            for each in packed:
                books = chunk_table.write_chunk(
                    connection, books, self.origin, each, produced=False
                )
            # The records are the same; how many chunks and bytes they are has changed.
            grown = sum((Sum(1, each.records, len(each.body)) for each in packed), Sum())
            totals = accounts.booked(books.totals, "produced", {entry.signal: grown - entry.sum})
            books = replace(books, totals=totals)
            return chunk_table.write_chunk(connection, books, self.origin, statement)

        await self.store.change(work)

    async def new_epoch(self, reason: str, epoch: str, keep: Ranges) -> None:
        """Begin a new life of the log; what is in `keep` is written again, the rest counts as safe."""
        async with self._turn:
            former = (self.store.books.epoch, self.store.books.totals.head_seq)
            left = self.store.seqs - keep
            if left:  # A hub has it, and only under its old number.
                measured = await self.store.measure(left)
                await self.store.change(take_out(left, measured, "safe"))
            log.error("a new life of this log begins, after %s: %s", former[0], reason)
            statement = epoch_statement(self.origin, reason, former, self.runtime.wall_ns())

            def renew(connection: sqlite3.Connection, books: Books) -> Books:
                books = renewed(books, epoch)
                return chunk_table.write_chunk(connection, books, self.origin, statement)

            await self.store.roll(renew)
            await self._rewrite_former()

    async def _write(self, statement: Packed) -> None:
        await self.store.change(declare(self.origin, statement))

    async def rewrite_former(self) -> None:
        """Write chunks of former lives of the log again, as far as that is still to be done."""
        async with self._turn:
            await self._rewrite_former()

    async def _rewrite_former(self) -> None:
        while former := [each for each in self._former() if each.live]:
            chunks = await self.store.read_segment(former[0], former[0].live, LOT_BYTES, LOT_CHUNKS)
            if chunks:
                await self.store.change(rewrite(self.origin, former[0].number, chunks))
            else:
                await self._declare_damage(former[0].number)

    def _former(self) -> list[Segment]:
        books = self.store.books
        return [segment for segment in books.segments if segment.epoch != books.epoch]

    async def declare_damage(self, number: int) -> None:
        """Find out what of a file is still sound, and declare the rest lost."""
        async with self._turn:
            await self._declare_damage(number)

    async def _declare_damage(self, number: int) -> None:
        if all(segment.number != number for segment in self.store.books.segments):
            return
        segment, assessed = await self.store.assess(number)
        lost = segment.live - assessed.sound
        if not lost:
            return
        sums = accounts.subtract_sums(segment.sums, assessed.sums)
        log.error("buffer file %d is damaged: %d chunks are lost", number, lost.count)
        gaps = _damage_gaps(segment, lost, sums) if segment.epoch == self.store.books.epoch else []
        if gaps:
            await self._depart(lost, {number: sums}, "damaged", gaps)
        else:
            finding = f"{lost.count} chunks of a former life of the log, {segment.epoch}, are lost"
            await self.store.change(take_out_of(number, lost, sums, "damaged"), frees_room=True)
            await self._write(finding_statement(self.origin, finding, self.runtime.wall_ns()))

    async def declare_found(self, opened: Opened) -> None:
        """Say what was found broken when the folder was opened."""
        now_ns = self.runtime.wall_ns()
        for finding in opened.findings:
            await self._write(finding_statement(self.origin, finding, now_ns))
        if opened.lost:
            now_ms = now_ns // 1_000_000
            gap = Gap("mixed", "damaged", opened.lost.spans, 0, 0, 0, now_ms, now_ms)
            await self._write(gap_statement(self.origin, [gap], now_ns))

    async def compact(self, written_bytes_max: int) -> None:
        """Move what is still wanted out of files of which little is, until the files fit the bound."""
        while self.store.books.written_bytes > written_bytes_max:
            async with self._turn:
                segment = _sparsest(self.store.books.segments[:-1])
                if segment is None or segment.epoch != self.store.books.epoch:
                    return
                chunks = await self.store.read_segment(segment, segment.live, LOT_BYTES, LOT_CHUNKS)
                if not chunks:
                    return
                await self.store.change(move(segment.number, chunks), frees_room=True)
            if self.store.is_roll_due:
                await self.store.roll()


def _sum(rows: Iterable[Row]) -> Sum:
    return sum((Sum(1, row.records, row.stored_bytes) for row in rows), Sum())


def _damage_gaps(segment: Segment, lost: Ranges, sums: Mapping[str, Sum]) -> list[Gap]:
    """One declaration for all, since a row that cannot be read does not say of which signal it was."""
    signal = next(iter(sums)) if len(sums) == 1 else "mixed"
    total = sum(sums.values(), Sum())
    times = (segment.first_ms, segment.last_ms)
    return [accounts.gap_of(signal, "damaged", lost, total, times)] if lost else []


def _sparsest(segments: Sequence[Segment]) -> Segment | None:
    """The closed file of which the smallest part is still wanted, when that is small enough."""

    def wanted(segment: Segment) -> float:
        return segment.held.stored_bytes / max(1, segment.written_bytes)

    best = min(segments, key=wanted, default=None)
    return best if best is not None and wanted(best) < COMPACT_RATIO else None
