"""What goes wrong in a mesh, done to its machines; and which machines were near each other of late."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping

from hub.store import backup
from tests.sim.loop import real_now
from tests.sim.machines import EdgeMachine, HubMachine, World
from tests.sim.mesh_laws import leadership_of
from tests.sim.scenario import Mishap, at

Lost = Callable[[str], None]


class Mishaps:
    """Lets them happen to the machines of one mesh."""

    def __init__(
        self,
        world: World,
        hubs: Mapping[str, HubMachine],
        edges: Mapping[str, EdgeMachine],
        start_edge: Callable[[EdgeMachine], Awaitable[None]],
    ) -> None:
        self._world, self._hubs, self._edges = world, hubs, edges
        self._start_edge = start_edge
        self._up_since = dict.fromkeys(hubs, real_now())
        self._apart: dict[frozenset[str], float] = {}

    async def suffer(self, mishap: Mishap, began: float, lost: Lost) -> None:
        """One of them, from its beginning to its end; `lost` hears of a hub whose disk forgets."""
        await at(began, mishap.at_seconds, lambda: self._begin(mishap, lost))
        if mishap.kind != "step":
            await asyncio.sleep(mishap.for_seconds)
            await self._end(mishap)

    def is_near(self, name: str, other: str, seconds: float) -> bool:
        """Whether two hubs have been up, and everything has passed between them, for so long."""
        since = real_now() - seconds
        was_whole = self._apart.get(frozenset((name, other)), 0.0) <= since
        up = all(self._hubs[each].hub and self._up_since[each] <= since for each in (name, other))
        return up and was_whole and self._world.network.is_whole(name, other)

    async def _begin(self, mishap: Mishap, lost: Lost) -> None:
        machine = self._hubs.get(mishap.name) or self._edges[mishap.name]
        trace, disks, network = self._world.trace, self._world.disks, self._world.network
        match mishap.kind:
            case "crash":
                await machine.crash()
            case "power":
                await machine.lose_power()
            case "battery":
                await machine.lose_power()
                back = 10 ** self._world.rng("battery").uniform(0, 4)
                trace.note("clock set back", mishap.name, round(back))
                machine.clock.offset_seconds -= back
            case "restart":
                await machine.stop()
            case "lose":
                may_forget = self._may_forget(mishap.name)
                await machine.crash()
                if may_forget:
                    machine.lose_disk()
                    lost(mishap.name)
            case "restore":
                await self._restore(machine, lost)
            case "freeze":
                trace.note("freeze", mishap.name, round(mishap.for_seconds, 1))
                assert machine.process is not None
                machine.process.freeze(mishap.for_seconds)
            case "slow":
                trace.note("slow disk", mishap.name)
                disks.slow.add(mishap.name)
            case "part" | "silence":
                cut = network.separate if mishap.kind == "part" else network.silence
                for other in mishap.others:
                    cut(mishap.name, other)
            case "step":
                trace.note("clock step", mishap.name, round(mishap.for_seconds))
                machine.clock.offset_seconds += mishap.for_seconds

    def _may_forget(self, name: str) -> bool:
        """Whether a vote that is lost with a disk cannot be given twice: not before all others have heard
        of a leader, as operators are told."""
        others = [each.hub for other, each in self._hubs.items() if other != name]
        elections = [leadership_of(hub) for hub in others if hub is not None]
        heard = [each.election.members.stamp > (0, 0) for each in elections if each is not None]
        if all(heard):
            return True
        self._world.trace.note("disk kept", name, "not all have heard of a first leader")
        return False

    async def _restore(self, machine: HubMachine | EdgeMachine, lost: Lost) -> None:
        """A backup is made, the hub works on for a while, falls over, and gets the backup back."""
        aside = self._world.folder / f"{machine.name}.backup"
        now_ms = machine.clock.ns() // 1_000_000
        backup.back_up(machine.folder, aside, now_ms, _tell_nobody)
        await asyncio.sleep(self._world.rng("restore").uniform(0.5, 2.5))
        may_forget = self._may_forget(machine.name)
        await machine.crash()
        if not may_forget:
            return
        shutil.rmtree(machine.folder)
        machine.folder.mkdir()
        backup.restore(aside, machine.folder, machine.clock.ns() // 1_000_000, _tell_nobody)
        self._world.trace.note("restored", machine.name)
        lost(machine.name)

    async def _end(self, mishap: Mishap) -> None:
        name, network = mishap.name, self._world.network
        match mishap.kind:
            case "part" | "silence":
                for other in mishap.others:
                    network.rejoin(name, other)
                    self._apart[frozenset((name, other))] = real_now()
            case "slow":
                self._world.disks.slow.discard(name)
            case "freeze":
                self._up_since[name] = real_now()
            case _ if name in self._hubs:
                self._up_since[name] = real_now()
                await self._hubs[name].start()
            case _:
                await self._start_edge(self._edges[name])


def _tell_nobody(name: str, done_bytes: int, all_bytes: int) -> None:
    """Nobody watches."""
