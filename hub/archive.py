"""Answers questions from the files of a hub, in whatever process or thread has the time for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.index.lookup import Indexes
from hub.query.methods import answer
from hub.store.day_readers import DayReaders
from hub.store.days import DayKey
from hub.store.reader import Lender, StoreReader


@dataclass(frozen=True, slots=True)
class Archive:
    """What is stored, as readers see it. `identity` is that of the store, None to use no index."""

    folder: Path
    identity: str | None
    database: Lender
    days: DayReaders
    suspect: Callable[[DayKey, str], None]

    def answer(self, method: str, params: dict[str, Any], now_ns: int) -> dict[str, Any]:
        """The answer to a question of hub.query.methods; blocks. Raises RpcError or sqlite3.Error."""
        reader = StoreReader(self.database, self.days, self.suspect)
        try:
            if self.identity is None:
                return answer(reader, None, method, params, now_ns)
            with Indexes(self.folder, self.identity, reader) as indexes:
                return answer(reader, indexes, method, params, now_ns)
        finally:
            reader.close()
