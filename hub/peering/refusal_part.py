"""Tells people which peers are refused here, and which refuse this hub: once each, with the reason."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hub.gossip import Gossip
from hub.ground import Ground
from hub.peering.clock_samples import Echo
from hub.peering.refusals import STRANGER, Refusals, kind_of
from hub.peering.sections import Section
from hub.peering.witness import Refusal, Witness
from hub.peers import Peer
from hub.rpc import Method
from hub.web.routes import RouteSpec
from shared.errors import BadInput, HeadwaterError, Refused
from shared.tasks import repeat

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
NOT_ADMITTED = frozenset({401, 403, 410})
GOSSIP_ANSWERS = "answers of /peer/gossip"


@dataclass(slots=True)
class RefusalPart(Witness):
    """What is refused between one hub and its peers, both ways."""

    ground: Ground
    here: Refusals = field(default_factory=Refusals)
    """What this hub refuses."""
    there: Refusals = field(default_factory=Refusals)
    """What peers refuse of this hub."""
    strangers: Refusals = field(default_factory=Refusals)
    """Who comes without the cluster key, in a book of its own: whoever it is, it takes no room of peers."""

    # ---- what a part is

    def methods(self) -> Mapping[str, Method]:
        """None: hub.list shows it."""
        return {}

    def routes(self) -> Sequence[RouteSpec]:
        """No doors of its own."""
        return ()

    def sections(self) -> Sequence[Section]:
        """Nothing that peers are told: the answer to what they said tells them."""
        return ()

    async def run(self) -> None:
        """Let go of what is long ago, for ever."""
        await repeat("looking at refusals", self._look, self.ground.runtime.rng)

    async def close(self) -> None:
        """Nothing is held."""

    async def _look(self) -> float:
        for peer in self.ground.mesh.peers.by_url.values():
            self._show(peer)
        return LOOK_SECONDS

    # ---- what this hub refuses

    def refused(self, who: str, door: str, error: HeadwaterError, now: float) -> None:
        """Tell of it when it is news; count it always."""
        self.ground.counters["peer_messages_refused"] += 1
        kind, reason = kind_of(error), str(error)
        if self.here.note(who, door, kind, reason, now):
            log.warning("what %s says at %s is refused: %s", who, door, reason)
            facts = {"peer": who, "door": door, "kind": kind, "reason": reason}
            self.ground.report("gossip.refused", facts)
        self._show_named(who)

    def knocked(self, address: str, name: str, door: str, now: float) -> None:
        """Tell of an address once: a hub of another cluster, or one with a wrong key."""
        called = f" (it calls itself {name})" if name else ""
        reason = f"it comes without the CLUSTER_KEY of this hub{called}"
        if self.strangers.note(address, door, STRANGER, reason, now):
            log.warning("%s at %s is refused: %s", address, door, reason)
            facts = {"peer": address, "door": door, "kind": STRANGER, "reason": reason}
            self.ground.report("gossip.refused", facts)

    def accepted(self, who: str, door: str) -> None:
        """Something may be over by that."""
        if self.here.fine(who, door):
            self._show_named(who)

    def failed(self, peer: Peer, sent_at: float, now: float, error: HeadwaterError) -> None:
        """An answer that cannot be read is refused too."""
        if isinstance(error, BadInput | Refused):
            self.refused(peer.key, GOSSIP_ANSWERS, error, now)

    def answered(self, peer: Peer, echo: Echo, answer: Gossip) -> None:
        """Its answers are fine."""
        self.accepted(peer.key, GOSSIP_ANSWERS)

    # ---- what peers refuse of this hub

    def turned_away(self, peer: Peer, path: str, refusal: Refusal, now: float) -> None:
        """Tell of it when it is news."""
        kind = "not_admitted" if refusal.status in NOT_ADMITTED else "unreadable"
        if self.there.note(peer.url, path, kind, refusal.reason, now):
            told = (peer.key, path, refusal.reason)
            log.warning("%s refuses what this hub says at %s: %s", *told)
        self._show(peer)

    def taken_in(self, peer: Peer, path: str) -> None:
        """Something may be over by that."""
        if self.there.fine(peer.url, path):
            log.info("%s takes what this hub says at %s again", peer.key, path)
            self._show(peer)

    # ---- what people see of it

    def forgot(self, peer: Peer) -> None:
        """Drop what was known of a hub, unless only a second address of it is gone."""
        self.there.forget(peer.url)
        if self.ground.mesh.peers.by_id(peer.hub_id) is None:
            self.here.forget(peer.key)

    def _show_named(self, who: str) -> None:
        peer = self.ground.mesh.peers.by_id(who) if who else None
        if peer is not None:
            self._show(peer)

    def _show(self, peer: Peer) -> None:
        now = self.ground.now
        here, there = self.here.of_peer(peer.key, now), self.there.of_peer(peer.url, now)
        told = [f"refused here: {here}"] if here else []
        told += [f"it refuses this hub: {there}"] if there else []
        peer.refusal = "; ".join(told)


def build(ground: Ground) -> RefusalPart:
    """The part of this hub; from now on it hears of every refusal."""
    part = RefusalPart(ground)
    ground.mesh.witness.add(part)
    return part
