"""Pages about machines: the list, a new one, one order to many, one of them, and its console."""

from collections.abc import Mapping
from typing import Any

from hub.web.address import Asked, Field, read
from hub.web.page import Answer, Answers, Call, Page
from hub.web.searches import NODES_TO_CHOOSE
from hub.web.vm_bulk import BULK_PAGES
from hub.web.vm_new import NEW
from hub.web.vm_rows import LISTED, actions_of, mark, offered, seen
from hub.web.vm_tabs import OP_FIELDS, VM, last_order

__all__ = ["CONSOLE", "VM", "VMS", "VM_PAGES", "mark", "offered"]

PAGE_VMS = 100
SILENT_NAMED = 10
STATES = ("running", "stopped", "paused", "failed", "unknown")
FILTERS = (
    Field("text"),
    Field("node"),
    Field("state", "many"),
    Field("kind"),
    Field("label", "many"),
    Field("name"),
)
LIST_FIELDS = (*FILTERS, Field("after"), Field("limit", "whole"))
FILTER_NAMES = tuple(field.name for field in FILTERS)
DEFAULT_IMAGE = "builtin:shell"


def _list_call(asked: Asked) -> Call:
    return Call("vm.list", {"limit": PAGE_VMS, **read(asked, LIST_FIELDS, OP_FIELDS)})


def _list_extras(asked: Asked) -> Mapping[str, Call]:
    """Nodes to choose from, the last order, and what drivers can where one node is looked at."""
    calls = {"nodes": Call("node.list", NODES_TO_CHOOSE), **last_order(asked)}
    if asked.one("node"):
        calls["drivers"] = Call("node.drivers", {"node": asked.one("node")})
    return calls


def _list(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    items = answer.get("items", [])
    nodes, silent = extras.get("nodes", {}).get("items", []), answer.get("missing_nodes", [])
    drivers = extras.get("drivers", {}).get("drivers", [])
    abilities = {each.get("name"): each.get("capabilities") or [] for each in drivers}
    return {
        "rows": [_row(vm, abilities) for vm in items],
        "rows_total": answer.get("total", len(items)),
        "cursor": answer.get("cursor"),
        "silent": silent[:SILENT_NAMED],
        "silent_more": answer.get("missing_total", len(silent)) - len(silent[:SILENT_NAMED]),
        "nodes": nodes,
        "op": extras.get("op"),
        "wish": {"image": DEFAULT_IMAGE, "node": asked.one("node"), "start": "1"},
        "states": STATES,
        "chosen": {name: asked.many(name) for name in FILTER_NAMES if asked.many(name)},
    }


def _row(vm: Mapping[str, Any], abilities: Mapping[str, Any]) -> dict[str, Any]:
    names = [name for name in LISTED if name != "reset" or vm.get("kind") == "vm"]
    buttons = actions_of(vm, names, abilities.get(str(vm.get("driver"))))
    return {**seen(vm), "buttons": buttons}


def _console_call(asked: Asked) -> Call:
    fields = read(asked, (Field("node"),), ("mode", "from"))
    return Call("vm.get", {"vm": asked.parts["vm"], **fields})


def _console(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    """`from` is the hub whose page moved here when that hub was lost."""
    return {
        "vm": answer,
        "vm_name": asked.parts["vm"],
        "mode": "ro" if asked.one("mode") == "ro" else "rw",
        "moved_from": asked.one("from"),
    }


VMS = Page(
    path="/vms",
    twin="/vms.json",
    template="vms.html",
    section="vms",
    main=_list_call,
    extras=_list_extras,
    shape=_list,
    is_live=True,
)

CONSOLE = Page(
    path="/vms/{vm}/console",
    twin="/vms/{vm}/console.json",
    template="vm_console.html",
    section="vms",
    main=_console_call,
    shape=_console,
    reaches_hubs=True,
)

VM_PAGES = (VMS, NEW, *BULK_PAGES, VM, CONSOLE)
