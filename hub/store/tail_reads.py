"""What a live tail reads of the chunk log."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.store.chunk_reads import HeldChunk, LogKey
from hub.store.chunks import ChunkStore
from hub.store.headers import header_of
from hub.store.reader import StoreReader
from shared.ranges import NOTHING, Ranges

_COLUMNS = "arrival, origin, epoch, seq, received_ms, header"


@dataclass(frozen=True, slots=True)
class PassingChunk:
    """A stored chunk whose header is not yet read: most that pass are not wanted."""

    arrival: int
    key: LogKey
    seq: int
    received_ms: int
    header_bytes: bytes

    def held(self) -> HeldChunk:
        """With its header; raises BadInput when that is damaged."""
        return HeldChunk(self.arrival, header_of(self.header_bytes), self.received_ms)


@dataclass(frozen=True, slots=True)
class StoreTailSource:
    """The chunk log of a hub as live tails read it."""

    store: ChunkStore

    @property
    def head_arrival(self) -> int:
        """The last arrival number that was told of."""
        return self.store.head_arrival

    @property
    def held(self) -> Mapping[LogKey, Ranges]:
        """What is here, by log."""
        return self.store.held

    def have(self, key: LogKey) -> Ranges:
        """What of a log is here, or was and has been dropped."""
        return self.store.have(key)

    async def news(self) -> None:
        """Wait until something changes."""
        await self.store.news()

    async def passing_after(self, arrival: int, limit: int) -> list[PassingChunk]:
        """The chunks that came after `arrival`, in order."""
        return await self.store.reading(
            lambda connection: _passing(
                connection, "WHERE arrival > ? ORDER BY arrival LIMIT ?", (arrival, limit)
            )
        )

    async def passing_of(self, wanted: Mapping[LogKey, Ranges]) -> list[PassingChunk]:
        """These chunks, in the order in which they came."""

        def work(connection: sqlite3.Connection) -> list[PassingChunk]:
            where = "WHERE origin = ? AND epoch = ? AND seq BETWEEN ? AND ?"
            places = [(*key, *span) for key, ranges in wanted.items() for span in ranges.spans]
            found = [each for place in places for each in _passing(connection, where, place)]
            return sorted(found, key=lambda each: each.arrival)

        return await self.store.reading(work) if wanted else []

    async def earliest(
        self, wanted: Mapping[LogKey, Ranges], received_ms_min: int = 0
    ) -> int | None:
        """The first arrival among these chunks that the cluster took in since then."""

        def work(connection: sqlite3.Connection) -> int | None:
            firsts = (
                _first_arrival(connection, (*key, *span), received_ms_min)
                for key, ranges in wanted.items()
                for span in ranges.spans
            )
            return min((first for first in firsts if first is not None), default=None)

        return await self.store.reading(work) if wanted else None

    async def received_since(
        self, since_ms: int, chunks_max: int
    ) -> tuple[int | None, dict[LogKey, Ranges]]:
        """Which of the newest chunks the cluster took in since then, and the first arrival."""
        return await self.store.reading(
            lambda connection: _received_since(connection, self.head_arrival - chunks_max, since_ms)
        )

    def reader(self) -> StoreReader:
        """For one thread; close it soon."""
        return self.store.reader()


def _passing(
    connection: sqlite3.Connection, where: str, values: tuple[Any, ...]
) -> list[PassingChunk]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM chunk {where}", values)  # noqa: S608  # Our own words only.
    return [PassingChunk(row[0], (row[1], row[2]), *row[3:]) for row in rows]


def _first_arrival(
    connection: sqlite3.Connection, place: tuple[Any, ...], received_ms_min: int
) -> int | None:
    where = "origin = ? AND epoch = ? AND seq BETWEEN ? AND ?"
    if not received_ms_min:  # The index over (origin, epoch, seq) alone can tell.
        row = connection.execute(f"SELECT min(arrival) FROM chunk WHERE {where}", place)  # noqa: S608
    else:
        row = connection.execute(
            f"SELECT min(arrival) FROM chunk WHERE {where} AND received_ms >= ?",  # noqa: S608
            (*place, received_ms_min),
        )
    first: int | None = row.fetchone()[0]
    return first


def _received_since(
    connection: sqlite3.Connection, after: int, since_ms: int
) -> tuple[int | None, dict[LogKey, Ranges]]:
    rows = connection.execute(
        "SELECT arrival, origin, epoch, seq FROM chunk"
        " WHERE arrival > ? AND received_ms >= ? ORDER BY arrival",
        (after, since_ms),
    )
    first: int | None = None
    recent: dict[LogKey, Ranges] = {}
    for arrival, origin, epoch, seq in rows:
        first = first or arrival
        key = (origin, epoch)
        recent[key] = recent.get(key, NOTHING).add(seq, seq)
    return first, recent
