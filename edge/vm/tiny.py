"""`builtin:tiny`: our own guest of 512 bytes, assembled from tiny.s; needs no licence, no download."""

import hashlib
import os
from pathlib import Path

TINY = "builtin:tiny"
BANNER = b"headwater tiny ready"
MEMORY_MIB = 16
DISK_BYTES = 1024 * 1024
"""The firmware of QEMU does not boot from a disk that is smaller."""

SECTOR_FILE = Path(__file__).with_suffix(".bin")


def tiny_sector() -> bytes:
    """The boot sector, 512 bytes."""
    return SECTOR_FILE.read_bytes()


def tiny_disk(folder: Path) -> Path:
    """A raw disk with it; made once, and never changed since overlays build on it.

    A newer guest gets another name. Raises OSError.
    """
    sector = tiny_sector()
    path = folder / f"tiny-{hashlib.sha256(sector).hexdigest()[:12]}.img"
    if path.exists():
        return path
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    waiting = path.with_suffix(f".{os.getpid()}")
    waiting.write_bytes(sector.ljust(DISK_BYTES, b"\0"))
    waiting.chmod(0o400)
    os.replace(waiting, path)
    return path
