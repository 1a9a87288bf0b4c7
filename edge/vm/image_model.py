"""The values of a node's images."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

IMAGE_NAME_PATTERN = r"\A(?!builtin:|template:)[A-Za-z0-9][A-Za-z0-9:._/+-]{0,199}\Z"
ImageName = Annotated[str, Meta(pattern=IMAGE_NAME_PATTERN)]
"""As people name it; it is never part of a path. What ships with Headwater or runs as a process has
names of its own."""

Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class ImageFormat(StrEnum):
    """What a file was found to be. Only the first two are disks."""

    RAW = "raw"
    QCOW2 = "qcow2"
    KERNEL = "kernel"
    INITRD = "initrd"


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One image. `file` is its name in the store's folder; the file never changes.

    `virtual_bytes` is the size of the disk that a guest sees, None for what is no disk. Times in
    Unix ms.
    """

    name: str
    file: str
    sha256: str
    size_bytes: int
    format: ImageFormat
    virtual_bytes: int | None
    source: str
    created_ms: int
    created_by: str = ""
    via_hub: str = ""
    request_id: str = ""
    """Of the call that brought it, so that its operation is known to be done after a crash."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An image on its way in by pieces. How much of it came is what its file holds."""

    id: str
    name: str
    file: str
    size_bytes: int
    touched_ms: int
