"""Starting a QEMU that outlives us. Blocking; call it off the loop.

Not by its own -daemonize: that forks after the filter of system calls is in place, which then
either has to allow new processes for ever, or kills it there and then.
"""

import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from edge.vm.qemu.argv import GAP_FILE, PID_FILE, QMP_SOCKET, SERIAL_SOCKET
from edge.vm.qemu.guest import LOOP_FILE
from edge.vm.qemu.process import Process, living_process
from edge.vm.qemu.words import open_words, shorten, words_since, words_size
from shared.errors import RpcError

START_SECONDS_MAX = 30.0
PATH = "/usr/local/bin:/usr/bin:/bin"
READY_POLL_SECONDS = 0.01
DETACH = ("/bin/sh", "-c", '"$@" &', "sh")
"""Starts the rest as a child of nobody: its parent has ended at once, in a session of its own."""

TEXT_MAX = 600
INSTALL_HINT = "apt-get install --no-install-recommends qemu-system-x86 qemu-utils"
SHORT_OF = (
    ("Could not set up host forwarding rule", "ports"),
    ("Cannot allocate memory", "memory"),
    ("cannot set up guest memory", "memory"),
    ("No space left on device", "disk"),
)
"""What QEMU says when the host lacks something, and what that is."""


def launch(folder: Path, command_line: Sequence[str]) -> Process:
    """Run QEMU until it answers; one that runs already is kept.

    Its lock on the pid file refuses a second one that was started at the same moment. Raises
    RpcError driver_unavailable, insufficient, or driver_error with QEMU's words.
    """
    process = living_process(folder)
    if process is not None:
        return process
    (folder / LOOP_FILE).unlink(missing_ok=True)
    (folder / GAP_FILE).touch(mode=0o600)
    return _run(folder, command_line)


def remove_leftovers(folder: Path) -> None:
    """After the end of a QEMU: what it had no time to remove."""
    for name in (QMP_SOCKET, SERIAL_SOCKET, PID_FILE):
        (folder / name).unlink(missing_ok=True)


def start_error(text: str) -> RpcError:
    """Name the failure by QEMU's own words."""
    lines = [line for line in text.strip().splitlines() if "warning:" not in line]
    said = "\n".join(lines)[-TEXT_MAX:] or "no reason given"
    for words, what in SHORT_OF:
        if words.lower() in said.lower():
            return RpcError("insufficient", f"not enough {what}: {said}", {"what": what})
    return RpcError("driver_error", f"QEMU did not start: {said}")


def _run(folder: Path, command_line: Sequence[str]) -> Process:
    program = shutil.which(command_line[0], path=PATH)
    if program is None:
        message = f"{command_line[0]} is not installed; {INSTALL_HINT}"
        raise RpcError("driver_unavailable", message, {"hint": INSTALL_HINT})
    ours, theirs = os.pipe()  # Nothing is written to it: it closes when QEMU ends.
    try:
        shorten(folder)
        began = words_size(folder)
        try:
            _detach(folder, [program, *command_line[1:]], theirs)
        finally:
            os.close(theirs)
        return _wait_ready(folder, ours, began)
    except (OSError, subprocess.SubprocessError) as error:
        raise RpcError("driver_error", f"QEMU did not start: {error}") from error
    finally:
        os.close(ours)


def _detach(folder: Path, command_line: Sequence[str], lifeline: int) -> None:
    words = open_words(folder)
    try:
        subprocess.run(
            [*DETACH, *command_line],
            cwd=folder,
            env={"PATH": PATH, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            pass_fds=[lifeline],
            timeout=START_SECONDS_MAX,
            start_new_session=True,
            umask=0o077,
            check=True,
        )
    finally:
        os.close(words)


def _wait_ready(folder: Path, lifeline: int, began: int) -> Process:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if select.select([lifeline], [], [], READY_POLL_SECONDS)[0]:
            raise start_error(words_since(folder, began))
        process = living_process(folder)
        if process is not None and _greets(folder):
            return process
    raise RpcError("driver_error", f"QEMU did not answer within {START_SECONDS_MAX:g} s")


def _greets(folder: Path) -> bool:
    """QEMU greets when all of the machine has been made."""
    folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(START_SECONDS_MAX)
            caller.connect(f"/proc/self/fd/{folder_fd}/{QMP_SOCKET}")
            return bool(caller.recv(1))
    except OSError:
        return False
    finally:
        os.close(folder_fd)
