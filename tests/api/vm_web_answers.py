"""What hubs answer about machines, in the shapes of the real methods."""

from typing import Any

from tests.api.web_moments import series, time

SANDBOX: dict[str, Any] = {
    "name": "sandbox",
    "healthy": True,
    "why": "",
    "version": "bubblewrap 0.8.0",
    "isolation": "namespaces",
    "capabilities": ["graceful_stop", "pause", "exec", "console_rw", "survive_agent"],
    "images": ["builtin:shell"],
    "limits_enforced": {"memory": False, "pids": True},
    "accel": "",
    "hint": "",
}
QEMU: dict[str, Any] = {
    "name": "qemu",
    "healthy": True,
    "why": "",
    "version": "7.2.22",
    "isolation": "emulated",
    "capabilities": [
        *("graceful_stop", "reset", "pause", "disk_snapshot", "memory_snapshot"),
        *("console_rw", "cloud_init", "user_net", "survive_agent"),
    ],
    "images": ["builtin:tiny"],
    "limits_enforced": {"cpu": False, "memory": True},
    "accel": "tcg",
    "hint": "",
}
NO_QEMU: dict[str, Any] = {
    **QEMU,
    "healthy": False,
    "why": "qemu-system-x86_64 is not installed",
    "hint": "apt-get install qemu-system-x86",
    "images": [],
    "capabilities": [],
}


def drivers(*held: dict[str, Any]) -> dict[str, Any]:
    """What node.drivers answers."""
    return {"node_id": "edge-1", "drivers": list(held or (SANDBOX, QEMU))}


def bulk(state: str = "done", **changes: Any) -> dict[str, Any]:
    """What vm.bulk and op.get answer of an order to many."""
    rows = [item("box-1"), item("box-2", state="failed", error=REFUSED)]
    return {
        "op_id": "bulk-1",
        "request_id": "request-1",
        "method": "vm.bulk",
        "action": "stop",
        "node_id": "hub-1",
        "state": state,
        "stage": "2 of 2 VMs",
        "counts": {"done": 1, "failed": 1},
        "total": 2,
        "items": rows,
        "created_at": time(3),
        "updated_at": time(1),
        "requested_by": "admin",
        "via_hub": "hub-1",
        **changes,
    }


REFUSED = {"kind": "stop_timeout", "message": "the guest did not stop within 60 s"}


def item(name: str, **changes: Any) -> dict[str, Any]:
    """One machine of an order to many."""
    return {
        "node_id": "edge-1",
        "vm_id": f"5d1c{name}",
        "vm_name": name,
        "request_id": f"r-{name}",
        "op_id": f"op-{name}",
        "state": "done",
        "changed": True,
        "error": None,
        **changes,
    }


def vm_answers() -> dict[str, Any]:
    """An answer for every method about machines that pages call besides the first ones."""
    event = {"time": time(9), "node": "edge-1", "event_name": "vm.started", "body": "it started"}
    snapshot = {"name": "clean", "created_at": time(60), "has_memory": True, "size_bytes": 4096}
    points = {
        "name": "vm.memory.usage",
        "unit": "By",
        "aggregation": "avg",
        "series": [series("", 0.0)],
    }
    return {
        "node.drivers": drivers(),
        "vm.validate": {"node_id": "edge-1", "problems": [], "driver": "qemu", "kind": "vm"}
        | {"warnings": ["there is no KVM here: it is emulated, and slow"]},
        "vm.stats": {"vm_id": "5d1cbox-1", "at": time(), "cpu_seconds": 1.5}
        | {"memory_bytes": 40_000_000, "processes": 2},
        "vm.stats.series": {"vm_id": "5d1cbox-1", "metrics": {"memory": points}},
        "vm.snapshot.list": {"vm_id": "5d1cbox-1", "items": [snapshot]},
        "vm.bulk": bulk(),
        "vm.events": {"items": [event], "cursor": None},
    }
