"""The parameters of the methods on images of nodes, checked before anything is sent to one."""

from typing import Annotated

from msgspec import Meta, Struct

from hub.machines.params import Body, Size, Token, WaitSeconds, Word
from hub.params import Name


class OneImageOfNode(Struct, forbid_unknown_fields=True, kw_only=True):
    """One image of a node."""

    node: Name
    name: Word


class ImagesOfNode(Struct, forbid_unknown_fields=True, kw_only=True):
    """The images of one node."""

    node: Name


class _ImageOrder(Struct, forbid_unknown_fields=True, kw_only=True):
    node: Name
    name: Word
    request_id: Token | None = None
    wait_s: WaitSeconds = 2.0


class ImportImage(_ImageOrder, kw_only=True):
    """Where an image comes from: `path` on the node, or `url` with a sha256."""

    source: Body
    sha256: Word | None = None
    format: Word | None = None


class UploadImage(_ImageOrder, kw_only=True):
    """One piece of an image, base64; the last call names the sha256 of all."""

    upload: Word
    size_bytes: Annotated[int, Meta(ge=1, le=1 << 50)]
    offset: Size = 0
    data: Annotated[str, Meta(max_length=1_500_000)] = ""
    sha256: Word | None = None
    format: Word | None = None


class DeleteImage(_ImageOrder, kw_only=True):
    """Which image; `force` forgets that kept disks of deleted VMs stand on it."""

    force: bool = False
