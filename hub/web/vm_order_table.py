"""Which call each form about one machine means, as a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.web.forms import Form
from hub.web.vm_spec_form import patch_of
from shared.errors import RpcError

Extra = Callable[[Form], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Order:
    """The method that an action calls, and what it says besides the machine and its node."""

    method: str
    extra: Mapping[str, Any]
    of_form: Extra | None = None
    is_sure: bool = False
    """Whether the name must be typed first."""


def _snapshot(form: Form) -> Mapping[str, Any]:
    return {"name": form.one("name"), **({"memory": True} if form.one("memory") == "1" else {})}


def _named(form: Form) -> Mapping[str, Any]:
    return {"name": form.one("name")}


def _update(form: Form) -> Mapping[str, Any]:
    seen = form.one("generation")
    generation = {"if_generation": int(seen)} if seen.isdecimal() and len(seen) < 12 else {}
    return {"patch": patch_of(form), **generation}


def _delete(form: Form) -> Mapping[str, Any]:
    return {name: True for name in ("force", "keep_disks") if form.one(name) == "1"}


def _unqueue(form: Form) -> Mapping[str, Any]:
    return {"request_id": form.one("waiting")}


def _operation(form: Form) -> Mapping[str, Any]:
    return {"op_id": form.one("op_id")}


ORDERS: Mapping[str, Order] = {
    "start": Order("vm.start", {}),
    "stop": Order("vm.stop", {"mode": "graceful"}),
    "kill": Order("vm.stop", {"mode": "force"}),
    "reboot": Order("vm.reboot", {}),
    "reset": Order("vm.reboot", {"mode": "hard"}),
    "pause": Order("vm.pause", {}),
    "resume": Order("vm.resume", {}),
    "delete": Order("vm.delete", {}, _delete, is_sure=True),
    "update": Order("vm.update", {}, _update),
    "clone": Order("vm.clone", {}, _named),
    "snapshot": Order("vm.snapshot.create", {}, _snapshot),
    "restore": Order("vm.snapshot.restore", {}, _named),
    "drop": Order("vm.snapshot.delete", {}, _named),
    "unqueue": Order("vm.queue.cancel", {}, _unqueue),
    "cancel": Order("op.cancel", {}, _operation),
}

TABS_OF: Mapping[str, str] = {
    "update": "spec",
    "snapshot": "snapshots",
    "restore": "snapshots",
    "drop": "snapshots",
}
"""Where on the page of the machine a form stands."""


def order_of(vm: str, action: str, form: Form) -> tuple[str, dict[str, Any]]:
    """The method and what it is told besides the machine; raises RpcError."""
    order = ORDERS.get(action)
    if order is None:
        raise RpcError("not_found", f"there is no action {action[:40]!r} for a VM")
    if order.is_sure and form.one("confirm") != vm:
        raise RpcError("invalid_params", f"To delete {vm}, type its name: nothing was deleted.")
    more = order.of_form(form) if order.of_form else {}
    queue = {"queue": True} if form.one("queue") == "1" else {}
    return order.method, {**order.extra, **more, **queue}
