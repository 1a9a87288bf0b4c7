"""One order to many machines: a page that names them and asks, and one with a result for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hub.web.address import Asked, Field, read, relative
from hub.web.page import Answer, Answers, Call, Page
from shared.errors import RpcError


@dataclass(frozen=True, slots=True)
class BulkAction:
    """What a button means: the action of vm.bulk, and its options."""

    label: str
    action: str
    options: Mapping[str, Any]
    warning: str = ""


ACTIONS: Mapping[str, BulkAction] = {
    "start": BulkAction("Start", "start", {}),
    "stop": BulkAction("Stop", "stop", {"mode": "graceful"}),
    "kill": BulkAction(
        "Force stop", "stop", {"mode": "force"}, "They are ended without being asked."
    ),
    "reboot": BulkAction("Restart", "reboot", {}),
    "pause": BulkAction("Pause", "pause", {}),
    "resume": BulkAction("Resume", "resume", {}),
    "delete": BulkAction(
        "Delete",
        "delete",
        {},
        "Their disks, snapshots and console logs are gone for good. Those that run are refused.",
    ),
}
SELECTOR = (
    Field("text"),
    Field("node"),
    Field("state", "many"),
    Field("kind"),
    Field("label", "many"),
    Field("name"),
)
OTHERS = ("action", "vm", "all")
NAMES_MAX = 2000
FAILED = ("failed", "skipped")


def bulk_action(asked: Asked) -> BulkAction:
    """What is to be done; raises RpcError."""
    found = ACTIONS.get(asked.one("action"))
    if found is None:
        known = ", ".join(ACTIONS)
        raise RpcError("invalid_params", f"action: choose one of {known}", {"parameter": "action"})
    return found


def bulk_order(asked: Asked) -> dict[str, Any]:
    """The parameters of vm.bulk that an address means; raises RpcError.

    Machines are named by id (`vm`), or with `all` by the filters of the list.
    """
    action = bulk_action(asked)
    selector = read(asked, SELECTOR, OTHERS)
    order: dict[str, Any] = {"action": action.action, "options": dict(action.options)}
    if asked.one("all"):
        return {**order, "selector": selector or {"name": "*"}}
    ids = list(dict.fromkeys(asked.many("vm")))
    if not ids:
        raise RpcError("invalid_params", "Select at least one VM in the list, then choose again.")
    return {**order, "ids": ids}


def _confirm_call(asked: Asked) -> Call:
    if not asked.query:
        return Call("vm.list", {"limit": 1})  # Nobody chose anything yet: the page says how.
    return Call("vm.bulk", {**bulk_order(asked), "dry_run": True})


def _names(asked: Asked) -> Mapping[str, Call]:
    """What the machines are called: an order by ids knows no more than these."""
    return {"names": Call("vm.list", {"fields": ["name"], "limit": NAMES_MAX})}


def _rows(answer: Answer, extras: Answers) -> list[dict[str, Any]]:
    known = {each.get("id"): each.get("name") for each in extras.get("names", {}).get("items", [])}
    return [
        {**row, "vm_name": known.get(row.get("vm_id")) or row.get("vm_name")}
        for row in answer.get("items", [])
    ]


def _confirm(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    found = ACTIONS.get(asked.one("action"))
    rows = _rows(answer, extras) if asked.query else []
    return {
        "bulk": found,
        "query": relative(asked.query.multi_items())[1:],
        "rows": rows,
        "ready": [row for row in rows if row.get("state") != "failed"],
    }


def _result_call(asked: Asked) -> Call:
    read(asked, (), ("action",))
    return Call("op.get", {"op_id": asked.parts["op"]})


def _result(asked: Asked, answer: Answer, extras: Answers) -> Mapping[str, Any]:
    rows = _rows(answer, extras)
    retry = [str(row.get("vm_id")) for row in rows if row.get("state") in FAILED]
    action = asked.one("action") or str(answer.get("action") or "")
    again = [("action", action), *(("vm", vm) for vm in retry)]
    return {
        "rows": rows,
        "is_over": answer.get("state") not in ("running", None),
        "retry": relative(again) if retry and action in ACTIONS else "",
        "retry_count": len(retry),
    }


CONFIRM = Page(
    path="/vm-bulk",
    twin="/vm-bulk.json",
    template="vm_bulk.html",
    section="vms",
    main=_confirm_call,
    extras=_names,
    shape=_confirm,
)
RESULT = Page(
    path="/vm-bulk/{op}",
    twin="/vm-bulk/{op}.json",
    template="vm_bulk_result.html",
    section="vms",
    main=_result_call,
    extras=_names,
    shape=_result,
    is_live=True,
)

BULK_PAGES = (CONFIRM, RESULT)
