"""The files that a followed path means or meant: looked at as they lie in the folder now. Blocking."""

import os
import stat
from pathlib import Path

from edge.receive.place import PRINT_BYTES_MAX, Candidate

CANDIDATES_MAX = 32
"""Old generations looked at when the file is lost from sight: the newest ones."""

Stamp = tuple[int, ...]


def generations_of(path: Path) -> list[Candidate]:
    """The file and its older generations, newest first; CANDIDATES_MAX at most."""
    try:
        names = [name for name in os.listdir(path.parent) if name.startswith(path.name)]
    except FileNotFoundError:
        return []
    found = [file for name in names if (file := look_at(path.with_name(name)))]
    found.sort(key=lambda file: (file.name == path.name, file.modified_ns), reverse=True)
    return found[:CANDIDATES_MAX]


def look_at(path: Path) -> Candidate | None:
    """A regular file as it is now; None for anything else, and for what we may not read."""
    try:
        seen = path.stat()
        if not stat.S_ISREG(seen.st_mode):
            return None  # Opening a pipe would take lines away from its reader.
        with path.open("rb", buffering=0) as file:
            head = file.read(PRINT_BYTES_MAX)
    except (FileNotFoundError, PermissionError):
        return None
    return Candidate(
        path.name, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, head or b""
    )


def stamp_of(file: Path | int) -> Stamp | None:
    """What changes when a path or an open file does; None when it cannot be looked at."""
    try:
        seen = os.stat(file)
    except OSError:
        return None  # Whoever reads the file says what is wrong with it.
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_mode
