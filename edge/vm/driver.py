"""What the rest of this package needs of a driver: every kind of machine is run through this.

A driver knows how machines of its kind are made, run and looked at; it decides nothing. It keeps no
books: what it must know again after a crash is in the handle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from edge.vm.console_log import ConsolePage
from edge.vm.model import Exit, Port, Spec, State, Vm

Handle = dict[str, Any]
"""Opaque to everybody but its driver: kept with the record, before the start and again after it.

It is begun by the core with `folder`, the machine's id, so that what a driver was making when the
agent was killed is found again: every method but create takes such a handle for a machine of which
nothing or not all was made.
"""

Progress = Callable[[str, int | None], None]
"""Is told the stage of long work and the percentage that is done, where it is known."""


class Capability(StrEnum):
    """What not every driver can; pages grey out what is missing."""

    GRACEFUL_STOP = "graceful_stop"
    RESET = "reset"
    PAUSE = "pause"
    DISK_SNAPSHOT = "disk_snapshot"
    MEMORY_SNAPSHOT = "memory_snapshot"
    EXEC = "exec"
    CONSOLE_RW = "console_rw"
    CLOUD_INIT = "cloud_init"
    USER_NET = "user_net"
    HARD_LIMITS = "hard_limits"
    SURVIVE_AGENT = "survive_agent"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a driver can do here, and if it cannot, why not. `hint` is how to make it work, as a
    command line where there is one; `accel` by what machines are run fast, if anything."""

    name: str
    healthy: bool
    why: str
    version: str
    isolation: str
    capabilities: tuple[str, ...]
    images: tuple[str, ...]
    limits_enforced: dict[str, bool]
    accel: str = ""
    hint: str = ""
    cpus_max: int = 0
    memory_mib_max: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a machine. `state` is RUNNING, PAUSED, or ABSENT when no process is left.

    `exit` is None for a lost machine whose end nobody saw. `start_error` says that the payload was
    never reached. `is_responsive` is False when the process lives but does not answer. `ended` is
    the driver's own word for why a guest is over (guest_shutdown, guest_panic, boot_loop,
    accel_failed, killed_oom), and then `state` is ABSENT even while its process waits to be cleared
    away; empty where the exit says it all.
    """

    state: State
    pid: int | None = None
    started_ms: int | None = None
    exit: Exit | None = None
    start_error: str | None = None
    isolation: str | None = None
    is_responsive: bool = True
    limits_enforced: dict[str, bool] = field(default_factory=dict)
    ended: str = ""
    accel: str = ""
    ports: tuple[Port, ...] = ()
    resets: int = 0
    """How often the guest was reset since its start, where that can be seen."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a machine uses now. Sums since its start where the name says no share; None: not known."""

    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    disk_read_bytes: int | None = None
    disk_written_bytes: int | None = None
    net_received_bytes: int | None = None
    net_sent_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of a machine that it can be set back to."""

    name: str
    created_ms: int
    has_memory: bool
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Executed:
    """What came of a command inside a machine. Output is cut at a bound, which `is_cut` says;
    `is_late` says that the command was ended because its time was up."""

    code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    is_cut: bool = False
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something that looks like a machine of this driver, and is in no record."""

    handle: Handle
    what: str
    pid: int | None = None


class Console(Protocol):
    """A way to the console of one machine that was opened for one purpose; others may be open too."""

    async def read(self) -> bytes:
        """The next output, at least a byte; empty at the end. Raises RpcError driver_error."""
        ...

    async def write(self, data: bytes) -> None:
        """Type; waits while the machine does not take it in. Raises RpcError driver_error."""
        ...

    async def resize(self, columns: int, rows: int) -> None:
        """Say how large the window is, where the machine can know it."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


@runtime_checkable
class KeepsLog(Protocol):
    """A driver that keeps what its programs said of a machine beside the machine's console."""

    async def log(self, handle: Handle, lines_max: int) -> Sequence[str]:
        """The newest lines, oldest first; none for a machine that was never started."""
        ...


