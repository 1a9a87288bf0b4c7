"""The parameters of the methods on images, checked at the door."""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta

from edge.vm.image_model import ImageFormat, ImageName, Sha256
from edge.vm.params import Listing, Mutating
from shared.errors import RpcError

PIECE_BYTES_MAX = 1024 * 1024
"""A message of the link carries it, base64 and all."""

SIZE_BYTES_MAX = 1 << 50
UploadId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{8,64}\Z")]


class OneImage(Listing, frozen=True, kw_only=True):
    """image.get"""

    name: ImageName


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an image comes from: one of the two."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    url: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None


class Import(Mutating, frozen=True, kw_only=True):
    """image.import; a `format` that is not what is found is refused."""

    name: ImageName
    source: Source
    sha256: Sha256 | None = None
    format: ImageFormat | None = None


class Remove(Mutating, frozen=True, kw_only=True):
    """image.delete; `force` forgets that disks were kept of machines that are deleted."""

    name: ImageName
    force: bool = False


class Piece(Mutating, frozen=True, kw_only=True):
    """image.upload: one piece. The last call names the sha256 of all; it may bring a piece or
    none."""

    upload: UploadId
    name: ImageName
    size_bytes: Annotated[int, Meta(ge=1, le=SIZE_BYTES_MAX)]
    offset: Annotated[int, Meta(ge=0, le=SIZE_BYTES_MAX)] = 0
    data: Annotated[str, Meta(max_length=PIECE_BYTES_MAX * 4 // 3 + 4)] = ""
    sha256: Sha256 | None = None
    format: ImageFormat | None = None


def check_source(wish: Import) -> None:
    """Raise RpcError invalid_params for a source that is none or two, and a URL without a hash."""
    if (wish.source.path is None) == (wish.source.url is None):
        raise RpcError("invalid_params", "source: name either a path or a url")
    if wish.source.url is not None and wish.sha256 is None:
        message = "sha256: an image from elsewhere needs the hash that it must have"
        raise RpcError("invalid_params", message)


def bytes_of(piece: Piece) -> bytes:
    """What a piece brings; raises RpcError invalid_params."""
    try:
        data = base64.b64decode(piece.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RpcError("invalid_params", f"data: not base64: {error}") from error
    if len(data) > PIECE_BYTES_MAX:
        raise RpcError("invalid_params", f"data: a piece may have {PIECE_BYTES_MAX} bytes")
    if piece.offset + len(data) > piece.size_bytes:
        raise RpcError("invalid_params", f"data: goes past the {piece.size_bytes} bytes of all")
    return data
