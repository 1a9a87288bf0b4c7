"""Compares version vectors with peers now and then, and fetches what announcements have left out.

In a correct mesh a sweep finds nothing: chunks are announced as they come, in the order of their
arrival. It finds what a disk has lost and what a fault of ours has skipped. What a peer lists and does
not have was dropped there when its time was over; `hub.taken_over` says when this hub may count it so.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub import vectors
from hub.lag import by_origin
from hub.peers import Peer, Peers
from hub.pull_answers import PeerFault
from hub.pulling import Puller
from hub.replicate import LogKey, joined, missing
from hub.standing import SweepCount
from hub.store.chunks import ChunkStore
from hub.taken_over_poll import Poll, Tell
from hub.vectors import START, VectorPage
from shared.errors import HeadwaterError
from shared.ranges import Ranges
from shared.runtime import Runtime
from shared.tasks import Bell

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
RETRY_SECONDS = 10.0  # A hub that was away may have what is lost here.
JITTER = 0.2  # Hubs that start together must not sweep together for ever.
SETTLE_SECONDS = 3.0  # What was on its way has arrived, or its announcement has failed.
CATCH_UP_SECONDS_MAX = 30.0
PAGES_MAX = 1000  # A million logs; a vector that goes on after this does not end.
LACKING_SPANS_MAX = 10_000  # One sweep repairs so much; the next one goes on.
IN_VAIN_SWEEPS = 60  # What did not come is asked for again after so many sweeps.
BUSY_JOBS = 16  # Accepting edges comes first: so many jobs at the writer are a queue.
BUSY_SECONDS = 0.1
BUSY_SECONDS_MAX = 10.0  # Under load that never ends, repairs are slow and not forgotten.

Repaired = Callable[[str, int], None]
"""Called with the peer's id and how many chunks a sweep has brought."""


def _nobody(peer: str, chunks: int) -> None:
    """Nobody listens."""


def _untold(event: str, facts: Mapping[str, Any]) -> None:
    """Nobody keeps events."""


