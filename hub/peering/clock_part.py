"""Clocks of hubs and edges at work: measured with every message, judged each second, told to people.

What a hub with a wrong clock has ordered waits in `hub.peering.admission` until that clock is right.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hub.gossip import Gossip
from hub.ground import Ground
from hub.nodes.edge_clocks import EdgeClocks
from hub.params import read
from hub.peering.admission import Admission, Door, door_of
from hub.peering.clock_answers import ListClocks, Moment, describe_clocks, own_sentence
from hub.peering.clock_poison import count_poisoned
from hub.peering.clock_samples import Echo
from hub.peering.clock_section import ClockSection, read_section
from hub.peering.clock_steps import Event
from hub.peering.clock_verdict import ClockLimits
from hub.peering.clocks import Clocks
from hub.peering.sections import Section
from hub.peering.witness import Witness
from hub.peers import Peer
from hub.retention import is_clock_sound
from hub.rpc import Method
from hub.web.routes import RouteSpec
from shared.merge import REMOVED, NodeRecord
from shared.tasks import repeat

LOOK_SECONDS = 1.0
COUNT_SECONDS = 60.0
COUNT_TOGETHER = 2_000  # A few milliseconds of work, between which messages are answered.


class ClockPart(Witness):
    """The clocks of one hub, between its mesh, its registry and people."""

    name = "clocks"

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.edges = EdgeClocks()
        limits = ClockLimits(ground.config.skew_ms_max)
        self.clocks = Clocks(ground.hub_id, limits, on_own_step=self.edges.begin_anew)
        self.admission = Admission()
        self.poisoned = 0
        self._quarantined: set[str] = set()

    # ---- what a part is

    def methods(self) -> Mapping[str, Method]:
        """What people ask."""
        return {"clock.list": Method(self.show, ListClocks)}

    def routes(self) -> Sequence[RouteSpec]:
        """No doors of its own."""
        return ()

    def sections(self) -> Sequence[Section]:
        """What this hub believes of every clock."""
        return (self,)

    async def run(self) -> None:
        """Look at all clocks, for ever."""
        rng = self.ground.runtime.rng
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(repeat("looking at clocks", self.look, rng))
            tasks.create_task(repeat("counting orders ahead of time", self.count, rng))

    async def close(self) -> None:
        """Nothing is held: what waits here is told again by the peers that brought it."""

    # ---- what is told of messages

    def answered(self, peer: Peer, echo: Echo, answer: Gossip) -> None:
        """Measure the clock of a peer, before anything that it says is believed."""
        hub_id = answer.sender.hub_id
        if hub_id == self.ground.hub_id:
            return  # Reached under a second address of ours, or a stranger with our name.
        self._tell(self.clocks.measured(hub_id, echo))
        offset = self.clocks.offset(hub_id, echo.received_at)
        peer.clock_offset_ms = None if offset is None else round(offset.offset_ms, 2)

    def heard(self, message: Gossip, now: float, wall_ms: int) -> None:
        """See how far ahead the clock of a peer must be at least."""
        if message.sender.hub_id != self.ground.hub_id:
            self.clocks.glimpse(message.sender.hub_id, message.wall_ms, now, wall_ms)

    def let_in(self, record: NodeRecord, from_hub: str, now: float) -> NodeRecord:
        """All but the orders that must wait for a clock."""
        if not record.intent:
            return record
        held = self.ground.registry.records.get(record.node_id)
        return self.admission.let_in(record, from_hub, held, self._door(now))

    def forgot(self, peer: Peer) -> None:
        """Drop what was known of a hub, unless only a second address of it is gone."""
        if peer.hub_id and self.ground.mesh.peers.by_id(peer.hub_id) is None:
            self.clocks.forget(peer.hub_id)
            self.admission.forget(peer.hub_id)

    def _door(self, now: float) -> Door:
        return door_of(self.clocks, now, self.ground.runtime.wall_ms())

    # ---- what hubs tell each other

    def of_mine(self, peer: str, now: float) -> ClockSection:
        """What this hub believes of every clock."""
        return self.clocks.of_mine(now)

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear what a peer believes; raises BadInput."""
        if from_hub != self.ground.hub_id:
            self._tell(self.clocks.take(read_section(body), from_hub, now))

    # ---- loops

    async def look(self) -> float:
        """Judge every clock, and let in what need not wait any more."""
        ground, now = self.ground, self.ground.now
        self._tell(self.clocks.read_own(now, ground.runtime.wall_ns() / 1e6))
        self._tell(self.clocks.judge(now))
        self._release(self._door(now), now)
        return LOOK_SECONDS

    def _release(self, door: Door, now: float) -> None:
        """Let in what need not wait any more, and have told again what this hub could not claim."""
        registry = self.ground.registry
        for record in self.admission.release(door):
            registry.apply(record, now)
        sound = self._quarantined - door.quarantined.keys()
        sound.update(self.admission.take_to_ask_again(door))
        self._quarantined = set(door.quarantined)
        if sound and registry.replica.waiting.total:
            registry.exchange.ask_again()

    async def count(self) -> float:
        """Count the stored orders whose stamps are no times, and drop the clocks of removed edges."""
        records = list(self.ground.registry.records.values())
        poisoned = 0
        for start in range(0, len(records), COUNT_TOGETHER):
            page = records[start : start + COUNT_TOGETHER]
            poisoned += count_poisoned(page, self.ground.runtime.wall_ms())
            for record in page:
                if record.intent_value(REMOVED):
                    self.edges.forget(record.node_id)
            await asyncio.sleep(0)
        self.poisoned = poisoned
        return COUNT_SECONDS

    def _tell(self, events: Iterable[Event]) -> None:
        for name, facts in events:
            self.ground.report(name, facts)

    def is_day_sound(self) -> bool:
        """Whether things may be called old by our clock: as peers show it, and as all clocks judge it."""
        now = self.ground.now
        alive = [p for p in self.ground.mesh.peers.by_url.values() if p.state(now) == "alive"]
        up_seconds = now - self.ground.registry.began_at
        by_peers = is_clock_sound([peer.clock_offset_ms for peer in alive], up_seconds)
        return by_peers and not self.clocks.is_far_ahead

    # ---- what people ask

    def in_status(self) -> dict[str, Any]:
        """What the hub says of its own clock, for its status."""
        return {
            "verdict": str(self.clocks.verdict(self.ground.hub_id)),
            "sentence": own_sentence(self.clocks, self.ground.now),
        }

    async def show(self, raw: dict[str, Any]) -> dict[str, Any]:
        """How far every clock is off, of hubs and edges, who says so, and what that holds up."""
        wanted = read(ListClocks, raw)
        moment = Moment(self.ground.now, self.ground.runtime.wall_ms())
        return describe_clocks(
            self.clocks,
            self.edges,
            self.admission,
            moment,
            poisoned=self.poisoned,
            wanted=wanted,
        )


def build(ground: Ground) -> ClockPart:
    """The part of a hub; from now on it is told of every message between hubs."""
    part = ClockPart(ground)
    ground.mesh.witness.add(part)
    ground.in_status["clock"] = part.in_status
    ground.registry.clock_of_edge = part.edges.hear
    ground.keeper.is_clock_sound = part.is_day_sound
    return part
