"""A machine as pages show it: its sign, how long it is up, and what can be asked of it, or why not."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Vm = Mapping[str, Any]

KINDS: Mapping[str, str] = {"vm": "VM", "sandbox": "sandbox"}
LOST = ("unreachable", "stale")
HEARD = ("online", "late")
"""Nodes in these states say themselves how their machines are."""
ENDING = ("stop", "kill", "delete")

LABELS: Mapping[str, str] = {
    "start": "Start",
    "stop": "Stop",
    "kill": "Force stop",
    "reboot": "Restart",
    "reset": "Reset",
    "pause": "Pause",
    "resume": "Resume",
    "delete": "Delete",
}

# What can be asked of a machine in each state; the first is what people mostly want.
OFFERED: Mapping[str, tuple[str, ...]] = {
    "stopped": ("start", "delete"),
    "failed": ("start", "delete"),
    "running": ("stop", "reboot", "reset", "pause", "kill"),
    "paused": ("resume", "stop", "kill"),
}

NEEDS: Mapping[str, str] = {"stop": "graceful_stop", "reset": "reset", "pause": "pause"}
"""What a driver must be able to, for an action."""

LISTED = ("start", "stop", "kill", "reboot", "reset", "pause", "delete")
"""The actions of a row; a paused machine has Resume in the place of Pause, a sandbox no Reset."""


@dataclass(frozen=True, slots=True)
class Action:
    """A button; with a reason it is there, but cannot be used now."""

    name: str
    label: str
    reason: str = ""


def mark(vm: Vm) -> str:
    """Which sign stands before the status of a machine: of a silent node it is not known."""
    if vm.get("freshness") in LOST:
        return "unknown"
    return "busy" if vm.get("task") else str(vm.get("state"))


def offered(vm: Vm) -> tuple[str, ...]:
    """The actions that make sense now; none where no order arrives."""
    if vm.get("freshness") in LOST:
        return ()
    if vm.get("task"):
        return ("kill",) if vm.get("state") in ("running", "paused") else ()
    return OFFERED.get(str(vm.get("state")), ())


def why_not(vm: Vm, action: str, capabilities: Collection[str] | None) -> str:
    """Why an action cannot be asked for now; empty when it can. Without capabilities, which only the
    node tells, the state alone decides."""
    needed = NEEDS.get(action)
    if capabilities is not None and needed and needed not in capabilities:
        return f"the driver {vm.get('driver') or ''} cannot do this"
    if action == "reset" and vm.get("kind") != "vm":
        return "a sandbox is a process: it has no reset button"
    if action in offered(vm):
        return ""
    if vm.get("freshness") in LOST:
        return f"{vm.get('node_id')} is silent: no order arrives there now"
    if vm.get("task"):
        return f"it is {vm.get('task')} now"
    if action == "delete":
        return "stop it first"
    return f"it is {vm.get('state')}"


def actions_of(
    vm: Vm, names: Collection[str], capabilities: Collection[str] | None
) -> list[Action]:
    """The buttons of a machine, in this order."""
    paused = vm.get("state") == "paused"
    wanted = ["resume" if name == "pause" and paused else name for name in names]
    return [Action(name, LABELS[name], why_not(vm, name, capabilities)) for name in wanted]


def seen(vm: Vm) -> dict[str, Any]:
    """What every page adds to a machine."""
    actions = [(action, LABELS[action]) for action in offered(vm)]
    kind = KINDS.get(str(vm.get("kind")), str(vm.get("kind") or ""))
    return {
        **vm,
        "mark": mark(vm),
        "kind_word": kind,
        "actions": actions,
        "is_lost": vm.get("freshness") in LOST,
        "up_s": uptime_s(vm),
        "ports_told": [told_port(port) for port in ports_of(vm)],
        "memory_told": memory_of(vm),
    }


def of_node(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The machines as a node's own record tells of them; of one that is silent they are not known."""
    told = node.get("vms") or []
    if node.get("state") in HEARD:
        return [dict(vm) for vm in told]
    return [
        {
            **vm,
            "freshness": LOST[0],
            "state": "unknown",
            "status": f"unknown (was {vm.get('state')})",
        }
        for vm in told
    ]


def uptime_s(vm: Vm) -> float | None:
    """How long it is up; None when it is not, or nobody knows."""
    if isinstance(vm.get("uptime_s"), int | float):
        return float(vm["uptime_s"])
    if vm.get("state") not in ("running", "paused") or vm.get("freshness") in LOST:
        return None
    try:
        begun = datetime.fromisoformat(str(vm.get("started_at")))
        told = datetime.fromisoformat(str(vm.get("seen_at")))
        return max(0.0, (told - begun).total_seconds() + float(vm.get("age_s") or 0.0))
    except (ValueError, TypeError):
        return None


def memory_of(vm: Vm) -> int | None:
    """Its memory in bytes, where a limit or a size is known."""
    spec = _mapping(vm.get("spec"))
    limits = _mapping(spec.get("limits"))
    for value in (vm.get("memory_mib"), spec.get("memory_mib"), limits.get("memory_mib")):
        if isinstance(value, int):
            return value * 1024 * 1024
    return None


def ports_of(vm: Vm) -> list[Mapping[str, Any]]:
    """The ports of the host that lead to it."""
    found = vm.get("ports")
    return [port for port in found if isinstance(port, Mapping)] if isinstance(found, list) else []


def told_port(port: Mapping[str, Any]) -> str:
    """A port in one word: `127.0.0.1:8080 → 80`."""
    proto = "" if port.get("proto") in (None, "tcp") else f"/{port['proto']}"
    return f"{port.get('bind') or ''}:{port.get('host')} → {port.get('guest')}{proto}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