@dataclass(slots=True)
class Sweeper:
    """Sweeps one peer at a time, each about once a minute, and all of them when somebody asks."""

    peers: Peers
    store: ChunkStore
    runtime: Runtime
    puller: Puller
    repaired: Repaired = _nobody
    tell: Tell = _untold
    counts: dict[str, SweepCount] = field(default_factory=dict)
    _bells: dict[str, Bell] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _poll: Poll = field(init=False)

    def __post_init__(self) -> None:
        self._poll = Poll(
            self.peers,
            self.store,
            self.puller,
            lambda peer: self.count(peer).sweeps > 0,
            lambda event, facts: self.tell(event, facts),
        )

    def sweep_soon(self) -> None:
        """Something is missing on this disk: look at once what peers have of it."""
        for count in self.counts.values():
            count.forgive()
        for url in self.peers.by_url:
            self._bells.setdefault(url, Bell()).ring()

    def count(self, peer: Peer) -> SweepCount:
        """What the sweeps of this peer have come to."""
        return self.counts.setdefault(peer.url, SweepCount())

    def forget(self, peer: Peer) -> None:
        """Drop what is known of a peer that is no longer one."""
        self.counts.pop(peer.url, None)
        self._bells.pop(peer.url, None)

    async def sweep_from(self, peer: Peer) -> None:
        """Sweep as long as this is a peer. Trouble with it is noted, and the next sweep comes."""
        bell = self._bells.setdefault(peer.url, Bell())
        while self.peers.by_url.get(peer.url) is peer:
            spread = self.runtime.rng.uniform(1 - JITTER, 1 + JITTER)
            is_asked = await bell.wait(self._pause_seconds(peer) * spread)
            if peer.hub_id:
                async with self._turn:
                    await self._sweep_noted(peer)
            elif is_asked:  # It has not answered yet, so the wish must wait for it.
                await asyncio.sleep(SETTLE_SECONDS)
                bell.ring()

    def _pause_seconds(self, peer: Peer) -> float:
        is_away = self.count(peer).error and not self.puller.standing(peer).sweep_error
        return RETRY_SECONDS if is_away else SWEEP_SECONDS

    async def _sweep_noted(self, peer: Peer) -> None:
        count = self.count(peer)
        if count.sweeps % IN_VAIN_SWEEPS == 0 or _spans(count.in_vain) > LACKING_SPANS_MAX:
            count.forgive()
        try:
            await self.sweep(peer)
            count.sweeps += 1
            count.error = self.puller.standing(peer).sweep_error = ""
            await self._take_over(peer)
        except HeadwaterError as error:
            count.failed += 1
            if (
                str(error) != count.error
            ):  # Once, and not every few seconds for as long as it lasts.
                log.info("sweeping %s: %s", peer.key, error)
            count.error = str(error)
            if isinstance(error, PeerFault):
                standing = self.puller.standing(peer)
                standing.note_fault(error.reason)
                standing.sweep_error = peer.error = str(error)
        count.ended_at = asyncio.get_running_loop().time()

    async def sweep(self, peer: Peer) -> int:
        """Fetch what the peer holds and we neither hold nor dropped; returns how many chunks came.

        What is merely on its way is left to the announcements: we look at what is lacking a second
        time, once everything that the peer had at the first look has been pulled.
        """
        count = self.count(peer)
        lacking, head = await self._look(peer)
        self.puller.standing(peer).lag.by_origin = by_origin(lacking)
        if not lacking:
            return 0
        if not await self._has_caught_up(peer, head):
            count.postponed += 1
            return 0
        lacking = self.puller.lacking(lacking)
        repaired = await self.puller.fetch(peer, lacking, {}, before=self._let_edges_go_first)
        count.note_in_vain(self.puller.lacking(lacking))
        self._note_repair(peer, repaired)
        return repaired

    def _note_repair(self, peer: Peer, repaired: int) -> None:
        if repaired:
            self.count(peer).repaired += repaired
            log.warning("%d chunks were missing here and came from %s", repaired, peer.key)
            self.repaired(peer.key, repaired)

    async def _take_over(self, peer: Peer) -> None:
        """What the peer lists and does not have was dropped there: by all, perhaps."""
        count = self.count(peer)
        count.in_vain = self.puller.lacking(count.in_vain)
        taken_over = await self._poll.settle(peer, count.in_vain)
        if taken_over:
            count.note_taken_over(taken_over, self.puller.lacking(count.in_vain))
            self._bells.setdefault(peer.url, Bell()).ring()  # There may be more of it.

    async def _look(self, peer: Peer) -> tuple[dict[LogKey, Ranges], int]:
        """What we lack of the peer's vector, and its last arrival when we began to look."""
        vector, mine = self.puller.questions.vector, vectors.digest(self.store.held)
        answer = await vector(peer, START, mine)
        self.count(peer).equal += answer.digest == mine
        head, lacking, pages = answer.head, self._lacking(peer, answer.page), 1
        while answer.page.after is not None and _spans(lacking) < LACKING_SPANS_MAX:
            if pages >= PAGES_MAX:
                raise PeerFault("no_end", f"its vector does not end after {pages} pages")
            answer = await vector(peer, answer.page.after, "")
            lacking = joined(lacking, self._lacking(peer, answer.page))
            pages += 1
        return lacking, head

    def _lacking(self, peer: Peer, page: VectorPage) -> dict[LogKey, Ranges]:
        return missing(self.puller.lacking(page.logs), self.count(peer).in_vain)

    async def _has_caught_up(self, peer: Peer, head: int) -> bool:
        """Wait until all that the peer had has been pulled; False when pulling takes too long."""
        await asyncio.sleep(SETTLE_SECONDS)
        waited_seconds = SETTLE_SECONDS
        while peer.pulled_arrival < head and waited_seconds < CATCH_UP_SECONDS_MAX:
            await asyncio.sleep(SETTLE_SECONDS)
            waited_seconds += SETTLE_SECONDS
        return peer.pulled_arrival >= head

    async def _let_edges_go_first(self) -> None:
        waited_seconds = 0.0
        while self.store.waiting > BUSY_JOBS and waited_seconds < BUSY_SECONDS_MAX:
            await asyncio.sleep(BUSY_SECONDS)
            waited_seconds += BUSY_SECONDS


def _spans(lacking: dict[LogKey, Ranges]) -> int:
    return sum(len(ranges.spans) for ranges in lacking.values())
