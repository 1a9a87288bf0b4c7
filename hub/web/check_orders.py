"""The form that runs a check of a node now, and shows on the node's page what came of it."""

from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from hub.web.desk import Desk, Problem, asked_at
from hub.web.fleet_pages import NODE
from hub.web.forms import read_own_form
from hub.web.routes import RouteSpec
from shared.errors import RpcError


@dataclass(frozen=True, slots=True)
class CheckOrders:
    """The door for it."""

    desk: Desk

    def routes(self) -> list[RouteSpec]:
        """Where the form is sent."""
        return [RouteSpec("/nodes/{node}/check", ("POST",), "admin", self.run)]

    async def run(self, request: Request) -> Response:
        """POST /nodes/{node}/check: run one check from this hub, or all when none is named."""
        form = await read_own_form(request, self.desk.context)
        node = request.path_params["node"]
        asked = asked_at(f"/nodes/{quote(node)}", {"node": node})
        try:
            wanted = {"node": node, "check": form.one("check") or None}
            ran = await self.desk.call("node.check", wanted)
        except RpcError as error:
            return await self.desk.show(NODE, asked, request, Problem(error))
        return await self.desk.show(NODE, asked, request, more={"ran": ran})
