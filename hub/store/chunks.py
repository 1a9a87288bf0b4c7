"""The hub's chunk log: accepts, keeps for ever what it accepted, and says what it has."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence

from hub.replicate import LogKey, SafeLedger
from hub.store import chunk_table
from hub.store.chunk_table import HeldChunk, Stored
from shared.codec import decompress
from shared.errors import BadInput
from shared.ranges import Ranges
from shared.receipt import ChunkOutcome, Receipt
from shared.records import MIB, Chunk, Signal
from shared.runtime import Runtime
from shared.sqlite import Database

CHUNK_RAW_BYTES_MAX = 72 * MIB  # The largest body an edge takes in, and some room for joining.
UNSAFE_PAGE = 10_000


class ChunkStore:
    """The chunk log of one hub. `have` and `safe` answer from memory; the disk holds the truth."""

    def __init__(self, database: Database, runtime: Runtime, ledger: SafeLedger) -> None:
        self._database = database
        self._runtime = runtime
        self.ledger = ledger
        self._have: dict[LogKey, Ranges] = {}
        self.head_arrival = self.records = self.stored_bytes = 0
        self._news = asyncio.Event()

    async def open(self) -> None:
        """Read what is held, and what of it still waits for copies."""
        self._have = await self._database.write(chunk_table.all_received)
        self.records, self.stored_bytes = await self._database.write(chunk_table.totals)
        page = await self.arrivals_after(self.ledger.safe_arrival, UNSAFE_PAGE)
        while page:
            self.ledger.arrived(page)
            page = await self.arrivals_after(page[-1][2], UNSAFE_PAGE)
        self.head_arrival = await self._database.write(chunk_table.head_arrival)

    async def accept(self, name: str, chunks: Sequence[Chunk]) -> Receipt:
        """Judge and keep an edge's batch; returns after the commit."""
        received_ms = self._runtime.wall_ms()
        receipt, stored = await self._database.write(
            lambda connection: chunk_table.accept_batch(connection, name, chunks, received_ms)
        )
        self._note(stored)
        return receipt

    async def keep(self, chunks: Sequence[Chunk]) -> tuple[ChunkOutcome, ...]:
        """Keep chunks that a peer has accepted; returns after the commit."""
        received_ms = self._runtime.wall_ms()
        outcomes, stored = await self._database.write(
            lambda connection: chunk_table.keep(connection, chunks, received_ms)
        )
        self._note(stored)
        return outcomes

    def _note(self, stored: Stored) -> None:
        if not stored.arrivals:
            return
        for key, seq, arrival in stored.arrivals:
            self._have[key] = self._have.get(key, Ranges()).add(seq, seq)
            self.head_arrival = max(self.head_arrival, arrival)
        self.records += stored.records
        self.stored_bytes += stored.stored_bytes
        self.ledger.arrived(stored.arrivals)
        self.announce()

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

    def have(self, key: LogKey) -> Ranges:
        """What this hub has of one log."""
        return self._have.get(key, Ranges())

    def safe(self, key: LogKey) -> Ranges:
        """What of one log is on enough hubs."""
        return self.have(key) - self.ledger.unsafe(key)

    async def arrivals_after(self, arrival: int, limit: int) -> list[tuple[LogKey, int, int]]:
        """What came after an arrival number, in order."""

        def work() -> list[tuple[LogKey, int, int]]:
            with self._database.reading() as connection:
                return chunk_table.arrivals_after(connection, arrival, limit)

        page: list[tuple[LogKey, int, int]] = await self._runtime.offload(work)
        return page

    async def read(
        self, wanted: Mapping[LogKey, Ranges], bytes_max: int, chunks_max: int
    ) -> list[Chunk]:
        """Chunks that somebody wants, as many as fit within the bounds."""

        def work() -> list[Chunk]:
            chunks: list[Chunk] = []
            room = bytes_max
            with self._database.reading() as connection:
                for key, seqs in wanted.items():
                    more = chunk_table.read_wanted(
                        connection, key, seqs, room, chunks_max - len(chunks)
                    )
                    chunks.extend(more)
                    room -= sum(len(chunk.body) for chunk in more)
                    if room <= 0 or len(chunks) >= chunks_max:
                        break
            return chunks

        chunks: list[Chunk] = await self._runtime.offload(work)
        return chunks

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
