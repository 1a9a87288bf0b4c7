"""A fleet of real hubs and edges: what it goes through, and what must be true of it then."""

import asyncio
from functools import partial
from itertools import combinations

from edge.books import Totals
from hub.config import COPIES
from hub.hub import Hub
from hub.peering.clock_part import ClockPart
from hub.peering.view_part import ViewPart
from shared.merge import to_bytes
from shared.ranges import Ranges
from shared.records import MIB
from tests.sim import laws
from tests.sim.health import stale, unwell
from tests.sim.machines import EdgeMachine, HubMachine, World
from tests.sim.network import CALM, Weather
from tests.sim.person import Person
from tests.sim.scenario import Mishap, Plan, at, layout, mishaps, settled

CALM_SECONDS = 60.0  # Enough for every backoff of beats, links and gossip.
HEARD_SECONDS = 5.0  # The last events have gone from hub to hub by then.
SMALL_BYTES = 1500  # Full after a few seconds without a hub.


def far_off(hub: Hub) -> list[str]:
    """The hubs whose orders wait here for a clock."""
    now, wall_ms = asyncio.get_running_loop().time(), hub.runtime.wall_ms()
    parts = (part for part in hub.parts if isinstance(part, ClockPart))
    return sorted(name for part in parts for name in part.clocks.quarantined(now, wall_ms))


def still_differs(hub: Hub) -> bool:
    """Whether a hub sees another view than its own, or has an incident that is not over."""
    now = asyncio.get_running_loop().time()
    watches = (part.watch for part in hub.parts if isinstance(part, ViewPart))
    return any(each.views.differences(now) or each.incidents.is_open for each in watches)


