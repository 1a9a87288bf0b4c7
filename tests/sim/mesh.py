"""A small mesh of real hubs and edges in a short storm, and the laws that hold in it at every moment."""

import asyncio
import sqlite3
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from random import Random

from sqlite_utils.db import Database

from edge.books import Totals
from hub.conf.part import ConfPart
from hub.hub import Hub
from hub.lead.part import LeadPart
from hub.store import lead_table
from shared.errors import Refused
from shared.merge import REMOVED, to_bytes
from shared.records import MIB
from tests.sim import laws, mesh_laws
from tests.sim.health import unwell
from tests.sim.loop import VirtualLoop, real_now
from tests.sim.machines import EdgeMachine, HubMachine, World
from tests.sim.mesh_laws import KNOWN_SECONDS
from tests.sim.mesh_mishaps import Mishaps
from tests.sim.mesh_people import People
from tests.sim.mesh_plan import BEAT_SECONDS, DRIFT_MAX, MeshPlan
from tests.sim.process import WallClock
from tests.sim.scenario import at, settled, url_of
from tests.sim.watching import Book, Field, newest

LOOK_SECONDS = 0.5
RECOVERY_SECONDS_MAX = 45.0
"""From the end of the last fault until everything is as if nothing had been: all links up, every node
online on every hub, one leader, equal records and settings, every chunk on every hub."""


