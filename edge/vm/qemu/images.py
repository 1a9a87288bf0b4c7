"""The disk images of a node as this driver needs them, with our own guest among them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edge.vm.qemu.argv import Format
from edge.vm.tiny import TINY, tiny_disk
from shared.errors import RpcError


class ImageStore(Protocol):
    """Where images lie. Files of images never change while overlays build on them."""

    def names(self) -> Sequence[str]:
        """Every image, sorted."""
        ...

    def path_of(self, name: str) -> Path:
        """Its file; raises RpcError not_found."""
        ...

    def format_of(self, name: str) -> str:
        """`raw`, `qcow2`, or another word for what is no disk; raises RpcError not_found."""
        ...


class NoImages:
    """A store of a node that holds none."""

    def names(self) -> Sequence[str]:
        return ()

    def path_of(self, name: str) -> Path:
        raise RpcError("not_found", f"this node has no image {name!r}", {"image": name})

    def format_of(self, name: str) -> str:
        raise RpcError("not_found", f"this node has no image {name!r}", {"image": name})


DISKS = ("raw", "qcow2")


class Images:
    """A store together with the guest that is always there."""

    def __init__(self, store: ImageStore, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def names(self) -> tuple[str, ...]:
        """Every image that a machine can be made from."""
        disks = (name for name in self._store.names() if self._store.format_of(name) in DISKS)
        return (TINY, *(name for name in disks if name != TINY))

    def disk(self, name: str) -> tuple[Path, Format]:
        """The file and the format of a disk; blocking. Raises RpcError not_found or
        invalid_params."""
        if name == TINY:
            return tiny_disk(self._folder), "raw"
        path, word = self._store.path_of(name), self._store.format_of(name)
        if word == "raw":
            return path, "raw"
        if word == "qcow2":
            return path, "qcow2"
        raise RpcError("invalid_params", f"image {name!r} is no disk but {word}", {"image": name})

    def file(self, name: str) -> Path:
        """The file of a kernel or an initial disk; raises RpcError not_found."""
        return self._store.path_of(name)
