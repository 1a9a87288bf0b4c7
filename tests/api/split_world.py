"""Three hubs of one process, with what passes between them, and how to part and heal them."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.peering.view_part import ViewPart
from hub.peering.view_watch import ViewWatch
from tests.api.conftest import World
from tests.api.mesh_world import (
    Network,
    config_of,
    looping,
    opened,
    own_events,
    part_in,
    until,
)

SPLIT_SECONDS = 0.6
EVENTS = ("mesh.split", "mesh.whole", "incident.opened", "incident.closed")


@dataclass(kw_only=True)
class Net(Network):
    """Three hubs of this process and what is between them."""

    folder: Path
    worlds: dict[str, World] = field(default_factory=dict)
    stacks: dict[str, AsyncExitStack] = field(default_factory=dict)

    async def start(self, *names: str) -> None:
        """Start hubs with what their folders hold."""
        for name in names:
            await self._open(name)
        for name in names:
            await self.stacks[name].enter_async_context(looping(self.worlds[name]))

    async def _open(self, name: str) -> None:
        stack = self.stacks[name] = AsyncExitStack()
        config = config_of(self.folder, name)
        self.worlds[name] = await opened(stack, self.apps, config, self.wire(name))

    async def stop(self, name: str) -> None:
        """Stop a hub in order."""
        self.worlds[name].hub.stop()
        await until(lambda: all(_held(self.worlds[each], name) for each in self.others(name)))
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

    async def until_whole(self) -> None:
        """All hubs that run are one island, and have each other's views."""
        running = [watch_of(self.worlds[name]) for name in self.stacks]
        await until(lambda: all(set(self.stacks) <= set(w.islands.island) for w in running))

    async def until_closed(self) -> None:
        """No hub is apart or waits for others to be equal any more."""
        running = [watch_of(self.worlds[name]) for name in self.stacks]
        await until(
            lambda: all(not w.incidents.is_open and not w.islands.is_split for w in running)
        )

    async def told(self, name: str, kinds: tuple[str, ...] = EVENTS) -> list[str]:
        """The events of these kinds that a hub has told, in order of time."""
        return [event["event_name"] for event in await self.events(name, kinds)]

    async def events(self, name: str, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
        """The same, whole."""
        world = self.worlds[name]
        found = [await own_events(world, kind) for kind in kinds]
        items = [item for each in found for item in each]
        return sorted(items, key=lambda item: str(item["time"]))


def _held(world: World, name: str) -> bool:
    return world.hub.peers.hold_of(name) is not None


def watch_of(world: World) -> ViewWatch:
    """The part of a hub that is tested here."""
    return part_in(world, ViewPart).watch


async def split(net: Net) -> None:
    """Part the first hub from the others, until all of them have noticed."""
    net.part(("hub-1",), ("hub-2", "hub-3"))
    await until(lambda: all(watch_of(w).incidents.is_open for w in net.worlds.values()))


async def heal(net: Net) -> None:
    """Let everything through again, until all are equal and have each other's sights."""
    net.part()
    await net.until_closed()
    books = [watch_of(each).incidents for each in net.worlds.values()]
    await until(lambda: all(book.sights == books[0].sights for book in books))


def now() -> float:
    """The monotonic clock of this process."""
    return asyncio.get_running_loop().time()
