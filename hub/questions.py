"""The four questions that a hub asks a peer about chunks, each with its answer read and doubted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from hub import taken_over_wire, vectors
from hub.peers import Peer, Peers
from hub.pull_answers import VERSION, Announcement, Asked, read_have
from hub.replicate import LogKey
from hub.taken_over import Fate
from hub.vectors import Position, VectorAnswer, VectorQuestion
from shared.envelope import BATCH_BYTES_MAX
from shared.ranges import Ranges
from shared.records import MIB
from shared.runtime import HttpReply

POLL_SECONDS = 10.0  # How long a peer may hold our question until it has news.
POLL_MARGIN_SECONDS = 5.0
PULL_TIMEOUT_SECONDS = 30.0
VECTOR_TIMEOUT_SECONDS = 10.0
FATES_TIMEOUT_SECONDS = 10.0
ANSWER_BYTES_MAX = 4 * MIB  # Eight times a full page of announcements.


class Post(Protocol):
    """Sends a message to a peer; raises Unreachable or TooLarge when no good answer came back."""

    async def __call__(
        self, peer: Peer, path: str, body: bytes, seconds: float, *, reply_bytes_max: int
    ) -> HttpReply: ...


@dataclass(frozen=True, slots=True)
class Questions:
    """Asks peers. Each question raises Unreachable for no answer and PeerFault for a senseless one."""

    peers: Peers
    post: Post

    async def have(self, peer: Peer, asked: Asked) -> Announcement:
        """What came to the peer after a number; the peer holds the answer back until it has news.

        The number confirms to the peer that all before it is on this disk.
        """
        question = {
            "hub_id": self.peers.own_id,
            "url": self.peers.own_url,
            "store_epoch": asked.store_epoch,
            "since": asked.since,
            "wait_seconds": POLL_SECONDS,
        }
        seconds = POLL_SECONDS + POLL_MARGIN_SECONDS
        reply = await self._ask(peer, "/peer/have", question, seconds, ANSWER_BYTES_MAX)
        return read_have(reply.body, asked)

    async def chunks(self, peer: Peer, lacking: Mapping[LogKey, Ranges], page_bytes: int) -> bytes:
        """Some of these chunks as a batch, not read yet; nothing when the peer has none of them."""
        wanted = [[*key, ranges.to_wire()] for key, ranges in lacking.items()]
        order = {"wanted": wanted, "bytes_max": page_bytes}
        reply = await self._ask(peer, "/peer/chunks", order, PULL_TIMEOUT_SECONDS, BATCH_BYTES_MAX)
        return reply.body

    async def vector(self, peer: Peer, after: Position, digest: str) -> VectorAnswer:
        """A page of what the peer holds, unless that is what `digest` stands for."""
        question = vectors.write_question(VectorQuestion(self.peers.own_id, after, digest))
        reply = await self._ask(
            peer, "/peer/vector", question, VECTOR_TIMEOUT_SECONDS, ANSWER_BYTES_MAX
        )
        return vectors.read_answer(reply.body, after)

    async def fates(self, peer: Peer, asked: Mapping[LogKey, Ranges]) -> dict[LogKey, Fate]:
        """What became of these numbers at the peer, all of them or only some.

        A hub of an older version has no such door, and is Unreachable here.
        """
        wanted = [[*key, seqs.to_wire()] for key, seqs in asked.items()]
        question = {"wanted": wanted}
        reply = await self._ask(
            peer, "/peer/fates", question, FATES_TIMEOUT_SECONDS, ANSWER_BYTES_MAX
        )
        return taken_over_wire.read_answer(reply.body, asked)

    async def _ask(
        self, peer: Peer, path: str, question: dict[str, Any], seconds: float, bytes_max: int
    ) -> HttpReply:
        body = orjson.dumps({"version": VERSION, **question})
        return await self.post(peer, path, body, seconds, reply_bytes_max=bytes_max)
