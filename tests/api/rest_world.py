"""The REST doors over a list of chunks, or over answers that a test makes up."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from starlette.applications import Starlette
from starlette.routing import Route

from hub.query.methods import answer
from hub.rest import rest_routes
from shared.errors import RpcError
from shared.records import Signal
from tests.unit.query.stock import NOW_NS, ListReader, S, gauge, log, logs, metrics, span, spans

COVERAGE = {
    "hub": "hub-1",
    "complete_until": "2026-11-21T05:00:00Z",
    "behind": [],
    "missing_nodes": [],
    "partial": False,
    "damaged_chunks": 0,
    "skewed": [],
}

Answers = Callable[[str, dict[str, Any]], dict[str, Any]]


def stock() -> ListReader:
    """2500 records of two nodes, an event, a metric and a trace."""
    made = ListReader()
    for number in range(25):
        first = number * 100
        records = [
            log(NOW_NS - (3000 - first - each) * S, f"line {first + each}") for each in range(100)
        ]
        made.put(Signal.LOGS, logs(records), node=f"edge-{number % 2 + 1}")
    made.put(Signal.METRICS, metrics([gauge("m", [(9_990, 1.5)])]))
    made.put(Signal.TRACES, spans([span(1, 1, 0, 9_990)]))
    return made


@dataclass
class RestWorld:
    """The doors and what was asked behind them."""

    answers: Answers
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    busy: int = 0

    app: Starlette = field(init=False)
    """The doors without their guard."""

    def __post_init__(self) -> None:
        specs = rest_routes(self.call, "hub-1", self.stopping)
        self.app = Starlette(
            routes=[Route(spec.path, spec.handler, methods=list(spec.methods)) for spec in specs]
        )

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """What the hub's own call does: answers or raises RpcError."""
        self.asked.append((method, params))
        self.busy += 1
        try:
            await asyncio.sleep(0)
            return self.answers(method, params)
        finally:
            self.busy -= 1

    async def get(self, path: str, accept: str = "*/*") -> httpx.Response:
        """Ask at a door."""
        async with self._client() as client:
            return await client.get(f"/api/v1{path}", headers={"accept": accept})

    async def post(self, path: str, body: bytes) -> httpx.Response:
        """Ask with a body."""
        async with self._client() as client:
            return await client.post(f"/api/v1{path}", content=body)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://hub", timeout=20
        )


def real_answers(reader: ListReader) -> Answers:
    """What the rules answer over these chunks, with a coverage."""

    def told(method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {**answer(reader, None, method, params, NOW_NS), "coverage": COVERAGE}

    return told


def paged_answers(pages: Mapping[str | None, Any]) -> Answers:
    """Pages by the cursor that asks for them; an exception is raised."""

    def told(method: str, params: dict[str, Any]) -> dict[str, Any]:
        page = pages[params.get("cursor")]
        if isinstance(page, RpcError):
            raise page
        return {"scanned": {"chunks": 1}, "coverage": COVERAGE, **page}

    return told


def lines_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The objects of a stream."""
    assert response.headers["content-type"].startswith("application/x-ndjson")
    return [orjson.loads(line) for line in response.content.splitlines()]
