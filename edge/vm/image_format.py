"""What a file is, by its own bytes: nobody's word is taken for it, and nothing opens it before.

Formats that hold a disk and are not ours could name other files of this host, so they are refused
by name instead of being taken for raw bytes. Sources: the format probes of QEMU (block/*.c), the Linux boot
protocol (Documentation/arch/x86/boot.rst), Documentation/arch/arm64/booting.rst.
"""

from typing import Any

from edge.vm.image_model import ImageFormat
from edge.vm.qemu.header import MAGIC, read_header
from shared.errors import BadInput

HEAD_BYTES = 4096
SECTOR_BYTES = 512

FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (0, b"QED\0", "qed"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"Bochs Virtual HD Image", "bochs"),
    (0, b"#!/bin/sh\n#V2.0 Format\n", "cloop"),
    (0, b"OOOM\0", "cow"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
)
KERNELS = ((0x202, b"HdrS"), (0x38, b"ARM\x64"), (0, b"\x7fELF"))
PACKED = (
    b"070701", b"070702", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh", b"\x5d\0\0",
    b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18", b"\x89LZO",
)  # fmt: skip
"""How an initial disk begins: cpio, or what the kernel can unpack."""


def found_format(head: bytes) -> ImageFormat:
    """What begins like this; raises BadInput for nothing at all, and for foreign formats of disks."""
    if not head:
        raise BadInput("the image is empty")
    if head.startswith(MAGIC):
        return ImageFormat.QCOW2
    for offset, magic, name in FOREIGN:
        if head.startswith(magic, offset):
            raise BadInput(f"the image is in the format {name}: convert it to qcow2 or raw first")
    if any(head.startswith(magic, offset) for offset, magic in KERNELS):
        return ImageFormat.KERNEL
    if head.startswith(PACKED):
        return ImageFormat.INITRD
    return ImageFormat.RAW


def judge_format(
    head: bytes, size_bytes: int, claimed: ImageFormat | None
) -> tuple[ImageFormat, int | None]:
    """The format and the size of the disk in it; raises BadInput for a file that is not what it
    was said to be, and for one that could reach other files."""
    found = found_format(head)
    if claimed not in (None, found):
        raise BadInput(f"the image is {found.value}, not {claimed} as was said")
    if found is ImageFormat.QCOW2:
        return found, read_header(head).virtual_bytes
    if found is ImageFormat.RAW and size_bytes % SECTOR_BYTES:
        # Headers and texts that were saved by mistake, and downloads that were cut.
        raise BadInput(f"the image is no whole disk: {size_bytes} bytes are no whole sectors")
    return found, size_bytes if found is ImageFormat.RAW else None


def judge_info(said: Any, expected: ImageFormat, virtual_bytes: int | None) -> None:
    """Compare with what `qemu-img info --output=json` said; raises BadInput where the two differ."""
    if not isinstance(said, dict):
        raise BadInput("qemu-img said nothing that can be read")
    if said.get("format") != expected.value:
        raise BadInput(
            f"the image is {expected.value} to us and {said.get('format')!r} to qemu-img"
        )
    for key in ("backing-filename", "full-backing-filename", "data-file"):
        if said.get(key) is not None:
            raise BadInput(f"the image names another file of this host ({key})")
    if said.get("virtual-size") != virtual_bytes:
        raise BadInput("the image says two different sizes of its disk")
    _judge_details(said.get("format-specific"))


def _judge_details(details: Any) -> None:
    data = details.get("data") if isinstance(details, dict) else None
    if not isinstance(data, dict):
        return
    if data.get("data-file") is not None:
        raise BadInput("the image keeps its data in another file of this host")
    if data.get("encrypt") is not None:
        raise BadInput("the image is encrypted")
    if data.get("corrupt"):
        raise BadInput("the image is marked as corrupt")
