"""Images as JSON for people, pages and hubs."""

from collections.abc import Sequence
from typing import Any

from edge.vm.image_model import ImageRecord
from edge.vm.model import Spec, Vm
from edge.vm.views import rfc3339


def image_view(image: ImageRecord) -> dict[str, Any]:
    """One image."""
    return {
        "name": image.name,
        "format": image.format.value,
        "sha256": image.sha256,
        "size_bytes": image.size_bytes,
        "virtual_bytes": image.virtual_bytes,
        "source": image.source,
        "created_at": rfc3339(image.created_ms),
        "created_by": image.created_by,
        "via_hub": image.via_hub,
    }


def images_of(spec: Spec) -> set[str]:
    """Every image that a machine is made from."""
    named = [spec.image, *(disk.image for disk in spec.disks)]
    if spec.kernel is not None:
        named += [spec.kernel.image, spec.kernel.initrd]
    return {name for name in named if name is not None}


def users_of(name: str, vms: Sequence[Vm]) -> list[str]:
    """The names of the machines that need an image, sorted."""
    return sorted(vm.name for vm in vms if name in images_of(vm.spec))