class Mesh:
    """The mesh of one plan."""

    def __init__(self, plan: MeshPlan, world: World, book: Book) -> None:
        self.plan, self.world, self.book = plan, world, book
        rng = world.rng("mesh")
        self.hubs = {name: self._hub(name, rng) for name in plan.hub_names}
        self.edges = {name: self._edge(name, rng) for name in plan.edge_names}
        self.staying = {name: self.edges[name] for name in plan.staying}
        self.people = People(world, self.hubs, self.edges)
        self.mishaps = Mishaps(world, self.hubs, self.edges, self._start_edge)
        self.began = real_now()
        self._buried: dict[tuple[str, str], object] = {}
        self._fences: list[int] = []
        book.acting = self._acting

    def _hub(self, name: str, rng: Random) -> HubMachine:
        peers = [url_of(other) for other in self.plan.hub_names if other != name]
        members = self.plan.hub_names if self.plan.leader == "quorum" else ()
        hub = HubMachine(
            self.world,
            name,
            peers,
            leader=self.plan.leader,
            lead_hubs=members,
            heartbeat_seconds_min=BEAT_SECONDS,
        )
        self._set_clocks(hub, rng)
        return hub

    def _edge(self, name: str, rng: Random) -> EdgeMachine:
        edge = EdgeMachine(self.world, name, [url_of(hub) for hub in self.plan.hub_names], MIB)
        self._set_clocks(edge, rng)
        return edge

    @staticmethod
    def _set_clocks(machine: HubMachine | EdgeMachine, rng: Random) -> None:
        """A wall clock that is off and drifts, and a monotonic one that is fast or slow."""
        is_edge = isinstance(machine, EdgeMachine)
        # Hubs set aside what a peer says whose clock is far off, and do so for ten seconds after.
        far = rng.random() < (0.4 if is_edge else 0.07)
        off = rng.uniform(-20, 20) if far else rng.uniform(-0.2, 0.2)
        machine.clock = WallClock(off, rng.uniform(-0.001, 0.001))
        machine.pace_rate = 1 + rng.choice((-1, 1, rng.uniform(-1, 1))) * DRIFT_MAX

    async def run(self) -> None:
        """From the first start to the last stop; the trace of the world has what was broken."""
        network, plan = self.world.network, self.plan
        for hub in self.hubs.values():
            await hub.start()
        network.weather = plan.weather
        for edge in self.edges.values():
            await self._start_edge(edge)
        looking = [asyncio.create_task(self._look()), asyncio.create_task(self._write_alone())]
        await self._weather_the_storm()
        network.clear_up()
        self._set_clocks_right()
        self.world.trace.note("calm")
        await self._recover()
        for task in looking:
            task.cancel()
        await self._end()

    async def _start_edge(self, edge: EdgeMachine) -> None:
        await edge.start()
        if edge.name in self.plan.staying:
            edge.log_until(self.began + self.plan.storm_seconds, 0.8)

    async def _weather_the_storm(self) -> None:
        end = self.plan.storm_seconds
        async with asyncio.TaskGroup() as tasks:
            for mishap in self.plan.mishaps:
                tasks.create_task(self.mishaps.suffer(mishap, self.began, self._lost))
            for when, order in self.people.orders(self.plan, end):
                tasks.create_task(at(self.began, when, order))
            await asyncio.sleep(max(self.began + end - real_now(), 0))

    def _set_clocks_right(self) -> None:
        """What a hub with a wrong clock has ordered waits for that."""
        for machine in self.hubs.values():
            machine.clock.offset_seconds = self.world.rng(f"{machine.name} set").uniform(-0.1, 0.1)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.thaw_all()

    # ---- at every moment

    def _running(self) -> list[Hub]:
        return [machine.hub for machine in self.hubs.values() if machine.hub]

    def _acting(self) -> list[str]:
        """Who may act alone now, each by its own clock."""
        acting = []
        for machine in self.hubs.values():
            election = mesh_laws.leadership_of(machine.hub) if machine.hub else None
            if election is None or machine.process is None:
                continue
            if election.is_leading(machine.process.clock.local(real_now())):
                acting.append(machine.name)
        return acting

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for hub in self._running():
                for sentence in self._broken_now(hub):
                    self.world.trace.fail(sentence)

    def _broken_now(self, hub: Hub) -> Iterator[str]:
        name, now = hub.config.hub_id, real_now()
        alive = {peer.hub_id for peer in hub.peers.by_url.values() if peer.verdict == "alive"}
        near = [each for each in alive if self.mishaps.is_near(name, each, KNOWN_SECONDS)]
        life = f"{name}#{self.hubs[name].lives}"
        yield from mesh_laws.risen(life, hub, self._buried)
        staying, book = self.plan.staying, self.book
        yield from mesh_laws.called_dead(hub, near, staying, book, BEAT_SECONDS, now)

    async def _write_alone(self) -> None:
        """Whoever may act alone begins a write with its fence, which arrives when it arrives."""
        rng = self.world.rng("writes")
        store = sqlite3.connect(":memory:")
        lead_table.lead_tables(Database(store))
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.4)
            for machine in self.hubs.values():
                fence = self._fence_of(machine)
                if fence is not None:
                    seconds = rng.choice((0.01, 0.5, 3.0))
                    loop.call_later(seconds, partial(self._arrive, store, fence))

    def _fence_of(self, machine: HubMachine) -> int | None:
        if machine.hub is None or machine.process is None or self.plan.leader != "quorum":
            return None
        lease = mesh_laws.part_of(machine.hub, LeadPart).lease
        fence = machine.process.see(lambda: lease.acquire("report"))
        return fence.number if fence else None

    def _arrive(self, store: sqlite3.Connection, fence: int) -> None:
        try:
            with store:
                lead_table.guard(store, "report", fence)
                self._fences.append(fence)
        except Refused:
            self.world.trace.note("fenced off", fence, lead_table.highest_fence(store, "report"))

    def _lost(self, name: str) -> None:
        """A hub comes back without what it held last: who promised what alone is excused, and no more."""
        others = [hub for hub in self._running() if hub.config.hub_id != name]

        def known(field: Field) -> object:
            records = (hub.registry.records.get(field[0]) for hub in others)
            orders = [mesh_laws.order_of(record, field[1]) for record in records]
            return max((order for order in orders if order is not None), default=None)

        def stamp_of(place: tuple[str, str]) -> object:
            books = [mesh_laws.part_of(hub, ConfPart).conf.book.versions for hub in others]
            return newest([book.current[place].stamp for book in books if place in book.current])

        self.book.excuse(name, known, stamp_of)

    # ---- at the end

    def _unrest(self) -> list[str]:
        """What is not yet as if nothing had been."""
        found = unwell(self.hubs, self.staying)
        if found:
            return found
        hubs = self._running()
        held = [hub.store.held for hub in hubs]
        found += [f"{edge.name} still holds chunks" for edge in self._holding()]
        found += [] if all(each == held[0] for each in held) else ["hubs hold different chunks"]
        found += mesh_laws.unequal_records(hubs)
        found += mesh_laws.unequal_settings(hubs)
        return found + list(mesh_laws.leaderless(hubs))

    def _holding(self) -> list[EdgeMachine]:
        return [edge for edge in self.staying.values() if edge.buffer and edge.buffer.seqs]

    async def _recover(self) -> None:
        began = real_now()
        if not await settled(lambda: not self._unrest(), RECOVERY_SECONDS_MAX):
            for sentence in self._unrest():
                self.world.trace.fail(f"{RECOVERY_SECONDS_MAX:.0f} s after the storm: {sentence}")
        self.world.trace.counts["seconds to recover"] = round(real_now() - began)
        self._judge()

    def _judge(self) -> None:
        """Look at everything at one moment of rest, at which nobody moves."""
        trace, folders = self.world.trace, [hub.folder for hub in self.hubs.values()]
        broken = [sentence for hub in self._running() for sentence in self._broken_at_rest(hub)]
        broken += self._broken_ledgers()
        for folder in folders[1:]:
            broken += laws.unequal_chunks(folders[0], folder)
        broken += mesh_laws.fenced_late(self._fences)
        for sentence in broken:
            trace.fail(sentence)
        for folder in folders:
            trace.result(repr(sorted(laws.keys_on_disk(folder))).encode())
        for hub in self._running():
            for record in hub.registry.records.values():
                trace.result(to_bytes(record))

    def _broken_ledgers(self) -> Iterator[str]:
        """No acked record is missing or there twice, and every edge's sums are right."""
        buffers = {name: edge.buffer for name, edge in self.edges.items() if edge.buffer}
        totals: dict[str, Totals] = {name: buffer.totals for name, buffer in buffers.items()}
        outputs = {name: edge.output for name, edge in self.edges.items()}
        for name, buffer in buffers.items():
            yield from laws.broken_by_edge(name, buffer.totals, buffer.seqs.count)
        for machine in self.hubs.values():
            yield from laws.broken_by_hub(machine.folder, outputs, totals)

    def _broken_at_rest(self, hub: Hub) -> Iterator[str]:
        name, replica = hub.config.hub_id, hub.registry.replica
        yield from mesh_laws.lost_intents(hub, self.book.intents)
        yield from mesh_laws.lost_settings(hub, self.book.settings)
        present = [record.node_id for record in hub.registry.present()]
        missing = [node for node in self.staying if node not in present]
        removed = [node for node, field in self.book.intents if field == REMOVED]
        risen = [node for node in present if node in removed]
        if missing or risen:
            yield f"{name} does not show {missing}, and shows {risen}, which were removed"
        if replica.repaired or replica.parked.total:
            yield f"{name} had to repair {replica.repaired}, or set {replica.parked.total} aside"
        for node_id, edge in self.staying.items():
            seen = hub.registry.newest(node_id)
            if seen is None or seen.incarnation != edge.lives:
                yield f"{name} shows {node_id} in another life than {edge.lives}: {seen}"

    async def _end(self) -> None:
        """Stop everything in good order; a task that is left behind is a failure."""
        self._count()
        for edge in self.edges.values():
            if edge.buffer is not None:
                await edge.stop()
        for one, other in combinations(self.hubs, 2):
            self.world.network.separate(one, other)  # Nobody must wait for hubs that stop with it.
        for hub in self.hubs.values():
            await hub.stop()

    def _count(self) -> None:
        counts = self.world.trace.counts
        counts["fenced writes"] += len(self._fences)
        counts["slow commit"] += self.world.disks.slowed
        counts["clock drift"] += sum(each.pace_rate != 1 for each in self.hubs.values())
        counts["records"] += sum(len(each.output.acked) for each in self.edges.values())
