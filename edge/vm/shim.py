"""The small process that owns one sandbox and outlives the agent: see `COMMAND`.

It starts only from its folder's order, detaches (own session, double fork), takes the folder's
lock, runs the payload, serves the two sockets and leaves the exit status in the state file. The
first process prints one JSON line: {"ok": true} once the payload runs, else {"ok": false, "kind":
..., "message": ...}. Only the standard library is imported, and of that only what is quick to
import, so that a start takes some ten milliseconds.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import sys
import time

from edge.vm import cgroups
from edge.vm.launch import LOCK_FILE, SHIM_LOG, Launch, ShimState, load_launch, save_state
from edge.vm.payload import Payload, await_start, exit_of, spawn, was_reached
from edge.vm.processes import boot_id, stat_of
from edge.vm.shim_server import ShimServer
from edge.vm.shim_values import TYPE_CHECKING, replace

if TYPE_CHECKING:
    from typing import Any

COMMAND = ("-S", "-P", "-c", "import edge.vm.shim; edge.vm.shim.run()")
"""What Python is told, before the folder: `-m` would import much to find the file."""
ALREADY_RUNNING, DISK_FULL, FAILED = "already_running", "disk_full", "failed"


def main(arguments: list[str]) -> int:
    """Detach, wait for the shim's first word and pass it on."""
    if len(arguments) != 1:
        sys.stderr.write("usage: shim FOLDER\n")
        return 2
    folder = os.path.realpath(arguments[0])
    read_end, write_end = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.close(read_end)
        os.setsid()
        if os.fork() == 0:
            _detached(folder, write_end)
        os._exit(0)
    os.close(write_end)
    os.waitpid(middle, 0)
    with os.fdopen(read_end) as pipe:
        word = pipe.readline() or _word(FAILED, "the shim ended without a word; see its log")
    sys.stdout.write(word)
    return 0 if json.loads(word)["ok"] else 1


def _detached(folder: str, pipe: int) -> None:
    """In the shim itself: never returns."""
    code = 1
    try:
        os.chdir(folder)  # The sockets are bound by relative names: a path may hold 107 bytes only.
        _redirect(pipe)
        code = _run(folder, pipe)
    except Exception as error:  # The last door: whoever started us must hear why, whatever it was.
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        _say(pipe, _word(DISK_FULL if is_full else FAILED, f"{type(error).__name__}: {error}"))
        raise
    finally:
        os._exit(code)


def _redirect(pipe: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    log = os.open(SHIM_LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((nothing, 0), (nothing, 1), (log, 2)):
        os.dup2(source, target)
    os.set_inheritable(pipe, False)


def _run(folder: str, pipe: int) -> int:
    lock = os.open(LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say(pipe, _word(ALREADY_RUNNING, "this machine has a shim already"))
        return 1
    launch = load_launch(folder)
    server = ShimServer(folder, launch)
    cgroups.make(launch.groups)
    payload = spawn(launch)
    state = _first_state(launch, payload)
    save_state(folder, state)
    await_start(payload)
    _say(pipe, json.dumps({"ok": True}) + "\n")
    os.close(pipe)
    wait_status = server.serve(payload)
    code, signal_number = exit_of(wait_status, launch.isolated)
    reached = was_reached(payload)
    # The kernel's kill for want of memory looks like any other kill, but for its count.
    killed_oom = signal_number == signal.SIGKILL and cgroups.kills_for_memory(launch.groups) > 0
    cgroups.remove(launch.groups)
    end = {"code": code, "signal": signal_number, "at_ms": _now_ms(), "started": reached}
    save_state(folder, replace(state, exit={**end, "killed_oom": killed_oom}))
    server.unlink_sockets()
    os.close(lock)  # From here a new shim may start; closing the sockets then tells whoever waits.
    server.close()
    return 0


def _first_state(launch: Launch, payload: Payload) -> ShimState:
    me = stat_of(os.getpid())
    return ShimState(
        vm_id=launch.vm_id,
        boot_id=boot_id(),
        shim_pid=os.getpid(),
        shim_start_ticks=me.start_ticks if me else 0,
        child_pid=payload.child_pid,
        started_ms=_now_ms(),
        processes_enforced=payload.processes_enforced,
        held=launch.held,
    )


def _now_ms() -> int:
    # A shim is a program of its own: there is no simulated world in which it could run.
    return time.time_ns() // 1_000_000


def _word(kind: str, message: str) -> str:
    word: dict[str, Any] = {"ok": False, "kind": kind, "message": message}
    return json.dumps(word) + "\n"


def _say(pipe: int, word: str) -> None:
    os.write(pipe, word.encode()[:4000])


def run() -> None:
    """Do it with the arguments of this process, and end it without the delay of a tidy end."""
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
