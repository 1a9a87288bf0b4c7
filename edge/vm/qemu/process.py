"""Finding the QEMU of a folder again, and what the kernel knows of it (proc(5))."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.vm.processes import PROC, is_alive, stat_of
from edge.vm.qemu.argv import PID_FILE

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """A living QEMU. `accel` is what it was told to run guests by."""

    pid: int
    start_ticks: int
    started_ms: int
    accel: str

    @property
    def is_alive(self) -> bool:
        """Whether it still is there; a zombie is not."""
        return is_alive(self.pid, self.start_ticks)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses."""

    cpu_seconds: float
    memory_bytes: int
    threads: int


def living_process(folder: Path) -> Process | None:
    """The QEMU of this folder: its pid file says who, its command line says that it is ours.

    A pid that was given to somebody else meanwhile has another command line.
    """
    pid_file = folder / PID_FILE
    try:
        pid = int(pid_file.read_text())
        words = Path(PROC, str(pid), "cmdline").read_bytes().split(b"\0")
        started_ms = pid_file.stat().st_mtime_ns // 1_000_000
    except (OSError, ValueError):
        return None
    stat = stat_of(pid)
    if stat is None or stat.letter in "ZX" or _word_after(words, "-pidfile") != str(pid_file):
        return None
    accel = _word_after(words, "-accel").partition(",")[0]
    return Process(pid, stat.start_ticks, started_ms, accel)


def usage_of(pid: int) -> Usage | None:
    """None when it is gone."""
    try:
        line = Path(PROC, str(pid), "stat").read_text()
        pages = int(Path(PROC, str(pid), "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    fields: list[Any] = line[line.rindex(")") + 2 :].split()
    ticks = int(fields[11]) + int(fields[12])
    return Usage(ticks / TICKS_PER_SECOND, pages * PAGE_BYTES, int(fields[17]))


def _word_after(words: list[bytes], option: str) -> str:
    try:
        return os.fsdecode(words[words.index(option.encode()) + 1])
    except (ValueError, IndexError):
        return ""
