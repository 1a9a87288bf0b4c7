"""Two hubs of this process, an edge that is simulated, and viewers of its consoles."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from edge.hubs import HubView
from edge.link import Link
from hub.hub import Hub
from hub.links import LinkSession
from shared.errors import RpcError, Unreachable
from shared.runtime import Duplex, system_runtime
from tests.api.conftest import ADMIN_TOKEN, World, bearer
from tests.api.mesh_world import Wire, config_of, opened
from tests.api.socket_world import AppSocket, Dialling
from tests.unit.core.test_calls import pipe
from tests.unit.core.test_streams import Machine

FLOOD_BYTES = 100 * 1024 * 1024


class Flooding(Machine):
    """A machine that prints without end, and speaks beside its bytes."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(params)
        self.printed_bytes = 0

    async def read(self) -> bytes:
        if self.printed_bytes >= FLOOD_BYTES:
            return b""
        self.printed_bytes += 65536
        return b"x" * 65536


class Speaking(Machine):
    """A machine that says how its console ends."""

    async def read(self) -> bytes:
        data = await super().read()
        if not data:
            await self.tell({"ended": "the sandbox does not run"})
        return data

    async def tell(self, word: dict[str, Any]) -> None:
        raise AssertionError("a link gives it another")


class Edge:
    """A simulated edge: its link to one hub, and the machines whose consoles were opened."""

    def __init__(self, hub: Hub, kind: type[Machine] = Machine) -> None:
        self.machines: list[Machine] = []
        hub_end, edge_end = pipe()
        session = LinkSession("edge-1", hub_end)

        async def dial(url: str, headers: dict[str, str]) -> Duplex:
            return edge_end

        async def open_machine(params: dict[str, Any]) -> Machine:
            if params["vm"] == "stopped":
                raise RpcError("invalid_state", "the sandbox does not run")
            self.machines.append(kind(params))
            return self.machines[-1]

        async def answer(method: str, params: dict[str, Any]) -> Any:
            return {}

        base = system_runtime()
        runtime = type(base)(base.wall_ns, base.rng, base.http, dial)
        link = Link(HubView("http://hub"), runtime, {}, answer, {"vm.console.open": open_machine})
        self._tasks = [asyncio.create_task(hub.links.serve(session))]
        self._tasks.append(asyncio.create_task(link.run()))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Hubs:
    """Two hubs that know each other; an edge may have a link to either."""

    def __init__(self, one: World, two: World, dialling: Dialling, stack: AsyncExitStack) -> None:
        self.one, self.two, self.dialling, self.stack = one, two, dialling, stack

    async def edge(self, world: World, kind: type[Machine] = Machine) -> Edge:
        for each in (self.one, self.two):
            assert (await each.beat("edge-1")).status_code == 200
        edge = Edge(world.hub, kind)
        self.stack.push_async_callback(edge.close)
        await asyncio.sleep(0)
        return edge

    async def view(self, world: World, **wish: Any) -> AppSocket:
        """Open a console through a hub."""
        ticket = await world.call("vm.console.open", node="edge-1", **{"vm": "web", **wish})
        return await socket(world, ticket["url"])


async def socket(world: World, path: str, **headers: str) -> AppSocket:
    made = AppSocket(world.app, f"http://hub{path}", {**bearer(ADMIN_TOKEN), **headers})
    await made.open()
    return made


@pytest.fixture
async def hubs(tmp_path: Path) -> AsyncIterator[Hubs]:
    apps: dict[str, Any] = {}
    dialling = Dialling(apps)
    async with AsyncExitStack() as stack:
        names = ("hub-1", "hub-2")
        configs = [config_of(tmp_path, name, names) for name in names]
        one, two = [await opened(stack, apps, each, Wire(apps), dial=dialling) for each in configs]
        one.hub.peers.by_url["http://hub-2"].hub_id = "hub-2"
        two.hub.peers.by_url["http://hub-1"].hub_id = "hub-1"
        async with AsyncExitStack() as inner:
            yield Hubs(one, two, dialling, inner)


async def words_until(viewer: AppSocket, key: str) -> dict[str, Any]:
    while True:
        came = await viewer.next()
        if isinstance(came, dict) and key in came:
            return came


async def shown(viewer: AppSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        came = await viewer.next()
        if isinstance(came, bytes):
            data += came
    return data


async def is_closed(viewer: AppSocket) -> bool:
    try:
        await viewer.next()
    except Unreachable:
        return True
    return False
