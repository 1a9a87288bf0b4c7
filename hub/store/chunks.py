"""The hub's chunk log: accepts, keeps for ever what it accepted, and says what it has."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeVar

from hub.ledger import LedgerState
from hub.replicate import LogKey, SafeLedger
from hub.store import chunk_table, ledger_table
from hub.store.chunk_table import HeldChunk, Stored
from hub.store.proofs import Proofs
from shared.codec import decompress
from shared.errors import BadInput
from shared.ranges import Ranges, of_seqs
from shared.receipt import ChunkOutcome, Receipt
from shared.records import MIB, Chunk, Signal
from shared.runtime import Runtime
from shared.sqlite import Database

log = logging.getLogger(__name__)

Result = TypeVar("Result")

CHUNK_RAW_BYTES_MAX = 72 * MIB  # The largest body an edge takes in, and some room for joining.
UNSAFE_PAGE = 10_000
COMMIT_WEIGHT = 0.2  # Of the newest commit in the running mean of how long commits take.


class ChunkStore:
    """The chunk log of one hub. `have` and `safe` answer from memory; the disk holds the truth."""

    def __init__(self, database: Database, runtime: Runtime, ledger: SafeLedger) -> None:
        self._database = database
        self._runtime = runtime
        self.ledger = ledger
        self._have: dict[LogKey, Ranges] = {}
        self.head_arrival = self.records = self.stored_bytes = 0
        self.losses = LedgerState()
        self.commit_seconds = 0.0
        self.committed_at = float("-inf")
        self._proofs = Proofs()
        self._news = asyncio.Event()

    async def open(self) -> None:
        """Read what is held, and what of it still waits for copies."""
        self._have = await self._database.write(chunk_table.all_received)
        self.records, self.stored_bytes = await self._database.write(chunk_table.totals)
        self.losses = await self._database.write(ledger_table.load_state)
        page = await self.arrivals_after(self.ledger.safe_arrival, UNSAFE_PAGE)
        while page:
            self.ledger.arrived(page)
            page = await self.arrivals_after(page[-1][2], UNSAFE_PAGE)
        self.head_arrival = await self._database.write(chunk_table.head_arrival)

    async def accept(self, name: str, chunks: Sequence[Chunk], sender: str) -> Receipt:
        """Judge and keep an edge's batch; returns after the commit. `sender` is for people."""
        received_ms = self._runtime.wall_ms()
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        receipt, stored = await self._database.write(
            lambda connection: chunk_table.accept_batch(
                connection, name, chunks, received_ms, sender
            )
        )
        self.committed_at = loop.time()
        took_seconds = self.committed_at - began_at
        self.commit_seconds += (took_seconds - self.commit_seconds) * COMMIT_WEIGHT
        self._note(stored, sender)
        return receipt

    async def keep(self, chunks: Sequence[Chunk], peer: str) -> tuple[ChunkOutcome, ...]:
        """Keep chunks that a peer has accepted, in their logs or beside; returns after the commit."""
        received_ms = self._runtime.wall_ms()
        outcomes, stored = await self._database.write(
            lambda connection: chunk_table.keep(connection, chunks, received_ms, peer)
        )
        self._note(stored, peer)
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
        """Everything this hub has, by log."""
        return self._have

    @property
    def chunks(self) -> int:
        """How many chunks this hub has."""
        return sum(ranges.count for ranges in self._have.values())

    @property
    def holes(self) -> int:
        """How many numbers of all logs are neither here nor declared lost."""
        return sum(self.losses.holes(key, held).count for key, held in self._have.items())

    def have(self, key: LogKey) -> Ranges:
        """What this hub has of one log."""
        return self._have.get(key, Ranges())

    def safe(self, key: LogKey) -> Ranges:
        """What of one log is on enough hubs."""
        return self.have(key) - self.ledger.unsafe(key)

    async def proven(self, key: LogKey, mark: int = 0) -> tuple[Ranges, list[tuple[int, str]]]:
        """What this hub has of one log, and the hashes (hex) at the ends of its newest spans and at
        the edge's mark."""
        for _ in range(3):  # Chunks that come while the disk is read move the ends.
            have = self.have(key)
            lacking = of_seqs(self._proofs.lacking(key, have, mark))
            if not lacking:
                break
            self._proofs.learn(key, (await self._hashes_at({key: lacking}))[key].items())
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
            lambda connection: chunk_table.announcements_after(connection, arrival, limit)
        )

    async def arrivals_after(self, arrival: int, limit: int) -> list[tuple[LogKey, int, int]]:
        """What came after an arrival number, in order."""

        return await self.reading(
            lambda connection: chunk_table.arrivals_after(connection, arrival, limit)
        )

    async def read(
        self, wanted: Mapping[LogKey, Ranges], bytes_max: int, chunks_max: int
    ) -> list[Chunk]:
        """Chunks that somebody wants, as many as fit within the bounds."""

        def work(connection: sqlite3.Connection) -> list[Chunk]:
            chunks: list[Chunk] = []
            room = bytes_max
            for key, seqs in wanted.items():
                more = chunk_table.read_wanted(
                    connection, key, seqs, room, chunks_max - len(chunks)
                )
                chunks.extend(more)
                room -= sum(len(chunk.body) for chunk in more)
                if room <= 0 or len(chunks) >= chunks_max:
                    break
            return chunks

        return await self.reading(work)

    def reader(self) -> "StoreReader":
        """A synchronous reader for queries; use it inside `offload` and close it."""
        return StoreReader(self._database)


class StoreReader:
    """Reads chunks for a query on its own connection. Close it soon: it pins the WAL."""

    def __init__(self, database: Database) -> None:
        self._borrowed = database.reading()
        self._connection = self._borrowed.__enter__()

    def find(
        self,
        *,
        signals: Collection[Signal],
        nodes: Collection[str] | None,
        start_ns: int,
        end_ns: int,
        newest_first: bool = True,
    ) -> Iterator[HeldChunk]:
        """All chunks whose time range overlaps [start_ns, end_ns), lazily."""
        return chunk_table.find(self._connection, signals, nodes, start_ns, end_ns, newest_first)

    def body(self, arrival: int) -> bytes:
        """The decompressed body of a chunk, bounded; raises BadInput when it cannot be read."""
        row = self._connection.execute(
            "SELECT body FROM chunk WHERE arrival = ?", (arrival,)
        ).fetchone()
        if row is None:
            raise BadInput(f"chunk {arrival} is no longer here")
        return decompress(row[0], CHUNK_RAW_BYTES_MAX)

    def close(self) -> None:
        """Give the connection back."""
        self._borrowed.__exit__(None, None, None)
