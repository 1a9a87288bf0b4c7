"""One hub, put together: what it stands on, its services, and the routes that lead to them."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.routing import Route, WebSocketRoute

from hub.answers import build_answers
from hub.audit import Audit
from hub.calls import Calls
from hub.changes import Changes
from hub.config import HubConfig
from hub.footing import Footing, lay
from hub.gossip import HubRecord
from hub.ground import Ground
from hub.methods import method_table
from hub.otlp_doors import otlp_routes
from hub.own import build_own
from hub.parts import build_parts
from hub.peer_doors import PeerDoors
from hub.peer_watch import tell_of_strangers, watched
from hub.rest import rest_routes
from hub.rpc import Rpc
from hub.services import (
    build_edge_side,
    build_figures,
    build_fleet,
    build_ground,
    build_guard,
    build_health,
    build_mesh,
    build_tail,
)
from hub.upkeep import build_upkeep
from hub.web.routes import RouteSpec
from hub.web.sockets import SocketSpec
from shared.errors import Unavailable
from shared.runtime import Runtime
from shared.tasks import repeat

log = logging.getLogger(__name__)


class Hub:
    """The services of one hub. `open` it, keep `run` running, serve `routes`."""

    def __init__(self, footing: Footing) -> None:
        self.footing = footing
        self.config, self.runtime, self.client = footing.config, footing.runtime, footing.client
        self.registry, self.store, self.peers = footing.registry, footing.store, footing.peers
        self.links, self.saving, self.stamps = footing.links, footing.saving, footing.stamps
        self.clock, self.counters, self.stopping = footing.clock, footing.counters, footing.stopping
        self.store_epoch = footing.store_epoch
        self.guard = build_guard(footing)
        self.changes = Changes(self.registry, self.store, self.peers)
        self._build_services()
        ground = build_ground(
            footing,
            self.mesh,
            self.calls,
            self._report,
            self._edge_side,
            self.upkeep,
            self.answers,
        )
        self._build_parts(ground)
        self._build_watching(ground)

    @classmethod
    async def open(cls, config: HubConfig, runtime: Runtime) -> "Hub":
        """Open or create the store of a hub, and take up where it was."""
        hub = cls(await lay(config, runtime))
        await hub.upkeep.disk.step()
        await hub.store.open()
        await hub.upkeep.mender.open()
        return hub

    # ---- putting it together

    def _build_services(self) -> None:
        """Build what parts may stand on, each from what is there by then."""
        footing, hub_id, store_epoch = self.footing, self.config.hub_id, self.store_epoch
        own_store = (self.config, store_epoch, self.store)
        self.mesh = build_mesh(footing, self._report)
        self.guard.tell_of_stranger = tell_of_strangers(self.mesh.witness)
        self.calls = Calls(hub_id, self.links, self.peers, self.mesh.post)
        self.audit = Audit(hub_id, self.registry, self.store, self.mesh, self.runtime)
        self._edge_side = build_edge_side(footing, self.mesh)
        self.crowd, self.edge_doors = self._edge_side.crowd, self._edge_side.doors
        self.peer_doors = PeerDoors(
            self.store, self.mesh, self.calls, store_epoch, self.stopping, self.audit
        )
        self.upkeep = build_upkeep(*own_store, self.mesh, self.runtime, self.counters, self._report)
        self.own = build_own(
            *own_store,
            self.runtime,
            self.counters,
            self.upkeep.disk,
            lambda: self.figures.snapshot(),
        )
        self.fleet = build_fleet(footing, self.mesh, self.calls, self.upkeep)
        self.answers = build_answers(*own_store, self.runtime)

    def _build_parts(self, ground: Ground) -> None:
        """Build what stands on all that is there by now, and the methods of everything."""
        hub_id = self.config.hub_id
        methods = method_table(self.fleet, self.audit, self.runtime, hub_id, self.answers)
        self.parts = build_parts(ground)
        self._part_sockets = ground.sockets
        self.fleet.in_status = ground.in_status
        for part in self.parts:
            methods |= part.methods()
            for section in part.sections():
                self.mesh.sections.add(section)
        self.rpc = Rpc(dict(sorted(methods.items())), self.counters)

    def _build_watching(self, ground: Ground) -> None:
        """Build what shows how this hub is."""
        footing = self.footing
        self.figures = build_figures(footing, ground, self.audit, self.upkeep)
        self.health = build_health(footing, self.upkeep, self.own, self.audit)
        self.tail = build_tail(footing, self.guard)

    def _report(self, name: str, facts: Mapping[str, Any]) -> None:
        """Write an event into this hub's own log."""
        self.own.voice.report(name, facts)

    # ---- what it says and is told

    def describe(self) -> HubRecord:
        """This hub as it tells of itself."""
        return self.footing.describe()

    async def intend(self, node_id: str, field: str, value: object) -> None:
        """Record what a person wants of a node; returns once it is on disk."""
        await self.footing.intend(node_id, field, value)

    # ---- its life

    async def run(self) -> None:
        """Keep everything going, for ever; cancel to stop."""
        async with asyncio.TaskGroup() as tasks:
            for run in (self.mesh.run, self._edge_side.pulls.run, self.upkeep.run, self.own.run):
                tasks.create_task(run())
            tasks.create_task(repeat("saving nodes", self.saving.save, self.runtime.rng))
            tasks.create_task(repeat("forgetting receipts", self.saving.prune, self.runtime.rng))
            tasks.create_task(repeat("adding up ledgers", self.audit.count, self.runtime.rng))
            for part in self.parts:
                tasks.create_task(part.run())
            if self.answers.pool is not None:
                tasks.create_task(self.answers.pool.run())

    def stop(self) -> None:
        """Tell streams and waiting peers that this hub is about to go."""
        self.stopping.set()
        self.store.announce()

    async def close(self) -> None:
        """Write what is not yet on disk and let go of everything."""
        self.stop()
        await self.links.close()
        if self.answers.pool is not None:
            await self.answers.pool.close()
        for part in reversed(self.parts):
            await part.close()
        await self.own.voice.flush()
        try:
            await self.saving.save()
        except Unavailable as error:
            # Beats and peers tell it again; the rest must still be closed.
            log.warning("nodes are not saved: %s", error)
        await self.client.close()
        self.footing.files.close()

    def abandon(self) -> None:
        """Let go as a killed process would. For simulations."""
        self.footing.files.abandon()

    # ---- routes

    def route_table(self) -> list[RouteSpec]:
        """Every HTTP path of this hub but the pages, with who may use it."""
        return [
            *self.health.routes(),
            *otlp_routes(self.own.otlp),
            *rest_routes(self.rpc.call, self.config.hub_id, self.stopping),
            RouteSpec("/rpc", ("POST",), "admin", self.rpc.endpoint),
            *self.edge_doors.routes(),
            *watched(self._part_routes(), self.mesh),
        ]

    def _part_routes(self) -> list[RouteSpec]:
        parts = (route for part in self.parts for route in part.routes())
        return [*self.peer_doors.routes(), *parts]

    def routes(self, pages: Sequence[RouteSpec] = ()) -> list[Route | WebSocketRoute]:
        """All routes, guarded."""
        link = SocketSpec("/edge/link", "edge", self.edge_doors.link)
        sockets = self.guard.sockets([link, *self._part_sockets])
        return [*sockets, *self.guard.routes([*self.route_table(), *pages])]
