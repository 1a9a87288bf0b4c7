"""Writes down what happens to the files below a folder, as a trace."""

import os
import threading
from pathlib import Path

from tests.crash.trace import (
    Create,
    MakeFolder,
    Operation,
    RemoveFolder,
    Rename,
    Sync,
    SyncFolder,
    Trace,
    Truncate,
    Unlink,
    Write,
    beginning_of,
)


class Recorder:
    """Writes a trace. Implements what the VFS tells (tests/crash/vfs.py)."""

    def __init__(self, folder: Path) -> None:
        self.root = os.path.realpath(folder)
        self.trace = Trace(beginning_of(folder))
        self.turn = threading.RLock()
        self._names = dict(self.trace.beginning.names)
        self._files = len(self._names)
        self.handles: dict[int, int | str] = {}
        """Open file descriptors: the number of a file or the name of a folder."""

    def name_of(self, path: str) -> str | None:
        """The name below the folder, None for what lies elsewhere or is not worth recording."""
        whole = os.path.abspath(path)
        if whole == self.root:
            return ""
        if not whole.startswith(self.root + os.sep) or whole.endswith("-shm"):
            return None
        return whole[len(self.root) + 1 :]

    def _add(self, operation: Operation) -> None:
        self.trace.operations.append(operation)

    def opened(self, name: str, *, is_new: bool) -> int:
        """The number of the file of this name."""
        if is_new:
            self._names[name] = self._files
            self._files += 1
            self._add(Create(self._names[name], name))
        return self._names[name]

    def wrote(self, file: int, offset: int, data: bytes) -> None:
        """Bytes went to the operating system."""
        self._add(Write(file, offset, data))

    def truncated(self, file: int, size_bytes: int) -> None:
        """A file has a new size."""
        self._add(Truncate(file, size_bytes))

    def synced(self, file: int) -> None:
        """A file is on the disk."""
        self._add(Sync(file))

    def folder_synced(self, name: str) -> None:
        """The names in a folder are on the disk."""
        self._add(SyncFolder(name))

    def unlinked(self, name: str) -> None:
        """A name is gone."""
        del self._names[name]
        self._add(Unlink(name))

    def renamed(self, name: str, target: str) -> None:
        """A name was replaced."""
        moved = {old: old for old in self._names if old.startswith(name + os.sep)}
        for old in (name, *moved):
            if old in self._names:
                self._names[target + old[len(name) :]] = self._names.pop(old)
        self._add(Rename(name, target))

    def made_folder(self, name: str) -> None:
        """There is a new folder."""
        self._add(MakeFolder(name))

    def removed_folder(self, name: str) -> None:
        """A folder is gone."""
        self._add(RemoveFolder(name))
