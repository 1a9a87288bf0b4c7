"""Copies the disks of a machine that does not run into the folder of another."""

import fcntl
import os
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path

from edge.vm.driver import Progress
from edge.vm.image_incoming import READ_BYTES, free_bytes, sync_sometimes, unwritable, write_all
from shared.errors import RpcError
from shared.runtime import Runtime
from shared.tasks import to_its_end

FICLONE = 0x40049409  # ioctl_ficlone(2): the file system shares the blocks where it can.
BLOCK_BYTES = 512  # What st_blocks counts, whatever the file system (stat(2)).


async def copy_files(
    source: Path, target: Path, names: Sequence[str], runtime: Runtime, progress: Progress
) -> None:
    """Copy files of one folder into a new one; without a trace when it fails or is cancelled.

    Overlays name their image by its absolute path, so the copies build on the same one. Raises
    RpcError insufficient or driver_error.
    """
    steps = copying(source, target, names)
    try:
        progress("copying disks", 0)
        while (share := await to_its_end(runtime.offload(lambda: next(steps, None)))) is not None:
            progress("copying disks", share)
    except BaseException:
        await to_its_end(runtime.offload(lambda: _undo(steps, target)))
        raise


def copying(source: Path, target: Path, names: Sequence[str]) -> Generator[int, None, None]:
    """Copy piece by piece, telling the percentage that is done; blocking. Raises RpcError."""
    try:
        target.mkdir(mode=0o700, parents=True)
        sizes = [(source / name).stat().st_blocks * BLOCK_BYTES for name in names]
        _check_free(target, sum(sizes))
        done = 0
        for name in names:
            for moved in _copy_one(source / name, target / name):
                done += moved
                yield min(100 * done // max(sum(sizes), 1), 99)
    except OSError as error:
        raise unwritable(error) from error


def _undo(steps: Generator[int, None, None], target: Path) -> None:
    steps.close()
    shutil.rmtree(target, ignore_errors=True)


def _check_free(target: Path, needed: int) -> None:
    room = free_bytes(target)
    if needed > room:
        data = {"what": "disk", "needed_bytes": needed, "available_bytes": room}
        message = f"the copies need {needed} bytes, and the disk has room for {room}"
        raise RpcError("insufficient", message, data)


def _copy_one(source: Path, target: Path) -> Generator[int, None, None]:
    with source.open("rb") as old, target.open("xb") as new:
        os.fchmod(new.fileno(), 0o600)
        if not _is_shared(old.fileno(), new.fileno()):
            yield from _copy_data(old.fileno(), new.fileno())
        os.fsync(new.fileno())


def _is_shared(old: int, new: int) -> bool:
    try:
        fcntl.ioctl(new, FICLONE, old)
    except OSError:  # Not on this file system, or not between these two.
        return False
    return True


def _copy_data(old: int, new: int) -> Generator[int, None, None]:
    at = 0
    while data := os.read(old, READ_BYTES):
        if data.count(0) == len(data):
            os.lseek(new, len(data), os.SEEK_CUR)
        else:
            write_all(new, data)
            sync_sometimes(new, at, len(data))
            yield len(data)
        at += len(data)
    os.ftruncate(new, at)
