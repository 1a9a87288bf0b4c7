"""An indexer that no chunk can stop: whatever one does to it, the others are indexed."""

import logging
import sqlite3
from collections.abc import Callable, Sequence

from hub.index.files import Indexer
from shared.errors import BadInput
from shared.records import ChunkHeader

log = logging.getLogger(__name__)

# These are about what was to be written. The other errors of SQLite are about the file or the disk.
_OF_CONTENT = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


class Sturdy:
    """Makes every fault over a chunk a BadInput, and begins with a new indexer after each, since what
    the old one remembers may have been rolled back."""

    def __init__(self, make: Callable[[], Indexer]) -> None:
        self._make = make
        self._indexer = make()
        self._told = 0

    def tables(self) -> Sequence[str]:
        """The statements that make its tables."""
        return self._indexer.tables()

    def add(
        self, connection: sqlite3.Connection, arrival: int, header: ChunkHeader, body: bytes
    ) -> None:
        """Write what a chunk is found by; raises BadInput, or sqlite3.Error of file or disk."""
        try:
            self._indexer.add(connection, arrival, header, body)
        except Exception as error:
            self._indexer = self._make()
            if isinstance(error, sqlite3.Error) and not isinstance(error, _OF_CONTENT):
                raise
            self._tell(arrival, header, error)
            raise BadInput(f"chunk {arrival} cannot be indexed: {error!r}") from error

    def _tell(self, arrival: int, header: ChunkHeader, error: Exception) -> None:
        """Once, though the chunk is tried again with more care."""
        if arrival != self._told:
            self._told = arrival
            log.warning(
                "chunk %d of %s, epoch %s, cannot be indexed and will be read instead: %r",
                *(header.seq, header.origin, header.epoch, error),
            )
