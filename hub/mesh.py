"""Keeps this hub and its peers in step: node records each second, chunks as soon as they arrive."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import orjson

from hub import gossip
from hub.accept import check_integrity
from hub.gossip import Gossip, HubRecord
from hub.peers import Peer, Peers
from hub.registry import Registry
from hub.replicate import LogKey, missing
from hub.store.chunks import ChunkStore
from hub.store.hub_table import StoredPeer
from shared.backoff import Backoff, backoff_seconds
from shared.envelope import BATCH_BYTES_MAX, read_batch
from shared.errors import BadInput, HeadwaterError, Unreachable
from shared.ranges import NOTHING, Ranges, from_wire, of_seqs
from shared.records import MIB
from shared.runtime import HttpClient, HttpReply, Runtime
from shared.tasks import Bell

log = logging.getLogger(__name__)

GOSSIP_SECONDS = 1.0
COALESCE_SECONDS = 0.03
FAILURES_WORTH_A_WORD = 3  # Hubs that start together miss each other once.
GOSSIP_TIMEOUT_SECONDS = 3.0
POLL_SECONDS = 10.0  # How long a peer may hold our question until it has news.
POLL_MARGIN_SECONDS = 5.0
PULL_TIMEOUT_SECONDS = 30.0
PULL_BYTES = 4 * MIB
_RETRY = Backoff(seconds_initial=0.5, seconds_max=3.0)


@dataclass(slots=True)
class Mesh:
    """The loops of one hub towards its peers."""

    peers: Peers
    registry: Registry
    store: ChunkStore
    runtime: Runtime
    client: HttpClient
    headers: dict[str, str]
    describe: Callable[[], HubRecord]
    save_peer: Callable[[StoredPeer], Awaitable[None]]
    drop_peer: Callable[[str], Awaitable[None]]
    _bells: dict[str, Bell] = field(default_factory=dict)
    _remembered: set[str] = field(default_factory=set)
    _tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep in step with every peer, known now or learned later, for ever."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for peer in list(self.peers.by_url.values()):
                self._reach(peer)
            await asyncio.Event().wait()

    def _reach(self, peer: Peer) -> None:
        self.store.ledger.peers.setdefault(peer.key, 0)
        if self._tasks is not None:
            self._bells[peer.url] = Bell()
            self._tasks.create_task(self._gossip_with(peer))
            self._tasks.create_task(self._pull_from(peer))

    def meet(self, named: dict[str, str]) -> None:
        """Learn of hubs that a peer knows, or of a peer that spoke to us first."""
        for peer in self.peers.learn_named(named):
            log.info("learned of a peer at %s", peer.url)
            self._reach(peer)

    def tell_soon(self) -> None:
        """Something changed that peers should hear of now and not at the next round."""
        for bell in self._bells.values():
            bell.ring()

    # ---- node records

    async def _gossip_with(self, peer: Peer) -> None:
        bell = self._bells[peer.url]
        failures = 0
        while self.peers.by_url.get(peer.url) is peer:
            try:
                more = await self._exchange(peer)
                failures = 0
            except HeadwaterError as error:
                failures += 1
                if failures == FAILURES_WORTH_A_WORD:
                    log.warning("gossip with %s: %s", peer.key, error)
                peer.error = str(error)
                await asyncio.sleep(GOSSIP_SECONDS)  # Changes wait: it does not hear us now.
            else:
                if not more and await bell.wait(GOSSIP_SECONDS):
                    await asyncio.sleep(COALESCE_SECONDS)

    async def _exchange(self, peer: Peer) -> bool:
        """One push and pull; returns whether either side has more to tell right away."""
        loop = asyncio.get_running_loop()
        records, through = peer.exchange.page_for_peer(self.registry)
        sent_at, sent_ms = loop.time(), self.runtime.wall_ms()
        instance, since = peer.exchange.instance, peer.exchange.heard_through
        message = Gossip(
            self.describe(), instance, since, through, records, self.peers.named(), sent_ms
        )
        reply = await self.post(
            peer, "/peer/gossip", gossip.write(message), GOSSIP_TIMEOUT_SECONDS, "application/json"
        )
        answer = gossip.read(reply.body)
        now = loop.time()
        peer.rtt_ms = round((now - sent_at) * 1000, 2)
        peer.clock_offset_ms = round(answer.wall_ms - sent_ms - peer.rtt_ms / 2, 2)
        self._take(peer, answer, told=through if instance else None)
        if peer.hub_id and peer.hub_id not in self._remembered:
            # A hub that forgot its peers would call safe what only it has.
            self._remembered.add(peer.hub_id)
            await self.remember(peer)
        return gossip.PAGE_RECORDS in (len(records), len(answer.records))

    def _take(self, peer: Peer, answer: Gossip, told: int | None) -> None:
        now = asyncio.get_running_loop().time()
        if not self._identify(peer, answer.sender):
            return
        restarted = peer.exchange.instance != answer.sender.instance
        peer.exchange.meet(answer.sender.instance)
        if told is not None and not restarted:
            peer.exchange.told(told)
        self._merge(answer)
        peer.exchange.heard(answer.through)
        peer.answered_at, peer.error = now, ""
        peer.record = answer.sender
        peer.head_arrival = answer.sender.head_arrival
        self.meet(answer.peers)

    def _merge(self, message: Gossip) -> None:
        now = asyncio.get_running_loop().time()
        changed = [self.registry.apply(record, now) for record in message.records]
        if any(changed):
            self.tell_soon()

    def _identify(self, peer: Peer, record: HubRecord) -> bool:
        """Tie an address to the hub behind it; False when the address is of no further use."""
        mine = self.describe()
        if record.hub_id == mine.hub_id:
            if record.instance == mine.instance:
                self._drop(peer)  # Our own address under another name.
                return False
            raise BadInput(f"the hub at {peer.url} also calls itself {mine.hub_id}: rename one")
        if peer.hub_id != record.hub_id:
            self.store.ledger.peers.pop(peer.key, None)
            peer.hub_id = record.hub_id
            self.store.ledger.peers.setdefault(peer.hub_id, 0)
        double = self.peers.other_with_id(peer)
        if double is not None:
            self._drop(double if peer.configured else peer)
            return peer.configured
        return True

    def _drop(self, peer: Peer) -> None:
        self.peers.forget(peer)
        if peer.hub_id == "" or self.peers.by_id(peer.hub_id) is None:
            self.store.ledger.peers.pop(peer.key, None)

    async def forget(self, peer: Peer) -> None:
        """Drop a peer that will not come back."""
        self.peers.forget(peer)
        self._remembered.discard(peer.hub_id)
        self.store.ledger.peers.pop(peer.key, None)
        self.store.announce()
        await self.drop_peer(peer.hub_id)

    def answer(self, message: Gossip) -> Gossip:
        """Answer a peer that gossips to us."""
        mine = self.describe()
        if message.sender.hub_id == mine.hub_id and message.sender.instance != mine.instance:
            raise BadInput(f"this hub is called {mine.hub_id} too: rename one of us")
        self._merge(message)
        self.meet({message.sender.hub_id: message.sender.url})
        since = message.since if message.since_instance == mine.instance else 0
        records, through = self.registry.changed_since(since, gossip.PAGE_RECORDS)
        return Gossip(
            mine,
            message.sender.instance,
            message.through,
            through,
            records,
            self.peers.named(),
            self.runtime.wall_ms(),
        )

    # ---- chunks

    async def _pull_from(self, peer: Peer) -> None:
        failures = 0
        while self.peers.by_url.get(peer.url) is peer:
            try:
                await self._pull_page(peer)
                failures = 0
            except HeadwaterError as error:
                if failures == 0:
                    log.info("pulling chunks from %s: %s", peer.key, error)
                await asyncio.sleep(backoff_seconds(failures, _RETRY, self.runtime.rng))
                failures += 1

    async def _pull_page(self, peer: Peer) -> None:
        """Ask what came since we last looked, wait for news if nothing did, and fetch what we lack."""
        question = {
            "hub_id": self.peers.own_id,
            "url": self.peers.own_url,
            "store_epoch": peer.store_epoch,
            "since": peer.pulled_arrival,
            "wait_seconds": POLL_SECONDS,
        }
        reply = await self.post(
            peer, "/peer/have", orjson.dumps(question), POLL_SECONDS + POLL_MARGIN_SECONDS
        )
        store_epoch, through, head, theirs, announced = _read_have(reply.body)
        # What is here under the same key but with other bytes must come too: our next question will
        # say that everything up to `through` is on this disk.
        lacking = _joined(missing(theirs, self.store.held), await self.store.differing(announced))
        while lacking:
            lacking = await self._fetch(peer, lacking)
        peer.store_epoch, peer.pulled_arrival, peer.head_arrival = store_epoch, through, head
        if theirs and peer.hub_id:
            await self.remember(peer)

    async def remember(self, peer: Peer) -> None:
        """Write down where we stand with a peer."""
        confirmed = self.store.ledger.peers.get(peer.hub_id, 0)
        await self.save_peer(
            StoredPeer(peer.hub_id, peer.url, peer.store_epoch, peer.pulled_arrival, confirmed)
        )

    async def _fetch(self, peer: Peer, lacking: dict[LogKey, Ranges]) -> dict[LogKey, Ranges]:
        """Fetch one page of what we lack; returns what is lacking still."""
        wanted = [[*key, ranges.to_wire()] for key, ranges in lacking.items()]
        body = orjson.dumps({"wanted": wanted, "bytes_max": PULL_BYTES})
        reply = await self.post(peer, "/peer/chunks", body, PULL_TIMEOUT_SECONDS)
        if not reply.body:
            gone = sum(ranges.count for ranges in lacking.values())
            peer.chunks_gone += gone
            log.warning("%s announced %d chunks that it no longer has", peer.key, gone)
            return {}
        chunks = read_batch(reply.body, BATCH_BYTES_MAX).chunks
        check_integrity(chunks)
        outcomes = await self.store.keep(chunks, peer.key)
        beside = [outcome for outcome in outcomes if not outcome.held]
        if beside:
            text = "%d chunks of %s cannot be part of their logs and are kept beside them: %s"
            log.error(text, len(beside), peer.key, beside[0].reason)
        came: dict[LogKey, list[int]] = {}
        for chunk in chunks:
            came.setdefault((chunk.header.origin, chunk.header.epoch), []).append(chunk.header.seq)
        left = missing(lacking, {key: of_seqs(seqs) for key, seqs in came.items()})
        if left == lacking:
            raise BadInput(f"{peer.key} sent chunks that nobody asked for")
        return left

    async def post(
        self,
        peer: Peer,
        path: str,
        body: bytes,
        seconds: float,
        content_type: str = "application/json",
    ) -> HttpReply:
        """The reply of a peer to a message; raises Unreachable when there is none but an error."""
        reply = await self.client.request(
            "POST",
            f"{peer.url}{path}",
            body=body,
            headers={**self.headers, "content-type": content_type},
            timeout_seconds=seconds,
            reply_bytes_max=BATCH_BYTES_MAX,
        )
        if reply.status != 200:
            text = reply.body[:200].decode("utf-8", "replace").strip()
            raise Unreachable(peer.url, f"HTTP {reply.status} {text}", sent=True)
        return reply


def _joined(one: dict[LogKey, Ranges], other: dict[LogKey, Ranges]) -> dict[LogKey, Ranges]:
    keys = one.keys() | other.keys()
    return {key: one.get(key, NOTHING) | other.get(key, NOTHING) for key in sorted(keys)}


Announced = dict[LogKey, dict[int, bytes]]
"""The hashes of announced chunks. A peer of an older version names none."""


def _read_have(body: bytes) -> tuple[str, int, int, dict[LogKey, Ranges], Announced]:
    try:
        value = orjson.loads(body)
        theirs = {
            (str(origin), str(epoch)): from_wire(spans) for origin, epoch, spans in value["have"]
        }
        announced = {
            (str(origin), str(epoch)): {int(seq): bytes.fromhex(text) for seq, text in hashes}
            for origin, epoch, hashes in value.get("proofs", [])
        }
        through, head = int(value["through"]), int(value["head"])
        return str(value["store_epoch"]), through, head, theirs, announced
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"the peer's answer to 'what do you have' cannot be read: {error}"
        ) from error
