"""Builds what watches the peers of a hub: the loop, the door for probes, the section, the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hub import params
from hub.bodies import read_body
from hub.describe import time_of_ms
from hub.ground import Ground
from hub.peering.detect_values import LIMITS
from hub.peering.detector import Detector
from hub.peering.probe_wire import PROBE_BYTES_MAX, read_question, write_probe
from hub.peering.sections import Section
from hub.peering.watch import PROBE_PATH, ReachSection, Watcher
from hub.rpc import Method
from hub.store import hub_table
from hub.web.routes import RouteSpec


@dataclass(frozen=True, slots=True)
class WatchPart:
    """The failure detector of a hub, and the matrix of who reaches whom."""

    ground: Ground
    watcher: Watcher

    def methods(self) -> Mapping[str, Method]:
        """What people ask."""
        return {"hub.matrix": Method(self.matrix, params.Nothing)}

    def routes(self) -> Sequence[RouteSpec]:
        """Where peers knock."""
        return [RouteSpec(PROBE_PATH, ("POST",), "peer", self.probe)]

    def sections(self) -> Sequence[Section]:
        """Our row of the matrix."""
        return [ReachSection(self.watcher.detector, self.ground.runtime.wall_ms)]

    async def run(self) -> None:
        """Watch for ever."""
        await self.watcher.run()

    async def close(self) -> None:
        """Nothing is held."""

    async def matrix(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Which hub reaches which, as each of them says, and what is wrong between them."""
        params.read(params.Nothing, raw)
        now, wall_ms = self.ground.now, self.ground.runtime.wall_ms()
        matrix = replace(self.watcher.detector.matrix(now, wall_ms), away=self._away(now, wall_ms))
        return {"hub": self.ground.hub_id, **matrix.to_wire()}

    def _away(self, now: float, wall_ms: int) -> dict[str, str]:
        """The hubs that are away by plan, and until when."""
        peers = self.ground.mesh.peers
        holds = {each.hub_id: peers.hold_of(each.hub_id) for each in peers.by_url.values()}
        return {
            hub: time_of_ms(wall_ms + round((hold.ends_at - now) * 1000)) or ""
            for hub, hold in holds.items()
            if hold is not None
        }

    async def probe(self, request: Request) -> Response:
        """A sign of life, of this hub or of another that it is asked about."""
        question = read_question(await read_body(request, PROBE_BYTES_MAX))
        reply = await self.watcher.answer(question)
        return Response(write_probe(reply), media_type="application/json")


def build(ground: Ground) -> WatchPart:
    """The part of this hub; from now on it hears all gossip."""

    async def save(incarnation: int) -> None:
        await ground.database.write(lambda db: hub_table.save_incarnation(db, incarnation))

    def is_held(peer: str) -> bool:
        return ground.mesh.peers.hold_of(peer) is not None

    detector = Detector(
        ground.hub_id,
        ground.instance,
        ground.incarnation,
        ground.now,
        limits=LIMITS,
        is_held=is_held,
    )
    watcher = Watcher(detector, ground.mesh, ground.report, save, ground.counters)
    ground.mesh.witness.add(watcher)
    return WatchPart(ground, watcher)
