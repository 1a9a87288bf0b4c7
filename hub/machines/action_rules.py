"""What can be asked of a VM now, and why not the rest: by its state and what its driver can do. Rules
only."""

from collections.abc import Collection, Mapping
from typing import Any

STATES: Mapping[str, frozenset[str]] = {
    "start": frozenset({"stopped", "paused", "failed"}),
    "stop": frozenset({"running", "paused"}),
    "stop_force": frozenset({"running", "paused"}),
    "reboot": frozenset({"running"}),
    "reset": frozenset({"running"}),
    "pause": frozenset({"running"}),
    "resume": frozenset({"paused"}),
    "delete": frozenset({"stopped", "failed"}),
    "update": frozenset({"stopped", "running", "paused", "failed"}),
    "clone": frozenset({"stopped", "failed"}),
    "snapshot": frozenset({"stopped", "running", "paused", "failed"}),
    "snapshot_memory": frozenset({"running", "paused"}),
    "exec": frozenset({"running"}),
    "console": frozenset({"running", "paused"}),
}
"""In which states each changes something; asking for what is so already is no error."""

NEEDS: Mapping[str, str] = {
    "stop": "graceful_stop",
    "reset": "reset",
    "pause": "pause",
    "resume": "pause",
    "snapshot": "disk_snapshot",
    "snapshot_memory": "memory_snapshot",
    "exec": "exec",
    "console": "console_rw",
}
"""What its driver must be able to, for an action."""

OVER_WORK = frozenset({"stop_force"})
"""What may be asked while other work on it goes on."""


def actions_of(
    vm: Mapping[str, Any], capabilities: Collection[str] | None
) -> dict[str, dict[str, Any]]:
    """Each action with whether it can be asked now, and the reason when not. Without capabilities,
    which only the node tells, the state alone decides."""
    found = {action: _why_not(vm, action, capabilities) for action in STATES}
    return {
        action: {"possible": True} if not why else {"possible": False, "why": why}
        for action, why in found.items()
    }


def _why_not(vm: Mapping[str, Any], action: str, capabilities: Collection[str] | None) -> str:
    needed = NEEDS.get(action)
    if capabilities is not None and needed is not None and needed not in capabilities:
        return f"the driver {vm.get('driver')} cannot do this"
    if vm.get("freshness") != "live":
        return f"{vm.get('node_id')} is silent: no order arrives there now"
    if vm.get("task") and action not in OVER_WORK:
        return f"it is {vm.get('task')} now"
    if vm.get("state") not in STATES[action]:
        return f"it is {vm.get('state')}"
    return ""
