"""The forms about what people want of nodes: register, let back, remove, role, labels, work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.web.desk import Desk, Problem, asked_at
from hub.web.fleet_pages import NODE
from hub.web.forms import Form, read_own_form
from hub.web.roll_pages import REMOVED
from hub.web.routes import RouteSpec
from shared.errors import RpcError

WHO = "an operator on a page"


@dataclass(frozen=True, slots=True)
class RollOrders:
    """The doors for these forms."""

    desk: Desk

    def routes(self) -> list[RouteSpec]:
        """Where they are sent."""
        return [
            RouteSpec("/nodes/register", ("POST",), "admin", self.register),
            RouteSpec("/nodes/{node}/remove", ("POST",), "admin", self.remove),
            RouteSpec("/nodes/{node}/role", ("POST",), "admin", self.set_role),
            RouteSpec("/nodes/{node}/labels", ("POST",), "admin", self.label),
            RouteSpec("/nodes/{node}/work", ("POST",), "admin", self.give_work),
        ]

    async def register(self, request: Request) -> Response:
        """POST /nodes/register: expect a node, or let a removed one back."""
        form = await read_own_form(request, self.desk.context)
        node = form.one("node")
        try:
            params = {"node": node, "role": form.one("role"), "who": WHO}
            await self.desk.call("node.register", {**params, "labels": _labels(form)})
        except RpcError as error:
            problem = Problem(error)
            asked, wish = asked_at("/nodes/removed", {}), {"wish": form.fields}
            return await self.desk.show(REMOVED, asked, request, problem, wish)
        return RedirectResponse(f"/nodes/{quote(node)}", 303)

    async def remove(self, request: Request) -> Response:
        """POST /nodes/{node}/remove: take a node out of the fleet."""
        form = await read_own_form(request, self.desk.context)
        node = request.path_params["node"]
        try:
            if form.one("confirm") != node:
                text = f"To remove {node}, type its name: nothing was removed."
                raise RpcError("invalid_params", text)
            force = form.one("force") == "1"
            params = {"node": node, "why": form.one("why"), "who": WHO, "force": force}
            await self.desk.call("node.remove", params)
        except RpcError as error:
            return await self._back(node, request, error)
        return RedirectResponse("/nodes/removed", 303)

    async def set_role(self, request: Request) -> Response:
        """POST /nodes/{node}/role: give a node a role, or none."""
        form = await read_own_form(request, self.desk.context)
        node = request.path_params["node"]
        try:
            await self.desk.call("node.setRole", {"node": node, "role": form.one("role")})
        except RpcError as error:
            return await self._back(node, request, error)
        return RedirectResponse(f"/nodes/{quote(node)}", 303)

    async def label(self, request: Request) -> Response:
        """POST /nodes/{node}/labels: give a node one label, or take one away; the others stay."""
        form = await read_own_form(request, self.desk.context)
        node = request.path_params["node"]
        try:
            held = (await self.desk.call("node.get", {"node": node})).get("labels") or {}
            labels = _relabelled(held, form)
            await self.desk.call("node.label", {"node": node, "labels": labels})
        except RpcError as error:
            return await self._back(node, request, error)
        return RedirectResponse(f"/nodes/{quote(node)}", 303)

    async def give_work(self, request: Request) -> Response:
        """POST /nodes/{node}/work: give a node no new work, or new work again."""
        form = await read_own_form(request, self.desk.context)
        node = request.path_params["node"]
        method = "node.undrain" if form.one("wanted") == "1" else "node.drain"
        try:
            await self.desk.call(method, {"node": node})
        except RpcError as error:
            return await self._back(node, request, error)
        return RedirectResponse(f"/nodes/{quote(node)}", 303)

    async def _back(self, node: str, request: Request, error: RpcError) -> Response:
        asked: Any = asked_at(f"/nodes/{quote(node)}", {"node": node})
        return await self.desk.show(NODE, asked, request, Problem(error))


def _relabelled(held: Mapping[str, str], form: Form) -> dict[str, str]:
    """The labels after one is given or taken away. Raises RpcError."""
    key, gone = form.one("key"), form.one("gone")
    if not (key or gone):
        raise RpcError("invalid_params", "Write the name of the label.")
    given = {key: form.one("value")} if key else {}
    return {name: value for name, value in {**held, **given}.items() if name != gone}


def _labels(form: Form) -> dict[str, str]:
    """Labels as people write them: `rack=7 site=north`. Raises RpcError."""
    pairs = [word.partition("=") for word in form.one("labels").replace(",", " ").split()]
    wrong = next((name for name, sign, _ in pairs if not sign or not name), None)
    if wrong is not None:
        raise RpcError("invalid_params", f"Write labels as key=value, not {wrong[:60]!r}.")
    return {name: value for name, _, value in pairs}
