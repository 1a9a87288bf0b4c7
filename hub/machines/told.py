"""Operations as hubs know them from the events that nodes write at their begin and end. Rules only."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hub.describe import time_of_ms

EVENT = "vm.operation"
OVER = frozenset({"done", "failed", "cancelled"})

Answer = dict[str, Any]


def operation_of(event: Mapping[str, Any]) -> Answer | None:
    """The operation that an event tells of; None for an event that tells of none."""
    told = event.get("attributes")
    if not isinstance(told, Mapping) or not isinstance(told.get("op.id"), str):
        return None
    state = str(told.get("op.state", ""))
    return {
        "op_id": told["op.id"],
        "request_id": told.get("op.request_id", ""),
        "vm_id": told.get("vm.id", ""),
        "vm_name": told.get("vm.name", ""),
        "node_id": event.get("node", ""),
        "method": told.get("op.method", ""),
        "state": state,
        "progress": 100 if state == "done" else None,
        "stage": event.get("body", ""),
        "changed": bool(told.get("op.changed", False)),
        "error": _error(told, event),
        "created_at": time_of_ms(_ms(told.get("op.created_ms"))),
        "updated_at": event.get("time"),
        "requested_by": told.get("op.by", ""),
        "via_hub": told.get("op.via_hub", ""),
        "may_cancel": False,
    }


def newest_of(events: Iterable[Mapping[str, Any]]) -> list[Answer]:
    """Each operation once, as its end tells it where that is known; in the order of the events."""
    found: dict[str, Answer] = {}
    for event in events:
        told = operation_of(event)
        if told is None:
            continue
        known = found.get(told["op_id"])
        if known is None or (told["state"] in OVER and known["state"] not in OVER):
            found[told["op_id"]] = told
    return list(found.values())


def _error(told: Mapping[str, Any], event: Mapping[str, Any]) -> Answer | None:
    kind = told.get("op.error")
    if not kind:
        return None
    message, data = told.get("op.message", ""), _error_data(told.get("op.error_data"))
    return {"kind": kind, "message": message, "at": event.get("time"), "data": data}


def _error_data(text: Any) -> Answer:
    """What the error said beside its words; it was written by an edge, and may be anything."""
    try:
        data = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _ms(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
