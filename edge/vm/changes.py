"""What becomes of a machine's spec when a person changes parts of it, and what of that waits."""

from typing import Any

import msgspec

from edge.vm.model import Spec, State, Vm
from shared.errors import RpcError

LIVE = frozenset(
    {
        "name", "description", "labels", "restart", "restart_max", "restart_window_s", "autostart",
        "start_order", "start_delay_s", "stop_timeout_s", "on_host_shutdown", "expires_at_ms",
        "protected",
    }
)  # fmt: skip
"""Fields that are about the machine and not in it: they count at once, also while it runs."""

FIXED = frozenset({"driver", "arch", "image"})
"""Another one of these would be another machine."""

FIRST_DISK = "root"
"""Made from the machine's own image, whether the disk names it or not; its driver sees to that."""


def updated(vm: Vm, patch: dict[str, Any]) -> Vm:
    """The machine with fields of its spec replaced whole; raises RpcError invalid_params.

    What cannot change while it runs is listed in `pending_changes` until its next start.
    """
    fixed = sorted(FIXED & {key for key, value in patch.items() if value != _old(vm.spec, key)})
    if fixed:
        message = f"{', '.join(fixed)} cannot be changed: make another machine"
        raise RpcError("invalid_params", message, {"fields": fixed})
    try:
        spec = msgspec.convert({**msgspec.to_builtins(vm.spec), **patch}, Spec)
    except (msgspec.ValidationError, RecursionError) as error:
        raise RpcError("invalid_params", f"patch: {error}") from error
    _check_disks(vm.spec, spec)
    changed = {key for key in Spec.__struct_fields__ if getattr(spec, key) != getattr(vm.spec, key)}
    if not changed:
        return vm
    is_up = vm.state in (State.RUNNING, State.PAUSED)
    waiting = {*vm.pending_changes, *changed} - LIVE if is_up else set()
    generation = vm.generation + 1
    return msgspec.structs.replace(
        vm,
        spec=spec,
        generation=generation,
        observed_generation=vm.observed_generation if waiting else generation,
        pending_changes=tuple(sorted(waiting)),
    )


def _check_disks(old: Spec, new: Spec) -> None:
    """A disk that was made keeps the image under it, and all that it holds."""
    made = {disk.name: disk for disk in old.disks}
    for disk in new.disks:
        before = made.get(disk.name, disk)
        if disk.image != before.image and disk.name != FIRST_DISK:
            message = (
                f"disk {disk.name!r} was made from another image: give the new one another name"
            )
            raise RpcError("invalid_params", message, {"disk": disk.name})
        if disk.size_mib is not None and disk.size_mib < (before.size_mib or 0):
            message = f"disk {disk.name!r} has {before.size_mib} MiB and cannot be made smaller"
            raise RpcError("invalid_params", message, {"disk": disk.name})


def _old(spec: Spec, key: str) -> Any:
    return msgspec.to_builtins(getattr(spec, key, None))
