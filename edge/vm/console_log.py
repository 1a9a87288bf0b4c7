"""The capped console log of one machine: two files at most, each named by its first byte's offset.

The name carries the offset, so there is no index that could disagree with the data: cutting the
log is unlinking a file. Offsets count from the first byte that the machine ever wrote and never go
back. Only the standard library is used, since the shim imports this file.
"""

from __future__ import annotations

import os

from edge.vm.shim_values import TYPE_CHECKING, dataclass

if TYPE_CHECKING:
    from pathlib import Path

PREFIX, SUFFIX = "console-", ".log"


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """Some bytes of a console. `first` is the oldest offset still held, `size` the end of the
    log."""

    offset: int
    first: int
    size: int
    data: bytes


class ConsoleLog:
    """Appends console bytes and keeps at most `bytes_max` of them (and at least half of that)."""

    def __init__(self, folder: Path | str, bytes_max: int) -> None:
        self._folder = folder
        self._half = max(bytes_max // 2, 4096)
        files = log_files(folder)
        self._start, self._size = (files[-1][0], _size(files[-1][1])) if files else (0, 0)
        self._fd = self._open()

    def append(self, data: bytes) -> None:
        """Write at the end; drops the older half when the newer one is full. Raises OSError."""
        while data:
            if self._size >= self._half:
                self._turn()
            piece = data[: self._half - self._size]
            written = os.write(self._fd, piece)
            self._size += written
            data = data[written:]

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _turn(self) -> None:
        os.close(self._fd)
        for start, path in log_files(self._folder):
            if start < self._start:
                _unlink(path)
        self._start, self._size = self._start + self._size, 0
        self._fd = self._open()

    def _open(self) -> int:
        path = os.path.join(self._folder, f"{PREFIX}{self._start:015d}{SUFFIX}")
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def log_files(folder: Path | str) -> list[tuple[int, str]]:
    """The files of a console log with their first offsets, oldest first."""
    found = []
    for name in _names_in(folder):
        digits = name[len(PREFIX) : -len(SUFFIX)]
        if name.startswith(PREFIX) and name.endswith(SUFFIX) and digits.isdigit():
            found.append((int(digits), os.path.join(folder, name)))
    return sorted(found)


def _names_in(folder: Path | str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:  # A machine that never ran.
        return []


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:  # Somebody cleaned up.
        return


def read_console(folder: Path | str, offset: int | None, limit: int) -> ConsolePage:
    """Read up to `limit` bytes from `offset`, or the last `limit` bytes when it is None.

    An offset that was already cut off moves up to the oldest byte held; one past the end reads
    nothing.
    """
    files = log_files(folder)
    if not files:
        return ConsolePage(0, 0, 0, b"")
    first, size = files[0][0], files[-1][0] + _size(files[-1][1])
    start = max(first, size - limit if offset is None else min(offset, size))
    data, position = b"", start
    for begin, path in files:
        piece = _read(path, max(0, position - begin), limit - len(data))
        data, position = data + piece, position + len(piece)
    return ConsolePage(start, first, size, data)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:  # The shim cut the log while it was being read.
        return 0


def _read(path: str, skip: int, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(skip)
            return file.read(max(0, limit))
    except FileNotFoundError:
        return b""
