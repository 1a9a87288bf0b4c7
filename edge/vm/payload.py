"""The process inside a shim: forked on a pty of its own, limited, then handed to bubblewrap.

Only the standard library is used, since the shim imports this file.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import select
import signal
import termios
import time

from edge.vm.cgroups import join
from edge.vm.launch import GATE_FD, STATUS_FD, Launch
from edge.vm.processes import has_child
from edge.vm.shim_values import TYPE_CHECKING, dataclass

if TYPE_CHECKING:
    from typing import Any

SETUP_SECONDS_MAX = 8.0
FD_MAX = 1024


@dataclass(slots=True)
class Payload:
    """A running payload: the pty's near end, the process we wait for, and where its tree begins.

    `root_pid` is process 1 of the new namespace when isolated, else the child itself.
    """

    master: int
    child_pid: int
    root_pid: int
    status_fd: int | None
    processes_enforced: bool


def spawn(launch: Launch) -> Payload:
    """Start the payload and let it go on once its limits are set; raises OSError."""
    master, slave = os.openpty()
    if launch.uid is not None:
        os.fchown(slave, launch.uid, -1)
    status_read, status_write = os.pipe()
    gate_read, gate_write = os.pipe()
    shim_pid = os.getpid()
    child = os.fork()
    if child == 0:
        _become(launch, shim_pid, slave, status_write, gate_read)
    for fd in (slave, status_write, gate_read):
        os.close(fd)
    os.set_blocking(master, False)
    if not launch.isolated:
        os.close(status_read)
        os.close(gate_write)
        return Payload(master, child, child, None, False)
    root = _read_child_pid(status_read)
    if root is None:
        os.close(gate_write)
        return Payload(master, child, child, status_read, False)
    enforced = _limit_processes(launch, root)
    os.write(gate_write, b"\n")
    os.close(gate_write)
    return Payload(master, child, root, status_read, enforced)


def await_start(payload: Payload) -> None:
    """Wait until the payload's command is there or its wrapper has ended, whichever is first."""
    deadline = time.monotonic() + SETUP_SECONDS_MAX
    while payload.status_fd is not None and time.monotonic() < deadline:
        ended = os.waitid(os.P_PID, payload.child_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None or has_child(payload.root_pid):
            return
        time.sleep(0.002)  # The kernel has no event for "a grandchild was born".


def was_reached(payload: Payload) -> bool:
    """After the end: False when bubblewrap failed before it ran the payload's command."""
    if payload.status_fd is None:
        return True
    os.set_blocking(payload.status_fd, False)
    try:
        return b"exit-code" in os.read(payload.status_fd, 4096)
    except OSError:
        return False


def exit_of(wait_status: int, isolated: bool) -> tuple[int | None, int | None]:
    """(code, signal) of a wait status. bubblewrap passes a death by signal on as 128 + signal."""
    if os.WIFSIGNALED(wait_status):
        return None, os.WTERMSIG(wait_status)
    code = os.WEXITSTATUS(wait_status)
    if isolated and code - 128 in {int(known) for known in signal.valid_signals()}:
        return None, code - 128
    return code, None


def _become(launch: Launch, shim_pid: int, slave: int, status: int, gate: int) -> None:
    """In the child: never returns."""
    try:
        _prepare(launch, shim_pid, slave, status, gate)
        os.execve(launch.argv[0], launch.argv, launch.env)  # noqa: S606 -- that is its purpose.
    except OSError as error:
        os.write(2, f"cannot start {launch.argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127 if not launch.isolated else 1)


def _prepare(launch: Launch, shim_pid: int, slave: int, status: int, gate: int) -> None:
    os.setsid()
    if not launch.isolated:  # Inside bubblewrap the payload takes the terminal for itself.
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    status = fcntl.fcntl(status, fcntl.F_DUPFD, 20)
    gate = fcntl.fcntl(gate, fcntl.F_DUPFD, 20)
    for target in (0, 1, 2):
        os.dup2(slave, target)
    if launch.isolated:
        os.dup2(status, STATUS_FD)
        os.dup2(gate, GATE_FD)
    os.closerange(GATE_FD + 1 if launch.isolated else 3, FD_MAX)
    os.umask(0o022)
    reset_signals()
    set_limits(launch)
    join(launch.groups)
    # Python's own files may be out of the next user's reach, so the import comes before the change;
    # and only the child pays for it: the shim itself stays small.
    import ctypes

    library = ctypes.CDLL(None)
    drop_to(launch.uid)
    _die_with_parent(library, shim_pid)


def reset_signals() -> None:
    """Being ignored is inherited (Python ignores SIGPIPE, nohup SIGHUP), and a shell cannot undo
    it."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for name in ("HUP", "INT", "QUIT", "PIPE", "TERM", "XFSZ", "CHLD", "TSTP", "TTIN", "TTOU"):
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_DFL)


def _die_with_parent(library: Any, shim_pid: int) -> None:
    """Ask the kernel (prctl 1) to end us with the shim; bubblewrap does so itself, but later.

    Comes after the change of user, which would cancel it, and looks again for a shim that was faster.
    """
    library.prctl(1, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != shim_pid:
        os._exit(1)


def set_limits(launch: Launch) -> None:
    """Bound the calling process and all that it will start, each by itself."""
    _, files_hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = launch.files_max if files_hard < 0 else min(launch.files_max, files_hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if launch.address_space_bytes_max is not None:
        limit = launch.address_space_bytes_max
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def drop_to(uid: int | None) -> None:
    """Give up root for good; a None keeps the user."""
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def _read_child_pid(status_fd: int) -> int | None:
    deadline, text = time.monotonic() + SETUP_SECONDS_MAX, b""
    while b"\n" not in text:
        patience = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([status_fd], [], [], patience)
        piece = os.read(status_fd, 4096) if ready else b""
        if not piece:
            return None
        text += piece
    return int(json.loads(text.splitlines()[0])["child-pid"])


def _limit_processes(launch: Launch, pid: int) -> bool:
    """Set the limit as the payload's own user: prlimit(2) asks for equal ids or a capability that
    containers take from root."""
    if launch.processes_max is None:
        return False
    helper = os.fork()
    if helper == 0:
        try:
            drop_to(launch.uid)
            resource.prlimit(pid, resource.RLIMIT_NPROC, (launch.processes_max,) * 2)
            os._exit(0)
        finally:
            os._exit(1)
    return _exit_code_of(helper) == 0


def _exit_code_of(pid: int) -> int:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except OSError as error:
        if error.errno == errno.ECHILD:
            return 1
        raise
