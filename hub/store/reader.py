"""Reads chunks for one query: rows from hub.db, bodies from the day files."""

import hashlib
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from hub.query.scan import Held, MayHold
from hub.store import chunk_reads
from hub.store.chunk_find import Sought, find
from hub.store.chunk_reads import HeldChunk
from hub.store.day_readers import DayReaders, body_in
from hub.store.days import DayKey, place_of
from shared.codec import decompress
from shared.errors import BadInput
from shared.records import MIB, Signal


class Lender(Protocol):
    """Lends connections to hub.db."""

    def reading(self) -> AbstractContextManager[sqlite3.Connection]: ...


CHUNK_RAW_BYTES_MAX = 72 * MIB  # The largest body an edge takes in, and some room for joining.


class StoreReader:
    """For one thread at a time. Close it soon: it pins the WAL."""

    def __init__(
        self, database: Lender, days: DayReaders, suspect: Callable[[DayKey, str], None]
    ) -> None:
        self._borrowed = database.reading()
        self._connection = self._borrowed.__enter__()
        self._days = days
        self._suspect = suspect
        self._open: dict[DayKey, tuple[sqlite3.Connection, int]] = {}
        self._left_out: set[int] = set()

    def find(
        self,
        *,
        signals: Collection[Signal],
        nodes: Collection[str] | None,
        start_ns: int,
        end_ns: int,
        newest_first: bool = True,
        may_hold: MayHold | None = None,
    ) -> Iterator[HeldChunk]:
        """All chunks whose time range overlaps [start_ns, end_ns), lazily."""
        sought = Sought(signals, nodes, start_ns, end_ns, newest_first)
        return find(self._connection, sought, may_hold, self._leave_out)

    @property
    def left_out(self) -> int:
        """How many chunks were met whose headers are damaged."""
        return len(self._left_out)

    def _leave_out(self, arrival: int, key: DayKey, why: str) -> None:
        if arrival not in self._left_out:  # Some questions take several looks.
            self._left_out.add(arrival)
            self._suspect(key, why)

    def chunks(self, arrivals: Collection[int]) -> Iterator[HeldChunk]:
        """The chunks with these arrival numbers, as far as they are here."""
        return chunk_reads.by_arrival(self._connection, arrivals, self._leave_out)

    def days(self, signal: Signal, start_ns: int, end_ns: int) -> list[DayKey]:
        """The day files of a signal that hold records of [start_ns, end_ns), oldest first."""
        return chunk_reads.days_between(self._connection, signal, start_ns, end_ns)

    def body(self, held: Held) -> bytes:
        """The decompressed body of a chunk, bounded; raises BadInput when it cannot be read."""
        key = place_of(held.received_ms, held.header.signal)
        try:
            stored = body_in(self._day(key), held.arrival)
        except sqlite3.Error as error:
            self._suspect(key, str(error))
            raise BadInput(f"the day file {key.file_name} cannot be read: {error}") from error
        if stored is None:
            self._suspect(key, f"the body of chunk {held.arrival} is not there")
            raise BadInput(f"chunk {held.arrival} is no longer here")
        try:
            return decompress(stored, CHUNK_RAW_BYTES_MAX)
        except BadInput:
            # Checked only now: it costs as much as reading, and an origin may have sent nonsense.
            if hashlib.sha256(stored).digest() != held.header.body_sha256:
                self._suspect(key, f"the body of chunk {held.arrival} is damaged")
            raise

    def _day(self, key: DayKey) -> sqlite3.Connection:
        if key not in self._open:
            self._open[key] = self._days.borrow(key)
        return self._open[key][0]

    def close(self) -> None:
        """Give the connections back."""
        while self._open:
            key, (connection, lent_at) = self._open.popitem()
            self._days.give_back(key, connection, lent_at)
        self._borrowed.__exit__(None, None, None)
