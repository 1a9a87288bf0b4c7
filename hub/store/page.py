"""A page of whole chunks, gathered from rows of hub.db and bodies in day files."""

import sqlite3
from dataclasses import dataclass, field

from hub.store.chunk_reads import WantedRow
from hub.store.chunk_table import Arrived
from hub.store.day_readers import DayReaders, body_in
from hub.store.days import DayKey
from hub.store.headers import true_header
from shared.errors import BadInput
from shared.records import Chunk


@dataclass(slots=True)
class Page:
    """Grows to its bounds. A chunk that cannot be read is left out, and its file noted."""

    readers: DayReaders
    bytes_max: int
    chunks_max: int
    chunks: list[Chunk] = field(default_factory=list)
    received_ms: list[int] = field(default_factory=list)
    size_bytes: int = 0
    unreadable: dict[DayKey, str] = field(default_factory=dict)

    def add(self, row: WantedRow, header_bytes: bytes) -> bool:
        """Take one more chunk; False when it does not fit. One chunk always fits."""
        try:
            header = true_header(header_bytes, row.hash)
        except BadInput as error:
            self.unreadable[row.place] = f"chunk {row.arrival} in hub.db: {error}"
            return True
        size_bytes = self.size_bytes + header.stored_bytes
        if len(self.chunks) >= self.chunks_max or (self.chunks and size_bytes > self.bytes_max):
            return False
        body = self._body(row)
        if body is not None:
            self.size_bytes = size_bytes
            self.chunks.append(Chunk(header, header_bytes, body))
            self.received_ms.append(row.received_ms)
        return True

    def _body(self, row: WantedRow) -> bytes | None:
        key = row.place
        try:
            with self.readers.reading(key) as connection:
                body = body_in(connection, row.arrival)
        except sqlite3.Error as error:
            self.unreadable[key] = str(error)
            return None
        if body is None:
            self.unreadable[key] = f"the body of chunk {row.arrival} is not there"
        return body

    @property
    def arrived(self) -> Arrived:
        """What the page holds."""
        return Arrived(self.chunks, self.received_ms)
