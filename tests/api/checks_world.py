"""Hubs in this process that can be stopped and started, and a target that they check."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.nodes.check_part import CheckPart
from hub.nodes.check_rules import runner_of
from tests.api.conftest import World
from tests.api.liveness_world import T, beating, see
from tests.api.mesh_world import NAMES, Network, config_of, opened, running, until
from tests.api.watch_world import quick_watch

PAIR = NAMES[:2]

PACE: dict[str, Any] = {
    "heartbeat_seconds_min": T,
    "heartbeat_seconds_max": T,
    "leave_hold_seconds": 1.0,
    "brake_hold_seconds": 1.0,
}
"""What these hubs are told."""


class Target:
    """A machine with one open port, which answers HTTP until it is told to close or to fail."""

    port: int = 0
    status: int = 200
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, at the port of before if there was one."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nok" % self.status)
        await writer.drain()
        writer.close()

    async def close(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None


@dataclass
class Hubs:
    """Hubs in this process that can be stopped and started again, each in its folder."""

    folder: Path
    net: Network = field(default_factory=Network)
    stacks: dict[str, AsyncExitStack] = field(default_factory=dict)
    worlds: dict[str, World] = field(default_factory=dict)

    async def start(self, name: str) -> World:
        """Open a hub and let it run."""
        stack = self.stacks[name] = AsyncExitStack()
        config = config_of(self.folder, name, PAIR, **PACE)
        world = await opened(stack, self.net.apps, config, self.net.wire(name))
        await stack.enter_async_context(running(world))
        self.worlds[name] = world
        return world

    async def stop(self, name: str) -> None:
        """Close a hub as an order does."""
        del self.net.apps[name]
        self.worlds.pop(name)
        await self.stacks.pop(name).aclose()

    async def until_they_observe(self) -> None:
        """Wait until all are in touch, and have listened long enough to judge."""
        worlds = list(self.worlds.values())
        await until(lambda: all(part(each).observing.has_begun for each in worlds))
        others = {name: set(self.worlds) - {name} for name in self.worlds}
        await until(
            lambda: all(set(part(self.worlds[n]).live_hubs()) == others[n] for n in self.worlds)
        )


@asynccontextmanager
async def two_hubs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hubs]:
    """Two hubs at a quick pace, which have begun to observe."""
    quick_watch(monkeypatch)
    monkeypatch.setattr("hub.nodes.verdict.SLOW_REQUEST_SECONDS", 0.0)
    monkeypatch.setattr("hub.nodes.verdict_doubt.PEER_REPORT_SECONDS", 1.0)
    monkeypatch.setattr("hub.nodes.live_watch.TICK_SECONDS", 0.05)
    monkeypatch.setattr("hub.nodes.history_keep.KEEP_SECONDS", 0.05)
    made = Hubs(folder)
    try:
        for name in PAIR:
            await made.start(name)
        await made.until_they_observe()
        yield made
    finally:
        for name in list(made.worlds):
            await made.stop(name)


@asynccontextmanager
async def listening() -> AsyncIterator[Target]:
    """A target that is up."""
    target = Target()
    await target.open()
    try:
        yield target
    finally:
        await target.close()


def part(world: World) -> CheckPart:
    """The part of a hub that is tested here."""
    (found,) = [each for each in world.hub.parts if isinstance(each, CheckPart)]
    return found


def both(hubs: Hubs) -> tuple[World, World]:
    """The two hubs."""
    return hubs.worlds["hub-1"], hubs.worlds["hub-2"]


async def beat_all(hubs: Hubs) -> None:
    """Have the node beat to every hub once, so that each knows its address."""
    for world in hubs.worlds.values():
        assert (await world.beat("edge-1", beat=_beats())).status_code == 200


def _beats() -> int:
    return round(asyncio.get_running_loop().time() * 100)


async def set_checks(hubs: Hubs, *checks: dict[str, Any]) -> None:
    """Give the node these checks through the first hub, and wait until both plan them."""
    names = [each["name"] for each in checks]
    await both(hubs)[0].call("node.setChecks", node="edge-1", checks=list(checks))
    await until(
        lambda: all(
            [each.name for each in part(world).checks.schedule.checks_of("edge-1")] == names
            for world in hubs.worlds.values()
        )
    )


def tcp(port: int, **changes: Any) -> dict[str, Any]:
    """A check of the node's own port, which nobody runs by itself in the time of a test."""
    return {"name": "port", "kind": "tcp", "target": f":{port}", "interval_s": 86_400, **changes}


def http(port: int) -> dict[str, Any]:
    """A check of a page."""
    target = f"127.0.0.1:{port}/health?token=secret"
    return {"name": "web", "kind": "http", "target": target, "interval_s": 86_400, "text": "ok"}


@asynccontextmanager
async def checked(hubs: Hubs, state: str) -> AsyncIterator[None]:
    """An edge that beats, with a port whose check is in this state and told so by all hubs."""
    async with listening() as target, beating(both(hubs)[0], "edge-1"):
        await see(both(hubs), "online")
        await beat_all(hubs)
        await set_checks(hubs, tcp(target.port))
        if state == "failed":
            await target.close()
        await check(hubs)
        await until_all_tell(hubs, {runner(hubs, "port"): [state]}, "port")
        yield


async def check(hubs: Hubs) -> list[dict[str, str]]:
    """Run all checks on every hub, a moment after the last time: what each says of them."""
    await asyncio.sleep(0.01)  # On virtual time nothing else takes any.
    answers = [await world.call("node.check", node="edge-1") for world in hubs.worlds.values()]
    for answer in answers:
        assert answer["ok"] == all(each["state"] == "ok" for each in answer["items"])
    return [{each["check"]: each["message"] for each in answer["items"]} for answer in answers]


async def history(world: World, check: str | None = None) -> dict[str, list[str]]:
    """What each hub observed of the node or of a check, in the order of time, without what passes."""
    answer = await world.call("node.history", node="edge-1")
    found: dict[str, list[str]] = {}
    for each in reversed(answer["items"]):
        seen = found.setdefault(each["hub"], [])
        if (
            each["check"] == check
            and each["state"] not in ("late", "suspect", "unknown")
            and seen[-1:] != [each["state"]]
        ):
            seen.append(each["state"])
    return {hub: seen for hub, seen in found.items() if seen}


async def until_all_tell(
    hubs: Hubs, expected: dict[str, list[str]], check: str | None = None
) -> None:
    """Wait until all hubs tell the same history."""
    async with asyncio.timeout(30):
        while True:
            told = [await history(world, check) for world in hubs.worlds.values()]
            if all(each == expected for each in told):
                return
            await asyncio.sleep(0.05)


async def until_twice(world: World, hub: str) -> Any:
    """The history of the node, once a hub has observed it in two stretches of time."""
    async with asyncio.timeout(30):
        while True:
            answer = await world.call("node.history", node="edge-1")
            if [each["hub"] for each in answer["items"]].count(hub) > 1:
                return answer
            await asyncio.sleep(0.05)


def runner(hubs: Hubs, name: str) -> str:
    """The hub whose word on a check counts."""
    found = runner_of("edge-1", name, hubs.worlds)
    assert found is not None
    return found
