"""The end of a sandbox whose shim hears no order, since it hangs or was stopped by a signal."""

import contextlib
import os
import signal
import time
from pathlib import Path

from edge.vm.processes import below, is_alive
from edge.vm.shim_client import living_shim

PASSES_MAX = 20
"""A tree that forks while it is walked needs a few walks; a fork bomb meets its process limit."""
GONE_SECONDS_MAX = 2.0
GONE_POLL_SECONDS = 0.01


def end_by_force(folder: Path) -> None:
    """Kill what the shim of a folder started, then the shim, so that none of it loses its parent
    and is missed; how the payload ended is not known then. Blocking, for seconds at most."""
    shim = living_shim(folder)
    if shim is None:
        return
    for _ in range(PASSES_MAX):
        members = below(shim.shim_pid)
        for pid in members:
            _kill(pid)
        if not members:
            break
    _kill(shim.shim_pid)
    deadline = time.monotonic() + GONE_SECONDS_MAX
    while is_alive(shim.shim_pid, shim.shim_start_ticks) and time.monotonic() < deadline:
        time.sleep(GONE_POLL_SECONDS)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
