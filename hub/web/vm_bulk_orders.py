"""The form that gives one order to many machines, after a page has named them."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.web.address import Asked, relative
from hub.web.desk import Desk, Problem
from hub.web.forms import Form, read_own_form
from hub.web.routes import RouteSpec
from hub.web.vm_bulk import CONFIRM, bulk_order
from shared.errors import RpcError

WAIT_SECONDS = 1.0  # The page of results follows it from there.
PARALLEL = {"1": 1, "4": 4, "8": 8, "32": 32}


@dataclass(frozen=True, slots=True)
class VmBulkOrders:
    """The door for this form."""

    desk: Desk

    def routes(self) -> list[RouteSpec]:
        """Where it is sent."""
        return [RouteSpec("/vm-bulk", ("POST",), "admin", self.give)]

    async def give(self, request: Request) -> Response:
        """POST /vm-bulk: do it, and show a result for each."""
        form = await read_own_form(request, self.desk.context)
        asked = Asked("/vm-bulk", {}, QueryParams(form.one("query")))
        try:
            operation = await self.desk.call("vm.bulk", _order(asked, form))
        except RpcError as error:
            fields = {name: value for name, value in form.fields.items() if name != "csrf"}
            problem = Problem(error, "/vm-bulk", fields)
            return await self.desk.show(CONFIRM, asked, request, problem)
        address = f"/vm-bulk/{quote(str(operation['op_id']))}"
        return RedirectResponse(address + relative([("action", asked.one("action"))]), 303)


def _order(asked: Asked, form: Form) -> dict[str, Any]:
    """Raises RpcError."""
    order = bulk_order(asked)
    if order["action"] == "delete" and form.one("confirm") != form.one("count"):
        message = (
            f"To delete these {form.one('count')} VMs, type their number: nothing was deleted."
        )
        raise RpcError("invalid_params", message)
    options = {**order["options"], **({"queue": True} if form.one("queue") == "1" else {})}
    more: dict[str, Any] = {"parallel": PARALLEL.get(form.one("parallel"), 8)}
    if form.one("stop_on_error") == "1":
        more["stop_on_error"] = True
    request_id = {"request_id": form.one("request_id")} if form.one("request_id") else {}
    return {**order, "options": options, **more, **request_id, "wait_s": WAIT_SECONDS}
