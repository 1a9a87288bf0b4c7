"""One command more inside a sandbox that runs: entered, watched, bounded, and ended with all of it.

The shim forks the watcher, which stays outside with the connection of who asked. Its child enters
the namespaces; that one's child is the keeper, the first of them inside, to whom the kernel hands
everything that the command leaves behind; and the keeper's first child is the command. So whatever
was started is below the keeper and is ended from outside. Only the standard library is used.
"""

import base64
import contextlib
import errno
import json
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from edge.vm import cgroups
from edge.vm.launch import Launch
from edge.vm.payload import FD_MAX, reset_signals, set_limits
from edge.vm.processes import below, stat_of
from edge.vm.shim_namespaces import enter, renounce

OUTPUT_BYTES_MAX = 64 * 1024
"""Of each stream; what comes after it is thrown away."""
THROWN_BYTES_MAX = 64 * 1024 * 1024
"""A command that still prints then has to wait for its end: it must not eat a core in its watcher."""
READ_BYTES = 64 * 1024
KILL_PASSES_MAX = 200
DRAIN_READS_MAX = 8
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CANNOT_ENTER, NOT_FOUND = 125, 127
SETUP = b"E"
"""The first byte of a status that is the text of why the command could not be started."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, for how long at most, and the first process of the sandbox it is run in."""

    argv: Sequence[str]
    seconds: float
    root_pid: int


@dataclass(slots=True)
class Taken:
    """What came out of one stream."""

    fd: int
    data: bytearray = field(default_factory=bytearray)
    thrown: int = 0

    def take(self) -> bool:
        """Read once; False at the end of the stream, and when nobody should read it any more."""
        try:
            piece = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return True
        room = OUTPUT_BYTES_MAX - len(self.data)
        self.data += piece[:room]
        self.thrown += len(piece[max(0, room) :])
        return bool(piece) and self.thrown < THROWN_BYTES_MAX

    def drain(self) -> None:
        """After the command's end: what it wrote before that."""
        for _ in range(DRAIN_READS_MAX):
            before = len(self.data) + self.thrown
            if not self.take() or before == len(self.data) + self.thrown:
                return


def watch(connection: socket.socket, launch: Launch, command: Command) -> NoReturn:
    """In a child of the shim: run the command, answer on the connection, and end."""
    try:
        _die_with(os.getppid())
        signal.set_wakeup_fd(-1)
        reset_signals()
        held = os.dup(connection.fileno())
        kept = os.dup2(held, 3)
        # The lock of the folder and every other connection are the shim's alone.
        os.closerange(4, FD_MAX)
        answer = _answer(kept, launch, command)
        os.set_blocking(kept, True)
        _send(kept, json.dumps(answer).encode() + b"\n")
    except BrokenPipeError:  # Who asked is gone.
        os._exit(1)
    finally:
        os._exit(0)


def _answer(connection: int, launch: Launch, command: Command) -> dict[str, Any]:
    try:
        return _run(connection, launch, command)
    except (OSError, ValueError) as error:
        return {"ok": False, "message": f"{type(error).__name__}: {error}"}


def _run(connection: int, launch: Launch, command: Command) -> dict[str, Any]:
    deadline = time.monotonic() + command.seconds
    out, err, status = (os.pipe() for _ in range(3))
    visitor = os.fork()
    if visitor == 0:
        _visit(launch, command, out[1], err[1], status[1])
    for _, write_end in (out, err, status):
        os.close(write_end)
    streams = [Taken(out[0]), Taken(err[0])]
    for read_end in (out[0], err[0], status[0]):
        os.set_blocking(read_end, False)
    try:
        word = _pump(streams, status[0], connection, deadline)
    finally:
        _end(visitor)
    for stream in streams:
        stream.drain()
    return _told(word, streams)


