"""Removed nodes as a part of a hub: the methods, what peers are told, and the loops that clear up."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from hub.gossip import Gossip
from hub.ground import Ground
from hub.nodes.adoption import duty_of
from hub.nodes.clone_watch import CloneWatch
from hub.nodes.clones import Clones
from hub.nodes.removals import Removals
from hub.nodes.roll import ListRemoved, RegisterNode, RemoveNode, Roll, SetRole
from hub.nodes.runs import Runs
from hub.nodes.tombstone_acks import TombstoneSection
from hub.peering.clock_samples import Echo
from hub.peering.sections import Section
from hub.peering.witness import Witness
from hub.peers import Peer
from hub.rpc import Method
from hub.store.grave_table import delete_nodes, load_graves, save_graves
from hub.web.routes import RouteSpec
from shared.errors import BadInput, Unavailable
from shared.tasks import repeat

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
BURY_SECONDS = 60.0

_section = msgspec.json.Decoder(TombstoneSection)


@dataclass(slots=True)
class GravePart(Section, Witness):
    """Who was removed, on one hub."""

    ground: Ground
    removals: Removals
    roll: Roll
    copies: CloneWatch
    _stores: dict[str, str] = field(default_factory=dict)
    """The store of each peer, as it was when it told last."""

    def methods(self) -> Mapping[str, Method]:
        """What people decide and ask."""
        roll = self.roll
        return {
            "node.register": Method(roll.register, RegisterNode),
            "node.remove": Method(roll.remove, RemoveNode),
            "node.setRole": Method(roll.set_role, SetRole),
            "node.removed": Method(roll.removed, ListRemoved),
        }

    def routes(self) -> Sequence[RouteSpec]:
        """No doors of its own."""
        return ()

    def sections(self) -> Sequence[Section]:
        """What peers are told."""
        return [self]

    async def run(self) -> None:
        """Clear up for ever."""
        rng = self.ground.runtime.rng
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(repeat("ending links of removed nodes", self.end_links, rng))
            tasks.create_task(repeat("burying removed nodes", self.bury, rng))

    async def close(self) -> None:
        """Write the graves that are not on disk yet."""
        try:
            await self._save([])
        except Unavailable as error:  # The tombstones are on disk still, or peers answer for them.
            log.warning("graves are not saved: %s", error)

    # ---- the section

    @property
    def name(self) -> str:
        """Under which name it travels."""
        return "tombstones"

    def of_mine(self, peer: str, now: float) -> TombstoneSection | None:
        """Which tombstones this hub asks about and holds; nothing most of the time."""
        section = self.removals.acks.section_for(peer)
        return section if section.asks or section.acks else None

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear a peer; raises BadInput."""
        try:
            section = _section.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"what a hub says of tombstones cannot be read: {error}") from error
        self.removals.told(section, from_hub)

    def answered(self, peer: Peer, echo: Echo, answer: Gossip) -> None:
        """A hub with another store need not hold what the former one did."""
        before = self._stores.get(peer.hub_id, peer.store_epoch)
        if peer.store_epoch != before:
            self.removals.acks.forget(peer.hub_id)
        self._stores[peer.hub_id] = peer.store_epoch

    def forgot(self, peer: Peer) -> None:
        """Wait for it no more, unless only a second address of it is gone."""
        if peer.hub_id and self.ground.mesh.peers.by_id(peer.hub_id) is None:
            self.removals.acks.forget(peer.hub_id)
            self._stores.pop(peer.hub_id, None)

    # ---- loops

    async def end_links(self) -> float:
        """End the links of nodes that were removed."""
        gone, self.removals.unlinked = self.removals.unlinked, []
        for node_id in gone:
            session = self.ground.links.sessions.get(node_id)
            if session is not None and self.removals.removal(node_id) is not None:
                await session.close()
        return LOOK_SECONDS

    async def bury(self) -> float:
        """Let go of tombstones that all hubs hold, and of requests of nodes that fell silent.

        Raises Unavailable when the disk does not do what it should: what is left on it is a tombstone.
        """
        self.removals.enrolment.tidy(self.ground.runtime.wall_ms())
        buried = self.removals.bury(self.hubs())
        if buried:
            log.info("let go of the tombstones of %d removed nodes", len(buried))
        await self._save(buried)
        return BURY_SECONDS

    async def _save(self, buried: list[str]) -> None:
        graves = self.removals.graves
        unsaved = graves.take_unsaved()
        if not unsaved and not buried:
            return
        try:
            await self.ground.database.write(partial(_write, buried, unsaved))
        # Also when this is cancelled: what may not be on disk is to be written again.
        except BaseException:
            graves.put_back(unsaved)
            raise

    def hubs(self) -> set[str]:
        """The hubs that must hold a tombstone before it goes; one that never answered is among them."""
        return {peer.key for peer in self.ground.mesh.peers.by_url.values()}

    def describe(self) -> dict[str, Any]:
        """How many nodes were removed, for hub.status."""
        return self.removals.describe(self.hubs())


def _write(buried: list[str], unsaved: Mapping[str, Any], connection: Any) -> None:
    delete_nodes(connection, buried)
    save_graves(connection, unsaved)


def _speaks_for(ground: Ground, node_id: str) -> bool:
    """Edges beat to all hubs, and of those that live one tells people."""
    peers = ground.mesh.peers.by_url.values()
    hubs = {peer.hub_id for peer in peers if peer.hub_id and peer.verdict == "alive"}
    return duty_of(node_id, {ground.hub_id, *hubs}) == ground.hub_id


def _watch_clones(ground: Ground) -> CloneWatch:
    registry = ground.registry
    runs = Runs(registry.life.heard.slots)
    clones = Clones(ground.report, runs, lambda node_id: _speaks_for(ground, node_id))
    watch = CloneWatch(registry, clones, lambda: ground.now, ground.runtime.wall_ms)
    registry.on_noted.append(watch.noted)
    ground.edges.copy_of_beat, ground.edges.copy_known = watch.refusal_of_beat, watch.refusal
    ground.edges.cloned = clones.refused
    return watch


def build(ground: Ground) -> GravePart:
    """The part of this hub; from now on the registry and the doors for edges keep removed nodes out."""
    removals = Removals(
        ground.registry,
        ground.report,
        lambda: ground.now,
        ground.runtime.wall_ms,
        lambda node_id: _speaks_for(ground, node_id),
    )
    with ground.database.reading() as connection:
        removals.load(load_graves(connection))
    roll = Roll(ground.registry, removals, ground.intend)
    part = GravePart(ground, removals, roll, _watch_clones(ground))
    ground.mesh.witness.add(part)
    ground.edges.refusal, ground.edges.refusal_of_beat = removals.refusal, removals.refusal_of_beat
    ground.in_status["removed"] = part.describe
    return part
