"""A fleet of real hubs and edges: what it goes through, and what must be true of it then."""

import asyncio
from typing import Any

from edge.chunk_table import Totals
from hub.hub import COPIES
from shared.merge import to_bytes
from shared.ranges import Ranges
from shared.records import MIB
from tests.sim import laws
from tests.sim.machines import EdgeMachine, HubMachine, World, order, rpc
from tests.sim.network import CALM, Weather
from tests.sim.process import Process
from tests.sim.scenario import Mishap, Plan, at, layout, mishaps, settled

ORDER_TRIES_MAX = 200
CALM_SECONDS = 60.0  # Enough for every backoff of beats, links and gossip.
SMALL_BYTES = 1500  # Full after a few seconds without a hub.


class Fleet:
    """Some hubs, many edges, and an operator who gives orders."""

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan, self.world = plan, world
        self.layout = drawn = layout(plan, world.rng("layout"))
        self.hubs = {name: HubMachine(world, name, drawn.peers[name]) for name in plan.hub_names}
        self.edges = {
            name: EdgeMachine(
                world, name, drawn.masters[name], SMALL_BYTES if name in drawn.small else MIB
            )
            for name in plan.edge_names
        }
        self.operator = Process("operator", world.rng("operator"), world.trace)
        self.began = asyncio.get_running_loop().time()
        self.asked: dict[str, str] = {}
        self.answered: set[str] = set()

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
        rng = self.world.rng("mishaps")
        watch = asyncio.create_task(self._watch_copies())
        async with asyncio.TaskGroup() as tasks:
            for mishap in mishaps(self.plan, rng):
                tasks.create_task(self._suffer(mishap))
            for number in range(self.plan.orders):
                seconds = rng.uniform(0, self.plan.storm_seconds)
                edge = self.edges[rng.choice(self.plan.edge_names)]
                tasks.create_task(self._order(seconds, edge, f"request-{number}"))
            end = self.began + self.plan.storm_seconds - asyncio.get_running_loop().time()
            await asyncio.sleep(max(end, 0))
        watch.cancel()

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

    async def _order(self, seconds: float, edge: EdgeMachine, request_id: str) -> None:
        """Order something until it is answered, each time through a hub at random."""
        await at(self.began, seconds, lambda: asyncio.sleep(0))
        rng = self.world.rng(request_id)
        self.asked[request_id] = edge.name
        for _ in range(ORDER_TRIES_MAX):
            hub = self.hubs[rng.choice(self.plan.hub_names)]
            answer = await self.operator.run(
                order(self.world, self.operator, hub, edge, request_id)
            )
            if isinstance(answer, dict):
                self.answered.add(request_id)
                self.world.trace.note("order answered", request_id, answer["path"]["served_by"])
                self.world.trace.counts[f"answered over {len(answer['path']['hops'])} hops"] += 1
                return
            self.world.trace.note("order failed", request_id, answer)
            await asyncio.sleep(rng.uniform(0.2, 2))

    # ---- the end

    async def _come_to_rest(self) -> None:
        def at_rest() -> bool:
            held = [hub.hub.store.held for hub in self.hubs.values() if hub.hub]
            empty = all(edge.buffer and not edge.buffer.seqs for edge in self.edges.values())
            return empty and all(each == held[0] for each in held)

        if not await settled(at_rest, self.plan.rest_seconds_max):
            self.world.trace.fail(f"no rest after {self.plan.rest_seconds_max:.0f} s of calm")
        if not await settled(lambda: not self._unwell(), CALM_SECONDS):
            self.world.trace.fail(f"after {CALM_SECONDS:.0f} s of calm: {self._unwell()}")
        await self._drain_one()
        await self._ask_for_everything()

    def _unwell(self) -> list[str]:
        """Every link that is down, and every node and hub that is not seen as it should be."""
        now = asyncio.get_running_loop().time()
        found: list[str] = []
        for name, machine in self.hubs.items():
            if (hub := machine.hub) is None:
                return [f"{name} is down"]
            found += [
                f"{name} has no link to {e}" for e in self.edges if e not in hub.links.sessions
            ]
            found += [
                f"{name} thinks {e} {state}"
                for e in self.edges
                if (state := hub.registry.state(e, now)) != "online"
            ]
            found += [
                f"{name} thinks {p.key} {p.state(now)}"
                for p in hub.peers.by_url.values()
                if p.state(now) != "alive"
            ]
            known = sorted(p.key for p in hub.peers.by_url.values())
            if known != sorted(self.hubs.keys() - {name}):
                found.append(f"{name} knows the peers {known}")
        for edge in self.edges.values():
            views = list(edge.agent.hubs.views.values()) if edge.agent else []
            linked = [view.hub_id for view in views if view.linked]
            if sorted(linked) != sorted(self.hubs) or len(views) != len(self.hubs):
                found.append(f"{edge.name} is linked to {linked} of {[v.url for v in views]}")
        return found

    async def _ask_for_everything(self) -> None:
        """Either hub finds every record of an edge, each once."""
        edge = self.edges[self.world.rng("query").choice(self.plan.edge_names)]
        for hub in self.hubs.values():
            found: list[str] = []
            asked: dict[str, Any] = {"start": "-1d", "end": 4e9, "nodes": [edge.name]}
            while asked.get("cursor", "") is not None:
                page = await self.operator.run(
                    rpc(self.world, self.operator, hub, "log.query", {**asked, "limit": 100})
                )
                if not isinstance(page, dict):
                    self.world.trace.fail(f"log.query at {hub.name}: {page}")
                    return
                found += [item["body"] for item in page["items"]]
                asked["cursor"] = page["cursor"]
            twice = len(found) - len(set(found))
            missing = set(edge.output.acked) - set(found)
            if twice or missing:
                self.world.trace.fail(
                    f"log.query at {hub.name} for {edge.name}: {twice} twice, {len(missing)} missing"
                )

    async def _drain_one(self) -> None:
        """What a fleet at rest must say of itself when somebody asks."""
        rng = self.world.rng("drain")
        edge = self.edges[rng.choice(self.plan.edge_names)]
        hub = self.hubs[rng.choice(self.plan.hub_names)]
        asked = {"node": edge.name, "deadline_s": 60}
        for _ in range(10):  # A link may just be on its way up.
            answer = await self.operator.run(
                rpc(self.world, self.operator, hub, "edge.drain", asked)
            )
            if isinstance(answer, dict):
                break
            await asyncio.sleep(5)
        if not isinstance(answer, dict) or answer["verdict"] != "drained":
            self.world.trace.fail(f"drain of {edge.name} through {hub.name}: {answer}")

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
        for hub in self.hubs.values():
            if sorted(self._records_of(hub)) != sorted(self.edges):
                self.world.trace.fail(f"{hub.name} knows {sorted(self._records_of(hub))}")
        self._judge_nodes()
        for hub in self.hubs.values():
            await hub.stop()

    @staticmethod
    def _records_of(machine: HubMachine) -> dict[str, bytes]:
        assert machine.hub is not None
        records = machine.hub.registry.records
        return {node_id: to_bytes(record) for node_id, record in records.items()}

    def _judge_nodes(self) -> None:
        """Every hub heard every edge, and what is shown is the newest that any hub heard."""
        for machine in self.hubs.values():
            assert machine.hub is not None
            for node_id, record in machine.hub.registry.records.items():
                seen, heard = record.observation, record.heard
                newest = max((each.incarnation, each.beat) for each in heard.values())
                if seen is None or (seen.incarnation, seen.beat) != newest:
                    self.world.trace.fail(f"{machine.name} shows an old beat of {node_id}: {seen}")
                if heard.keys() != self.hubs.keys():
                    self.world.trace.fail(f"{node_id} was heard by {sorted(heard)} only")
                if seen is None or seen.incarnation != self.edges[node_id].lives:
                    self.world.trace.fail(f"{node_id} is shown as of an earlier life")

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
        self._judge_orders()
        trace.counts["records"] = sum(each.produced_records for each in totals.values())
        trace.counts["chunks"] = sum(each.head_seq for each in totals.values())
        for folder in folders:
            for node_id, record in laws.nodes_on_disk(folder).items():
                trace.result(node_id.encode() + record)
            for key, log in sorted(laws.logs_on_disk(folder).items()):
                trace.result(repr((key, [log[seq].hash for seq in sorted(log)])).encode())

    def _judge_orders(self) -> None:
        for request_id, name in self.asked.items():
            effects = self.edges[name].effects[request_id]
            if effects > 1 or (request_id in self.answered and effects != 1):
                self.world.trace.fail(f"{request_id} to {name} had {effects} effects")
            if request_id not in self.answered:
                self.world.trace.fail(f"{request_id} to {name} was never answered")
