"""Speaks ASGI to an application directly: one request with its answer, or one WebSocket."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp

Message = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """An HTTP request on its way."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""

    def scope(self, kind: str) -> dict[str, Any]:
        """The ASGI scope of this request."""
        parts = urlsplit(self.url)
        headers = {"host": parts.netloc, **self.headers, "content-length": str(len(self.body))}
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http" if kind == "http" else "ws",
            "method": self.method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": (parts.hostname, parts.port),
            "subprotocols": [],
        }


async def exchange(app: ASGIApp, order: Order) -> Answer:
    """Let the application answer a request."""
    unread = [order.body]
    status, headers, pieces = 0, dict[str, str](), list[bytes]()

    async def receive() -> Message:
        if not unread:
            await asyncio.Event().wait()  # The client stays.
        return {"type": "http.request", "body": unread.pop(), "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            headers.update((k.decode().lower(), v.decode()) for k, v in message["headers"])
        else:
            pieces.append(message.get("body", b""))

    await app(order.scope("http"), receive, send)
    return Answer(status, headers, b"".join(pieces))


async def serve_socket(
    app: ASGIApp,
    order: Order,
    accepted: "asyncio.Future[bool]",
    incoming: Callable[[], Awaitable[bytes | None]],
    outgoing: Callable[[bytes], None],
    close: Callable[[], None],
) -> None:
    """Let the application serve a WebSocket; `incoming` gives None once it is closed."""
    opened = False

    async def receive() -> Message:
        nonlocal opened
        if not opened:
            opened = True
            return {"type": "websocket.connect"}
        message = await incoming()
        if message is None:
            return {"type": "websocket.disconnect", "code": 1006}
        return {"type": "websocket.receive", "bytes": message}

    async def send(message: Message) -> None:
        match message["type"]:
            case "websocket.send":
                outgoing(message["bytes"])
            case "websocket.accept":
                accepted.set_result(True)
            case "websocket.close":
                if not accepted.done():
                    accepted.set_result(False)
                close()

    await app(order.scope("websocket"), receive, send)
