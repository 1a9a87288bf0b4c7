"""The steps of mending one day file, with what is open for them."""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from hub.store import mend
from hub.store.days import DayKey
from hub.store.files import StoreFiles
from hub.store.mend import PAGE_CHUNKS, Promise


@dataclass(slots=True)
class Repair:
    """The repair of one day file; all but `begin` and `finish` may be repeated. Blocks."""

    files: StoreFiles
    key: DayKey
    reached: int = 0
    sound: int = 0
    lost: int = 0
    _target: sqlite3.Connection | None = None
    _places: list[Path] = field(default_factory=list)

    def begin(self) -> None:
        """Begin the new file."""
        self._places = mend.sources(self.files.folder, self.key)
        self._target = mend.begin_copy(self.files.folder, self.key)

    def copy(self, page: list[Promise]) -> list[Promise]:
        """Copy the sound chunks of a page; returns the others."""
        assert self._target is not None
        done = mend.copy_sound(self._places, page, self._target)
        self.sound += len(done.sound)
        self.reached = page[-1].arrival
        return done.broken

    def finish(self, connection: sqlite3.Connection) -> None:
        """In the writer's turn: copy what came since, and put the new file in its place."""
        while page := mend.promises(connection, self.key, self.reached, PAGE_CHUNKS):
            self.copy(page)
        self.close()
        self.files.writer.leave(self.key)
        mend.swap(self.files.folder, self.key)
        self.files.readers.leave(self.key)

    def close(self) -> None:
        """Let go of the new file."""
        if self._target is not None:
            self._target.close()
            self._target = None
