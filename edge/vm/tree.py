"""The process tree of one sandbox: who in it gets a signal, and in which order.

With bubblewrap the tree is: bwrap outside, bwrap as process 1 inside, then the payload. The two
wrappers must not be asked to stop: the outer one dies of SIGTERM and takes everything with it,
ungracefully.
"""

import contextlib
import os
import signal
from collections.abc import Iterable

from edge.vm.payload import Payload
from edge.vm.processes import below, stat_of

PR_SET_CHILD_SUBREAPER = 36
PASSES_MAX = 20
"""A tree that forks while it is walked needs a few walks; a fork bomb meets its process limit."""


class Tree:
    """Signals to everything that a payload started."""

    def __init__(self, payload: Payload, isolated: bool) -> None:
        self._payload = payload
        self._isolated = isolated
        self.is_paused = False
        self.watchers: set[int] = set()
        """Children of ours that run a command inside: outside themselves, what is below is not."""
        if not isolated:
            import ctypes  # Only plain payloads need it, and it is the slowest import of a shim.

            # Daemons that leave the session are then handed to us, so that they are still found.
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def members(self) -> list[int]:
        """Everything the payload runs, parents first, without the wrappers."""
        if not self._isolated:
            return below(os.getpid())
        return below(self._payload.root_pid) if self._has_root() else []

    def _everybody(self) -> list[int]:
        """The members, and the commands that joined them."""
        return [*self.members(), *(pid for watcher in self.watchers for pid in below(watcher))]

    def _has_root(self) -> bool:
        """False once the wrapper is gone: its child's number may then belong to a stranger."""
        root = stat_of(self._payload.root_pid)
        return root is not None and root.parent == self._payload.child_pid

    def main_pid(self) -> int:
        """The payload's first process as the host counts; the wrapper's while there is none."""
        members = self.members()
        return members[0] if members else self._payload.root_pid

    def signal(self, numbers: Iterable[int]) -> None:
        """Ask every member to stop; a paused tree is woken, or it would never hear."""
        members = self.members()
        for number in numbers:
            _send(members, number)
        self.resume()

    def kill(self) -> None:
        """End everything now."""
        for _ in range(PASSES_MAX):
            members = self.members()
            if self._isolated and self._has_root():
                members.insert(
                    0, self._payload.root_pid
                )  # The kernel ends a namespace with its process 1.
            if not members:
                return
            _send(members, signal.SIGKILL)
            if self._isolated:
                return

    def pause(self) -> None:
        """Stop every member, parents first, so that no shell sees its children stop."""
        for _ in range(PASSES_MAX):
            awake = [pid for pid in self._everybody() if not _is_stopped(pid)]
            if not awake:
                break
            _send(awake, signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Let every member go on, children first, for the same reason."""
        if self.is_paused:
            _send(reversed(self._everybody()), signal.SIGCONT)
            self.is_paused = False


def _is_stopped(pid: int) -> bool:
    stat = stat_of(pid)
    return stat is None or stat.letter in "Tt"


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
