"""Finding what belongs to a machine without asking any of its books."""

from pathlib import Path

import psutil


def everything_of(vm_id: str) -> list[int]:
    """Each living process that names the machine by its id in its command line or its control groups,
    and all that these have started."""
    found: set[int] = set()
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        if any(vm_id in word for word in process.info["cmdline"] or ()) or _is_in(
            process.pid, vm_id
        ):
            found |= {process.pid, *_below(process)}
    return sorted(found)


def _is_in(pid: int, vm_id: str) -> bool:
    try:
        return vm_id in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:  # It ended meanwhile.
        return False


def _below(process: psutil.Process) -> list[int]:
    try:
        return [each.pid for each in process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
