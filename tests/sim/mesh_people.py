"""The people of a mesh: they label and drain nodes, change settings, and remove a node that has left."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from random import Random

from tests.sim.machines import EdgeMachine, HubMachine, World
from tests.sim.mesh_plan import START_SECONDS, MeshPlan
from tests.sim.person import Person

ORDERS = 8
REMOVAL_SECONDS = 2.5
REMOVAL_TRIES_MAX = 20  # A node that no hub ever heard of cannot be removed.
PATIENCE_SECONDS = 3.0
SUDDEN = ("crash", "power", "battery")
LAST_MOMENT_SECONDS = 0.2
Order = Callable[[], Awaitable[None]]


class People:
    """Gives orders through any hub, over the same network as everybody, once each; some fail."""

    def __init__(
        self, world: World, hubs: Mapping[str, HubMachine], edges: Mapping[str, EdgeMachine]
    ) -> None:
        self._world, self._hubs, self._edges = world, hubs, edges
        self._person = Person(world, hubs, edges, PATIENCE_SECONDS)
        self._removed: set[str] = set()

    def orders(self, plan: MeshPlan, end: float) -> Iterator[tuple[float, Order]]:
        """What is ordered, and how many seconds after the beginning."""
        rng = self._world.rng("orders")
        for number in range(ORDERS):
            yield rng.uniform(START_SECONDS, end), partial(self._order, number, plan.staying)
        for number, mishap in enumerate(plan.mishaps, ORDERS):
            if mishap.name in self._hubs and mishap.kind in SUDDEN:
                # Told in the last moment: what is acknowledged then is known to this hub alone.
                when = mishap.at_seconds - rng.uniform(0, LAST_MOMENT_SECONDS)
                yield when, partial(self._order, number, plan.staying, mishap.name)
        if plan.removes:
            yield REMOVAL_SECONDS, partial(self._remove, plan.edge_names[-1])

    async def _order(self, number: int, nodes: list[str], through: str = "") -> None:
        rng = self._world.rng(f"order {number}")
        method = rng.choice(
            ("node.label", "node.label", "node.drain", "node.undrain", "config.set")
        )
        params: dict[str, object] = {"node": rng.choice(nodes)}
        if method == "node.label":
            params["labels"] = {"number": str(number)}
        elif method == "config.set":
            params = {"settings": {"scrape_seconds": 10 + number}, "for": "edges"}
        hub = self._hubs[through or rng.choice(list(self._hubs))]
        answer = await self._person.rpc(hub, method, params)
        told = "done" if isinstance(answer, dict) else answer
        self._world.trace.note(method, hub.name, number, told)

    async def _remove(self, name: str) -> None:
        """A machine is switched off for good; then its node is removed, as often as it takes."""
        rng = self._world.rng("removal")
        await self._edges[name].stop()
        for _ in range(REMOVAL_TRIES_MAX):
            if name in self._removed:
                return
            hub = rng.choice(list(self._hubs.values()))
            await self._remove_at(hub, name, rng)
            await asyncio.sleep(rng.uniform(0.2, 1.0))

    async def _remove_at(self, hub: HubMachine, name: str, rng: Random) -> None:
        answer = await self._person.rpc(hub, "node.remove", {"node": name, "force": True})
        self._world.trace.note("node.remove", hub.name, name, str(answer)[:80])
        # The answer to an earlier try may have been lost; then there is nothing more to remove.
        if isinstance(answer, dict) or answer == "conflict":
            self._removed.add(name)
