"""What a qcow2 file says about itself, read by us before any program opens it.

An image can name other files of this host as its backing or its data, and would then show them to
the guest. Source: QEMU, docs/interop/qcow2.txt.
"""

import struct
from dataclasses import dataclass

from shared.errors import BadInput

HEADER_BYTES = 80
MAGIC = b"QFI\xfb"
VIRTUAL_BYTES_MAX = 16 * 2**40
CLUSTER_BITS = range(9, 22)
EXTERNAL_DATA = 1 << 2
FEATURES_KNOWN = 0b11111
"""Dirty, corrupt, external data, compression type, extended L2."""


@dataclass(frozen=True, slots=True)
class Qcow2:
    """The facts of a file that stands on its own."""

    virtual_bytes: int


def read_header(data: bytes) -> Qcow2:
    """Judge the first bytes of a file; raises BadInput for all that is not a plain, whole qcow2."""
    if len(data) < HEADER_BYTES or data[:4] != MAGIC:
        raise BadInput("the image is not a qcow2 file")
    version, backing, _, bits, virtual, encryption = struct.unpack_from(">IQIIQI", data, 4)
    features = struct.unpack_from(">Q", data, 72)[0] if version >= 3 else 0
    if version not in (2, 3):
        raise BadInput(f"the image is a qcow2 file of the unknown version {version}")
    if backing:
        raise BadInput("the image builds on another file, which could be any file of this host")
    if features & EXTERNAL_DATA:
        raise BadInput("the image keeps its data in another file, which could be any of this host")
    if features & ~FEATURES_KNOWN:
        raise BadInput(f"the image needs features that are not known: {features:#x}")
    if encryption:
        raise BadInput("the image is encrypted")
    if bits not in CLUSTER_BITS or not 0 < virtual <= VIRTUAL_BYTES_MAX:
        raise BadInput(f"the image claims to hold {virtual} bytes in clusters of 2**{bits}")
    return Qcow2(virtual)
