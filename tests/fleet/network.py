"""A network in memory: requests reach the real ASGI applications of hubs, or get lost on the way."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, MutableMapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp

from shared.errors import Refused, Unreachable
from shared.http import Reply
from shared.runtime import HttpReply

Message = MutableMapping[str, Any]


@dataclass(slots=True)
class Faults:
    """How the network fails: chances from 0 to 1, latency in seconds."""

    request_loss: float = 0.0
    reply_loss: float = 0.0
    duplication: float = 0.0
    latency_seconds_max: float = 0.05


@dataclass(slots=True)
class Host:
    """One hub on the network: what answers, and what is being answered."""

    app: ASGIApp
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)


@dataclass(slots=True)
class Network:
    """All hosts by address; counts every fault that really happened."""

    rng: Random
    faults: Faults = field(default_factory=Faults)
    hosts: dict[str, Host] = field(default_factory=dict)
    happened: Counter[str] = field(default_factory=Counter)

    def attach(self, url: str, app: ASGIApp) -> None:
        """A hub comes up at an address."""
        self.hosts[url] = Host(app)

    async def detach(self, url: str) -> None:
        """A hub vanishes: what it was doing stops in the middle."""
        host = self.hosts.pop(url)
        # In the order in which they began: a set has none that could be repeated.
        tasks = sorted(host.tasks, key=lambda task: task.get_name())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def spawn(self, host: Host, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something that belongs to a host and ends with it."""
        self.happened["served"] += 1
        task = asyncio.create_task(work, name=f"{self.happened['served']:09d}")
        host.tasks.add(task)
        task.add_done_callback(host.tasks.discard)
        return task

    async def travel(self) -> None:
        """The time a message is on its way."""
        await asyncio.sleep(self.rng.uniform(0.0005, self.faults.latency_seconds_max))

    def chance(self, fault: str, probability: float) -> bool:
        """Whether a fault happens now."""
        if self.rng.random() >= probability:
            return False
        self.happened[fault] += 1
        return True

    def client(self) -> "Client":
        """A client on this network."""
        return Client(self)

    async def dial(self, url: str, headers: dict[str, str]) -> "Socket":
        """Open a WebSocket; raises Unreachable or Refused."""
        await self.travel()
        base, path = _split(url)
        host = self.hosts.get(base)
        if host is None or self.chance("dial_lost", self.faults.request_loss):
            raise Unreachable(url, "no route", sent=False)
        socket = Socket(self)
        self.spawn(host, socket.serve(host.app, path, headers))
        await socket.opened.wait()
        if not socket.is_open:
            raise Refused(f"{url} refuses the link")
        return socket


@dataclass(slots=True)
class Client:
    """An HTTP client whose requests and answers may get lost."""

    network: Network

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_seconds: float = 10.0,
        reply_bytes_max: int = 0,
    ) -> HttpReply:
        """One request; a lost one, or a lost answer, is noticed when the time is over."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._request(method, url, body, headers or {})
        except TimeoutError as error:
            raise Unreachable(url, "timed out", sent=True) from error

    async def _request(
        self, method: str, url: str, body: bytes, headers: dict[str, str]
    ) -> HttpReply:
        network = self.network
        await network.travel()
        base, path = _split(url)
        host = network.hosts.get(base)
        if host is None:
            network.happened["refused"] += 1
            raise Unreachable(url, "connection refused", sent=False)
        if network.chance("request_lost", network.faults.request_loss):
            await _never()
        if network.chance("request_doubled", network.faults.duplication):
            network.spawn(host, _Exchange(method, path, body, headers).run(host.app))
        exchange = _Exchange(method, path, body, headers)
        served = network.spawn(host, exchange.run(host.app))
        await asyncio.wait({served})  # The hub goes on when the client does not wait for it.
        if not exchange.is_whole:
            raise Unreachable(url, "the connection broke", sent=True)
        if network.chance("reply_lost", network.faults.reply_loss):
            await _never()
        await network.travel()
        return exchange.reply()

    async def close(self) -> None:
        """Nothing is held open."""


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


def _split(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path


class _Exchange:
    """One HTTP request to an ASGI application, and its answer."""

    def __init__(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("edge", 1),
            "server": ("hub", 80),
        }
        self._body = body
        self._status = 0
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self.is_whole = False

    async def run(self, app: ASGIApp) -> None:
        await app(self.scope, self._receive, self._send)

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            self._pieces.append(message.get("body", b""))
            self.is_whole = not message.get("more_body", False)

    def reply(self) -> Reply:
        return Reply(self._status, self._headers, b"".join(self._pieces))


class Socket:
    """A WebSocket from an edge to an ASGI application; breaks when the hub vanishes."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._to_hub: asyncio.Queue[Message] = asyncio.Queue()
        self._to_edge: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.opened = asyncio.Event()
        self.is_open = False

    async def serve(self, app: ASGIApp, path: str, headers: dict[str, str]) -> None:
        """The hub's side."""
        exchange = _Exchange("GET", path, b"", headers)
        scope = {**exchange.scope, "type": "websocket", "scheme": "ws", "subprotocols": []}
        self._to_hub.put_nowait({"type": "websocket.connect"})
        try:
            await app(scope, self._to_hub.get, self._hub_sends)
        finally:
            self._break()

    async def _hub_sends(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self.is_open = True
            self.opened.set()
        elif message["type"] == "websocket.send":
            await self._network.travel()
            self._to_edge.put_nowait(message["bytes"])
        else:
            self._break()

    def _break(self) -> None:
        self.is_open = False
        self.opened.set()
        self._to_edge.put_nowait(None)

    async def send(self, message: bytes) -> None:
        """Send one message to the hub."""
        await self._network.travel()
        if not self.is_open:
            raise Unreachable("the hub", "the link is closed", sent=True)
        self._to_hub.put_nowait({"type": "websocket.receive", "bytes": message, "text": None})

    async def receive(self) -> bytes:
        """The hub's next message."""
        message = await self._to_edge.get() if self.is_open or not self._to_edge.empty() else None
        if message is None:
            raise Unreachable("the hub", "the link is closed", sent=True)
        return message

    async def close(self) -> None:
        """Leave; the hub notices."""
        if self.is_open:
            self.is_open = False
            self._to_hub.put_nowait({"type": "websocket.disconnect", "code": 1000})
