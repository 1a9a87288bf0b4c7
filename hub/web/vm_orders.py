"""What the buttons about machines do. Each form has an id of its own, so that sending it twice has one
effect; afterwards the address names the operation, and a reload repeats nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.web.address import relative
from hub.web.desk import Desk, Problem, asked_at
from hub.web.forms import Form, read_own_form
from hub.web.routes import RouteSpec
from hub.web.vm_new import NEW, placed, placement_of, spec_of
from hub.web.vm_order_table import TABS_OF, order_of
from hub.web.vm_pages import VMS
from hub.web.vm_tabs import VM
from shared.errors import RpcError

WAIT_SECONDS = 3.0  # Most orders end within it; for the others the page tells how they go.

AT_ONCE = {
    "vm.queue.cancel": ("node", "request_id"),
    "op.cancel": ("node", "request_id", "op_id"),
}
"""Orders about orders: what they are told. There is nothing to wait for."""

Operation = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VmOrders:
    """The doors for forms about one machine."""

    desk: Desk

    def routes(self) -> list[RouteSpec]:
        """Where they are sent."""
        return [
            RouteSpec("/vms", ("POST",), "admin", self.create_quickly),
            RouteSpec("/vm-new", ("POST",), "admin", self.create),
            RouteSpec("/vms/{vm}/{action}", ("POST",), "admin", self.act),
        ]

    async def create_quickly(self, request: Request) -> Response:
        """POST /vms: make a machine of a name and an image."""
        form = await read_own_form(request, self.desk.context)
        spec = {"name": form.one("name"), "image": form.one("image")}
        try:
            operation = await self._create(spec, form)
        except RpcError as error:
            problem = Problem(error, "/vms", _repeatable(form))
            wish = {"wish": form.fields, "is_creating": True}
            return await self.desk.show(VMS, asked_at("/vms", {}), request, problem, wish)
        return _see("/vms", operation)

    async def create(self, request: Request) -> Response:
        """POST /vm-new: make a machine, or only say what would come of it (`check`)."""
        form = await read_own_form(request, self.desk.context)
        spec, problems = spec_of(form)
        node = form.one("node")
        if not node and form.one("place") != "auto":
            problems["node"] = "is needed"
        if problems:
            return await self._show_new(request, form, problems, 400)
        found = await self._validate(spec, {"node": node} if node else placement_of(form))
        if found.get("problems"):
            return await self._show_new(request, form, placed(found["problems"]), 409)
        if form.one("check") or not node:  # Where it would be is told before it is made there.
            return await self._show_new(request, form, {}, 200, found)
        try:
            operation = await self._create(spec, form)
        except RpcError as error:
            problems = placed([_told(error)])
            return await self._show_new(request, form, problems, 409, None, error)
        return _see(f"/vms/{quote(spec['name'])}", operation, node=node)

    async def _validate(self, spec: dict[str, Any], where: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return await self.desk.call("vm.validate", {"spec": spec, **where})
        except RpcError as error:
            return {"problems": [_told(error)]}

    async def _create(self, spec: dict[str, Any], form: Form) -> Operation:
        params = {"spec": spec, "start": form.one("start") == "1", **_common(form)}
        return await self._give("vm.create", params)

    async def _show_new(
        self,
        request: Request,
        form: Form,
        problems: Mapping[str, str],
        status: int,
        validated: Mapping[str, Any] | None = None,
        error: RpcError | None = None,
    ) -> Response:
        node = form.one("node") or str((validated or {}).get("node_id") or "")
        asked = asked_at("/vm-new", {}, node=node, place=form.one("place"))
        problem = Problem(error, "/vm-new", _repeatable(form)) if error else None
        more = {"wish": form.fields, "problems": problems, "validated": validated}
        shown = await self.desk.show(NEW, asked, request, problem, more)
        shown.status_code = status
        return shown

    async def act(self, request: Request) -> Response:
        """POST /vms/{vm}/{action}: an order to one machine."""
        form = await read_own_form(request, self.desk.context)
        vm, action = request.path_params["vm"], request.path_params["action"]
        try:
            method, params = order_of(vm, action, form)
            operation = await self._give(method, {"vm": vm, **_common(form), **params})
        except RpcError as error:
            problem = Problem(error, f"/vms/{quote(vm)}/{quote(action)}", _repeatable(form))
            return await self._show_problem(vm, action, form, request, problem)
        if action == "delete" or form.one("back") != "vm":
            return _see("/vms", operation)
        name = str(params.get("patch", {}).get("name") or vm)
        return _see(
            f"/vms/{quote(name)}", operation, node=form.one("node"), tab=TABS_OF.get(action, "")
        )

    async def _give(self, method: str, params: dict[str, Any]) -> Operation:
        if method in AT_ONCE:
            given = {name: params[name] for name in AT_ONCE[method] if name in params}
            return await self.desk.call(method, given)
        return await self.desk.call(method, {**params, "wait_s": WAIT_SECONDS})

    async def _show_problem(
        self, vm: str, action: str, form: Form, request: Request, problem: Problem
    ) -> Response:
        more = {"typed": form.fields}
        if form.one("back") != "vm":
            return await self.desk.show(VMS, asked_at("/vms", {}), request, problem, more)
        query = {"node": form.one("node"), "tab": TABS_OF.get(action, "")}
        asked = asked_at(f"/vms/{quote(vm)}", {"vm": vm}, **query)
        return await self.desk.show(VM, asked, request, problem, more)


def _told(error: RpcError) -> dict[str, Any]:
    return {"kind": error.kind, "message": str(error), "data": error.data}


def _common(form: Form) -> dict[str, Any]:
    given = {"node": form.one("node"), "request_id": form.one("request_id")}
    return {name: value for name, value in given.items() if value}


def _repeatable(form: Form) -> Mapping[str, str]:
    """The fields that make the same order again; the token of the session is always put in anew."""
    return {name: value for name, value in form.fields.items() if name != "csrf"}


def _see(path: str, operation: Operation, **query: str) -> Response:
    """Send the browser to a page that tells how the operation goes."""
    named = {
        **query,
        "op": str(operation.get("op_id") or ""),
        "op_node": str(operation.get("node_id") or "") if operation.get("op_id") else "",
    }
    given = [(name, value) for name, value in named.items() if value]
    return RedirectResponse(path + (relative(given) if given else ""), 303)
