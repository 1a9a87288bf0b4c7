"""Compares all records with those of peers: what it finds should never be."""

import logging
from collections import Counter
from dataclasses import dataclass, field

from hub.peering.exchange_sweep import Sweep
from hub.peering.exchange_wire import Listing, Swap, Table
from hub.peering.talk_post import DIGESTS, TalkPost
from hub.peers import Peer
from shared.errors import HeadwaterError
from shared.runtime import Runtime

log = logging.getLogger(__name__)

PUT_OFF_MAX = 5
"""Sweeps in a row that are left out with a peer that lacks much: what lasts longer is looked at."""


@dataclass(slots=True)
class TalkSweep:
    """The sweeps of one hub."""

    post: TalkPost
    runtime: Runtime
    _put_off: Counter[str] = field(default_factory=Counter)

    async def compare(self) -> None:
        """Compare all records with each live peer that is near, one after the other."""
        for peer in self.post.live():
            if self._is_put_off(peer.hub_id):
                continue
            try:
                await self._sweep(peer)
                self.post.mesh.witness.accepted(peer.hub_id, DIGESTS)
            except HeadwaterError as error:
                log.debug("comparing records with %s: %s", peer.hub_id, error)

    def _is_put_off(self, hub_id: str) -> bool:
        """Whether to compare later: a hub that fetches 100,000 records would be given them twice."""
        if self.post.exchange.is_near(hub_id) or self._put_off[hub_id] >= PUT_OFF_MAX:
            self._put_off[hub_id] = 0
            return False
        self._put_off[hub_id] += 1
        return True

    async def _sweep(self, peer: Peer) -> None:
        sweep = Sweep(self.post.exchange)
        question: Table | Listing | None = sweep.table()
        while question is not None:
            listing = await self.post.question(peer, question, Listing)
            with self.post.judging(peer.hub_id, DIGESTS):
                nodes, question = sweep.on_listing(listing)
            while nodes:
                swap, nodes = sweep.next_swap(nodes)
                swapped = await self.post.question(peer, swap, Swap)
                with self.post.judging(peer.hub_id, DIGESTS):
                    sweep.on_swap(swapped, self.runtime.wall_ms())
