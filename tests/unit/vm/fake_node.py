"""A node whose machines are scripted, opened as often as a test restarts its agent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edge.vm.driver import Driver
from edge.vm.model import VmEvent, VmSettings
from edge.vm.service import Telemetry, VmService
from shared.errors import BufferFull, RpcError
from shared.runtime import Runtime

from .fake_driver import FakeDriver, World

OpenFake = Callable[..., Awaitable["FakeNode"]]


class FakeNode:
    """One agent's life with a world."""

    def __init__(
        self,
        folder: Path,
        runtime: Runtime,
        world: World,
        settings: VmSettings,
        telemetry: Telemetry | None,
    ) -> None:
        self.world = world
        self.events: list[VmEvent] = []
        self.is_dumb = False
        driver: Driver = FakeDriver(world)
        self.service = VmService(
            folder,
            "edge-1",
            runtime,
            settings,
            self.emit,
            lambda: None,
            drivers=[driver],
            telemetry=telemetry,
        )

    async def emit(self, event: VmEvent) -> None:
        if self.is_dumb:
            raise BufferFull("nobody hears it")
        self.events.append(event)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.service.call(method, params)

    async def create(self, name: str = "box", start: bool = True, **spec: Any) -> dict[str, Any]:
        spec = {"name": name, "image": "fake", **spec}
        operation = await self.call("vm.create", spec=spec, start=start, wait_s=30)
        assert operation["state"] == "done", operation
        return await self.get(name)

    async def operations(self, vm: str = "box") -> list[dict[str, Any]]:
        """Its operations, newest first."""
        found: list[dict[str, Any]] = (await self.call("op.list", vm=vm))["items"]
        return found

    async def get(self, vm: str = "box") -> dict[str, Any]:
        return await self.call("vm.get", vm=vm)

    async def refusal(self, method: str, **params: Any) -> RpcError:
        with pytest.raises(RpcError) as caught:
            await self.call(method, **params)
        return caught.value

    def event_names(self) -> list[str]:
        return [event.name for event in self.events if event.name != "vm.operation"]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the agent supervises."""
        task = asyncio.create_task(self.service.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def die(self) -> None:
        """End as a killed agent does: nothing more is written, and machines go on."""
        self.is_dumb = True
        await self.service.close()
        self.world.holds.clear()
