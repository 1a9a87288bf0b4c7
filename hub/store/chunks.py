"""The hub's chunk log: accepts, keeps what it accepted until its time is over, and says what it has."""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from hub.ledger import LedgerState
from hub.replicate import LogKey, SafeLedger
from hub.store import chunk_reads, chunk_table, ledger_table, taken_over
from hub.store.adopt import adopt_days
from hub.store.chunk_table import Arrived, Stored
from hub.store.days import DayKey
from hub.store.dropped import dropped_chunks
from hub.store.files import StoreFiles
from hub.store.page import Page
from hub.store.proofs import Proofs
from hub.store.reader import StoreReader
from hub.store.retire import TakenOut
from hub.store.taken_over import Adopted
from hub.taken_over import Fate, TakenOver
from shared.ranges import NOTHING, Ranges, of_seqs
from shared.receipt import ChunkOutcome, Receipt
from shared.records import Chunk
from shared.runtime import Runtime
from shared.sums import Sum
from shared.tasks import Bell

log = logging.getLogger(__name__)

Result = TypeVar("Result")

UNSAFE_PAGE = 10_000
COMMIT_WEIGHT = 0.2  # Of the newest commit in the running mean of how long commits take.
LAGS_KEPT = 10_000
RECEIVED_MS_MIN = 946_684_800_000  # The year 2000: before it no chunk was received anywhere.


