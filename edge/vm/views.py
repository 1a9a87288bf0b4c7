"""Records as JSON for people, pages and hubs. Times become RFC 3339 texts in UTC."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from edge.vm.driver import Executed, Fingerprint, Snapshot
from edge.vm.model import Failure, Operation, State, Vm
from edge.vm.moves import TASK_NAMES


def rfc3339(ms: int | None) -> str | None:
    """A time in Unix milliseconds as text."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def status_of(vm: Vm) -> str:
    """The one line that a person reads: work in flight first, then what was seen."""
    if vm.task is not None:
        return f"{TASK_NAMES[vm.task]}..."
    if vm.is_restart_due:
        return f"{vm.state}: {vm.reason}, restarting"
    return f"failed: {vm.reason}" if vm.state is State.FAILED else vm.state.value


def brief(vm: Vm) -> dict[str, Any]:
    """What a heartbeat carries of each machine."""
    return {
        "id": vm.id,
        "name": vm.name,
        "node_id": vm.node_id,
        "kind": vm.kind,
        "driver": vm.driver,
        "labels": vm.spec.labels,
        "image": vm.spec.image,
        "state": vm.state.value,
        "status": status_of(vm),
        "power": vm.power.value,
        "task": TASK_NAMES[vm.task] if vm.task else None,
        "reason": vm.reason,
        "isolation": vm.isolation,
        "started_at": rfc3339(vm.started_ms),
        "restarts": vm.restarts,
        "memory_mib": vm.spec.memory_mib or vm.spec.limits.memory_mib,
        "ports": msgspec.to_builtins(vm.ports),
        "epoch": vm.epoch,
        "seq": vm.seq,
    }


def record(vm: Vm, now_ms: int) -> dict[str, Any]:
    """The whole record of one machine."""
    is_up = vm.state in (State.RUNNING, State.PAUSED) and vm.started_ms is not None
    exit_ = (
        {"code": vm.exit.code, "signal": vm.exit.signal, "at": rfc3339(vm.exit.at_ms)}
        if vm.exit
        else None
    )
    return {
        **brief(vm),
        "spec": msgspec.to_builtins(vm.spec),
        "generation": vm.generation,
        "observed_generation": vm.observed_generation,
        "created_at": rfc3339(vm.created_ms),
        "created_by": vm.created_by,
        "observed_at": rfc3339(vm.observed_ms),
        "uptime_s": (now_ms - (vm.started_ms or 0)) / 1000 if is_up else None,
        "pid": vm.pid,
        "exit": exit_,
        "last_error": _failure(vm.last_error),
        "op_id": vm.op_id,
        "limits_enforced": vm.limits_enforced,
        "accel": vm.accel,
        "ports": msgspec.to_builtins(vm.ports),
        "pending_changes": list(vm.pending_changes),
        "health": vm.health,
    }


def operation(op: Operation) -> dict[str, Any]:
    """One operation."""
    return {
        "op_id": op.id,
        "request_id": op.request_id,
        "vm_id": op.vm_id,
        "vm_name": op.vm_name,
        "node_id": op.node_id,
        "method": op.method,
        "state": op.state.value,
        "progress": op.progress,
        "stage": op.stage,
        "changed": op.changed,
        "error": _failure(op.error),
        "result": op.result,
        "created_at": rfc3339(op.created_ms),
        "updated_at": rfc3339(op.updated_ms),
        "requested_by": op.requested_by,
        "via_hub": op.via_hub,
        "may_cancel": op.may_cancel and not op.is_over,
        "log": [{"at": rfc3339(line.at_ms), "text": line.text} for line in op.log],
    }


def operation_lines(op: Operation) -> list[dict[str, Any]]:
    """What one operation did, line by line, with its begin and its end."""
    who = f"{op.method} ({op.id})"
    begun = f"{who}: begun by {op.requested_by or 'somebody'}"
    lines = [(op.created_ms, begun), *((each.at_ms, f"{who}: {each.text}") for each in op.log)]
    if op.is_over:
        why = f": {op.error.message}" if op.error else ""
        lines.append((op.updated_ms, f"{who}: {op.state.value}{why}"))
    return [{"at": rfc3339(at_ms), "text": text} for at_ms, text in lines]


def fingerprint(found: Fingerprint) -> dict[str, Any]:
    """What a driver can do here."""
    return {
        "name": found.name,
        "healthy": found.healthy,
        "why": found.why,
        "version": found.version,
        "isolation": found.isolation,
        "capabilities": list(found.capabilities),
        "images": list(found.images),
        "limits_enforced": found.limits_enforced,
        "accel": found.accel,
        "hint": found.hint,
        "cpus_max": found.cpus_max,
        "memory_mib_max": found.memory_mib_max,
    }


def snapshot(found: Snapshot) -> dict[str, Any]:
    """One snapshot."""
    return {
        "name": found.name,
        "created_at": rfc3339(found.created_ms),
        "has_memory": found.has_memory,
        "size_bytes": found.size_bytes,
    }


def executed(done: Executed) -> dict[str, Any]:
    """What came of a command inside a machine."""
    return {
        "code": done.code,
        "signal": done.signal,
        "stdout": done.stdout.decode("utf-8", "replace"),
        "stderr": done.stderr.decode("utf-8", "replace"),
        "truncated": done.is_cut,
        "timed_out": done.is_late,
    }


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    at = rfc3339(failure.at_ms)
    return {"kind": failure.kind, "message": failure.message, "at": at, "data": failure.data}
