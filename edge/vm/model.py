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
    UPDATE = "update"
    SNAPSHOT = "snapshot"
    RESTORE = "restore"
    DROP = "drop"
    """Delete a snapshot."""
    CLONE = "clone"


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


class HostShutdown(StrEnum):
    """What an agent that is told of the host's end does with a machine."""

    STOP = "stop"
    FORCE = "force"
    LEAVE = "leave"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a machine may use. Of a sandbox without a control group, `memory_mib` binds each process
    by itself; `disk_mib` each scratch folder. `cpu_percent` is of one core."""

    memory_mib: Annotated[int, Meta(ge=16, le=16 * MIB)] | None = None
    pids: Annotated[int, Meta(ge=4, le=32_768)] = 256
    disk_mib: Annotated[int, Meta(ge=1, le=65_536)] = 64
    cpu_percent: Annotated[int, Meta(ge=1, le=102_400)] | None = None


class Disk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A disk of a VM: an overlay on an image, or empty with a size. The first one boots."""

    name: Name = "root"
    image: Image | None = None
    size_mib: Annotated[int, Meta(ge=1, le=16 * MIB)] | None = None
    readonly: bool = False


class Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A port of the host that leads to one of the guest. Host port 0: one that is free."""

    guest: Annotated[int, Meta(ge=1, le=65_535)]
    host: Annotated[int, Meta(ge=0, le=65_535)] = 0
    proto: Literal["tcp", "udp"] = "tcp"
    bind: Annotated[str, Meta(pattern=r"\A[0-9a-f.:]{2,45}\Z")] = "127.0.0.1"


class Nic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network card of a VM; `user` reaches out through the host and is reached by its ports only."""

    mode: Literal["none", "user"] = "user"
    model: Literal["virtio", "e1000"] = "virtio"
    mac: Annotated[str, Meta(pattern=r"\A[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")] | None = None
    ports: Annotated[tuple[Port, ...], Meta(max_length=64)] = ()


class CloudInit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a cloud image reads at its first boot (cloud-init's NoCloud source)."""

    user_data: Annotated[str, Meta(max_length=64 * 1024)] = ""
    meta_data: Annotated[str, Meta(max_length=64 * 1024)] = ""
    network: Annotated[str, Meta(max_length=64 * 1024)] = ""


class Kernel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A Linux kernel that is loaded without a boot loader, from the node's images."""

    image: Image
    initrd: Image | None = None
    cmdline: Annotated[str, Meta(pattern=r"\A[\x20-\x7e]*\Z", max_length=2048)] = "console=ttyS0"


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a person asks for. Sizes in MiB, times in seconds.

    `image` is the first disk's for a VM; `disks` says more of it (by the name `root`) and adds others.
    """

    name: Name
    image: Image
    driver: Literal["auto", "sandbox", "qemu"] = "auto"
    arch: Literal["auto", "x86_64", "aarch64"] = "auto"
    description: Annotated[str, Meta(max_length=1024)] = ""
    cpus: Annotated[int, Meta(ge=1, le=1024)] = 1
    memory_mib: Annotated[int, Meta(ge=16, le=16 * MIB)] | None = None
    limits: Limits = Limits()
    disks: Annotated[tuple[Disk, ...], Meta(max_length=16)] = ()
    nics: Annotated[tuple[Nic, ...], Meta(max_length=8)] = ()
    kernel: Kernel | None = None
    cloud_init: CloudInit | None = None
    env: Annotated[dict[VariableName, VariableText], Meta(max_length=64)] = {}
    labels: Annotated[dict[LabelName, LabelText], Meta(max_length=64)] = {}
    restart: Restart = Restart.NEVER
    restart_max: Annotated[int, Meta(ge=1, le=1000)] = 5
    restart_window_s: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    autostart: Autostart = Autostart.LAST
    start_order: Annotated[int, Meta(ge=0, le=10_000)] = 0
    start_delay_s: Annotated[float, Meta(ge=0, le=600)] = 0.0
    stop_timeout_s: Annotated[float, Meta(ge=0, le=3600)] = 60.0
    on_host_shutdown: HostShutdown = HostShutdown.STOP
    expires_at_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    console_mib: Annotated[int, Meta(ge=1, le=1024)] | None = None
    protected: bool = False


class Exit(msgspec.Struct, frozen=True):
    """How a payload ended: by itself with a code, or by a signal."""

    code: int | None
    signal: int | None
    at_ms: int


class Failure(msgspec.Struct, frozen=True):
    """Why something did not work; `kind` as in shared.jsonrpc.CODES, or `interrupted`. `data` is what
    the error says beside its words, as which resource was short and how much was asked."""

    kind: str
    message: str
    at_ms: int
    data: dict[str, Any] = {}


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
    accel: str = ""
    limits_enforced: dict[str, bool] = {}
    ports: tuple[Port, ...] = ()
    observed_generation: int = 1
    pending_changes: tuple[str, ...] = ()
    """Fields of the spec that take effect with the next start."""
    health: str = ""
    """Empty, or `unresponsive`: the process lives and does not answer."""
    handle: dict[str, Any] = {}
    is_made: bool = False
    """True once its driver has made all that it needs to be started."""
    removal: Literal["", "all", "but_disks"] = ""
    """Not empty once a delete has begun to remove things: nothing else can be done with it then."""
    boot_id: str = ""
    epoch: str = ""
    seq: int = 0
    observed_ms: int = 0

    @property
    def name(self) -> str:
        """Unique on its node while the machine exists."""
        return self.spec.name


class OpLine(msgspec.Struct, frozen=True):
    """One line of what an operation did."""

    at_ms: int
    text: str


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
    log: tuple[OpLine, ...] = ()
    may_cancel: bool = False

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
    stats_seconds: float = 15.0  # A chart of an hour has 240 points; a look costs a millisecond.
    starts_at_once_max: int = 4  # Guests that boot together are slower than one after the other.
    stops_at_once_max: int = 16  # Few seconds are left, and asking costs nothing.
    close_seconds_max: float = 3.0  # The whole agent must be gone within five.
    image_folders: tuple[str, ...] = ()  # A path that anybody may name reaches nothing unasked.
    image_urls: tuple[str, ...] = ()  # Whoever may name a URL sees what the node sees behind it.
    image_bytes_max: int = 32 * 1024 * MIB  # Room for the largest cloud images that people make.
    images_bytes_max: int = 128 * 1024 * MIB  # Four of those; a small disk sets its own end.
    image_free_bytes_min: int = 512 * MIB  # The agent's buffer and books must still be written.
