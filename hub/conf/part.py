"""The replicated settings in a running hub: told to peers and edges, kept on disk, applied to itself."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hub.bodies import read_body
from hub.conf.apply import HubApplier
from hub.conf.book import ConfBook, Unsaved
from hub.conf.drift import Drift
from hub.conf.methods import REQUEST_BYTES_MAX, Around, ConfMethods, conf_methods
from hub.conf.resolve import Resolver
from hub.conf.section import Section as Told
from hub.conf.section import read_section
from hub.conf.setters import own_settings, setters_of
from hub.ground import Ground
from hub.peering.clock_poison import may_witness
from hub.peering.sections import Section
from hub.peering.witness import Witness
from hub.peers import Peer
from hub.rpc import Method
from hub.store.conf_table import load_conf, save_conf
from hub.web.routes import RouteSpec
from shared.conf import Request as Wish
from shared.conf_report import Report, Wanted
from shared.errors import BadInput, Refused, Unavailable
from shared.merge import LABELS, REMOVED, NodeRecord
from shared.stamp import Stamp
from shared.tasks import repeat

log = logging.getLogger(__name__)

SAVE_SECONDS = 1.0
FORGET_SECONDS = 60.0
LOOK_SECONDS = 1.0

_wishes = msgspec.json.Decoder(Wish)


@dataclass(frozen=True, slots=True)
class _Gossip(Section, Witness):
    """The section of the gossip about settings; forgets what it knows of a peer that goes."""

    conf: ConfMethods
    ground: Ground

    @property
    def name(self) -> str:
        """Under which name it travels."""
        return "conf"

    def of_mine(self, peer: str, now: float) -> Told:
        """The oldest that a peer lacks."""
        return self.conf.book.section_for(peer)

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear a peer; raises BadInput."""
        try:
            self.conf.take(read_section(body), from_hub)
        finally:
            for name, count in self.conf.book.counters.items():
                self.ground.counters[f"settings_{name}"] = count

    def forgot(self, peer: Peer) -> None:
        """Drop where we stand with it."""
        self.conf.book.forget_peer(peer.hub_id)


@dataclass(slots=True)
class ConfPart:
    """The replicated settings of one hub."""

    ground: Ground
    conf: ConfMethods = field(init=False)
    applier: HubApplier = field(init=False)

    def __post_init__(self) -> None:
        ground = self.ground
        wall_ms, tell = ground.runtime.wall_ms, ground.report
        book = ConfBook(ground.instance, self._witness, met=ground.mesh.witness.told_setting)
        resolver = Resolver(book, wall_ms)
        around = Around(
            ground.stamp, wall_ms, self.labels_of, self._nodes, self._write, self._changed, tell
        )
        self.conf = ConfMethods(book, resolver, Drift(resolver, tell, self._speaks_for), around)
        setters = setters_of(ground.keeper, ground.crowd)
        self.applier = HubApplier(own_settings(ground.config), setters, tell)

    def _witness(self, stamp: Stamp) -> None:
        """A stamp that no sound clock made must not carry our own clock away."""
        if may_witness(stamp, self.ground.runtime.wall_ms()):
            self.ground.clock.witness(stamp)

    def begin(self) -> None:
        """Take up what is on disk, before anybody asks and before anything is done by it."""
        with self.ground.database.reading() as connection:
            self.conf.book.load(load_conf(connection))
        self.applier.refresh(self.conf.resolver.hub_settings)

    # ---- what it brings

    def methods(self) -> Mapping[str, Method]:
        """The calls about settings."""
        return {name: Method(*each) for name, each in conf_methods(self.conf).items()}

    def routes(self) -> Sequence[RouteSpec]:
        """The door at which edges ask for their settings."""
        return [RouteSpec("/edge/config", ("POST",), "edge", self.give)]

    def sections(self) -> Sequence[Section]:
        """What peers are told."""
        gossip = _Gossip(self.conf, self.ground)
        self.ground.mesh.witness.add(gossip)
        return [gossip]

    async def run(self) -> None:
        """Keep what peers told on disk, for ever."""
        rng = self.ground.runtime.rng
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(repeat("saving settings", self.save, rng))
            tasks.create_task(repeat("forgetting removed nodes", self.forget, rng))
            tasks.create_task(repeat("telling of refused settings", self.look, rng))

    async def close(self) -> None:
        """Write what is not on disk yet."""
        try:
            await self.save()
        except Unavailable as error:  # Peers tell it again; the rest must still be closed.
            log.warning("settings are not saved: %s", error)

    # ---- nodes

    def labels_of(self, node_id: str) -> dict[str, str] | None:
        """The labels of a node; None for one that is not known, or was removed."""
        record = self.ground.registry.records.get(node_id)
        return None if record is None or record.intent_value(REMOVED) else _labels(record)

    def _nodes(self) -> Iterable[tuple[str, dict[str, str]]]:
        return ((each.node_id, _labels(each)) for each in self.ground.registry.present())

    def hear(self, node_id: str, report: Report) -> Wanted | None:
        """A heartbeat: note what it says of its settings, and answer with what it should have."""
        labels = self.labels_of(node_id)
        return None if labels is None else self.conf.hear(node_id, labels, report)

    def _speaks_for(self, node_id: str) -> bool:
        return self.ground.registry.cares_for(node_id)

    async def look(self) -> float:
        """Tell of refusals for which this hub speaks since a moment ago."""
        self.conf.drift.look(self.ground.runtime.wall_ms())
        return LOOK_SECONDS

    async def give(self, request: Request) -> Response:
        """POST /edge/config: the settings of the edge that asks."""
        body = await read_body(request, REQUEST_BYTES_MAX)
        node_id = self.ground.edges.authentic(request.headers)
        try:
            wish = _wishes.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"the question for settings cannot be read: {error}") from error
        if wish.node_id != node_id:
            raise Refused(f"{node_id} asks for the settings of {wish.node_id}: refused")
        return Response(self.conf.document_for(wish), media_type="application/json")

    async def forget(self) -> float:
        """Drop what removed nodes said; removals come through any hub, at any time."""
        for node_id in self.conf.drift.nodes:
            if self.labels_of(node_id) is None:
                self.conf.drift.forget(node_id)
        return FORGET_SECONDS

    # ---- changes

    def _changed(self) -> None:
        self.ground.counters["settings_written"] = self.conf.book.written
        self.applier.refresh(self.conf.resolver.hub_settings)
        self.ground.mesh.tell_soon()

    async def save(self) -> float:
        """Write what is new; raises Unavailable, and then it is written with the next round."""
        await self.conf.save_told()
        return SAVE_SECONDS

    async def _write(self, unsaved: Unsaved) -> None:
        job = partial(save_conf, unsaved.entries, unsaved.dropped)
        await self.ground.database.write(job)


def _labels(record: NodeRecord) -> dict[str, str]:
    """The labels of a node; what comes from elsewhere may be anything."""
    labels = record.intent_value(LABELS)
    if not isinstance(labels, Mapping):
        return {}
    return {name: value for name, value in labels.items() if isinstance(value, str)}


def build(ground: Ground) -> ConfPart:
    """The part, with what is on disk."""
    part = ConfPart(ground)
    ground.edges.settings = part.hear
    part.begin()
    return part
