"""WebSockets to the hubs of this process: for viewers, and between hubs."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from shared.errors import Refused, Unreachable
from tests.sim.asgi import Order


class AppSocket:
    """A WebSocket that an application serves."""

    def __init__(self, app: Any, url: str, headers: Mapping[str, str]) -> None:
        self._scope = Order("GET", url, dict(headers)).scope("websocket")
        self._app = app
        self._up: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._down: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def open(self) -> None:
        """Raises Refused."""
        self._up.put_nowait({"type": "websocket.connect"})
        self._serving = asyncio.create_task(self._app(self._scope, self._up.get, self._take))
        first = await self._down.get()
        if first["type"] != "websocket.accept":
            await self._serving
            raise Refused(f"refused: {first.get('code')} {first.get('reason')}")

    async def _take(self, message: Any) -> None:
        self._down.put_nowait(message)

    async def send(self, message: bytes | str) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        self._up.put_nowait({"type": "websocket.receive", kind: message})

    async def next(self) -> bytes | dict[str, Any]:
        """The next bytes or word; raises Unreachable once it is closed."""
        async with asyncio.timeout(20):
            message = await self._down.get()
        if message["type"] == "websocket.close":
            raise Unreachable("the hub", "closed", sent=True)
        if message.get("text") is not None:
            word: dict[str, Any] = orjson.loads(message["text"])
            return word
        return bytes(message["bytes"])

    async def receive(self) -> bytes:
        """As a Duplex between hubs, which are patient."""
        message = await self._down.get()
        if message["type"] == "websocket.close":
            raise Unreachable("the hub", "closed", sent=True)
        return bytes(message["bytes"])

    async def close(self) -> None:
        """Leave, as one whose connection breaks."""
        self._up.put_nowait({"type": "websocket.disconnect", "code": 1006})
        await self._serving

    @property
    def waiting_bytes(self) -> int:
        """What the application has sent and nobody has read."""
        held: Iterable[dict[str, Any]] = self._down._queue  # type: ignore[attr-defined]
        return sum(len(each.get("bytes") or b"") for each in held)


class Dialling:
    """How the hubs of this process reach each other's sockets, and how they lose them."""

    def __init__(self, apps: Mapping[str, Any]) -> None:
        self.apps, self.open = apps, list[AppSocket]()

    async def __call__(self, url: str, headers: dict[str, str]) -> AppSocket:
        app = self.apps.get(urlsplit(url).netloc)
        if app is None:
            raise Unreachable(url, "connection refused", sent=False)
        socket = AppSocket(app, url, headers)
        await socket.open()
        self.open.append(socket)
        return socket
