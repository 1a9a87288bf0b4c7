"""Small disks: real file systems of a few megabytes, and ballast to fill them."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.records import MIB

SmallDisk = Callable[[str, int], Path]


@contextlib.contextmanager
def small_disks(root: Path) -> Iterator[SmallDisk]:
    """Gives folders below `root` a file system of so many bytes each, for as long as it is open."""
    mounted: list[Path] = []

    def mount(name: str, size_bytes: int) -> Path:
        folder = root / name
        folder.mkdir(parents=True)
        if os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("mounting a small disk needs root and the program mount")
        words = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
        done = subprocess.run(words, capture_output=True, check=False, text=True)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    try:
        yield mount
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave_bytes: int) -> Path:
    """Take the room away, but for so many bytes."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while (free := shutil.disk_usage(folder).free) > leave_bytes:
            with contextlib.suppress(OSError):  # Others write too, and may have been quicker.
                file.write(bytes(min(MIB, free - leave_bytes)))
    return ballast
