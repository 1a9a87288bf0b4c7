"""What the kernel tells about processes: who lives, since when, and who descends from whom.

Only the standard library is used, since the shim imports this file and must start fast.
Source: proc(5), fields of /proc/PID/stat.
"""

import os

from edge.vm.shim_values import dataclass

PROC = "/proc"


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """One line of /proc/PID/stat. `start_ticks` (field 22) tells a reused pid from the first
    owner."""

    pid: int
    letter: str
    parent: int
    start_ticks: int


def stat_of(pid: int) -> ProcessStat | None:
    """The kernel's view of a process, or None when there is none."""
    try:
        line = _text_of(f"{pid}/stat")
    except (OSError, ValueError):
        return None
    # The command name stands in brackets and may itself hold brackets and spaces: cut at the last
    # one.
    fields = line[line.rindex(")") + 2 :].split()
    return ProcessStat(pid, fields[0], int(fields[1]), int(fields[19]))


def _text_of(name: str) -> str:
    # One call for each of open, read and close: all processes of the host may be looked at in a row.
    fd = os.open(f"{PROC}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096).decode(errors="replace")
    finally:
        os.close(fd)


def is_alive(pid: int, start_ticks: int) -> bool:
    """True when this very process still runs; a zombie is not alive, and neither is a reused
    pid."""
    stat = stat_of(pid)
    return stat is not None and stat.start_ticks == start_ticks and stat.letter not in "ZX"


def below(root: int) -> list[int]:
    """Every living descendant of a process, parents before children, without the process itself."""
    children: dict[int, list[int]] = {}
    for name in os.listdir(PROC):
        stat = stat_of(int(name)) if name.isdigit() else None
        if stat is not None and stat.letter not in "ZX":
            children.setdefault(stat.parent, []).append(stat.pid)
    found = list(children.get(root, []))
    for pid in found:  # The list grows while it is walked: breadth first.
        found.extend(children.get(pid, []))
    return found


def has_child(parent: int) -> bool:
    """Whether a process has a living child. The newest are looked at first, for who waits for one."""
    for pid in sorted((int(name) for name in os.listdir(PROC) if name.isdigit()), reverse=True):
        stat = stat_of(pid)
        if stat is not None and stat.parent == parent and stat.letter not in "ZX":
            return True
    return False


def boot_id() -> str:
    """Changes with every boot of the machine, and of the container that we live in.

    A restarted container keeps the kernel's boot id, but its process 1 is another one.
    """
    try:
        boot = _text_of("sys/kernel/random/boot_id").strip()
    except OSError:
        boot = "unknown"
    first = stat_of(1)
    return f"{boot}/{first.start_ticks if first else 0}"
