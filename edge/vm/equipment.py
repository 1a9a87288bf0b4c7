"""The drivers that every node has. What a node lacks for one of them, the driver itself says."""

from collections.abc import Sequence
from pathlib import Path

from edge.vm.driver import Driver
from edge.vm.image_store import ImageStore
from edge.vm.model import VmSettings
from edge.vm.qemu.driver import QemuDriver
from edge.vm.sandbox import SandboxDriver
from shared.runtime import Runtime


def equipment(
    folder: Path, runtime: Runtime, settings: VmSettings, images: ImageStore
) -> Sequence[Driver]:
    """The drivers, below a folder of the node; the first that knows an image runs it."""
    return (
        SandboxDriver(folder / "sandboxes", runtime, settings),
        QemuDriver(folder / "qemu", runtime, settings, images),
    )
