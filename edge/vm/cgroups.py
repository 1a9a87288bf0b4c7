"""Control groups of one sandbox: made before its payload starts, joined by it, removed after it.

A group is a folder with files that hold limits (cgroups(7)). Version 1 has one for each controller,
version 2 one for all. Only the standard library is used, since the shim imports this file.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping

from edge.vm.shim_values import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

Groups = Mapping[str, Mapping[str, str]]
"""The folder of each group, and what is written to which of its files, in that order."""

PROCESSES = "cgroup.procs"
REMOVE_SECONDS_MAX = 2.0
KILLS = {"memory.oom_control": "oom_kill", "memory.events": "oom_kill"}
"""Where versions 1 and 2 count processes that were killed for memory."""
OPTIONAL = frozenset({"memory.memsw.limit_in_bytes", "memory.swap.max"})
"""Not there in kernels that do not count swap."""


def make(groups: Groups) -> None:
    """Make the groups anew and set their limits; raises OSError and then leaves none of them."""
    remove(groups)
    try:
        for path, limits in groups.items():
            os.mkdir(path, 0o755)
            for name, text in limits.items():
                if name not in OPTIONAL or os.path.exists(f"{path}/{name}"):
                    write(f"{path}/{name}", text)
    except OSError:
        remove(groups)
        raise


def join(groups: Iterable[str]) -> None:
    """Put the calling process, and all that it will start, into the groups; raises OSError."""
    for path in groups:
        write(f"{path}/{PROCESSES}", "0")


def kills_for_memory(groups: Iterable[str]) -> int:
    """How many processes of the groups the kernel killed since they were made, because their memory
    was full."""
    return sum(_field(f"{path}/{file}", name) for path in groups for file, name in KILLS.items())


def remove(groups: Iterable[str]) -> bool:
    """Remove the groups, ending what still runs in them; False when one of them stays.

    Blocking: a process that ends is counted for some milliseconds more, and two seconds at most are
    waited for that.
    """
    deadline = time.monotonic() + REMOVE_SECONDS_MAX
    left = [path for path in groups if not _is_removed(path)]
    while left and time.monotonic() < deadline:
        for path in left:
            _kill(path)
        time.sleep(0.005)
        left = [path for path in left if not _is_removed(path)]
    return not left


def write(path: Path | str, text: str) -> None:
    """Write one of a group's files, which must be there; raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def processes(path: str) -> list[int]:
    """Who is in a group; nobody where there is none."""
    try:
        with open(f"{path}/{PROCESSES}") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _kill(path: str) -> None:
    for pid in processes(path):
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # Gone, or joined by nobody of ours.
            continue


def _is_removed(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:  # EBUSY while a process is in it.
        return False
    return True


def _field(path: str, name: str) -> int:
    try:
        with open(path) as file:
            lines = file.read().splitlines()
    except OSError:
        return 0
    found = (line.split() for line in lines)
    return next((int(pair[1]) for pair in found if len(pair) == 2 and pair[0] == name), 0)
