"""Keeps this hub and its peers in touch: word of themselves each second, chunks as soon as they arrive."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hub import gossip
from hub.gossip import Gossip, HubRecord
from hub.lag import LagEvent
from hub.peering.clock_samples import Echo
from hub.peering.doubles import Doubles, two_of
from hub.peering.refusal_reply import REFUSING, reason_of
from hub.peering.refusals import Double
from hub.peering.sections import Sections
from hub.peering.witness import Refusal, Witnesses
from hub.peers import Peer, Peers
from hub.pulling import Puller
from hub.questions import Questions
from hub.store.chunks import ChunkStore
from hub.store.hub_table import StoredPeer
from hub.sweep import Sweeper
from shared.envelope import BATCH_BYTES_MAX
from shared.errors import BadInput, HeadwaterError, Refused, Unreachable
from shared.runtime import HttpClient, HttpReply, Runtime
from shared.tasks import Bell

log = logging.getLogger(__name__)

GOSSIP_PATH = "/peer/gossip"
GOSSIP_SECONDS = 1.0
COALESCE_SECONDS = 0.03
FAILURES_WORTH_A_WORD = 3  # Hubs that start together miss each other once.
GOSSIP_TIMEOUT_SECONDS = 3.0
DEAD_TIMEOUT_SECONDS = 1.0
"""Who is dead must not hold up the word that a healed wire could carry."""


def _nobody(peer: str, seconds: float) -> None:
    """Nobody listens."""


def _no_outcast(hub: str, peer: Peer) -> None:
    """Nobody listens."""


def _all_may(hub: str) -> str:
    """Nobody was sent away."""
    return ""


@dataclass(slots=True)
class Mesh:
    """The loops of one hub towards its peers."""

    peers: Peers
    store: ChunkStore
    runtime: Runtime
    client: HttpClient
    headers: dict[str, str]
    describe: Callable[[], HubRecord]
    save_peer: Callable[[StoredPeer], Awaitable[None]]
    drop_peer: Callable[[str], Awaitable[None]]
    on_lag: LagEvent = _nobody
    refusal: Callable[[str], str] = _all_may
    """Why a hub may not take part in this mesh; empty when it may."""
    on_outcast: Callable[[str, Peer], None] = _no_outcast
    """Hears at which address a hub answered that may not take part, before that address is dropped."""
    puller: Puller = field(init=False)
    sweeper: Sweeper = field(init=False)
    sections: Sections = field(default_factory=Sections)
    witness: Witnesses = field(default_factory=Witnesses)
    doubles: Doubles = field(default_factory=Doubles)
    _bells: dict[str, Bell] = field(default_factory=dict)
    _returns: dict[str, Bell] = field(default_factory=dict)
    """Rung for an address whose hub answers again, while all other news wait for it."""
    _remembered: set[str] = field(default_factory=set)
    _tasks: asyncio.TaskGroup | None = None

    def __post_init__(self) -> None:
        questions = Questions(self.peers, self.post)
        self.puller = Puller(self.peers, self.store, self.runtime, questions, self.save_peer)
        self.sweeper = Sweeper(self.peers, self.store, self.runtime, self.puller)
        self.sections.on_refused = self.witness.refused
        self.sections.on_accepted = self.witness.accepted

    async def run(self) -> None:
        """Keep in step with every peer, known now or learned later, for ever."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for peer in list(self.peers.by_url.values()):
                self._reach(peer)
            await asyncio.Event().wait()

    def _reach(self, peer: Peer) -> None:
        if peer.said_id not in self.store.ledger.peers:  # A hub that may have moved is one hub.
            self.store.ledger.peers.setdefault(peer.key, 0)
        if self._tasks is not None:
            self._bells[peer.url], self._returns[peer.url] = Bell(), Bell()
            self._tasks.create_task(self._gossip_with(peer))
            self._tasks.create_task(self.puller.pull_from(peer))
            self._tasks.create_task(self.sweeper.sweep_from(peer))

    def meet(self, named: dict[str, str]) -> None:
        """Learn of hubs that a peer knows, or of a peer that spoke to us first."""
        named = {hub: url for hub, url in named.items() if not self.refusal(hub)}
        for peer in self.peers.learn_named(named):
            log.info("learned of a peer at %s", peer.url)
            self._reach(peer)

    def tell_soon(self) -> None:
        """Something changed that peers should hear of now and not at the next round."""
        for bell in self._bells.values():
            bell.ring()

    def welcome(self, peer: Peer) -> None:
        """A peer that was silent answers again: talk with it now, and tell all others."""
        if bell := self._returns.get(peer.url):
            bell.ring()
        self.tell_soon()

    # ---- word of hubs

    async def _gossip_with(self, peer: Peer) -> None:
        bell, returns = self._bells[peer.url], self._returns[peer.url]
        failures = 0
        while self.peers.by_url.get(peer.url) is peer:
            try:
                await self._exchange(peer)
                failures = 0
            except HeadwaterError as error:
                failures += 1
                if failures == FAILURES_WORTH_A_WORD:
                    log.warning("gossip with %s: %s", peer.key, error)
                peer.error = str(error)
                await returns.wait(GOSSIP_SECONDS)  # Changes wait: it does not hear us now.
            else:
                if await bell.wait(GOSSIP_SECONDS):
                    await asyncio.sleep(COALESCE_SECONDS)
            self._look_at_lag(peer)

    def _look_at_lag(self, peer: Peer) -> None:
        """Tell once when a peer's chunks come late, and once when they do no longer."""
        now, lag = asyncio.get_running_loop().time(), self.puller.standing(peer).lag
        if not lag.turned(now):
            return
        seconds = lag.seconds(now)
        state = "behind" if lag.is_late else "in step again with"
        log.warning("%s %s: %d chunks, %.0f s", state, peer.key, lag.chunks, seconds)
        self.on_lag(peer.key, seconds)

    async def _exchange(self, peer: Peer) -> None:
        """Tell a peer of ourselves, and hear of it."""
        self._take(peer, await self._ask(peer))
        if peer.hub_id and peer.hub_id not in self._remembered:
            # A hub that forgot its peers would call safe what only it has.
            self._remembered.add(peer.hub_id)
            await self.puller.remember(peer)

    async def _ask(self, peer: Peer) -> Gossip:
        """Say what we know and hear the answer, which is told to the witness before anybody uses it."""
        loop, wall = asyncio.get_running_loop(), self.runtime.wall_ns
        sent_at, sent_ns = loop.time(), wall()
        message = self._message(peer.hub_id, sent_at)
        self.witness.sent(peer, sent_at)
        try:
            body = gossip.write(message)
            dead = peer.verdict == "dead"
            seconds = DEAD_TIMEOUT_SECONDS if dead else GOSSIP_TIMEOUT_SECONDS
            reply = await self.post(peer, GOSSIP_PATH, body, seconds)
            answer = gossip.read(reply.body)
        except HeadwaterError as error:
            self.witness.failed(peer, sent_at, loop.time(), error)
            raise
        now, theirs_ms = loop.time(), answer.received_ms or answer.wall_ms
        echo = Echo(sent_at, now, sent_ns / 1e6, wall() / 1e6, theirs_ms, answer.wall_ms)
        peer.rtt_ms = round((now - sent_at) * 1000, 2)
        self._look_for_double(answer.sender, sent_at, now)
        self.witness.answered(peer, echo, answer)
        return answer

    def _look_for_double(self, sender: HubRecord, sent_at: float, now: float) -> None:
        """See whether somebody else speaks under the name of the hub that answered."""
        if sender.hub_id == self.peers.own_id:
            if sender.instance != self.describe().instance:
                self.witness.refused(sender.hub_id, GOSSIP_PATH, _called_alike(sender.hub_id), now)
        elif self.doubles.answered(sender.hub_id, sender.instance, sent_at):
            error = Double(sender.hub_id, two_of(sender.hub_id))
            self.witness.refused(sender.hub_id, GOSSIP_PATH, error, now)

    def _message(self, to: str, now: float, received_ms: int = 0) -> Gossip:
        sections = self.sections.of_mine(to, now)
        return Gossip(
            self.describe(),
            self.peers.named(),
            self.runtime.wall_ms(),
            received_ms=received_ms,
            sections=sections,
        )

    def _take(self, peer: Peer, answer: Gossip) -> None:
        now = asyncio.get_running_loop().time()
        if not self._identify(peer, answer.sender):
            return
        self.sections.take(answer.sections, answer.sender.hub_id, now)
        standing = self.puller.standing(peer)
        peer.answered_at, peer.error = now, standing.trouble
        peer.record = answer.sender
        peer.head_arrival = answer.sender.head_arrival
        standing.lag.heard(peer.head_arrival, now)
        self.meet(answer.peers)

    def _identify(self, peer: Peer, record: HubRecord) -> bool:
        """Tie an address to the hub behind it; False when the address is of no further use."""
        mine = self.describe()
        if record.hub_id == mine.hub_id:
            if record.instance == mine.instance:
                self._drop(peer)  # Our own address under another name.
                return False
            raise BadInput(f"the hub at {peer.url} also calls itself {mine.hub_id}: rename one")
        if text := self.refusal(record.hub_id):
            log.warning("%s is passed over: %s", peer.url, text)
            self.on_outcast(record.hub_id, peer)
            self._drop(peer)
            return False
        if peer.hub_id != record.hub_id:
            self.store.ledger.peers.pop(peer.key, None)
            peer.hub_id = record.hub_id
            self.store.ledger.peers.setdefault(peer.hub_id, 0)
        for left in self.peers.left_behind(peer):
            self._drop(left)
        double = self.peers.other_with_id(peer)
        if double is None:
            return True
        if double.is_alive and not peer.configured:
            self._drop(peer)
            return False
        self._leave(double, peer)
        return True

    def _leave(self, old: Peer, new: Peer) -> None:
        """A hub answers at another address than before. One in the settings is asked on who is there."""
        log.info("%s is at %s now, and no longer at %s", new.hub_id, new.url, old.url)
        self._drop(old)
        self._remembered.discard(new.hub_id)
        if old.configured and not new.configured:
            for peer in self.peers.learn([old.url], configured=True):
                self._reach(peer)

    def _drop(self, peer: Peer) -> None:
        self._forget(peer)
        if peer.hub_id == "" or self.peers.by_id(peer.hub_id) is None:
            self.store.ledger.peers.pop(peer.key, None)

    def _forget(self, peer: Peer) -> None:
        self.peers.forget(peer)
        self.puller.forget(peer)
        self.sweeper.forget(peer)
        self.witness.forgot(peer)
        if peer.hub_id and self.peers.by_id(peer.hub_id) is None:
            self.doubles.forget(peer.hub_id)

    async def forget(self, peer: Peer) -> None:
        """Drop a peer that will not come back."""
        self._forget(peer)
        self._remembered.discard(peer.hub_id)
        self.store.ledger.peers.pop(peer.key, None)
        self.store.announce()
        await self.drop_peer(peer.hub_id)

    def answer(self, message: Gossip) -> Gossip:
        """Answer a peer that gossips to us."""
        mine, now, received_ms = (
            self.describe(),
            asyncio.get_running_loop().time(),
            self.runtime.wall_ms(),
        )
        if message.sender.hub_id == mine.hub_id and message.sender.instance != mine.instance:
            raise _called_alike(mine.hub_id)
        self._admit(message.sender)
        self.doubles.heard(message.sender.hub_id, message.sender.instance, now)
        self.witness.heard(message, now, received_ms)
        self.sections.take(message.sections, message.sender.hub_id, now)
        self.meet({message.sender.hub_id: message.sender.url})
        for peer in self.peers.of(message.sender.hub_id, message.sender.url):
            peer.spoke_at = now
        return self._message(message.sender.hub_id, now, received_ms)

    def check_admitted(self, hub_id: str) -> None:
        """Raise Refused for a hub that was sent away."""
        if text := self.refusal(hub_id):
            raise Refused(text)

    def _admit(self, sender: HubRecord) -> None:
        """Raise Refused for a hub that was sent away; where it says that it is, no peer is waited for."""
        if self.refusal(sender.hub_id):
            for peer in self.peers.nameless_at([sender.url]):
                self.on_outcast(sender.hub_id, peer)
                self._drop(peer)
        self.check_admitted(sender.hub_id)

    def check_no_double(self, hub_id: str) -> None:
        """Raise Double for another hub that calls itself as this one does."""
        if hub_id == self.peers.own_id:
            raise _called_alike(hub_id)

    # ---- messages

    async def post(
        self,
        peer: Peer,
        path: str,
        body: bytes,
        seconds: float,
        *,
        reply_bytes_max: int = BATCH_BYTES_MAX,
        media_type: str = "application/json",
    ) -> HttpReply:
        """The reply of a peer to a message; raises Unreachable when there is none but an error."""
        reply = await self.client.request(
            "POST",
            f"{peer.url}{path}",
            body=body,
            headers={**self.headers, "content-type": media_type},
            timeout_seconds=seconds,
            reply_bytes_max=reply_bytes_max,
        )
        if reply.status != 200:
            reason = reason_of(reply.status, reply.body)
            if reply.status in REFUSING:
                now = asyncio.get_running_loop().time()
                self.witness.turned_away(peer, path, Refusal(reply.status, reason), now)
            raise Unreachable(peer.url, reason, sent=True, kind="answered")
        self.witness.taken_in(peer, path)
        return reply


def _called_alike(hub_id: str) -> Double:
    return Double(hub_id, f"this hub is called {hub_id} too: rename one of us")
