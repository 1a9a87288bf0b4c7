"""What a power cut leaves of SQLite's files: all that was committed, and a torn write behind it.

Closing a connection tidies up, which no machine without power does. So the files are kept as they are
while the process is let go of, and put back as they were, with a part of one more write at the end of
the write-ahead log: the beginning of a frame that was never finished, or one whose bytes are wrong.
"""

from pathlib import Path
from random import Random

LOG_SUFFIX = "-wal"
FRAME_HEADER_BYTES = 24
LOG_HEADER_BYTES = 32

Kept = dict[Path, bytes]


def keep_logs(folder: Path) -> Kept:
    """The write-ahead logs below a folder, and the databases that they belong to."""
    logs = [path for path in folder.rglob(f"*{LOG_SUFFIX}") if path.stat().st_size]
    bases = [path.with_name(path.name.removesuffix(LOG_SUFFIX)) for path in logs]
    return {path: path.read_bytes() for path in (*bases, *logs)}


def tear_logs(kept: Kept, rng: Random) -> int:
    """Put them back, each log with a torn end; returns how many there are."""
    torn = 0
    for path, content in kept.items():
        if path.name.endswith(LOG_SUFFIX):
            path.with_name(f"{path.name.removesuffix(LOG_SUFFIX)}-shm").unlink(missing_ok=True)
            content += _torn_frame(content, rng)
            torn += 1
        path.write_bytes(content)
    return torn


def _torn_frame(log: bytes, rng: Random) -> bytes:
    """A part of a frame, or a whole one that cannot be the next: its sums do not follow."""
    frame = log[LOG_HEADER_BYTES:][-rng.choice((1024, 4096 + FRAME_HEADER_BYTES)) :]
    if rng.random() < 0.5:
        return frame[: rng.randint(1, len(frame))] if frame else b""
    return frame[:FRAME_HEADER_BYTES] + rng.randbytes(max(len(frame) - FRAME_HEADER_BYTES, 0))
