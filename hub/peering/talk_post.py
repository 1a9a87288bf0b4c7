"""What a hub posts to its peers about nodes: news, and questions with their answers."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hub.mesh import Mesh
from hub.peering.exchange import PUSHES_MAX, Exchange
from hub.peering.exchange_wire import MESSAGE_BYTES_MAX, Answer, Kind, Message
from hub.peering.node_letters import MEDIA_TYPE, read_letter, write_letter
from hub.peers import Peer
from shared.errors import BadInput, HeadwaterError, Refused, Unreachable
from shared.merge import NodeRecord

log = logging.getLogger(__name__)

PATH = "/peer/nodes"
ANSWERS, DIGESTS = "answers of /peer/nodes", "digests of /peer/nodes"
"""Where what peers answer is refused: what they were asked for each second, and each minute."""

TIMEOUT_SECONDS = 5.0
UNDER_WAY_MAX = 2 * PUSHES_MAX
"""Pushes to one peer that have not been answered; what is shed is fetched by the peer."""


@dataclass(slots=True)
class TalkPost:
    """The sending side of the talk of one hub."""

    mesh: Mesh
    exchange: Exchange[NodeRecord]
    counters: Counter[str]
    _under_way: Counter[str] = field(default_factory=Counter)

    def live(self) -> list[Peer]:
        """The peers that are known by name and not dead."""
        now = asyncio.get_running_loop().time()
        peers = self.mesh.peers.by_url.values()
        return [peer for peer in peers if peer.hub_id and peer.state(now) != "dead"]

    def named(self, hub_id: str) -> Peer:
        """The peer of this name; raises Unreachable when its address is not known."""
        peer = self.mesh.peers.by_id(hub_id)
        if peer is None:
            raise Unreachable(hub_id, "its address is not known", sent=False)
        return peer

    def push(self, letter: bytes, tasks: asyncio.TaskGroup) -> None:
        """Send all live peers the same, and wait for none of them."""
        for peer in self.live():
            if self._under_way[peer.hub_id] >= UNDER_WAY_MAX:
                self.counters["node_pushes_shed"] += 1
                continue
            self._under_way[peer.hub_id] += 1
            tasks.create_task(self._post_push(peer, peer.hub_id, letter))

    async def _post_push(self, peer: Peer, hub_id: str, letter: bytes) -> None:
        try:
            await self._post(peer, letter)
        except HeadwaterError as error:  # It fetches what it lacks.
            log.debug("%s was not told: %s", hub_id, error)
        finally:
            self._under_way[hub_id] -= 1

    async def question(self, peer: Peer, question: Message, kind: type[Kind]) -> Kind:
        """The answer of a peer; raises HeadwaterError when there is none that can be used."""
        reply = await self._post(peer, write_letter(question))
        with self.judging(peer.hub_id, ANSWERS if kind is Answer else DIGESTS):
            answer = read_letter(reply, kind, self.exchange.cluster)
            if answer.sender != peer.hub_id:
                raise BadInput(f"{peer.hub_id} was asked, and {answer.sender} answers")
        return answer

    async def _post(self, peer: Peer, letter: bytes) -> bytes:
        reply = await self.mesh.post(
            peer,
            PATH,
            letter,
            TIMEOUT_SECONDS,
            reply_bytes_max=MESSAGE_BYTES_MAX,
            media_type=MEDIA_TYPE,
        )
        return reply.body

    @contextmanager
    def judging(self, hub_id: str, door: str) -> Iterator[None]:
        """Have told what is wrong with an answer."""
        try:
            yield
        except (BadInput, Refused) as error:
            now = asyncio.get_running_loop().time()
            self.mesh.witness.refused(hub_id, door, error, now)
            raise
