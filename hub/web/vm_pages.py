"""Pages about VMs and sandboxes: the list with its form, and one of them with its console."""

from collections.abc import Mapping
from typing import Any

from hub.web.address import Asked, Field, read
from hub.web.page import Answer, Answers, Call, Page
from hub.web.searches import NODES_TO_CHOOSE

PAGE_VMS = 100
SILENT_NAMED = 10
LIST_FIELDS = (Field("node"), Field("text"), Field("after"), Field("limit", "whole"))
CONSOLE_BYTES = 16 * 1024
OPERATIONS_SHOWN = 10
DEFAULT_IMAGE = "builtin:shell"

# What can be asked of a VM in each state; the first is what people mostly want.
OFFERED: Mapping[str, tuple[str, ...]] = {
    "stopped": ("start", "delete"),
    "failed": ("start", "delete"),
    "running": ("stop", "reboot", "pause", "kill"),
    "paused": ("resume", "stop", "kill"),
}

LABELS: Mapping[str, str] = {
    "start": "Start",
    "stop": "Stop",
    "kill": "Force stop",
    "reboot": "Restart",
    "pause": "Pause",
    "resume": "Resume",
    "delete": "Delete",
}

OP_FIELDS = ("op", "op_node")


def offered(vm: Mapping[str, Any]) -> tuple[str, ...]:
    """The actions that make sense now; none for a VM whose node is silent."""
    if vm.get("freshness") in ("unreachable", "stale"):
        return ()
    if vm.get("task"):
        return ("kill",) if vm.get("state") in ("running", "paused") else ()
    return OFFERED.get(str(vm.get("state")), ())


def mark(vm: Mapping[str, Any]) -> str:
    """Which sign stands before the status of a VM."""
    if vm.get("freshness") in ("unreachable", "stale"):
        return "unknown"
    return "busy" if vm.get("task") else str(vm.get("state"))


def _seen(vm: Mapping[str, Any]) -> dict[str, Any]:
    actions = [(action, LABELS[action]) for action in offered(vm)]
    return {**vm, "actions": actions, "mark": mark(vm)}


def _last_order(asked: Asked) -> Mapping[str, Call]:
    """After an order the address names its operation, so that the page can tell how it goes."""
    op_id, node = asked.one("op"), asked.one("op_node")
    return {"op": Call("op.get", {"op_id": op_id, "node": node})} if op_id and node else {}


def _list_call(asked: Asked) -> Call:
    return Call("vm.list", {"limit": PAGE_VMS, **read(asked, LIST_FIELDS, OP_FIELDS)})


def _list(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    items = answer.get("items", [])
    nodes, silent = extras.get("nodes", {}).get("items", []), answer.get("missing_nodes", [])
    return {
        "rows": [_seen(vm) for vm in items],
        "rows_total": answer.get("total", len(items)),
        "cursor": answer.get("cursor"),
        "silent": silent[:SILENT_NAMED],
        "silent_more": answer.get("missing_total", len(silent)) - len(silent[:SILENT_NAMED]),
        "nodes": nodes,
        "op": extras.get("op"),
        "wish": {"image": DEFAULT_IMAGE, "node": asked.one("node"), "start": "1"},
    }


def _vm_call(asked: Asked) -> Call:
    return Call("vm.get", {"vm": asked.parts["vm"], **read(asked, (Field("node"),), OP_FIELDS)})


def _vm_extras(asked: Asked) -> Mapping[str, Call]:
    node = {"node": asked.one("node")} if asked.one("node") else {}
    vm = {"vm": asked.parts["vm"], **node}
    calls = {
        "console": Call("vm.console.log", {**vm, "limit": CONSOLE_BYTES}),
        **_last_order(asked),
    }
    if node:
        calls["operations"] = Call("op.list", {**vm, "limit": OPERATIONS_SHOWN})
    return calls


def _vm(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    return {
        "vm": _seen(answer),
        "vm_name": asked.parts["vm"],
        "console": extras.get("console", {}),
        "operations": extras.get("operations", {}).get("items", []),
        "op": extras.get("op"),
    }


VMS = Page(
    path="/vms",
    twin="/vms.json",
    template="vms.html",
    section="vms",
    main=_list_call,
    extras=lambda asked: {"nodes": Call("node.list", NODES_TO_CHOOSE), **_last_order(asked)},
    shape=_list,
    is_live=True,
)
VM = Page(
    path="/vms/{vm}",
    twin="/vms/{vm}.json",
    template="vm.html",
    section="vms",
    main=_vm_call,
    extras=_vm_extras,
    shape=_vm,
    is_live=True,
)

VM_PAGES = (VMS, VM)
