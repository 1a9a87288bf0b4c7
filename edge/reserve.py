"""Room on the disk that is set aside, so that forgetting, declaring and checkpointing still work when
everything else is full."""

import os
import shutil
from pathlib import Path

from shared.records import MIB

FILE_NAME = "reserve"
RESERVE_BYTES = 4 * MIB  # Some hundred gap records and releases, and a new file for the log.
ROOM_FACTOR = 8  # Laid in again only when the disk is well clear of the edge.
ASK_SECONDS = 1.0


class Reserve:
    """A file of real, allocated blocks that is removed when they are needed."""

    def __init__(self, folder: Path, size_bytes: int = RESERVE_BYTES) -> None:
        self._path = folder / FILE_NAME
        self._size_bytes = size_bytes

    @property
    def is_there(self) -> bool:
        """Whether the room is set aside."""
        return self._path.exists()

    def restock(self, free_bytes: int) -> None:
        """Set the room aside when there is plenty; a file system that cannot is left alone."""
        if self.is_there or free_bytes < self._size_bytes * ROOM_FACTOR:
            return
        handle = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            os.posix_fallocate(handle, 0, self._size_bytes)
        except OSError:
            self.give_up()
        finally:
            os.close(handle)

    def give_up(self) -> None:
        """Free the room for what must succeed now."""
        self._path.unlink(missing_ok=True)


class FreeSpace:
    """How much room the disk has, asked for at most once a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bytes = 0
        self._asked_at: float | None = None

    def bytes_at(self, now: float) -> int:
        """Free bytes at a time of the monotonic clock, in seconds. Raises OSError."""
        if self._asked_at is None or now - self._asked_at >= ASK_SECONDS:
            self._asked_at = now
            self._bytes = shutil.disk_usage(self._folder).free
        return self._bytes
