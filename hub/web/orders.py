"""What the buttons about edges do. Each form has an id of its own, so that sending it twice has one
effect."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from hub.web.desk import Desk, Problem, asked_at
from hub.web.fleet_pages import NODE
from hub.web.forms import Form, read_own_form
from shared.errors import RpcError

DRAIN_SECONDS = {"5": 5.0, "30": 30.0, "120": 120.0}


@dataclass(frozen=True, slots=True)
class Orders:
    """The doors for forms."""

    desk: Desk

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


def _repeatable(form: Form) -> Mapping[str, str]:
    """The fields that make the same order again; the token of the session is always put in anew."""
    return {name: value for name, value in form.fields.items() if name != "csrf"}