class Fleet:
    """Some hubs, many edges, and a person who gives orders."""

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan, self.world = plan, world
        self.mishaps = mishaps(plan, world.rng("mishaps"))
        self.layout = drawn = layout(plan, world.rng("layout"), self.mishaps)
        self.hubs = {name: HubMachine(world, name, drawn.peers[name]) for name in plan.hub_names}
        self.edges = {
            name: EdgeMachine(
                world, name, drawn.masters[name], SMALL_BYTES if name in drawn.small else MIB
            )
            for name in plan.edge_names
        }
        self.person = Person(world, self.hubs, self.edges)
        self.began = asyncio.get_running_loop().time()

    async def run(self, storm: Weather) -> None:
        """From the first start to the last stop; the world's trace has what was broken."""
        network = self.world.network
        for hub in self.hubs.values():
            await hub.start()
        network.weather = storm
        for edge in self.edges.values():
            await self._start_edge(edge)
        await self._weather_the_storm()
        network.weather = CALM
        self.world.trace.note("calm")
        await self._come_to_rest()
        totals = await self._stop_edges()
        await self._stop_hubs()
        self._judge(totals)

    async def _start_edge(self, edge: EdgeMachine) -> None:
        await edge.start()
        edge.log_until(self.began + self.plan.storm_seconds, self.plan.log_pause_seconds)

    # ---- the storm

    async def _weather_the_storm(self) -> None:
        rng = self.world.rng("demands")
        watch = asyncio.create_task(self._watch_copies())
        async with asyncio.TaskGroup() as tasks:
            for mishap in self.mishaps:
                tasks.create_task(self._suffer(mishap))
            for number in range(self.plan.orders):
                seconds = rng.uniform(0, self.plan.storm_seconds)
                tasks.create_task(at(self.began, seconds, partial(self._demand, number)))
            end = self.began + self.plan.storm_seconds - asyncio.get_running_loop().time()
            await asyncio.sleep(max(end, 0))
        watch.cancel()

    async def _demand(self, number: int) -> None:
        rng = self.world.rng(f"demand {number}")
        await self.person.label(number, rng)
        await self.person.insist(f"request-{number}", rng)

    async def _watch_copies(self) -> None:
        """What an edge has let go of is on two disks, at every moment and not just in the end."""
        if not self.layout.is_plain:
            return  # A hub that was told of no peer does not wait for one.
        wanted = min(COPIES, len(self.hubs))
        while self.world.trace.counts["disk lost"] == 0:
            disks = [laws.keys_on_disk(hub.folder) for hub in self.hubs.values()]
            for name, edge in self.edges.items():
                if edge.buffer is None:
                    continue
                for seq in Ranges(((1, edge.buffer.totals.head_seq),)) - edge.buffer.seqs:
                    copies = sum((name, edge.buffer.epoch, seq) in disk for disk in disks)
                    if copies < wanted:
                        self.world.trace.fail(f"{name} let go of {seq}, which has {copies} copies")
            await asyncio.sleep(1.0)

    async def _suffer(self, mishap: Mishap) -> None:
        await at(self.began, mishap.at_seconds, lambda: self._begin(mishap))
        if mishap.kind != "step":
            await asyncio.sleep(mishap.for_seconds)
            await self._end(mishap)

    async def _begin(self, mishap: Mishap) -> None:
        machine = self.hubs.get(mishap.name) or self.edges[mishap.name]
        match mishap.kind:
            case "crash":
                await machine.crash()
            case "restart":
                await machine.stop()
            case "lose":
                await machine.crash()
                machine.lose_disk()
            case "full":
                self.world.trace.note("disk full", mishap.name)
                self.world.disks.full.add(mishap.name)
            case "part":
                for other in mishap.others:
                    self.world.network.separate(mishap.name, other)
            case "step":
                self.world.trace.note("clock step", mishap.name, round(mishap.for_seconds))
                machine.clock.offset_seconds += mishap.for_seconds

    async def _end(self, mishap: Mishap) -> None:
        if mishap.kind == "part":
            for other in mishap.others:
                self.world.network.rejoin(mishap.name, other)
        elif mishap.kind == "full":
            self.world.trace.note("room again", mishap.name)
            self.world.disks.full.discard(mishap.name)
        elif mishap.name in self.hubs:
            await self.hubs[mishap.name].start()
        else:
            await self._start_edge(self.edges[mishap.name])

    # ---- the end

    async def _come_to_rest(self) -> None:
        def at_rest() -> bool:
            held = [hub.hub.store.held for hub in self.hubs.values() if hub.hub]
            empty = all(edge.buffer and not edge.buffer.seqs for edge in self.edges.values())
            return empty and all(each == held[0] for each in held)

        if not await settled(at_rest, self.plan.rest_seconds_max):
            self.world.trace.fail(f"no rest after {self.plan.rest_seconds_max:.0f} s of calm")
        await self._be_well()
        await self.person.check_all()
        await self._set_clocks_right()
        # A hub that comes back at rest hears nothing new: all it knows is from its disk.
        hub = self.world.rng("rest").choice(list(self.hubs.values()))
        await hub.stop()
        await hub.start()
        await self._be_well()
        await self.person.label_last(hub)
        await self._say_all()

    async def _say_all(self) -> None:
        """Wait until no hub has more to say of the storm, and all have heard what was said."""
        if not await settled(lambda: not any(map(still_differs, self._running())), CALM_SECONDS):
            self.world.trace.fail("after a calm, the hubs still believe different things")
        await asyncio.sleep(HEARD_SECONDS)

    def _running(self) -> list[Hub]:
        return [machine.hub for machine in self.hubs.values() if machine.hub]

    async def _set_clocks_right(self) -> None:
        """What a hub with a wrong clock has ordered waits until somebody sets it; now somebody does."""

        def wrong() -> list[str]:
            hubs = self._running()
            return [f"{hub.config.hub_id} of {name}" for hub in hubs for name in far_off(hub)]

        for each in wrong():
            self.world.trace.note("clock quarantined", each)
        for machine in self.hubs.values():
            machine.clock.offset_seconds = self.world.rng(f"{machine.name} set").uniform(-0.2, 0.2)
        if not await settled(lambda: not wrong(), CALM_SECONDS):
            self.world.trace.fail(f"the clocks are right, and that is not seen: {wrong()}")

    async def _be_well(self) -> None:
        if not await settled(lambda: not unwell(self.hubs, self.edges), CALM_SECONDS):
            words = unwell(self.hubs, self.edges)
            self.world.trace.fail(f"after {CALM_SECONDS:.0f} s of calm: {words}")

    async def _stop_edges(self) -> dict[str, Totals]:
        totals: dict[str, Totals] = {}
        for name, edge in self.edges.items():
            if edge.buffer is None:
                self.world.trace.fail(f"{name} does not run at the end")
                continue
            totals[name] = edge.buffer.totals
            for sentence in laws.broken_by_edge(name, edge.buffer.totals, edge.buffer.seqs.count):
                self.world.trace.fail(sentence)
            await edge.stop()
        return totals

    async def _stop_hubs(self) -> None:
        def agree() -> bool:
            said = [self._records_of(hub) for hub in self.hubs.values()]
            return all(each == said[0] for each in said)

        if not await settled(agree, 60.0):
            self.world.trace.fail("the hubs do not agree about the nodes")
        for sentence in stale(self.hubs, self.edges):
            self.world.trace.fail(sentence)
        # What one hub would say of the stop of another came too late for that one.
        for one, other in combinations(self.hubs, 2):
            self.world.network.separate(one, other)
        for hub in self.hubs.values():
            await hub.stop()

    @staticmethod
    def _records_of(machine: HubMachine) -> dict[str, bytes]:
        assert machine.hub is not None
        records = machine.hub.registry.records
        return {node_id: to_bytes(record) for node_id, record in records.items()}

    def _judge(self, totals: dict[str, Totals]) -> None:
        trace = self.world.trace
        outputs = {name: edge.output for name, edge in self.edges.items()}
        folders = [hub.folder for hub in self.hubs.values()]
        for folder in folders:
            for sentence in laws.broken_by_hub(folder, outputs, totals):
                trace.fail(sentence)
        for folder in folders[1:]:
            for sentence in laws.unequal(folders[0], folder):
                trace.fail(sentence)
        trace.counts["records"] = sum(each.all.produced.records for each in totals.values())
        trace.counts["chunks"] = sum(each.head_seq for each in totals.values())
        for folder in folders:
            for node_id, record in laws.nodes_on_disk(folder).items():
                trace.result(node_id.encode() + record)
            for key, log in sorted(laws.logs_on_disk(folder).items()):
                trace.result(repr((key, [log[seq].hash for seq in sorted(log)])).encode())
