"""What the agent tells a shim, and what the shim tells back through its folder.

Both are small JSON files replaced atomically. Only the standard library is used, since the shim
imports this file; what makes its start slow is left out (see `shim_values`).
"""

from __future__ import annotations

import json
import os

from edge.vm.shim_values import TYPE_CHECKING, asdict, dataclass, field

if TYPE_CHECKING:
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
    processes. `groups` are the control groups to make, with the limits named in `held`. `inner_env`
    is what the payload sees as its environment, for commands that join it later.
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
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    inner_env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShimState:
    """What a shim last wrote about itself. `exit` is None while the payload lives.

    `exit` has `code`, `signal` (either may be None), `at_ms`, `started`, which is False when the
    payload was never reached, and `killed_oom`. `held` are the limits that control groups hold.
    """

    vm_id: str
    boot_id: str
    shim_pid: int
    shim_start_ticks: int
    child_pid: int
    started_ms: int
    processes_enforced: bool
    exit: dict[str, Any] | None = None
    held: list[str] = field(default_factory=list)


def write_json(path: Path | str, value: Any) -> None:
    """Replace a file whole: readers see the old or the new contents, also after a power cut."""
    waiting = os.path.splitext(path)[0] + ".tmp"
    fd = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(waiting, path)


def save_launch(folder: Path | str, launch: Launch) -> None:
    """Write the order; raises OSError."""
    write_json(os.path.join(folder, LAUNCH_FILE), asdict(launch))


def load_launch(folder: Path | str) -> Launch:
    """Read the order; raises OSError, ValueError or TypeError when it is not one."""
    return Launch(**_read_json(folder, LAUNCH_FILE))


def save_state(folder: Path | str, state: ShimState) -> None:
    """Write what the shim knows; raises OSError."""
    write_json(os.path.join(folder, STATE_FILE), asdict(state))


def load_state(folder: Path | str) -> ShimState | None:
    """What the last shim of this folder wrote, or None when there is nothing readable."""
    try:
        return ShimState(**_read_json(folder, STATE_FILE))
    except (OSError, ValueError, TypeError):
        return None


def _read_json(folder: Path | str, name: str) -> Any:
    with open(os.path.join(folder, name), "rb") as file:
        return json.loads(file.read())
