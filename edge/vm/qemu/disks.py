"""The disks of machines: overlays on images, made by qemu-img. Blocking; call it off the loop."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.vm.driver import Snapshot
from edge.vm.model import MIB, Disk, Spec
from edge.vm.qemu.argv import Drive, Format
from edge.vm.qemu.header import HEADER_BYTES, read_header
from edge.vm.qemu.images import Images
from shared.errors import BadInput, RpcError

IMG_PROGRAM = "qemu-img"
ROOT = "root"
IMG_SECONDS_MAX = 60.0
BACKING_PATH_BYTES_MAX = 1023  # What the header of qcow2 can hold.


def disks_of(spec: Spec) -> tuple[Disk, ...]:
    """The disks of a machine, the first one boots: the image's own, with what the spec says of it.

    Raises RpcError invalid_params for two disks of one name, and one that has no size.
    """
    said = {disk.name: disk for disk in spec.disks}
    if len(said) != len(spec.disks):
        raise RpcError("invalid_params", "two disks have the same name")
    first = said.pop(ROOT, Disk(name=ROOT))
    root = Disk(name=ROOT, image=spec.image, size_mib=first.size_mib, readonly=first.readonly)
    if first.image not in (None, spec.image):
        raise RpcError("invalid_params", f"the disk {ROOT!r} and the machine name two images")
    for disk in said.values():
        if disk.image is None and disk.size_mib is None:
            raise RpcError("invalid_params", f"the disk {disk.name!r} needs an image or a size")
    return (root, *said.values())


def drives_of(spec: Spec, folder: Path) -> tuple[Drive, ...]:
    """How QEMU is to see them; node names are short, since QEMU takes 31 bytes only."""
    return tuple(
        Drive(f"disk{index}", folder / f"{disk.name}.qcow2", readonly=disk.readonly)
        for index, disk in enumerate(disks_of(spec))
    )


def check_disks(spec: Spec, images: Images) -> None:
    """Refuse disks that cannot be made: RpcError not_found, invalid_params, insufficient."""
    for disk in disks_of(spec):
        if disk.image is not None:
            _new_size(disk, *images.disk(disk.image))
    if spec.kernel is not None:
        images.file(spec.kernel.image)
        if spec.kernel.initrd is not None:
            images.file(spec.kernel.initrd)


def make_disks(spec: Spec, images: Images, folder: Path) -> None:
    """Make what is missing; a disk is whole or not there, so it can be asked for again.

    Raises RpcError as `check_disks`, and driver_error with the words of qemu-img.
    """
    for disk, drive in zip(disks_of(spec), drives_of(spec, folder), strict=True):
        if not drive.path.exists():
            waiting = drive.path.with_suffix(".new")
            waiting.unlink(missing_ok=True)
            run_img("create", "-q", "-f", "qcow2", *_create_words(disk, images, waiting))
            waiting.chmod(0o600)
            os.replace(waiting, drive.path)


def grow_disks(spec: Spec, folder: Path) -> None:
    """Make those larger that are to be; for a machine that does not run, whose guest sees it at its
    next boot. Never smaller, which would cut off what they hold. Raises RpcError as `run_img`."""
    for disk, drive in zip(disks_of(spec), drives_of(spec, folder), strict=True):
        if disk.size_mib is None:
            continue
        asked, path = disk.size_mib * MIB, str(drive.path)
        known = json.loads(run_img("info", "-U", "-f", "qcow2", "--output=json", path))
        if asked > known["virtual-size"]:
            run_img("resize", "-q", "-f", "qcow2", path, str(asked))


def virtual_bytes(path: Path, format_: Format) -> int:
    """How large the disk in an image is for its guest; raises RpcError invalid_params."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        # A raw file is never guessed at: a guest could have written any header into it.
        return path.stat().st_size if format_ == "raw" else read_header(head).virtual_bytes
    except BadInput as error:
        raise RpcError("invalid_params", str(error), {"path": path.name}) from error
    except OSError as error:
        raise RpcError("driver_error", f"the image cannot be read: {error.strerror}") from error


def offline_snapshots(path: Path) -> list[Snapshot]:
    """The snapshots in a disk that no machine has open; raises RpcError driver_error."""
    said = run_img("info", "-U", "-f", "qcow2", "--output=json", str(path))
    return [snapshot_of(entry) for entry in json.loads(said).get("snapshots", [])]


def snapshot_of(entry: dict[str, Any]) -> Snapshot:
    """One snapshot as QEMU and qemu-img describe it."""
    memory = int(entry.get("vm-state-size", 0))
    ms = int(entry.get("date-sec", 0)) * 1000 + int(entry.get("date-nsec", 0)) // 1_000_000
    return Snapshot(str(entry["name"]), ms, memory > 0, memory)


def run_img(*words: str) -> str:
    """Run qemu-img and return its output; raises RpcError driver_unavailable, insufficient,
    driver_error."""
    try:
        done = subprocess.run(
            [IMG_PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=IMG_SECONDS_MAX,
            check=False,
        )
    except FileNotFoundError as error:
        raise RpcError("driver_unavailable", f"{IMG_PROGRAM} is not installed") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RpcError("driver_error", f"{IMG_PROGRAM} did not work: {error}") from error
    if done.returncode:
        said = done.stderr.strip()[-500:]
        kind = "insufficient" if "No space left" in said else "driver_error"
        data = {"what": "disk"} if kind == "insufficient" else {}
        raise RpcError(kind, f"{IMG_PROGRAM} {words[0]}: {said}", data)
    return done.stdout


def _create_words(disk: Disk, images: Images, target: Path) -> Sequence[str]:
    if disk.image is None:
        return [str(target), f"{disk.size_mib}M"]
    path, format_ = images.disk(disk.image)
    size = _new_size(disk, path, format_)
    if len(os.fsencode(path)) > BACKING_PATH_BYTES_MAX:
        raise RpcError("driver_error", "the folder of images lies too deep for qcow2 overlays")
    return ["-b", str(path.absolute()), "-F", format_, str(target), str(size)]


def _new_size(disk: Disk, path: Path, format_: Format) -> int:
    base = virtual_bytes(path, format_)
    asked = base if disk.size_mib is None else disk.size_mib * MIB
    if asked < base:
        data = {"disk": disk.name, "asked": asked, "image": base}
        message = f"the image of disk {disk.name!r} needs {-(-base // MIB)} MiB"
        raise RpcError("invalid_params", message, data)
    return asked