class Guard(Protocol):
    """Stands before everything that is taken in."""

    def check(self) -> None:
        """Raises Unavailable while nothing is taken in."""
        ...

    async def guarded(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do the work, unless `check` raises; hears of a disk that turns out to be full."""
        ...


class NoGuard:
    """Lets everything in."""

    def check(self) -> None:
        """Raises nothing."""

    async def guarded(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """The result of the work."""
        return await work()


class ChunkStore:
    """The chunk log of one hub. `have` and `safe` answer from memory; the disk holds the truth."""

    def __init__(self, files: StoreFiles, runtime: Runtime, ledger: SafeLedger) -> None:
        self.files = files
        self._database = files.database
        self._runtime = runtime
        self.ledger = ledger
        self._have: dict[LogKey, Ranges] = {}
        self.head_arrival = self.records = self.stored_bytes = 0
        self.losses = LedgerState()
        self.commit_seconds = 0.0
        self.committed_at = float("-inf")
        self._proofs = Proofs()
        self.guard: Guard = NoGuard()
        self._news = asyncio.Event()
        self._gone = 0
        self.lags_ms: deque[int] = deque(maxlen=LAGS_KEPT)
        self.suspects: dict[DayKey, str] = {}
        self.suspected = Bell()
        self._loop = asyncio.get_running_loop()
        files.writer.on_broken = self.suspect

    async def open(self) -> None:
        """Read what is held, and what of it still waits for copies."""
        await self.files.move_bodies()
        await adopt_days(self.files, self.suspect)
        self._have = await self._database.write(chunk_reads.all_received)
        self.records, self.stored_bytes = await self._database.write(chunk_reads.totals)
        self.losses = await self._database.write(ledger_table.load_state)
        self._gone = await self._database.write(dropped_chunks)
        page = await self.arrivals_after(self.ledger.safe_arrival, UNSAFE_PAGE)
        while page:
            self.ledger.arrived(page)
            page = await self.arrivals_after(page[-1][2], UNSAFE_PAGE)
        self.head_arrival = await self._database.write(chunk_reads.head_arrival)

    async def accept(self, name: str, chunks: Sequence[Chunk], sender: str) -> Receipt:
        """Judge and keep an edge's batch; returns after the commit. `sender` is for people."""
        received_ms = self._runtime.wall_ms()
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        put = self.files.writer.put
        receipt, stored = await self.guard.guarded(
            lambda: self._database.write(
                lambda db: chunk_table.accept_batch(db, put, name, chunks, received_ms, sender)
            )
        )
        self.committed_at = loop.time()
        took_seconds = self.committed_at - began_at
        self.commit_seconds += (took_seconds - self.commit_seconds) * COMMIT_WEIGHT
        self._note(stored, sender)
        return receipt

    async def keep(
        self, chunks: Sequence[Chunk], peer: str, received_ms: Sequence[int] = ()
    ) -> tuple[ChunkOutcome, ...]:
        """Keep chunks that a peer has accepted, in their logs or beside; returns after the commit.

        `received_ms` says when the cluster took in each of them, when the peer knows.
        """
        now_ms = self._runtime.wall_ms()
        times = [max(RECEIVED_MS_MIN, min(ms, now_ms)) for ms in received_ms]
        arrived = Arrived(chunks, times or [now_ms] * len(chunks))
        put = self.files.writer.put
        outcomes, stored = await self.guard.guarded(
            lambda: self._database.write(
                lambda db: chunk_table.keep(db, put, arrived, now_ms, peer)
            )
        )
        self._note(stored, peer)
        if received_ms:
            # By the clocks of two hubs, so never exact; below zero it would mean nothing.
            self.lags_ms.extend(max(0, self._runtime.wall_ms() - ms) for ms in times)
        return outcomes

    def _note(self, stored: Stored, sender: str) -> None:
        self._note_conflicts(stored, sender)
        if not stored.arrivals:
            return
        for (key, seq, arrival), digest in zip(stored.arrivals, stored.hashes, strict=True):
            self._have[key] = self._have.get(key, Ranges()).add(seq, seq)
            self.head_arrival = max(self.head_arrival, arrival)
            self._proofs.note(key, seq, digest)
        for key, gaps in stored.gaps:
            self.losses.note_gaps(key, gaps)
        self.losses.succeeded.update(stored.succeeded)
        self.records += stored.records
        self.stored_bytes += stored.stored_bytes
        self.ledger.arrived(stored.arrivals)
        self.announce()

    def _note_conflicts(self, stored: Stored, sender: str) -> None:
        self.losses.kept_beside += stored.kept_beside
        for conflict in stored.conflicts:
            self.losses.conflicts += 1
            header = conflict.chunk.header
            log.error(
                "chunk %s of %s, epoch %s, sent by %s: %s",
                *(header.seq, header.origin, header.epoch, sender, conflict.reason),
            )

    def announce(self) -> None:
        """Wake everybody who waits for news."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Wait until something changes."""
        await self._news.wait()

    @property
    def held(self) -> Mapping[LogKey, Ranges]:
        """Everything that need not come again, by log."""
        return self._have

    @property
    def chunks(self) -> int:
        """How many chunks this hub has."""
        return sum(ranges.count for ranges in self._have.values()) - self._gone

    @property
    def holes(self) -> int:
        """How many numbers of all logs are neither here nor declared lost."""
        return sum(self.losses.holes(key, self.have(key)).count for key in self._have)

    def have(self, key: LogKey) -> Ranges:
        """What of one log need not come again: it is here, or was dropped when its time was over."""
        return self._have.get(key, NOTHING)

    def safe(self, key: LogKey) -> Ranges:
        """What of one log is on enough hubs."""
        return self.have(key) - self.ledger.unsafe(key)

    async def proven(self, key: LogKey, mark: int = 0) -> tuple[Ranges, list[tuple[int, str]]]:
        """What this hub has of one log, and the hashes (hex) at the ends of its newest spans and at
        the edge's mark."""
        for _ in range(3):  # Chunks that come while the disk is read move the ends.
            have = self.have(key)
            if not have:
                return have, []
            lacking = self._proofs.lacking(key, have, mark)
            if not lacking:
                break
            read = await self._hashes_at({key: of_seqs(lacking)})
            self._proofs.learn(key, read[key].items())
        return have, self._proofs.of(key, have, mark)

    async def _hashes_at(self, wanted: Mapping[LogKey, Ranges]) -> dict[LogKey, dict[int, bytes]]:
        return await self.reading(
            lambda connection: {
                key: ledger_table.hashes_at(connection, key, seqs) for key, seqs in wanted.items()
            }
        )

    async def differing(
        self, announced: Mapping[LogKey, Mapping[int, bytes]]
    ) -> dict[LogKey, Ranges]:
        """Which chunks that a peer announced with their hashes are held here with other bytes, and
        those bytes nowhere."""
        held = {key: of_seqs(hashes) & self.have(key) for key, hashes in announced.items()}

        def work(connection: sqlite3.Connection) -> dict[LogKey, Ranges]:
            found: dict[LogKey, Ranges] = {}
            for key, seqs in held.items():
                mine = ledger_table.hashes_at(connection, key, seqs)
                other = [seq for seq, digest in mine.items() if announced[key][seq] != digest]
                lacking = [
                    s for s in other if not ledger_table.is_beside(connection, announced[key][s])
                ]
                found[key] = of_seqs(lacking)
            return {key: seqs for key, seqs in found.items() if seqs}

        return await self.reading(work) if any(held.values()) else {}

    async def reading(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Read something off the event loop; keep it short, a reader pins the WAL."""

        def run() -> Result:
            with self._database.reading() as connection:
                return work(connection)

        result: Result = await self._runtime.offload(run)
        return result

    @property
    def waiting(self) -> int:
        """How many jobs wait for the writer."""
        return self._database.waiting

    async def announcements_after(
        self, arrival: int, limit: int
    ) -> list[tuple[LogKey, int, int, bytes]]:
        """What came after an arrival number, in order, with hashes."""
        return await self.reading(
            lambda connection: chunk_reads.announcements_after(connection, arrival, limit)
        )

    async def arrivals_after(self, arrival: int, limit: int) -> list[tuple[LogKey, int, int]]:
        """What came after an arrival number, in order."""

        return await self.reading(
            lambda connection: chunk_reads.arrivals_after(connection, arrival, limit)
        )

    async def read(
        self, wanted: Mapping[LogKey, Ranges], bytes_max: int, chunks_max: int
    ) -> Arrived:
        """Chunks that somebody wants, as many as fit within the bounds, and when they were received."""

        def work(connection: sqlite3.Connection) -> tuple[Arrived, dict[DayKey, str]]:
            page = Page(self.files.readers, bytes_max, chunks_max)
            for key, seqs in wanted.items():
                for held, header_bytes in chunk_reads.wanted_rows(connection, key, seqs):
                    if not page.add(held, header_bytes):
                        return page.arrived, page.unreadable
            return page.arrived, page.unreadable

        arrived, unreadable = await self.reading(work)
        for key, why in unreadable.items():
            self.suspect(key, why)
        return arrived

    def reader(self) -> StoreReader:
        """A synchronous reader for queries; use it inside `offload` and close it."""
        return StoreReader(self._database, self.files.readers, self.suspect)

    def forget(self, taken: TakenOut) -> None:
        """Chunks were dropped since their time was over; they still count as received."""
        self._gone += taken.sum.chunks
        self.records -= taken.sum.records
        self.stored_bytes -= taken.sum.stored_bytes

    async def take_over(self, agreed: Mapping[LogKey, TakenOver]) -> Adopted:
        """Count numbers as dropped that a peer dropped and nobody holds; returns after the commit."""
        now_ms = self._runtime.wall_ms()
        adopted: Adopted = await self.guard.guarded(
            lambda: self._database.write(lambda db: taken_over.take_over(db, agreed, now_ms))
        )
        for key, seqs in adopted.seqs.items():
            self._have[key] = self.have(key) | seqs
        self._gone += adopted.count
        return adopted

    async def fates(self, asked: Mapping[LogKey, Ranges]) -> dict[LogKey, Fate]:
        """What became of these numbers here, of as many of them as is quick to tell."""
        return await self.reading(lambda connection: taken_over.fates(connection, asked))

    def lose(self, struck: Mapping[LogKey, Ranges], lost: Sum) -> None:
        """Chunks are no longer here, and are to come again."""
        for key, seqs in struck.items():
            self._have[key] = self._have.get(key, NOTHING) - seqs
        self.records -= lost.records
        self.stored_bytes -= lost.stored_bytes

    def lag_ms(self, quantile: float) -> int | None:
        """How long chunks lately took from the first hub to this one's disk; None without any."""
        lags = sorted(self.lags_ms)
        return lags[min(len(lags) - 1, int(len(lags) * quantile))] if lags else None

    def suspect(self, key: DayKey, why: str) -> None:
        """Note, from any thread, that a day file gave errors; whoever mends files waits for it."""
        log.error("the day file %s gives errors: %s", key.file_name, why)
        self.suspects[key] = why
        self._loop.call_soon_threadsafe(self.suspected.ring)
