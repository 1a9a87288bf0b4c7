"""The folder of one machine: made before it starts, tidied after its end, removed with it.
Blocking."""

import shutil
from pathlib import Path

from edge.vm.driver import Handle
from edge.vm.model import MIB, Vm
from edge.vm.qemu.argv import Setup, command_line, identity_of
from edge.vm.qemu.checks import memory_mib_of
from edge.vm.qemu.console import absorb
from edge.vm.qemu.disks import drives_of, grow_disks, make_disks
from edge.vm.qemu.images import Images
from edge.vm.qemu.launch import launch, remove_leftovers
from edge.vm.qemu.ports import cards, ports_of
from edge.vm.qemu.process import Process
from edge.vm.qemu.seed import write_seed
from shared.errors import RpcError

BUILTIN = "builtin"
DISK_SUFFIX = ".qcow2"
CONSOLE_BYTES = 4 * MIB


def key_of(handle: Handle) -> str:
    """The name of a machine's folder."""
    return str(handle.get("folder") or "none")


def console_bytes(handle: Handle) -> int:
    """How much of its console is kept."""
    return int(handle.get("console_bytes", CONSOLE_BYTES))


def prepare(vm: Vm, folder: Path, images: Images) -> None:
    """Make the folder and the disks; repeatable. Raises RpcError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_disks(vm.spec, images, folder)
    except OSError as error:
        raise _unwritable(error) from error


def run(vm: Vm, folder: Path, accel: str, images: Images) -> Process:
    """Start QEMU, or find the one that runs; raises RpcError."""
    try:
        absorb(folder, console_bytes(vm.handle))
        grow_disks(vm.spec, folder)
        kernel = vm.spec.kernel
        setup = Setup(
            folder=folder,
            identity=identity_of(vm.id),
            accel=accel,
            memory_mib=memory_mib_of(vm.spec),
            drives=drives_of(vm.spec, folder),
            ports=cards(vm.spec, ports_of(vm.handle)),
            seed=write_seed(vm, folder),
            kernel=images.file(kernel.image) if kernel else None,
            initrd=images.file(kernel.initrd) if kernel and kernel.initrd else None,
        )
        return launch(folder, command_line(vm.spec, setup))
    except OSError as error:
        raise _unwritable(error) from error


def tidy(folder: Path, bytes_max: int) -> None:
    """After the end of a QEMU: keep its last words, remove its sockets. Raises OSError."""
    if folder.exists():
        absorb(folder, bytes_max)
        remove_leftovers(folder)


def remove(folder: Path, keep_disks: bool) -> None:
    """Remove the folder, or all in it but the disks. Raises OSError."""
    if not folder.exists():
        return
    if not keep_disks:
        shutil.rmtree(folder)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != DISK_SUFFIX:
            path.unlink()


def foreign_folders(root: Path, known: set[str]) -> list[Path]:
    """Folders of machines that nobody knows, sorted."""
    if not root.exists():
        return []
    return sorted(
        path for path in root.iterdir() if path.is_dir() and path.name not in {*known, BUILTIN}
    )


def _unwritable(error: OSError) -> RpcError:
    kind = "insufficient" if error.errno == 28 else "driver_error"
    data = {"what": "disk"} if kind == "insufficient" else {}
    return RpcError(kind, f"the machine's folder cannot be written: {error}", data)
