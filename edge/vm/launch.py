"""What the agent tells a shim, and what the shim tells back through its folder.

Both are small JSON files replaced atomically. Only the standard library is used, since the shim
imports this file.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LAUNCH_FILE, STATE_FILE, LOCK_FILE, SHIM_LOG = "launch.json", "state.json", "lock", "shim.log"
CONTROL_SOCKET, CONSOLE_SOCKET = "control.sock", "console.sock"
STATUS_FD, GATE_FD = 3, 4
"""The descriptors on which bubblewrap reports its child and waits for our word to go on."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One order to run a payload.

    `uid` is the user to become first (None: stay who we are). `isolated` says that argv starts
    bubblewrap, which is told to use STATUS_FD and GATE_FD. `processes_max` is set on the payload
    from outside, since before the new user namespace exists it would count the whole user's
    processes.
    """

    vm_id: str
    argv: list[str]
    env: dict[str, str]
    uid: int | None
    isolated: bool
    address_space_bytes_max: int | None
    files_max: int
    processes_max: int | None
    console_bytes_max: int
    stop_signals: list[int]
    stop_seconds_max: float


@dataclass(frozen=True, slots=True)
class ShimState:
    """What a shim last wrote about itself. `exit` is None while the payload lives.

    `exit` has `code`, `signal` (either may be None), `at_ms`, and `started`, which is False when
    the payload was never reached.
    """

    vm_id: str
    boot_id: str
    shim_pid: int
    shim_start_ticks: int
    child_pid: int
    started_ms: int
    processes_enforced: bool
    exit: dict[str, Any] | None = field(default=None)


def write_json(path: Path, value: Any) -> None:
    """Replace a file whole: readers see the old or the new contents, also after a power cut."""
    waiting = path.with_suffix(".tmp")
    fd = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(waiting, path)


def save_launch(folder: Path, launch: Launch) -> None:
    """Write the order; raises OSError."""
    write_json(folder / LAUNCH_FILE, asdict(launch))


def load_launch(folder: Path) -> Launch:
    """Read the order; raises OSError, ValueError or TypeError when it is not one."""
    return Launch(**json.loads((folder / LAUNCH_FILE).read_text()))


def save_state(folder: Path, state: ShimState) -> None:
    """Write what the shim knows; raises OSError."""
    write_json(folder / STATE_FILE, asdict(state))


def load_state(folder: Path) -> ShimState | None:
    """What the last shim of this folder wrote, or None when there is nothing readable."""
    try:
        return ShimState(**json.loads((folder / STATE_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
