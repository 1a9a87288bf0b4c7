"""Three hubs of one process, with what passes between them, and how to part and heal them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from hub.app import asgi_app
from hub.config import HubConfig
from hub.hub import Hub
from hub.peering.view_part import ViewPart
from hub.peering.view_watch import ViewWatch
from shared.errors import Unreachable
from shared.http import Reply
from tests.api.conftest import ADMIN_TOKEN, CLUSTER_KEY, World
from tests.api.swift import runtime_here
from tests.api.test_watching import NAMES

SPLIT_SECONDS = 0.6
WAIT_SECONDS = 30.0
EVENTS = ("mesh.split", "mesh.whole", "incident.opened", "incident.closed")


@dataclass
class Net:
    """Three hubs of this process and what is between them."""

    folder: Path
    apps: dict[str, Any] = field(default_factory=dict)
    cut: set[frozenset[str]] = field(default_factory=set)
    """Pairs between which everything is lost."""
    worlds: dict[str, World] = field(default_factory=dict)
    stacks: dict[str, AsyncExitStack] = field(default_factory=dict)

    async def start(self, *names: str) -> None:
        """Start hubs with what their folders hold."""
        for name in names:
            await self._open(name)
        for name in names:
            await self.stacks[name].enter_async_context(_running(self.worlds[name]))

    async def _open(self, name: str) -> None:
        stack = self.stacks[name] = AsyncExitStack()
        runtime = replace(runtime_here(), http=lambda: Wire(self, name))
        peers = [f"http://{other}" for other in NAMES if other != name]
        (self.folder / name).mkdir(exist_ok=True)
        own = (CLUSTER_KEY, ADMIN_TOKEN, "OFF")
        config = HubConfig(name, self.folder / name, f"http://{name}", peers, *own)
        hub = await Hub.open(config, runtime)
        stack.push_async_callback(hub.close)
        app = self.apps[name] = asgi_app(hub)
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://hub", timeout=20)
        await stack.enter_async_context(client)
        self.worlds[name] = World(hub, app, client)

    async def stop(self, name: str) -> None:
        """Stop a hub in order."""
        self.worlds[name].hub.stop()
        await self.until(lambda: all(_held(self.worlds[each], name) for each in self.others(name)))
        await self.kill(name)

    async def kill(self, name: str) -> None:
        """From now on nobody listens there, and nothing was said before."""
        self.apps.pop(name)
        await self.stacks.pop(name).aclose()

    def others(self, name: str) -> list[str]:
        """All hubs that run but this one."""
        return [each for each in self.stacks if each != name]

    def part(self, *islands: tuple[str, ...]) -> None:
        """Lose everything between hubs of different islands; without any, heal."""
        self.cut = {
            frozenset((a, b))
            for one in islands
            for other in islands
            for a in one
            for b in other
            if one != other
        }

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for what must come."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not is_so():
                await asyncio.sleep(0.01)

    async def until_whole(self) -> None:
        """All hubs that run are one island, and have each other's views."""
        running = [watch_of(self.worlds[name]) for name in self.stacks]
        await self.until(lambda: all(set(self.stacks) <= set(w.islands.island) for w in running))

    async def until_closed(self) -> None:
        """No hub is apart or waits for others to be equal any more."""
        running = [watch_of(self.worlds[name]) for name in self.stacks]
        await self.until(
            lambda: all(not w.incidents.is_open and not w.islands.is_split for w in running)
        )

    async def told(self, name: str, kinds: tuple[str, ...] = EVENTS) -> list[str]:
        """The events of these kinds that a hub has told, in order of time."""
        return [event["event_name"] for event in await self.events(name, kinds)]

    async def events(self, name: str, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
        """The same, whole."""
        world = self.worlds[name]
        await world.hub.own.voice.flush()
        found = [await world.call("event.list", type=kind, nodes=[name]) for kind in kinds]
        items = [item for each in found for item in each["items"]]
        return sorted(items, key=lambda item: str(item["time"]))


@dataclass
class Wire:
    """What one hub posts with."""

    net: Net
    name: str

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Any = None,
        timeout_seconds: float = 10.0,
        reply_bytes_max: int = 2**26,
    ) -> Reply:
        base, slash, path = url.removeprefix("http://").partition("/")
        if frozenset((self.name, base)) in self.net.cut:
            raise Unreachable(url, "it is lost", sent=True)
        if base not in self.net.apps:
            raise Unreachable(url, "connection refused", sent=False, kind="refused")
        transport = httpx.ASGITransport(self.net.apps[base])
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{base}") as client:
            answer = await client.request(method, slash + path, content=body, headers=headers)
        return Reply(answer.status_code, dict(answer.headers), answer.content)

    async def close(self) -> None:
        """Nothing is open between two requests."""


@asynccontextmanager
async def _running(world: World) -> AsyncIterator[None]:
    loops = asyncio.create_task(world.hub.run())
    try:
        yield
        assert not loops.done(), "a loop of the hub ended"
    finally:
        loops.cancel()
        await asyncio.gather(loops, return_exceptions=True)


def _held(world: World, name: str) -> bool:
    return world.hub.peers.hold_of(name) is not None


def watch_of(world: World) -> ViewWatch:
    """The part of a hub that is tested here."""
    (part,) = (part for part in world.hub.parts if isinstance(part, ViewPart))
    return part.watch


async def split(net: Net) -> None:
    """Part the first hub from the others, until all of them have noticed."""
    net.part(("hub-1",), ("hub-2", "hub-3"))
    await net.until(lambda: all(watch_of(w).incidents.is_open for w in net.worlds.values()))


async def heal(net: Net) -> None:
    """Let everything through again, until all are equal and have each other's sights."""
    net.part()
    await net.until_closed()
    books = [watch_of(each).incidents for each in net.worlds.values()]
    await net.until(lambda: all(book.sights == books[0].sights for book in books))


def now() -> float:
    """The monotonic clock of this process."""
    return asyncio.get_running_loop().time()
