"""The pages of a hub over scripted answers, behind the real guard, and a browser in front of them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette

from hub.web.context import WebContext
from hub.web.guard import Guard
from hub.web.pages import page_routes
from shared.errors import RpcError
from tests.api.web_answers import TRACE_ID, full_answers
from tests.api.web_moments import NOW_S

TOKEN = "the admin token of these tests"


@dataclass
class Script:
    """Answers calls from a table and remembers what was asked."""

    answers: dict[str, Any] = field(default_factory=full_answers)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """What a hub's `rpc.call` does; an RpcError in the table is raised."""
        self.asked.append((method, params))
        answer = self.answers[method]
        answer = answer(params) if callable(answer) else answer
        if isinstance(answer, RpcError):
            raise answer
        return dict(answer)

    def params_of(self, method: str) -> dict[str, Any]:
        """The parameters of the last call of a method."""
        return next(params for name, params in reversed(self.asked) if name == method)


@dataclass
class Web:
    """A web face and a browser in front of it. What is put into `news` goes out as a change."""

    script: Script = field(default_factory=Script)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    news: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)
    readers: int = 0
    ids: int = 0

    def __post_init__(self) -> None:
        self.guard = Guard("hub-1", TOKEN, "a cluster key", lambda: float(NOW_S))
        self.context = WebContext(
            hub_id="hub-1",
            session_cookie=self.guard.cookie_name,
            check_login=self.guard.check_login,
            csrf_token=self.guard.csrf_token,
            csrf_ok=self.guard.csrf_ok,
            hubs=lambda: [("hub-1", "http://hub"), ("hub-2", "http://hub-2.example:8470")],
            stopping=self.stopping,
            changes=self.changes,
            new_id=self.new_id,
        )
        self.specs = page_routes(self.script.call, self.context)
        self.app = Starlette(routes=self.guard.routes(self.specs))

    async def changes(self) -> AsyncIterator[str]:
        """Everything that is put into `news`, for as long as somebody reads."""
        self.readers += 1
        try:
            while True:
                yield await self.news.get()
        finally:
            self.readers -= 1

    def new_id(self) -> str:
        """Ids that can be told apart."""
        self.ids += 1
        return f"request-{self.ids}"

    def client(self, *, logged_in: bool = True) -> httpx.AsyncClient:
        """A browser, with a session or without."""
        cookie = self.guard.check_login(TOKEN) if logged_in else None
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://hub",
            cookies={self.guard.cookie_name: cookie} if cookie else None,
            headers={"accept": "text/html"},
        )


def web_with(**answers: Any) -> Web:
    """A web face whose hub answers some methods otherwise; `_` in a name stands for a dot."""
    web = Web()
    web.script.answers.update({name.replace("_", "."): held for name, held in answers.items()})
    return web


ADDRESSES = (
    "/",
    "/nodes",
    "/nodes?text=edge",
    "/nodes/edge-1",
    "/nodes/edge-1/ledger",
    "/nodes/uptime",
    "/nodes/uptime?scale=24h&text=e&after=edge-0",
    "/vms",
    "/vms?op=op-1&op_node=edge-1",
    "/vms/box-1?node=edge-1",
    "/logs",
    "/logs?signal=events",
    "/logs?node=edge-1&node=edge-2&severity=warn&text=a&attribute=a%3Db&start=-1h&cursor=x",
    "/logs?word=paid+late&service=a&service=b&severity_max=warn&backfilled=no&order=oldest",
    "/events",
    "/events?type=store.*&subject=logs&attribute=day%21%3D1&start=-30d&backfilled=yes",
    "/charts",
    "/charts?name=http.server.requests&aggregation=quantile&group_by=http.route&group=avg",
    "/charts?name=system.cpu.utilization&step=30s&aggregation=max",
    "/traces",
    "/traces?errors_only=1&min_duration_ms=5",
    "/traces?order=slowest&max_duration_ms=100&attribute=a%3Db",
    f"/traces/{TRACE_ID}",
    "/hubs",
    "/hubs/storage",
)


def twin_of(address: str) -> str:
    """Where the JSON of a page is."""
    path, mark, query = address.partition("?")
    return ("/overview" if path == "/" else path) + ".json" + mark + query


async def page(web: Web, address: str, status: int = 200) -> str:
    """The text of a page."""
    async with web.client() as client:
        answer = await client.get(address)
    assert answer.status_code == status, answer.text
    return answer.text
