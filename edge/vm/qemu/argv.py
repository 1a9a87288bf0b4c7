"""The command line of one machine. Pure, so that a table of cases tests it.

Values of people never reach an option that QEMU splits at commas: disks are given as JSON, and
everything else was checked by the patterns of the spec.
"""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.vm.model import Nic, Port, Spec

PROGRAM = "qemu-system-x86_64"
QMP_SOCKET, SERIAL_SOCKET = "qmp.sock", "serial.sock"
PID_FILE, GAP_FILE = "pid", "gap.log"
SERIAL = "serial0"
MEMORY_MIB_DEFAULT = 512
TRANSLATION_CACHE_MIB = 32  # The default is 1 GiB, which a guest that resets for ever fills.
NIC_MODELS = {"virtio": "virtio-net-pci", "e1000": "e1000e"}

Format = Literal["raw", "qcow2"]


@dataclass(frozen=True, slots=True)
class Drive:
    """One disk as QEMU is to see it; `node` names it in every later command."""

    node: str
    path: Path
    format: Format = "qcow2"
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Setup:
    """All that the command line needs besides the spec. `ports` belong to the cards, in order."""

    folder: Path
    identity: uuid.UUID
    accel: str
    memory_mib: int
    drives: tuple[Drive, ...] = ()
    ports: tuple[tuple[Port, ...], ...] = ()
    seed: Path | None = None
    kernel: Path | None = None
    initrd: Path | None = None


def identity_of(vm_id: str) -> uuid.UUID:
    """The id as QEMU wants it; an id that is no UUID is given one that always is the same."""
    try:
        return uuid.UUID(vm_id)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, vm_id)


def command_line(spec: Spec, setup: Setup, program: str = PROGRAM) -> list[str]:
    """What to execute with the machine's folder as working directory.

    The sockets are bound by their bare names, so that 107 bytes always are enough for them.
    """
    return [
        program,
        *_machine(spec, setup),
        *_process(setup.folder),
        *_console(),
        *(word for drive in setup.drives for word in _disk(drive)),
        *(_seed(setup.seed) if setup.seed else ()),
        *_kernel(spec, setup),
        *(word for index, nic in enumerate(spec.nics) for word in _nic(index, nic, setup)),
    ]


def accel_word(accel: str) -> str:
    """The value of -accel."""
    return f"tcg,tb-size={TRANSLATION_CACHE_MIB}" if accel == "tcg" else accel


def mac_of(identity: uuid.UUID, index: int) -> str:
    """A card's address that stays the same for the life of a machine (QEMU's own prefix)."""
    tail = (int.from_bytes(identity.bytes[-3:], "big") + index) % 2**24
    return ":".join(("52", "54", "00", *(f"{byte:02x}" for byte in tail.to_bytes(3, "big"))))


def _machine(spec: Spec, setup: Setup) -> list[str]:
    return [
        *("-name", f"guest={spec.name}", "-uuid", str(setup.identity)),
        *("-machine", "q35", "-accel", accel_word(setup.accel)),
        *("-m", f"{setup.memory_mib}M", "-smp", str(spec.cpus)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        # By it a kernel says that it panicked. On the ISA bus, where older kernels look, too.
        *("-device", "pvpanic"),
    ]


def _process(folder: Path) -> list[str]:
    return [
        # This forbids -daemonize as well, whose fork comes later; we make it a daemon ourselves.
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *("-msg", "timestamp=on", "-no-shutdown"),
        # The full path: by it a later agent knows this process as the one of this folder.
        *("-pidfile", str(folder / PID_FILE)),
        *("-qmp", f"unix:{QMP_SOCKET},server=on,wait=off"),
    ]


def _console() -> list[str]:
    socket = f"socket,id={SERIAL},path={SERIAL_SOCKET},server=on,wait=off"
    return [
        *("-chardev", f"{socket},logfile={GAP_FILE},logappend=on"),
        *("-serial", f"chardev:{SERIAL}"),
    ]


def _disk(drive: Drive) -> list[str]:
    file = {"driver": "file", "filename": str(drive.path)}
    node: dict[str, Any] = {"driver": drive.format, "node-name": drive.node, "file": file}
    node |= {"read-only": True} if drive.readonly else {"discard": "unmap"}
    device = f"virtio-blk-pci,drive={drive.node},id=dev-{drive.node}"
    return ["-blockdev", json.dumps(node), "-device", device]


def _seed(folder: Path) -> list[str]:
    """Files that cloud-init's NoCloud source finds by the label; made into a disk by QEMU."""
    node = {"driver": "vvfat", "node-name": "seed", "dir": str(folder), "label": "CIDATA"}
    return [
        *("-blockdev", json.dumps({**node, "read-only": True})),
        *("-device", "virtio-blk-pci,drive=seed,id=dev-seed"),
    ]


def _kernel(spec: Spec, setup: Setup) -> list[str]:
    if spec.kernel is None or setup.kernel is None:
        return []
    initrd = ["-initrd", str(setup.initrd)] if setup.initrd else []
    return ["-kernel", str(setup.kernel), *initrd, "-append", spec.kernel.cmdline]


def _nic(index: int, nic: Nic, setup: Setup) -> list[str]:
    if nic.mode == "none":
        return []
    ports = setup.ports[index] if index < len(setup.ports) else ()
    forwards = "".join(
        f",hostfwd={port.proto}:{port.bind}:{port.host}-:{port.guest}" for port in ports
    )
    mac = nic.mac or mac_of(setup.identity, index)
    return [
        *("-netdev", f"user,id=net{index}{forwards}"),
        *("-device", f"{NIC_MODELS[nic.model]},netdev=net{index},id=dev-net{index},mac={mac}"),
    ]