@runtime_checkable
class CopiesDisks(Protocol):
    """A driver whose machines have disks that a clone must get copies of."""

    async def copy_disks(self, source: Handle, target: Handle, progress: Progress) -> None:
        """Give a machine that is about to be created the disks of one that does not run, on the
        same images; nothing is left when it fails. Raises RpcError insufficient, driver_error."""
        ...


@runtime_checkable
class AsksAgain(Protocol):
    """A driver whose guests may miss a request to stop, as one does that still boots, and take no
    harm from another."""

    @property
    def ask_again_seconds(self) -> float:
        """How long a guest has to end itself before it is asked once more."""
        ...


class Driver(Protocol):
    """Errors are RpcError with the kinds driver_unavailable, insufficient, not_supported,
    not_found, invalid_state, driver_error. Every method has an end of its own within seconds,
    but wait_changed, the snapshot methods and what they report progress of."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...

    async def fingerprint(self) -> Fingerprint:
        """What works here, found by doing it; at most a minute old."""
        ...

    def runs(self, image: str) -> bool:
        """Whether images of this name are for this driver, available or not."""
        ...

    async def check(self, spec: Spec) -> None:
        """Refuse what this node cannot run."""
        ...

    def warnings(self, spec: Spec) -> Sequence[str]:
        """What a person should know before making such a machine."""
        ...

    async def create(self, vm: Vm, progress: Progress) -> Handle:
        """Make what the machine needs to be started; repeatable after a crash at any point."""
        ...

    async def start(self, vm: Vm) -> Handle:
        """Start it; one that runs already is kept, and never is a second one started."""
        ...

    async def observe(self, handle: Handle) -> Observed:
        """Look once; never raises for a machine that is gone."""
        ...

    async def wait_changed(self, handle: Handle) -> None:
        """Return when the machine is over, or may be in another state than at the last look."""
        ...

    async def clear(self, handle: Handle) -> None:
        """Clear away what is left of a machine that is over: processes that wait, sockets."""
        ...

    async def ask_to_stop(self, handle: Handle) -> None:
        """Ask the guest to end itself."""
        ...

    async def kill(self, handle: Handle) -> None:
        """End it, whatever it is doing."""
        ...

    async def reset(self, handle: Handle) -> None:
        """Press the reset button; raises RpcError not_supported where there is none."""
        ...

    async def pause(self, handle: Handle) -> None: ...
    async def resume(self, handle: Handle) -> None: ...

    async def destroy(self, handle: Handle, *, keep_disks: bool) -> None:
        """Remove all of it; refuses while it runs. Repeatable."""
        ...

    async def stats(self, handle: Handle) -> Sample:
        """What it uses now; all None for one that does not run."""
        ...

    async def console_log(self, handle: Handle, offset: int | None, limit: int) -> ConsolePage:
        """Some bytes of what the console showed, running or not."""
        ...

    async def console_send(self, handle: Handle, text: str) -> int:
        """Type on the console; returns how many bytes were taken."""
        ...

    async def console_open(self, handle: Handle) -> Console:
        """A stream from and to the console; its output begins now."""
        ...

    async def snapshots(self, handle: Handle) -> Sequence[Snapshot]: ...

    async def snapshot_create(
        self, handle: Handle, name: str, *, with_memory: bool, progress: Progress
    ) -> Snapshot: ...

    async def snapshot_restore(self, handle: Handle, name: str, progress: Progress) -> None: ...

    async def snapshot_delete(self, handle: Handle, name: str, progress: Progress) -> None: ...

    async def execute(self, handle: Handle, argv: Sequence[str], seconds: float) -> Executed:
        """Run a command inside; raises RpcError not_supported where that cannot be."""
        ...

    async def discover(self, known: Sequence[Handle]) -> Sequence[Foreign]:
        """What runs or lies here without a record; nothing is touched."""
        ...

    async def close(self) -> None:
        """Let go of all connections; machines go on."""
        ...
