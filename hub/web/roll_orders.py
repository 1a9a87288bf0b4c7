"""The forms about what people want of nodes: register, let back, remove, role, labels, work,
maintenance."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
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

Handler = Callable[[Request], Awaitable[Response]]
Order = Callable[[str, Form], Awaitable[None]]
"""What is done about a node by a form; raises RpcError."""


@dataclass(frozen=True, slots=True)
class RollOrders:
    """The doors for these forms."""

    desk: Desk

    def routes(self) -> list[RouteSpec]:
        """Where they are sent."""
        doors = {
            "/nodes/register": self.register,
            "/nodes/{node}/remove": self._order(self._remove, "/nodes/removed"),
            "/nodes/{node}/role": self._order(self._set_role),
            "/nodes/{node}/labels": self._order(self._label),
            "/nodes/{node}/work": self._order(self._give_work),
            "/nodes/{node}/maintenance": self._order(self._maintain),
        }
        return [RouteSpec(path, ("POST",), "admin", door) for path, door in doors.items()]

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

    def _order(self, order: Order, then: str = "") -> Handler:
        """A door for a form about one node; afterwards the node is shown, or `then`."""

        async def take(request: Request) -> Response:
            form = await read_own_form(request, self.desk.context)
            node = request.path_params["node"]
            path = f"/nodes/{quote(node)}"
            try:
                await order(node, form)
            except RpcError as error:
                asked = asked_at(path, {"node": node})
                return await self.desk.show(NODE, asked, request, Problem(error))
            return RedirectResponse(then or path, 303)

        return take

    async def _remove(self, node: str, form: Form) -> None:
        """Take a node out of the fleet."""
        if form.one("confirm") != node:
            text = f"To remove {node}, type its name: nothing was removed."
            raise RpcError("invalid_params", text)
        force = form.one("force") == "1"
        params = {"node": node, "why": form.one("why"), "who": WHO, "force": force}
        await self.desk.call("node.remove", params)

    async def _set_role(self, node: str, form: Form) -> None:
        """Give a node a role, or none."""
        await self.desk.call("node.setRole", {"node": node, "role": form.one("role")})

    async def _label(self, node: str, form: Form) -> None:
        """Give a node one label, or take one away; the others stay."""
        held = (await self.desk.call("node.get", {"node": node})).get("labels") or {}
        await self.desk.call("node.label", {"node": node, "labels": _relabelled(held, form)})

    async def _give_work(self, node: str, form: Form) -> None:
        """Give a node no new work, or new work again."""
        method = "node.undrain" if form.one("wanted") == "1" else "node.drain"
        await self.desk.call(method, {"node": node})

    async def _maintain(self, node: str, form: Form) -> None:
        """Begin work on a node, or end it."""
        params: dict[str, object] = {"node": node, "on": form.one("wanted") == "1"}
        given = {name: form.one(name) for name in ("why", "request_id") if form.one(name)}
        await self.desk.call("node.maintenance", {**params, **given})


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
