"""Edges of this process whose machines are scripted: the true engine behind true links to true hubs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import orjson

from edge.link import EdgeSession
from edge.link_streams import LinkStreams
from edge.vm.model import VmEvent, VmSettings
from edge.vm.queued import QueuedOrders
from edge.vm.service import VmService
from hub.links import LinkSession
from shared.beat import read_beat_reply
from shared.codec import compress
from shared.errors import Unreachable
from shared.otlp_make import Event, event_part
from shared.records import Signal
from shared.runtime import Runtime, system_runtime
from tests.api.conftest import Log, World
from tests.unit.vm.fake_driver import FakeDriver
from tests.unit.vm.fake_driver import World as Scripted

SPEC = {"name": "box", "image": "fake"}


def no_network(*_: Any) -> NoReturn:
    raise AssertionError("machines need no network")


@dataclass
class End:
    """One end of a wire in memory. Each side's `drops` swallows messages that it would send."""

    inbox: "asyncio.Queue[bytes | None]"
    outbox: "asyncio.Queue[bytes | None]"
    drops: set[str] = field(default_factory=set)
    is_closed: bool = False

    async def send(self, message: bytes) -> None:
        if self.is_closed:
            raise Unreachable("the other end", "it is closed", sent=False)
        if "answers" in self.drops and b'"result"' in message:
            await self.close()  # The effect is there, and nobody will hear of it.
            return
        self.outbox.put_nowait(message)

    async def receive(self) -> bytes:
        message = None if self.is_closed else await self.inbox.get()
        if message is None:
            self.is_closed = True
            raise Unreachable("the other end", "it is closed", sent=True)
        return message

    async def close(self) -> None:
        self.is_closed = True
        self.outbox.put_nowait(None)
        self.inbox.put_nowait(None)


@dataclass
class Edge:
    """One edge: its machines, its links, and what it told."""

    node_id: str
    folder: Path
    scripted: Scripted = field(default_factory=Scripted)
    beats: int = 0
    told: list[Event] = field(default_factory=list)
    log: Log = field(init=False)
    service: VmService = field(init=False)
    queued: QueuedOrders = field(init=False)

    def __post_init__(self) -> None:
        self.log = Log(self.node_id)
        runtime = Runtime(system_runtime().wall_ns, Random(7), no_network, no_network)
        driver = FakeDriver(self.scripted)
        self.service = VmService(
            self.folder / self.node_id,
            self.node_id,
            runtime,
            VmSettings(),
            self._emit,
            lambda: None,
            drivers=[driver],
        )
        self.queued = QueuedOrders(self.service.call, lambda: None)

    async def _emit(self, event: VmEvent) -> None:
        named = {"vm.id": event.vm_id, "vm.name": event.vm_name, **event.attributes}
        self.told.append(Event(event.time_ns, event.name, "info", event.text, named))

    async def make(self, name: str = "box", **more: Any) -> dict[str, Any]:
        """A machine that runs, made on the edge itself."""
        spec = {**SPEC, "name": name, **more}
        await self.service.call("vm.create", {"spec": spec, "start": True, "wait_s": 30})
        return await self.service.call("vm.get", {"vm": name})

    async def beat(self, world: World, *, does: bool = True) -> list[str]:
        """Beat to a hub, take what it hands over, and do it; returns the ids that it handed over."""
        self.beats += 1
        answer = await world.beat(
            self.node_id,
            beat=self.beats,
            vms=self.service.summary(),
            ordered=self.queued.report(),
        )
        assert answer.status_code == 200, answer.text
        orders = read_beat_reply(answer.content).orders
        self.queued.heard("hub", orders)
        while does and self.queued._waiting:
            await self.queued.step()
        return [order.request_id for order in orders]

    async def push(self, world: World) -> None:
        """Bring what was told to a hub."""
        part = event_part({"service.name": "edge"}, "headwater.vm", self.told)
        chunk = self.log.chunk(
            part.records,
            compress(part.body),
            signal=Signal.EVENTS,
            raw_bytes=len(part.body),
            time_min_ns=part.time_min_ns,
            time_max_ns=part.time_max_ns,
        )
        assert (await world.push([chunk], self.node_id)).status_code == 200

    @asynccontextmanager
    async def linked(self, world: World, *drops: str) -> AsyncIterator[LinkSession]:
        """While the edge has a link to a hub; `answers` loses every answer, and the link with it."""
        down: asyncio.Queue[bytes | None] = asyncio.Queue()
        up: asyncio.Queue[bytes | None] = asyncio.Queue()
        hub_end, edge_end = End(up, down), End(down, up, set(drops))
        session = LinkSession(self.node_id, hub_end)
        tasks = [
            asyncio.create_task(world.hub.links.serve(session)),
            asyncio.create_task(self._serve(edge_end)),
        ]
        await asyncio.sleep(0)
        try:
            yield session
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, end: End) -> None:
        session = EdgeSession(end, self.service.call, LinkStreams({}, end.send))
        with suppress(Unreachable):
            try:
                while True:
                    await session.take(await end.receive())
            finally:
                await session.close()


@asynccontextmanager
async def edge_in(folder: Path, node_id: str = "edge-1") -> AsyncIterator[Edge]:
    """An edge whose agent runs."""
    edge = Edge(node_id, folder)
    await edge.service.open()
    task = asyncio.create_task(edge.service.run())
    try:
        yield edge
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await edge.service.close()


async def refusal(world: World, method: str, **params: Any) -> dict[str, Any]:
    """What the data of a refusal says, and its code."""
    error = await world.refusal(method, **params)
    data: dict[str, Any] = {**error["data"], "code": error["code"], "message": error["message"]}
    return orjson.loads(orjson.dumps(data))  # type: ignore[no-any-return]
