"""The end of a write-ahead log that SQLite passes over in silence.

A frame that was not committed when the power went looks the same as a committed one that the disk
damaged, so SQLite ends its reading at the first such frame and gives no error. Format:
https://sqlite.org/fileformat2.html#the_write_ahead_log.
"""

import shutil
import sqlite3
import struct
import tempfile
from contextlib import closing
from pathlib import Path

_HEADER = struct.Struct(">IIIIIIII")
_FRAME = struct.Struct(">IIIIII")


def frames_passed_over(path: Path) -> int:
    """How many frames of the newest writing SQLite does not read in the log of a database.

    For files that nobody writes to. Raises sqlite3.Error or OSError.
    """
    log_path = path.with_name(path.name + "-wal")
    size_bytes = log_path.stat().st_size if log_path.exists() else 0
    if size_bytes < _HEADER.size + _FRAME.size:
        return 0
    with log_path.open("rb") as file:
        _, _, page_bytes, _, *salts, _, _ = _HEADER.unpack(file.read(_HEADER.size))
        if not 512 <= page_bytes <= 65536:
            return (
                1  # The header itself is not as it was written, and all behind it is passed over.
            )
        frame_bytes = _FRAME.size + page_bytes
        passed = 0
        for at in range(_HEADER.size + _read_frames(path) * frame_bytes, size_bytes, frame_bytes):
            file.seek(at)
            head = file.read(_FRAME.size)
            if len(head) < _FRAME.size or list(_FRAME.unpack(head)[2:4]) != salts:
                break  # Left from before the log was begun anew.
            passed += 1
        return passed


def _read_frames(path: Path) -> int:
    """How many frames SQLite takes for committed; asked of a copy, since asking writes."""
    with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
        for name in (path.name, path.name + "-wal"):
            shutil.copyfile(path.with_name(name), Path(folder) / name)
        with closing(sqlite3.connect(Path(folder) / path.name)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return max(0, int(frames))
