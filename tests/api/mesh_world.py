"""Hubs of one process that reach each other by name, and what may happen on the way between them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx

from hub.app import asgi_app
from hub.config import HubConfig
from hub.hub import Hub
from hub.part import Part
from shared.errors import Unreachable
from shared.http import Reply
from tests.api.conftest import ADMIN_TOKEN, CLUSTER_KEY, World
from tests.api.swift import runtime_here

NAMES = ("hub-1", "hub-2", "hub-3")
WAIT_SECONDS = 60.0

Kind = TypeVar("Kind", bound=Part)


# ---- the network


@dataclass
class Wire:
    """An HTTP client whose network is the hubs of this process."""

    apps: Mapping[str, Any]

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Any = None, **_: Any
    ) -> Reply:
        """Raises Unreachable for a hub that is not there (yet)."""
        base, slash, path = url.removeprefix("http://").partition("/")
        if base not in self.apps:
            raise Unreachable(url, "connection refused", sent=False, kind="refused")
        transport = httpx.ASGITransport(self.apps[base])
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{base}") as client:
            answer = await client.request(method, slash + path, content=body, headers=headers)
        return Reply(answer.status_code, dict(answer.headers), answer.content)

    async def close(self) -> None:
        """Nothing is open between two requests."""


@dataclass
class Network:
    """The hubs of this process by name, and what happens to what they send."""

    apps: dict[str, Any] = field(default_factory=dict)
    cut: set[frozenset[str]] = field(default_factory=set)
    """Pairs between which everything is lost."""
    unroutable: set[frozenset[str]] = field(default_factory=set)
    """Pairs without a way from one to the other, which either of them is told at once."""
    down: set[str] = field(default_factory=set)
    """Hubs that refuse everything, and have no way to anybody."""
    hanging: set[str] = field(default_factory=set)
    """Hubs that take gossip and never answer it."""
    lost: set[str] = field(default_factory=set)
    """Paths on which nothing arrives."""
    posts: list[tuple[str, str, str]] = field(default_factory=list)
    """From, to and path of every message that has arrived."""
    losses: set[tuple[str, str, str]] = field(default_factory=set)
    """The same of messages that were lost."""

    def cut_off(self, name: str) -> None:
        """Lose everything between this hub and all others."""
        self.cut |= {frozenset((name, other)) for other in NAMES if other != name}

    def wire(self, name: str) -> "NetWire":
        """What this hub posts with."""
        return NetWire(self.apps, self, name)


@dataclass
class NetWire(Wire):
    """The HTTP client of one hub."""

    net: Network
    name: str

    async def request(
        self, method: str, url: str, *, timeout_seconds: float = 10.0, **told: Any
    ) -> Reply:
        """Raises Unreachable where nothing passes."""
        to, _, path = url.removeprefix("http://").partition("/")
        net, pair = self.net, frozenset((self.name, to))
        if pair in net.unroutable or self.name in net.down:
            raise Unreachable(url, "no way there", sent=False, kind="unroutable")
        if pair in net.cut or path in net.lost:
            net.losses.add((self.name, to, path))
            raise Unreachable(url, "it is lost", sent=True)
        if to in net.down:
            raise Unreachable(url, "connection refused", sent=False, kind="refused")
        if to in net.hanging and path == "peer/gossip":
            await asyncio.sleep(timeout_seconds / 10)
            raise Unreachable(url, "TimeoutError", sent=True)
        reply = await super().request(method, url, **told)
        net.posts.append((self.name, to, path))
        return reply


# ---- hubs


def config_of(
    folder: Path, name: str, peers: Iterable[str] = NAMES, synchronous: str = "OFF", **changes: Any
) -> HubConfig:
    """What a hub is told that has its own folder below this one, and these peers."""
    urls = [f"http://{peer}" for peer in peers if peer != name]
    own = (CLUSTER_KEY, ADMIN_TOKEN, synchronous)
    return HubConfig(name, folder / name, f"http://{name}", urls, *own, **changes)


async def opened(
    stack: AsyncExitStack, apps: dict[str, Any], config: HubConfig, wire: Wire, **changes: Any
) -> World:
    """A hub with what its folder holds, closed with the stack. It is among the apps, and does not run.

    `changes` are of its runtime.
    """
    config.folder.mkdir(exist_ok=True)
    hub = await Hub.open(config, replace(runtime_here(), http=lambda: wire, **changes))
    stack.push_async_callback(hub.close)
    app = apps[config.hub_id] = asgi_app(hub)
    transport = httpx.ASGITransport(app)
    client = httpx.AsyncClient(transport=transport, base_url="http://hub", timeout=20)
    await stack.enter_async_context(client)
    return World(hub, app, client)


@asynccontextmanager
async def pair_in(folder: Path) -> AsyncIterator[tuple[World, World]]:
    """Two hubs that will find each other once their loops run."""
    apps: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        configs = [config_of(folder, name, NAMES[:2], "NORMAL") for name in NAMES[:2]]
        one, two = [await opened(stack, apps, each, Wire(apps)) for each in configs]
        yield one, two


@asynccontextmanager
async def looping(*worlds: World) -> AsyncIterator[None]:
    """The loops of some hubs, which end without a word."""
    loops = [asyncio.create_task(world.hub.run()) for world in worlds]
    try:
        yield
        assert not any(loop.done() for loop in loops), "a loop of a hub ended"
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


@asynccontextmanager
async def running(*worlds: World) -> AsyncIterator[None]:
    """The loops of some hubs, which are stopped in order."""
    async with looping(*worlds):
        yield
        for world in worlds:
            world.hub.stop()


# ---- what is asked of them


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what must come."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so():
            await asyncio.sleep(0.01)


def part_in(world: World, kind: type[Kind]) -> Kind:
    """The part of a hub that is of this kind."""
    (part,) = (part for part in world.hub.parts if isinstance(part, kind))
    return part


async def own_events(world: World, kind: str) -> list[dict[str, Any]]:
    """The events of this type that a hub itself has told, newest first."""
    await world.hub.own.voice.flush()
    found = await world.call("event.list", type=kind, nodes=[world.hub.config.hub_id])
    return list(found["items"])
