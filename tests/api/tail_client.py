"""A reader of live tails in front of a real hub, without a network."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.types import ASGIApp

from hub.hub import Hub
from hub.store.tail_reads import StoreTailSource
from hub.tail_door import TailDoor
from hub.tail_position import Position
from hub.web.routes import RouteSpec
from tests.api.conftest import ADMIN_TOKEN, bearer

SECONDS_MAX = 10.0


def door_of(hub: Hub) -> TailDoor:
    """The door for tails of a hub."""
    return TailDoor(
        StoreTailSource(hub.store),
        hub.runtime.offload,
        hub.runtime.wall_ms,
        hub.stopping,
        hub.guard.csrf_ok,
        hub.counters,
    )


def app_of(hub: Hub, door: TailDoor) -> Starlette:
    """That door alone, guarded as all are."""
    return Starlette(
        routes=hub.guard.routes([RouteSpec("/tail", ("POST",), "admin", door.endpoint)])
    )


class TailClient:
    """One connection. It stops taking when `room` is cleared."""

    def __init__(
        self,
        app: ASGIApp,
        body: Mapping[str, Any] | bytes = b"{}",
        headers: Mapping[str, str] | None = None,
        position: Position | None = None,
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.events: list[tuple[str, Any]] = []
        self.comments = 0
        self.position = position or Position()
        self.room = asyncio.Event()
        self.room.set()
        self.ended = False
        self._text = b""
        self._left = asyncio.Event()
        self._heard = asyncio.Condition()
        self._unread = [body if isinstance(body, bytes) else orjson.dumps(body)]
        sent = {**bearer(ADMIN_TOKEN)} if headers is None else headers
        self.task = asyncio.create_task(self._run(app, _scope(sent)))

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self._unread:
            return {"type": "http.request", "body": self._unread.pop(), "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.room.wait()
        async with self._heard:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                self._text += message.get("body", b"")
                self.ended = not message.get("more_body", False)
                self._read()
            self._heard.notify_all()

    def _read(self) -> None:
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return
        while b"\n\n" in self._text:
            words, _, self._text = self._text.partition(b"\n\n")
            if words.startswith(b":"):
                self.comments += 1
                continue
            first, second = words.split(b"\n")
            event = first.removeprefix(b"event: ").decode()
            data = orjson.loads(second.removeprefix(b"data: "))
            self.events.append((event, data))
            self.position.fold(event, data)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows so far."""
        return [row for event, data in self.events if event == "rows" for row in data["rows"]]

    def names(self) -> list[tuple[int, int]]:
        """Which rows these are: (seq, index)."""
        return [(row["seq"], row["index"]) for row in self.rows]

    def of(self, event: str) -> list[dict[str, Any]]:
        """The messages of one kind."""
        return [data for name, data in self.events if name == event]

    @property
    def problem(self) -> str:
        """What an answer that is no stream says."""
        return str(orjson.loads(self._text)["detail"])

    async def hears(self, what: Callable[["TailClient"], Any]) -> None:
        """Wait until what was told is as wanted."""
        async with asyncio.timeout(SECONDS_MAX), self._heard:
            await self._heard.wait_for(lambda: what(self))

    async def begins(self) -> None:
        """Wait until the tail has its beginning."""
        await self.hears(lambda client: client.position.is_whole)

    async def answered(self) -> int:
        """The status of an answer that ends by itself."""
        await asyncio.wait_for(self.task, SECONDS_MAX)
        return self.status

    async def leave(self) -> None:
        """Close the connection."""
        self._left.set()
        await asyncio.wait_for(self.task, SECONDS_MAX)


def _scope(headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": "/tail",
        "raw_path": b"/tail",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"host": "hub", **headers}.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("hub", 80),
    }