def _pump(streams: list[Taken], status: int, connection: int, deadline: float) -> bytes | None:
    """Read until the command has ended (its status), nobody asks any more, or time is up (None)."""
    listening: dict[int, Taken] = {stream.fd: stream for stream in streams}
    while (patience := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([*listening, status, connection], [], [], patience)
        for fd in ready:
            if fd in listening and not listening[fd].take():
                del listening[fd]
        if status in ready:
            return os.read(status, 4096)
        if connection in ready and not _is_asking(connection):
            raise BrokenPipeError(errno.EPIPE, "nobody waits for the command")
    return None


def _is_asking(connection: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        return bool(os.read(connection, 4096))
    return True


def _told(word: bytes | None, streams: list[Taken]) -> dict[str, Any]:
    if word is not None and word.startswith(SETUP):
        return {"ok": False, "message": word[1:].decode(errors="replace")}
    if word == b"":
        return {"ok": False, "message": "the sandbox ended"}
    wait_status = int(word) if word is not None else int(signal.SIGKILL)
    signalled = os.WIFSIGNALED(wait_status)
    return {
        "ok": True,
        "code": None if signalled else os.WEXITSTATUS(wait_status),
        "signal": os.WTERMSIG(wait_status) if signalled else None,
        "stdout": base64.b64encode(streams[0].data).decode(),
        "stderr": base64.b64encode(streams[1].data).decode(),
        "is_cut": any(stream.thrown for stream in streams),
        "is_late": word is None,
    }


def _end(visitor: int) -> None:
    """Kill everything below, the keeper last, so that orphans have nowhere else to go."""
    for _ in range(KILL_PASSES_MAX):
        inside = below(visitor)
        keeper = next((pid for pid in inside if _parent_of(pid) == visitor), None)
        started = [pid for pid in inside if pid != keeper]
        if not started:
            break
        _kill(started)
    _kill([*below(visitor), visitor])
    os.waitpid(visitor, 0)


def _parent_of(pid: int) -> int | None:
    stat = stat_of(pid)
    return stat.parent if stat else None


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _visit(launch: Launch, command: Command, out: int, err: int, status: int) -> NoReturn:
    """In the child that enters: never returns."""
    try:
        import ctypes

        library = ctypes.CDLL(None, use_errno=True)
        cgroups.join(launch.groups)
        watcher = os.getppid()
        enter(command.root_pid, launch.uid, library)
        _die_with(watcher, library)
        keeper = os.fork()
        if keeper == 0:
            _keep(launch, command, library, out, err, status)
        for held in (out, err, status):
            os.close(held)
        os.waitpid(keeper, 0)
    except OSError as error:
        os.write(status, SETUP + str(error).encode()[:2000])
    finally:
        os._exit(CANNOT_ENTER)


def _keep(
    launch: Launch, command: Command, library: Any, out: int, err: int, status: int
) -> NoReturn:
    """In the first process inside: start the command, tell how it ended, and collect the dead."""
    try:
        library.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        library.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        renounce(library)
        first = os.fork()
        if first == 0:
            _become(launch, command.argv, out, err)
        os.close(out)
        os.close(err)
        while True:
            pid, wait_status = os.wait()
            if pid == first:
                os.write(status, str(wait_status).encode())
                signal.pause()  # The watcher ends what is left, and then us.
    except OSError as error:
        os.write(status, SETUP + str(error).encode()[:2000])
    finally:
        os._exit(CANNOT_ENTER)


def _become(launch: Launch, argv: Sequence[str], out: int, err: int) -> NoReturn:
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        os.closerange(3, FD_MAX)
        set_limits(launch)
        if launch.processes_max is not None:
            resource.setrlimit(resource.RLIMIT_NPROC, (launch.processes_max,) * 2)
        with contextlib.suppress(OSError):  # A payload may have taken its folder away.
            os.chdir(launch.inner_env.get("HOME", "/"))
        os.execvpe(argv[0], list(argv), launch.inner_env)  # noqa: S606 -- that is its purpose.
    except OSError as error:
        os.write(2, f"cannot start {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_FOUND)


def _die_with(parent: int, library: Any = None) -> None:
    if library is None:
        import ctypes

        library = ctypes.CDLL(None)
    library.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _send(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
