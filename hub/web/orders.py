"""What the buttons do: orders to VMs and edges. Each form has an id of its own, so that sending it
twice has one effect; afterwards the address names the operation, and a reload repeats nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.web.address import relative
from hub.web.desk import Desk, Problem, asked_at
from hub.web.fleet_pages import NODE
from hub.web.forms import Form, read_own_form
from hub.web.vm_pages import VM, VMS
from shared.errors import RpcError

WAIT_SECONDS = 3.0  # Most orders end within it; for the others the page tells how they go.
DRAIN_SECONDS = {"5": 5.0, "30": 30.0, "120": 120.0}


@dataclass(frozen=True, slots=True)
class Order:
    """The method that an action calls, and what it says besides the VM and its node."""

    method: str
    extra: Mapping[str, Any]


ORDERS: Mapping[str, Order] = {
    "start": Order("vm.start", {}),
    "stop": Order("vm.stop", {"mode": "graceful"}),
    "kill": Order("vm.stop", {"mode": "force"}),
    "reboot": Order("vm.reboot", {}),
    "pause": Order("vm.pause", {}),
    "resume": Order("vm.resume", {}),
    "delete": Order("vm.delete", {}),
}


@dataclass(frozen=True, slots=True)
class Orders:
    """The doors for forms."""

    desk: Desk

    async def create(self, request: Request) -> Response:
        """POST /vms: make a VM on a node."""
        form = await read_own_form(request, self.desk.context)
        spec = {"name": form.one("name"), "image": form.one("image")}
        params = {"spec": spec, "start": form.one("start") == "1", **_common(form)}
        try:
            operation = await self._give("vm.create", params)
        except RpcError as error:
            problem = Problem(error, "/vms", _repeatable(form))
            wish = {"wish": form.fields, "is_creating": True}
            return await self.desk.show(VMS, asked_at("/vms", {}), request, problem, wish)
        return _see("/vms", operation)

    async def act(self, request: Request) -> Response:
        """POST /vms/{vm}/{action}: an order to one VM."""
        form = await read_own_form(request, self.desk.context)
        vm, action = request.path_params["vm"], request.path_params["action"]
        try:
            params = {"vm": vm, **_common(form)}
            operation = await self._order(vm, action, params, form)
        except RpcError as error:
            problem = Problem(error, f"/vms/{quote(vm)}/{quote(action)}", _repeatable(form))
            return await self._show_problem(vm, form, request, problem)
        if action == "delete" or form.one("back") != "vm":
            return _see("/vms", operation)
        return _see(f"/vms/{quote(vm)}", operation, node=form.one("node"))

    async def _order(
        self, vm: str, action: str, params: dict[str, Any], form: Form
    ) -> Mapping[str, Any]:
        order = ORDERS.get(action)
        if order is None:
            raise RpcError("not_found", f"there is no action {action[:40]!r} for a VM")
        if action == "delete" and form.one("confirm") != vm:
            raise RpcError("invalid_params", f"To delete {vm}, type its name: nothing was deleted.")
        return await self._give(order.method, {**params, **order.extra})

    async def _give(self, method: str, params: dict[str, Any]) -> Mapping[str, Any]:
        return await self.desk.call(method, {**params, "wait_s": WAIT_SECONDS})

    async def _show_problem(
        self, vm: str, form: Form, request: Request, problem: Problem
    ) -> Response:
        if form.one("back") != "vm":
            return await self.desk.show(VMS, asked_at("/vms", {}), request, problem)
        asked = asked_at(f"/vms/{quote(vm)}", {"vm": vm}, node=form.one("node"))
        return await self.desk.show(VM, asked, request, problem)

    async def drain(self, request: Request) -> Response:
        """POST /nodes/{node}/drain: push out what the node holds, and show the verdict."""
        form = await read_own_form(request, self.desk.context)
        node = request.path_params["node"]
        asked = asked_at(f"/nodes/{quote(node)}", {"node": node})
        seconds = DRAIN_SECONDS.get(form.one("deadline_s"), min(DRAIN_SECONDS.values()))
        params = {"node": node, "deadline_s": seconds, "request_id": form.one("request_id")}
        try:
            verdict = await self.desk.call("edge.drain", params)
        except RpcError as error:
            problem = Problem(error, f"/nodes/{quote(node)}/drain", _repeatable(form))
            return await self.desk.show(NODE, asked, request, problem)
        return await self.desk.show(NODE, asked, request, more={"verdict": verdict})


def _common(form: Form) -> dict[str, Any]:
    given = {"node": form.one("node"), "request_id": form.one("request_id")}
    return {name: value for name, value in given.items() if value}


def _repeatable(form: Form) -> Mapping[str, str]:
    """The fields that make the same order again; the token of the session is always put in anew."""
    return {name: value for name, value in form.fields.items() if name != "csrf"}


def _see(path: str, operation: Mapping[str, Any], **query: str) -> Response:
    """Send the browser to a page that tells how the operation goes."""
    named = {
        **query,
        "op": str(operation.get("op_id") or ""),
        "op_node": str(operation.get("node_id") or ""),
    }
    return RedirectResponse(path + relative([(k, v) for k, v in named.items() if v]), 303)
