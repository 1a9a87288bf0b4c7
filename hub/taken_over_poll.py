"""Asks all peers about numbers that one of them no longer has, and takes over what retention took."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.peers import Peer, Peers
from hub.pull_answers import PeerFault
from hub.pulling import Puller
from hub.replicate import LogKey, missing
from hub.store.chunks import ChunkStore
from hub.store.taken_over import Adopted
from hub.taken_over import Fate, Fates, Witness, agreed, dropped_of, joined_fates, silent
from hub.taken_over_wire import part_of
from shared.errors import HeadwaterError
from shared.ranges import Ranges

log = logging.getLogger(__name__)

QUESTIONS_MAX = 20  # To one peer in one sweep; the next sweep goes on.
NODES_TOLD_MAX = 20  # Of more nodes than this one event tells the sum.
ADOPTED = "retention.adopted"

Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True)
class Poll:
    """Takes over what peers dropped, once all of them have been heard."""

    peers: Peers
    store: ChunkStore
    puller: Puller
    is_swept: Callable[[Peer], bool]
    tell: Tell
    _said: dict[str, str] = field(default_factory=dict)
    """By peer, what went wrong last: told once, and not with every sweep."""

    async def settle(self, peer: Peer, lacking: Mapping[LogKey, Ranges]) -> int:
        """Take over what of this the peer dropped and nobody holds; returns how many numbers.

        Trouble with a peer is noted where it belongs; then nothing is taken over.
        """
        if not lacking or self._silent():
            return 0
        told = await self._ask_noted(peer, lacking)
        dropped = dropped_of(told or {})
        others = self._others(peer)
        answers = [await self._ask_noted(other, dropped) for other in others] if dropped else []
        heard = [answer for answer in answers if answer is not None]
        if told is None or len(heard) < len(others) or self._is_changed(peer, others):
            return 0
        return await self._take_over(peer, told, heard)

    def _silent(self) -> list[str]:
        return silent(
            Witness(
                peer.key, bool(peer.hub_id) and peer.answered_at is not None, self.is_swept(peer)
            )
            for peer in self.peers.by_url.values()
        )

    def _others(self, peer: Peer) -> list[Peer]:
        return [other for other in self.peers.by_url.values() if other is not peer]

    def _is_changed(self, peer: Peer, others: Sequence[Peer]) -> bool:
        """Whether a hub became known while the others were asked."""
        return any(all(now is not one for one in others) for now in self._others(peer))

    # ---- asking

    async def _ask_noted(self, peer: Peer, asked: Mapping[LogKey, Ranges]) -> Fates | None:
        try:
            answer = await self._ask(peer, asked)
        except HeadwaterError as error:
            self._note_trouble(peer, error)
            return None
        self._said.pop(peer.url, None)
        return answer

    async def _ask(self, peer: Peer, asked: Mapping[LogKey, Ranges]) -> Fates:
        """What the peer says of all of this, or of as much as so many questions can bring."""
        fates: dict[LogKey, Fate] = {}
        left = dict(asked)
        for _ in range(QUESTIONS_MAX):
            if not left:
                break
            more = await self.puller.questions.fates(peer, part_of(left))
            fates = joined_fates(fates, more)
            left = missing(left, {key: fate.judged for key, fate in more.items()})
        return fates

    def _note_trouble(self, peer: Peer, error: HeadwaterError) -> None:
        text = str(error)
        if self._said.get(peer.url) != text:
            log.info("asking %s what it dropped: %s", peer.key, text)
            self._said[peer.url] = text
        if isinstance(error, PeerFault):
            standing = self.puller.standing(peer)
            standing.note_fault(error.reason)
            standing.sweep_error = peer.error = text

    # ---- taking over

    async def _take_over(self, peer: Peer, told: Fates, heard: Sequence[Fates]) -> int:
        common = agreed(told, heard)
        if not common:
            return 0
        adopted = await self.store.take_over(common)
        for origin, epoch in adopted.strange:
            text = "what %s dropped of %s, epoch %s, is not of the log that is here"
            log.warning(text, peer.key, origin, epoch)
        if adopted.count:
            text = "%d chunks never come: retention took them on %s, and no hub has them"
            log.info(text, adopted.count, peer.key)
            for facts in told_of(peer.key, adopted):
                self.tell(ADOPTED, facts)
        return adopted.count


def told_of(peer: str, adopted: Adopted) -> Iterable[dict[str, Any]]:
    """The facts of each event: one for each node, or one for all of very many."""
    chunks: dict[str, int] = {}
    for (origin, _), seqs in adopted.seqs.items():
        chunks[origin] = chunks.get(origin, 0) + seqs.count
    if len(chunks) > NODES_TOLD_MAX:
        return [{"peer": peer, "nodes": len(chunks), "chunks": adopted.count}]
    return [{"peer": peer, "origin": node, "chunks": count} for node, count in chunks.items()]
