"""Which control groups this node may use, found by doing it: mounts and versions promise too much.

Groups are made below the agent's own ones, so that what bounds the agent bounds its sandboxes as
well. Version 2 forbids processes in a group whose children are limited, so there the agent must be
in a subgroup of one that was delegated to it (systemd: `Delegate=yes`, `DelegateSubgroup=agent`).
"""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.vm.cgroups import make, processes, remove, write

CONTROLLERS = ("cpu", "memory", "pids")
MIB = 1024 * 1024
PERIOD_US = 100_000
WRAPPERS = 2
"""Processes of bubblewrap itself, which are counted with the payload's."""
DELEGATED = ("user.delegate", "trusted.delegate")
"""How systemd marks a group that it leaves to others (org.freedesktop.systemd1, CONTROL_GROUP)."""
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The limits of one sandbox; None: not limited."""

    memory_bytes: int | None = None
    cpu_percent: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where groups can be made: the parent for each controller that works. `prefix` begins the name
    of every group of this data folder, and of no other."""

    prefix: str
    version: int = 0
    parents: dict[str, str] = field(default_factory=dict)

    def groups_for(self, name: str, wanted: Wanted) -> dict[str, dict[str, str]]:
        """The groups that hold what is wanted, as far as this node can."""
        found: dict[str, dict[str, str]] = {}
        for controller, limits in _limits(self.version, wanted).items():
            parent = self.parents.get(controller)
            if parent is not None and limits:
                found.setdefault(f"{parent}/{self.prefix}{name}", {}).update(limits)
        return found

    def held(self, wanted: Wanted) -> list[str]:
        """Which of the wanted limits groups_for sets."""
        limits = _limits(self.version, wanted)
        return [name for name in CONTROLLERS if name in self.parents and limits[name]]

    def left(self) -> dict[str, list[str]]:
        """All groups of this data folder that are there now, by name without prefix. Blocking."""
        found: dict[str, list[str]] = {}
        for parent in sorted(set(self.parents.values())):
            for path in Path(parent).glob(f"{self.prefix}*/"):
                found.setdefault(path.name.removeprefix(self.prefix), []).append(str(path))
        return found


def find_hierarchies(folder: Path, proc: Path = PROC) -> Hierarchies:
    """What works here for the machines of a data folder. Blocking, some 10 ms."""
    digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    prefix = f"headwater-{digest}-"
    unified = _unified(proc, prefix)
    if unified.parents:
        return unified
    parents = {
        controller: parent
        for controller, parent in _own_groups(proc).items()
        if controller in CONTROLLERS and _works(Hierarchies(prefix, 1, {controller: parent}))
    }
    return Hierarchies(prefix, 1, parents) if parents else Hierarchies(prefix)


def _limits(version: int, wanted: Wanted) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {name: {} for name in CONTROLLERS}
    if wanted.memory_bytes is not None:
        size = str(wanted.memory_bytes)
        found["memory"] = (
            {"memory.max": size, "memory.swap.max": "0"}
            if version == 2
            else dict.fromkeys(("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), size)
        )
    if wanted.cpu_percent is not None:
        quota = str(wanted.cpu_percent * PERIOD_US // 100)
        found["cpu"] = (
            {"cpu.max": f"{quota} {PERIOD_US}"}
            if version == 2
            else {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": quota}
        )
    if wanted.pids is not None:
        found["pids"] = {"pids.max": str(wanted.pids + WRAPPERS)}
    return found


def _unified(proc: Path, prefix: str) -> Hierarchies:
    """Version 2: the group above our own when it was delegated to us, or the root of all groups."""
    own = _own_groups(proc).get("")
    if own is None:
        return Hierarchies(prefix)
    is_top = own in [mount.point for mount in _mounts(proc) if mount.is_unified]
    parent = own if is_top else str(Path(own).parent)
    if not is_top and not _is_delegated(parent):  # Somebody else's, even where we could write.
        return Hierarchies(prefix)
    for controller in CONTROLLERS:
        with contextlib.suppress(OSError):  # Not there, or not ours: the trial below tells.
            write(Path(parent, "cgroup.subtree_control"), f"+{controller}")
    working = {
        controller: parent
        for controller in CONTROLLERS
        if _works(Hierarchies(prefix, 2, {controller: parent}))
    }
    return Hierarchies(prefix, 2, working)


def _is_delegated(path: str) -> bool:
    for name in DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(path, name) == b"1":
                return True
    return False


def _works(hierarchies: Hierarchies) -> bool:
    """Make a group, limit it, put a process into it, look, and remove it."""
    wanted = Wanted(64 * MIB, 50, 16)
    groups = hierarchies.groups_for(f"trial-{os.getpid()}", wanted)
    try:
        make(groups)
        return all(_takes_a_process(path) for path in groups)
    except OSError:
        return False
    finally:
        remove(groups)


def _takes_a_process(path: str) -> bool:
    with subprocess.Popen(["/bin/sh", "-c", "read word"], stdin=subprocess.PIPE, env={}) as child:
        try:
            write(Path(path, "cgroup.procs"), str(child.pid))
            return child.pid in processes(path)
        except OSError:
            return False
        finally:
            child.kill()


@dataclass(frozen=True, slots=True)
class _Mount:
    root: str
    point: str
    is_unified: bool
    options: frozenset[str]


def _mounts(proc: Path) -> Iterator[_Mount]:
    """Control group mounts, from the lines of /proc/self/mountinfo (proc(5))."""
    for line in _lines(proc / "self/mountinfo"):
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(fields) > 4 and len(kinds) > 2 and kinds[0] in ("cgroup", "cgroup2"):
            options = frozenset(kinds[2].split(","))
            yield _Mount(fields[3], fields[4], kinds[0] == "cgroup2", options)


def _own_groups(proc: Path) -> dict[str, str]:
    """The folder of our own group for each controller; version 2's has the empty name."""
    mounts, found = list(_mounts(proc)), {}
    for line in _lines(proc / "self/cgroup"):
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for name in names.split(","):
            folder = _folder(mounts, name, path)
            if folder is not None:
                found[name] = folder
    return found


def _folder(mounts: list[_Mount], controller: str, path: str) -> str | None:
    for mount in mounts:
        is_it = mount.is_unified if not controller else controller in mount.options
        if is_it and Path(path).is_relative_to(mount.root):
            return str(Path(mount.point, Path(path).relative_to(mount.root)))
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
