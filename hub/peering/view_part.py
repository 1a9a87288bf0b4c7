"""Views, islands and incidents as a part of a hub: the sections, the door for peers, the methods."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from hub.bodies import json_answer, read_body
from hub.ground import Ground
from hub.peering.incident import SIGHT_BYTES_MAX, Key, Sight
from hub.peering.incident_calls import IncidentCalls, ListIncidents, OfIncident
from hub.peering.incident_section import WANTED_MAX, IncidentSection
from hub.peering.sections import Section
from hub.peering.view_calls import ShowViews, ViewCalls
from hub.peering.view_question import QUESTION_BYTES_MAX, ViewQuestion, read_question
from hub.peering.view_section import ViewSection
from hub.peering.view_watch import ViewWatch
from hub.rpc import Handler, Method
from hub.store.incident_table import load_sights, save_sights
from hub.web.routes import RouteSpec
from shared import jsonrpc
from shared.errors import RpcError, TooLarge, Unavailable, Unreachable
from shared.tasks import repeat

log = logging.getLogger(__name__)

PATH = "/peer/views"
ASK_SECONDS = 5.0
ANSWER_BYTES_MAX = WANTED_MAX * 2 * SIGHT_BYTES_MAX


@dataclass(frozen=True, slots=True)
class ViewGossip:
    """What this hub believes, as peers are told."""

    watch: ViewWatch
    name: str = "views"

    def of_mine(self, peer: str, now: float) -> ViewSection | None:
        """Our view."""
        return self.watch.view_for(peer)

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear the view of a peer; raises BadInput."""
        self.watch.take_view(body, from_hub, now)


@dataclass(frozen=True, slots=True)
class IncidentGossip:
    """Which sights this hub holds, as peers are told."""

    watch: ViewWatch
    name: str = "incidents"

    def of_mine(self, peer: str, now: float) -> IncidentSection:
        """Ours."""
        return self.watch.sights_for(peer)

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear those of a peer; raises BadInput."""
        self.watch.take_sights(body, from_hub)


@dataclass(frozen=True, slots=True)
class ViewPart:
    """What one hub believes, and what it saw of splits."""

    ground: Ground
    watch: ViewWatch
    views: ViewCalls
    incidents: IncidentCalls

    def methods(self) -> Mapping[str, Method]:
        """What people ask."""
        return {
            "hub.views": Method(self.views.hub_views, ShowViews),
            "hub.incidents": Method(self.incidents.hub_incidents, ListIncidents),
            "hub.incident": Method(self.incidents.hub_incident, OfIncident),
        }

    def routes(self) -> Sequence[RouteSpec]:
        """Where peers ask."""
        return [RouteSpec(PATH, ("POST",), "peer", self.door)]

    def sections(self) -> Sequence[Section]:
        """Our view, and the sights that we hold."""
        return [ViewGossip(self.watch), IncidentGossip(self.watch)]

    async def run(self) -> None:
        """Look each second, and fetch what peers saw, for ever."""
        rng = self.ground.runtime.rng
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.watch.load_records())
            tasks.create_task(repeat("looking at islands", self.watch.look_and_wait, rng))
            tasks.create_task(self.watch.fetch.run(self.incidents, self.watch.write_down))

    async def close(self) -> None:
        """Write down what is not on disk yet."""
        try:
            await self.watch.write_down()
        except Unavailable as error:  # Other hubs tell of the split as they saw it.
            log.warning("what was seen of a split is not saved: %s", error)

    async def door(self, request: Request) -> Response:
        """Answer what a peer asks of views and incidents; answers as JSON-RPC does."""
        question = read_question(await read_body(request, QUESTION_BYTES_MAX))
        self.ground.mesh.check_admitted(question.sender)
        answering: Mapping[str, Handler] = {
            "hub.views.bucket": self.views.hub_views_bucket,
            "hub.incident.sights": self.incidents.hub_incident_sights,
        }
        try:
            answer = await answering[question.method](question.params)
        except RpcError as error:
            return json_answer(jsonrpc.error_answer(None, error))
        return json_answer(jsonrpc.result_answer(None, answer))


def build(ground: Ground) -> ViewPart:
    """The part of this hub; from now on it follows records, verdicts and messages."""

    async def save(changed: Mapping[Key, Sight | None]) -> None:
        await ground.database.write(lambda db: save_sights(db, changed))

    async def ask(hub: str, method: str, params: dict[str, Any]) -> Mapping[str, Any]:
        return await _ask(ground, hub, method, params)

    watch = ViewWatch(
        ground.hub_id,
        ground.instance,
        ground.mesh,
        ground.registry,
        ground.runtime,
        ground.report,
        ground.counters,
        save,
    )
    with ground.database.reading() as connection:
        watch.load(load_sights(connection))
    ground.mesh.witness.add(watch)
    ground.registry.on_noted.append(watch.noted)
    ground.on_verdict.append(watch.judged)
    ground.in_status["split"] = watch.standing
    incidents = IncidentCalls(watch.incidents, ask)
    return ViewPart(ground, watch, ViewCalls(watch.views, ask), incidents)


async def _ask(ground: Ground, hub: str, method: str, params: dict[str, Any]) -> Mapping[str, Any]:
    peer = ground.mesh.peers.by_id(hub)
    if peer is None:
        raise RpcError("not_found", f"no peer is called {hub}", {"hub": hub})
    body = msgspec.json.encode(ViewQuestion(ground.hub_id, method, params))
    try:
        reply = await ground.mesh.post(
            peer, PATH, body, ASK_SECONDS, reply_bytes_max=ANSWER_BYTES_MAX
        )
        answer = jsonrpc.read_answer(orjson.loads(reply.body))
    except (Unreachable, TooLarge) as error:
        raise RpcError("node_unreachable", str(error), {"hub": hub, "retryable": True}) from error
    except orjson.JSONDecodeError as error:
        raise RpcError("internal", f"{hub} answers with something that is not JSON") from error
    if not isinstance(answer, dict):
        raise RpcError("internal", f"{hub} answers with something that is no object")
    return answer
