"""Liveness as a part of a hub: whom it hears, what it says of nodes, and which hub cares for which."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from hub import params
from hub.bodies import json_answer, read_body
from hub.ground import Ground
from hub.nodes.hold import LeavingSection
from hub.nodes.live_sections import HeardGossip, LeavingGossip, LeavingTalk, LoadGossip
from hub.nodes.live_watch import LifeWatch, held_facts
from hub.peering.sections import Section
from hub.peers import Peer
from hub.rpc import Method
from hub.store import offline_table
from hub.web.routes import RouteSpec
from shared.errors import BadInput, HeadwaterError, Unavailable
from shared.records import KIB
from shared.tasks import repeat

log = logging.getLogger(__name__)

LEAVING_PATH = "/peer/leaving"
LEAVING_SECONDS = 1.0
"""A stop waits so long at most for peers to hear of it."""

LEAVING_BYTES_MAX = 4 * KIB

OVERRIDE_PATH = "/peer/override"
OVERRIDE_SECONDS = 2.0
OVERRIDE_BYTES_MAX = 4 * KIB

SAVE_SECONDS = 1.0


class Override(Struct, forbid_unknown_fields=True):
    """Who says that silent nodes are offline indeed."""

    who: Annotated[str, Meta(min_length=1, max_length=200)] = "an operator"


class Overridden(Struct, frozen=True):
    """What became of an override on one hub."""

    was_braked: bool


_override = msgspec.json.Decoder(Override)
_overridden = msgspec.json.Decoder(Overridden)


@dataclass(frozen=True, slots=True)
class LivePart:
    """The liveness of one hub."""

    ground: Ground
    watch: LifeWatch
    heard: HeardGossip
    leaving: LeavingGossip

    def methods(self) -> Mapping[str, Method]:
        """What people order."""
        return {"fleet.override": Method(self.override, Override)}

    def routes(self) -> Sequence[RouteSpec]:
        """Where a peer says that it leaves, and what a person ordered on it."""
        return [
            RouteSpec(LEAVING_PATH, ("POST",), "peer", self.hear_leaving),
            RouteSpec(OVERRIDE_PATH, ("POST",), "peer", self.hear_override),
        ]

    def sections(self) -> Sequence[Section]:
        """What peers are told."""
        return [self.heard, LoadGossip(self.watch.hints), self.leaving]

    async def run(self) -> None:
        """Watch until cancelled; tell peers when this hub is about to stop."""
        await self._recall()
        leaving = asyncio.create_task(self._leave_at_the_end())
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.watch.run())
                rng = self.ground.runtime.rng
                tasks.create_task(repeat("saving who is offline", self._save, rng))
        finally:
            if self.ground.stopping.is_set():
                await asyncio.wait([leaving])
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # What ended this goes on.
                await leaving

    async def close(self) -> None:
        """Write what is not on disk yet."""
        try:
            await self._save()
        except Unavailable as error:  # After the next start some news may be told once more.
            log.warning("who is offline is not saved: %s", error)

    async def _recall(self) -> None:
        """Take up who was offline when this hub stopped."""
        try:
            saved = await self.ground.database.write(offline_table.load)
        except Unavailable as error:  # Some news may be told once more; the rest of us must run.
            log.warning("who was offline is not known: %s", error)
        else:
            self.watch.offline.load(saved, self.watch.life.watched)

    async def _save(self) -> float:
        """Write which nodes are offline; returns when to do so again."""
        unsaved = self.watch.offline.take_unsaved()
        if not unsaved:
            return SAVE_SECONDS
        try:
            await self.ground.database.write(lambda db: offline_table.save(db, unsaved))
        # Also when this is cancelled: what may not be on disk is to be written again.
        except BaseException:
            self.watch.offline.put_back(unsaved)
            raise
        return SAVE_SECONDS

    async def _leave_at_the_end(self) -> None:
        """Say that this hub stops in order, while it can still be heard."""
        await self.ground.stopping.wait()
        seconds = self.ground.config.leave_hold_seconds
        self.watch.holds.leave(seconds, "it was stopped in order", self.ground.now)
        section = self.watch.holds.of_mine(self.ground.now)
        assert section is not None  # It was set just now.
        peers = [
            peer
            for peer in self.ground.mesh.peers.by_url.values()
            if peer.verdict in ("alive", "avoid")
        ]
        await asyncio.gather(*(self._tell_leaving(peer, section) for peer in peers))

    async def _tell_leaving(self, peer: Peer, section: LeavingSection) -> None:
        word = LeavingTalk(self.ground.hub_id, self.ground.instance, section)
        body = msgspec.json.encode(word)
        try:
            await self.ground.mesh.post(peer, LEAVING_PATH, body, LEAVING_SECONDS)
        except HeadwaterError as error:  # It takes this hub for dead, as it would without a word.
            log.warning("%s was not told that this hub stops: %s", peer.key, error)

    async def hear_leaving(self, request: Request) -> Response:
        """POST /peer/leaving: a peer stops in order."""
        body = await read_body(request, LEAVING_BYTES_MAX)
        self.leaving.take_last_word(body, self.ground.now)
        return json_answer({})

    async def override(self, raw: dict[str, Any]) -> dict[str, Any]:
        """End the brake on all hubs: from now on a silent node is offline again, and not unknown."""
        wanted = params.read(Override, raw)
        hubs = {self.ground.hub_id: self.watch.override(wanted.who, self.ground.now)}
        peers = [peer for peer in self.ground.mesh.peers.by_url.values() if peer.hub_id]
        answers = await asyncio.gather(*(self._tell_override(peer, wanted) for peer in peers))
        unreached: dict[str, str] = {}
        for peer, answer in zip(peers, answers, strict=True):
            if isinstance(answer, str):
                unreached[peer.hub_id] = answer
            else:
                hubs[peer.hub_id] = answer
        return {
            "was_braked": any(hubs.values()),
            "hubs": [{"hub": hub, "was_braked": was} for hub, was in sorted(hubs.items())],
            "unreached": [{"hub": hub, "error": why} for hub, why in sorted(unreached.items())],
        }

    async def _tell_override(self, peer: Peer, wanted: Override) -> bool | str:
        """Whether the peer was braked, or why it does not know of the override."""
        body = msgspec.json.encode(wanted)
        try:
            answer = await self.ground.mesh.post(peer, OVERRIDE_PATH, body, OVERRIDE_SECONDS)
            return _overridden.decode(answer.body).was_braked
        except HeadwaterError as error:
            return str(error)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return f"its answer cannot be read: {error}"

    async def hear_override(self, request: Request) -> Response:
        """POST /peer/override: a person said on a peer that silent nodes are offline."""
        body = await read_body(request, OVERRIDE_BYTES_MAX)
        try:
            wanted = _override.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"an override cannot be read: {error}") from error
        was_braked = self.watch.override(wanted.who, self.ground.now)
        return json_answer({"was_braked": was_braked})

    def describe(self) -> dict[str, Any]:
        """How liveness stands, for hub.status."""
        now, life = self.ground.now, self.watch.life
        braked = life.brake.braked
        brake = braked and {
            "reason": braked.reason,
            "ends_in_s": round(max(braked.ends_at - now, 0.0), 1),
        }
        return {
            "heartbeat_interval_s": round(life.interval_seconds, 3),
            "brake": brake,
            "edges_here": self.watch.hints.of_mine().edges,
            "holds": list(held_facts(self.watch.holds, now)),
            "duties_settled": self.watch.adoption.is_settled,
        }


def build(ground: Ground) -> LivePart:
    """The part of this hub; from now on the registry, the doors for edges and the gossip use it."""
    life = ground.registry.life
    heard = HeardGossip(life, ground.mesh.peers)
    watch = LifeWatch(
        life,
        ground.mesh.peers,
        heard.isolated,
        ground.report,
        ground.stopping,
        ground.counters,
        ground.runtime.wall_ms,
        ground.on_verdict,
    )
    leaving = LeavingGossip(
        watch.holds,
        lambda hub_id: ground.mesh.peers.by_id(hub_id) is not None,
        lambda hub_id: ground.mesh.check_admitted(hub_id),
    )
    ground.mesh.witness.add(heard)
    ground.mesh.witness.add(leaving)
    ground.edges.hint, ground.edges.pushed = watch.hint, watch.hints.pushed
    ground.registry.is_missed = watch.is_missed
    ground.registry.home_of = watch.home_of
    ground.registry.cares_for = watch.cares_for
    ground.mesh.peers.hold_of = watch.holds.of
    part = LivePart(ground, watch, heard, leaving)
    ground.in_status["liveness"] = part.describe
    return part
