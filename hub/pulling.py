"""Pulls chunks from peers as soon as they have them, and remembers how each peer has behaved."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from hub.lag import PeerLag
from hub.peers import Peer, Peers
from hub.pull_answers import (
    Announced,
    Announcement,
    Asked,
    ChunkPage,
    PeerFault,
    read_chunks,
)
from hub.questions import Questions
from hub.replicate import LogKey, joined, missing
from hub.standing import Standing
from hub.store.chunks import ChunkStore
from hub.store.hub_table import StoredPeer
from shared.backoff import Backoff, backoff_seconds
from shared.errors import HeadwaterError, Unavailable
from shared.ranges import Ranges
from shared.receipt import Outcome
from shared.records import MIB
from shared.runtime import Runtime

log = logging.getLogger(__name__)

Result = TypeVar("Result")

PULL_BYTES = 8 * MIB  # Two pages are in memory at a time: one on its way, one being committed.
REMEMBER_SECONDS = 5.0
TURN_SECONDS = (
    0.1  # Under steady traffic ten larger turns a second cost less than fifty small ones.
)
EMPTY_TURN_SECONDS = 0.5
EMPTY_TURNS_MAX = 3
FAULT_SECONDS = 1.0
_RETRY = Backoff(seconds_initial=0.5, seconds_max=3.0)
_AFTER_FAULT = Backoff(seconds_initial=2.0, seconds_max=60.0)


async def _at_once() -> None:
    """Wait for nothing."""


@dataclass(slots=True)
class Puller:
    """Fetches what peers have and this hub has not."""

    peers: Peers
    store: ChunkStore
    runtime: Runtime
    questions: Questions
    save_peer: Callable[[StoredPeer], Awaitable[None]]
    standings: dict[str, Standing] = field(default_factory=dict)

    def standing(self, peer: Peer) -> Standing:
        """How pulling from this peer goes."""
        if peer.url not in self.standings:
            lag = PeerLag(peer.store_epoch, peer.pulled_arrival)
            self.standings[peer.url] = Standing(lag)
        return self.standings[peer.url]

    def forget(self, peer: Peer) -> None:
        """Drop what is known of a peer that is no longer one."""
        self.standings.pop(peer.url, None)

    async def pull_from(self, peer: Peer) -> None:
        """Pull as long as this is a peer. Trouble with it is noted, waited out, and tried again."""
        failures = 0
        while self.peers.by_url.get(peer.url) is peer:
            try:
                await self._turn(peer)
                self._note_success(peer)
                failures = 0
            except HeadwaterError as error:
                seconds = self.note_failure(peer, error, failures)
                failures += 1
                await asyncio.sleep(seconds)

    def note_failure(self, peer: Peer, error: HeadwaterError, failures: int) -> float:
        """Remember what went wrong; returns the seconds until the next attempt."""
        standing = self.standing(peer)
        if failures == 0 or (isinstance(error, PeerFault) and str(error) != standing.error):
            level = logging.WARNING if isinstance(error, PeerFault) else logging.INFO
            log.log(level, "pulling chunks from %s: %s", peer.key, error)
        if isinstance(error, PeerFault):
            standing.note_fault(error.reason)
            standing.error = peer.error = str(error)
            return FAULT_SECONDS + backoff_seconds(failures, _AFTER_FAULT, self.runtime.rng)
        if not isinstance(error, Unavailable):  # A full disk of ours is not the peer's error.
            standing.error = peer.error = str(error)
        return backoff_seconds(failures, _RETRY, self.runtime.rng)

    def _note_success(self, peer: Peer) -> None:
        standing = self.standing(peer)
        if standing.error and peer.error == standing.error:
            peer.error = standing.sweep_error
        standing.error = ""

    # ---- what is new

    async def _turn(self, peer: Peer) -> None:
        """Ask what came since we last looked, wait for news if nothing did, and fetch what we lack."""
        loop = asyncio.get_running_loop()
        asked_at, asked = loop.time(), Asked(peer.store_epoch, peer.pulled_arrival)
        told = await self.questions.have(peer, asked)
        self._note_head(peer, told)
        # What is here under the same key but with other bytes must come too: our next question will
        # say that everything up to `through` is on this disk.
        lacking = joined(self.lacking(told.logs), await self.store.differing(told.hashes))
        await self.fetch(peer, lacking, told.hashes)
        peer.store_epoch, peer.pulled_arrival = told.store_epoch, told.through
        peer.head_arrival = max(told.head, told.through)
        self.standing(peer).lag.reached(told.through)
        await self._remember_now_and_then(peer, told)
        took_seconds = loop.time() - asked_at
        if asked == Asked(told.store_epoch, told.through) and not told.logs:
            await self._rest(peer, told, took_seconds)
            return
        self.standing(peer).empty_turns = 0
        if told.head <= told.through:  # Nothing more is there now; what comes next may gather.
            await asyncio.sleep(max(TURN_SECONDS - took_seconds, 0.0))

    def _note_head(self, peer: Peer, told: Announcement) -> None:
        lag = self.standing(peer).lag
        lag.meet(told.store_epoch)
        lag.heard(told.head, asyncio.get_running_loop().time())

    async def _rest(self, peer: Peer, told: Announcement, took_seconds: float) -> None:
        """Nothing came. A peer that answers so without waiting must not make us ask in circles."""
        standing = self.standing(peer)
        if took_seconds >= EMPTY_TURN_SECONDS:
            standing.empty_turns = 0
            return
        standing.empty_turns += 1
        if told.head > told.through and standing.empty_turns > EMPTY_TURNS_MAX:
            text = f"it has chunks after the arrival {told.through}, and never lists them"
            raise PeerFault("no_progress", text)
        await asyncio.sleep(EMPTY_TURN_SECONDS)

    def lacking(self, theirs: Mapping[LogKey, Ranges]) -> dict[LogKey, Ranges]:
        """What of this is neither here nor was dropped here by retention."""
        return missing(theirs, {key: self.store.have(key) for key in theirs})

    # ---- where we stand

    async def _remember_now_and_then(self, peer: Peer, told: Announcement) -> None:
        """Each page would be a commit. What is forgotten by a crash is asked for once more."""
        standing, now = self.standing(peer), asyncio.get_running_loop().time()
        is_due = not told.logs or now - standing.saved_at >= REMEMBER_SECONDS
        if peer.hub_id and is_due and standing.saved != (peer.store_epoch, peer.pulled_arrival):
            await self.remember(peer)

    async def remember(self, peer: Peer) -> None:
        """Write down where we stand with a peer, unless it was dropped while it answered."""
        if self.peers.by_url.get(peer.url) is not peer:
            return
        standing = self.standing(peer)
        mark = (peer.store_epoch, peer.pulled_arrival)
        confirmed = self.store.ledger.peers.get(peer.hub_id, 0)
        await self.save_peer(StoredPeer(peer.hub_id, peer.url, *mark, confirmed))
        standing.saved, standing.saved_at = mark, asyncio.get_running_loop().time()

    # ---- chunks

    async def fetch(
        self,
        peer: Peer,
        lacking: dict[LogKey, Ranges],
        announced: Announced,
        before: Callable[[], Awaitable[None]] = _at_once,
    ) -> int:
        """Fetch all that is lacking, as far as the peer has it; returns how many chunks are new here.

        While one page is committed the next one is on its way; `before` is awaited before each
        commit. Returns after the last one.
        """
        fresh = 0
        page = await self._page(peer, lacking, announced)
        while page is not None:
            await before()
            kept, following = await asyncio.gather(
                self._keep(peer, page),
                self._page(peer, page.lacking, announced),
                return_exceptions=True,
            )
            fresh += _or_raise(kept)
            page = _or_raise(following)
        return fresh

    async def _page(
        self, peer: Peer, lacking: dict[LogKey, Ranges], announced: Announced
    ) -> ChunkPage | None:
        """The next page of what is lacking; None when nothing is, or the peer has none of it."""
        if not lacking:
            return None
        wire = await self._ask(peer, lacking)
        if not wire:
            self._note_gone(peer, lacking)
            return None
        page: ChunkPage = await self.runtime.offload(lambda: read_chunks(wire, lacking, announced))
        return page

    async def _ask(self, peer: Peer, lacking: dict[LogKey, Ranges]) -> bytes:
        standing, loop = self.standing(peer), asyncio.get_running_loop()
        standing.page_bytes = min(standing.page_bytes, PULL_BYTES)
        began_at = loop.time()
        try:
            return await self.questions.chunks(peer, lacking, standing.page_bytes)
        finally:
            standing.note_pace(loop.time() - began_at)

    def _note_gone(self, peer: Peer, lacking: dict[LogKey, Ranges]) -> None:
        gone = sum(ranges.count for ranges in lacking.values())
        peer.chunks_gone += gone
        log.warning("%s announced %d chunks that it no longer has", peer.key, gone)

    async def _keep(self, peer: Peer, page: ChunkPage) -> int:
        outcomes = await self.store.keep(page.chunks, peer.key, page.received_ms)
        beside = [outcome for outcome in outcomes if not outcome.held]
        if beside:
            text = "%d chunks of %s cannot be part of their logs and are kept beside them: %s"
            log.error(text, len(beside), peer.key, beside[0].reason)
        times_ms, now_ms = page.received_ms, self.runtime.wall_ms()
        self.standing(peer).note_page(
            len(page.chunks),
            sum(chunk.header.stored_bytes for chunk in page.chunks),
            max(now_ms - min(times_ms), 0) if times_ms else 0,
        )
        return sum(outcome.outcome == Outcome.ACCEPTED for outcome in outcomes)


def _or_raise(result: Result | BaseException) -> Result:
    if isinstance(result, BaseException):
        raise result
    return result
