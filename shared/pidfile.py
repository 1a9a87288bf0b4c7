"""The file that says who runs in a folder: held locked while its process lives, so it cannot lie.

The lock is the truth; the process id inside only tells whom to ask to stop.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psutil

from shared.errors import SettingsError, Unavailable

NAME = "headwater.pid"
STOP_SECONDS_MAX = 10.0  # A role stops within five seconds; twice that means it hangs.
_START_SLACK_SECONDS = 2.0  # Start times come from the boot clock, which is coarse.


class PidFile:
    """Claims a folder for this process; raises SettingsError when another one has it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._descriptor = -1

    def __enter__(self) -> "PidFile":
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").split()
            os.close(descriptor)
            shown = holder[0] if holder else "?"
            raise SettingsError(
                f"Headwater already runs in {self._path.parent} (process {shown}): "
                f"stop it with `make stop DATA={self._path.parent}` or choose another DATA"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {psutil.Process().create_time():.2f}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Emptied, not removed: someone may be waiting for the lock of this very file.
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def running(path: Path) -> psutil.Process | None:
    """The process that holds a pid file, or None when nobody does."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        if _is_free(file.fileno()):
            return None
        words = file.read(64).split()
        with contextlib.suppress(ValueError, IndexError, psutil.NoSuchProcess):
            process = psutil.Process(int(words[0]))
            if abs(process.create_time() - float(words[1])) <= _START_SLACK_SECONDS:
                return process
    return None


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def stop_all(data: Path) -> Iterator[str]:
    """Stop what runs in `data` and its folders, the demo first; yields a line for each.

    Raises Unavailable when a process does not end in STOP_SECONDS_MAX.
    """
    for path in (data / NAME, *sorted(data.glob(f"*/{NAME}"))):
        process = running(path)
        if process is None:
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
        _wait_until_free(path, process.pid)
        yield f"stopped process {process.pid} in {path.parent}"


def _wait_until_free(path: Path, pid: int) -> None:
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while running(path) is not None:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"process {pid} in {path.parent} did not stop in {STOP_SECONDS_MAX:.0f} s; "
                f"end it with: kill -KILL {pid}"
            )
        time.sleep(0.02)
