"""The values of this package: what was asked of a machine, what it does, and the work on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MIB = 1024 * 1024

NAME_PATTERN = r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z"
ID_PATTERN = r"\A[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?\Z"
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
VmId = Annotated[str, Meta(pattern=ID_PATTERN)]
Image = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9:._/+-]{0,199}\Z")]
VariableName = Annotated[str, Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]{0,63}\Z")]
VariableText = Annotated[str, Meta(pattern=r"\A[^\x00]*\Z", max_length=4096)]
LabelName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._/-]{0,62}\Z")]
LabelText = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f]*\Z", max_length=255)]


class Power(StrEnum):
    """What people want of a machine."""

    RUNNING = "running"
    STOPPED = "stopped"


class State(StrEnum):
    """What a machine was seen to be."""

    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    FAILED = "failed"
    ABSENT = "absent"


class Move(StrEnum):
    """What can be asked of a machine. KILL is a forced stop, DESTROY a forced delete."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    KILL = "kill"
    REBOOT = "reboot"
    PAUSE = "pause"
    RESUME = "resume"
    DELETE = "delete"
    DESTROY = "destroy"


class OpState(StrEnum):
    """Where an operation stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Restart(StrEnum):
    """When a machine that ended by itself is started again."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Autostart(StrEnum):
    """What happens after the host, or an agent that stopped its machines, comes back."""

    LAST = "last"
    ALWAYS = "always"
    NEVER = "never"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sandbox may use. `memory_mib` binds each process by itself, `disk_mib` each scratch
    folder."""

    memory_mib: Annotated[int, Meta(ge=16, le=16 * MIB)] | None = None
    pids: Annotated[int, Meta(ge=4, le=32_768)] = 256
    disk_mib: Annotated[int, Meta(ge=1, le=65_536)] = 64


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a person asks for. Sizes in MiB, times in seconds."""

    name: Name
    image: Image
    driver: Literal["auto", "sandbox"] = "auto"
    description: Annotated[str, Meta(max_length=1024)] = ""
    cpus: Annotated[int, Meta(ge=1, le=1024)] = 1
    memory_mib: Annotated[int, Meta(ge=16, le=16 * MIB)] | None = None
    limits: Limits = Limits()
    env: Annotated[dict[VariableName, VariableText], Meta(max_length=64)] = {}
    labels: Annotated[dict[LabelName, LabelText], Meta(max_length=64)] = {}
    restart: Restart = Restart.NEVER
    restart_max: Annotated[int, Meta(ge=1, le=1000)] = 5
    restart_window_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    autostart: Autostart = Autostart.LAST
    start_order: Annotated[int, Meta(ge=0, le=10_000)] = 0
    start_delay_s: Annotated[float, Meta(ge=0, le=600)] = 0.0
    stop_timeout_s: Annotated[float, Meta(ge=0, le=3600)] = 60.0
    protected: bool = False


class Exit(msgspec.Struct, frozen=True):
    """How a payload ended: by itself with a code, or by a signal."""

    code: int | None
    signal: int | None
    at_ms: int


class Failure(msgspec.Struct, frozen=True):
    """Why something did not work; `kind` as in shared.jsonrpc.CODES, or `interrupted`."""

    kind: str
    message: str
    at_ms: int


class Vm(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one machine; the edge that hosts it is its only writer. Times in Unix ms.

    `power` is desired, `state` with `reason` observed, and `task` the work in flight.
    """

    id: str
    node_id: str
    spec: Spec
    kind: str
    driver: str
    created_ms: int
    created_by: str = ""
    generation: int = 1
    power: Power = Power.STOPPED
    state: State = State.STOPPED
    reason: str = "never_started"
    task: Move | None = None
    op_id: str | None = None
    exit: Exit | None = None
    last_error: Failure | None = None
    pid: int | None = None
    started_ms: int | None = None
    restarts: int = 0
    is_restart_due: bool = False
    isolation: str | None = None
    limits_enforced: dict[str, bool] = {}
    handle: dict[str, Any] = {}
    boot_id: str = ""
    epoch: str = ""
    seq: int = 0
    observed_ms: int = 0

    @property
    def name(self) -> str:
        """Unique on its node while the machine exists."""
        return self.spec.name


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work on one machine, kept after its end so that people can ask who did what."""

    id: str
    request_id: str
    vm_id: str
    vm_name: str
    node_id: str
    method: str
    move: Move
    created_ms: int
    updated_ms: int
    state: OpState = OpState.RUNNING
    progress: int | None = None
    stage: str = ""
    changed: bool = False
    error: Failure | None = None
    result: dict[str, Any] | None = None
    requested_by: str = ""
    via_hub: str = ""

    @property
    def is_over(self) -> bool:
        """True once nothing more will happen to it."""
        return self.state is not OpState.RUNNING


@dataclass(frozen=True, slots=True)
class VmEvent:
    """Something that happened to a machine, for the event log."""

    time_ns: int
    vm_id: str
    vm_name: str
    name: str
    severity: str
    text: str
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class VmSettings:
    """What the node's own configuration says about its machines."""

    on_stop: Literal["leave", "stop"] = (
        "leave"  # An agent upgrade should not be noticed by machines.
    )
    allow_unisolated: bool = False  # A plain child of a root agent is the host itself.
    templates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    readable_paths: tuple[
        str, ...
    ] = ()  # Shown read-only in sandboxes, for templates that need them.
    sandbox_uid: int = 65534  # Who a payload is when the agent is root: never root.
    vms_max: int = 100  # A record and a log each; far above what a small machine can run.
    console_bytes_max: int = 4 * MIB  # Some ten thousand lines for each machine.
    operations_max: int = 200  # For each machine, so that a loop of starts cannot fill the disk.
    observe_seconds: float = 5.0  # A safety net only: ends are heard at once through the shim.
    close_seconds_max: float = 3.0  # The whole agent must be gone within five.
