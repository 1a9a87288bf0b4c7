"""What a tree of processes uses, as the kernel counts it."""

import os
from pathlib import Path

from edge.vm.driver import Sample
from edge.vm.processes import PROC, below

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LOOPBACK = "lo"


def sample_of(root: int) -> Sample:
    """CPU, memory, processes, disk and network below a process, without it. Blocking, about 1 ms for
    100 processes of the host.

    Pages that several of them share are counted for each. What a process used that has ended is in
    the figures of its parent, once that has noticed (man 5 proc, cutime and /proc/PID/io).
    """
    ticks = pages = processes = 0
    pids = below(root)
    for pid in pids:
        try:
            fields = _of(pid, "stat").read_text().rpartition(")")[2].split()
        except OSError:  # It ended meanwhile.
            continue
        ticks += sum(int(field) for field in fields[11:15])
        pages += int(fields[21])
        processes += 1
    cpu_seconds, memory_bytes = ticks / TICKS_PER_SECOND, pages * PAGE_BYTES
    return Sample(cpu_seconds, memory_bytes, processes, *_disk_bytes(pids), *_net_bytes(pids))


def _disk_bytes(pids: list[int]) -> tuple[int | None, int | None]:
    """(read, written) on disks; what stays in memory, as a scratch folder does, is not counted."""
    read = written = 0
    for pid in pids:
        try:
            lines = _of(pid, "io").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # It ended meanwhile.
            continue
        except OSError:  # Only its owner may know, or this kernel does not count.
            return None, None
        counts = {name: int(count) for name, _, count in (line.partition(": ") for line in lines)}
        read, written = read + counts["read_bytes"], written + counts["write_bytes"]
    return (read, written) if pids else (None, None)


def _net_bytes(pids: list[int]) -> tuple[int | None, int | None]:
    """(received, sent) by a tree with a network of its own; None for one that shares the host's,
    whose counters are everybody's."""
    for pid in reversed(pids):  # The last is the innermost: wrappers stand outside.
        try:
            if os.readlink(_of(pid, "ns/net")) == os.readlink(_of(os.getpid(), "ns/net")):
                return None, None
            lines = _of(pid, "net/dev").read_text().splitlines()[2:]
        except OSError:  # It ended meanwhile, or only its owner may know.
            continue
        cards = [line.partition(":") for line in lines]
        used = [counts.split() for name, _, counts in cards if name.strip() != LOOPBACK]
        return sum(int(counts[0]) for counts in used), sum(int(counts[8]) for counts in used)
    return None, None


def _of(pid: int, name: str) -> Path:
    return Path(PROC, str(pid), name)
