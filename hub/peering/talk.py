"""Keeps the records of nodes the same on all hubs: pushes what is new, fetches what is missing.

What a hub originates is pushed to all peers a moment later, once, and nobody repeats it: each second
the gossip carries who has what, and whoever lacks something asks for it. Once a minute two hubs
compare digests of all that they hold; what that finds should never be, and is reported.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from hub.gossip import Gossip
from hub.mesh import Mesh
from hub.peering.clock_samples import Echo
from hub.peering.doubles import two_of
from hub.peering.exchange import PUSHES_MAX, Exchange
from hub.peering.exchange_sweep import Sweep, answer_listing, answer_swap, answer_table
from hub.peering.exchange_wire import (
    MESSAGE_BYTES_MAX,
    Answer,
    Ask,
    Head,
    Kind,
    Listing,
    Message,
    Pulse,
    Push,
    Swap,
    Table,
    read,
    write,
)
from hub.peering.node_letters import MEDIA_TYPE, read_any, read_letter, write_letter
from hub.peering.refusals import Double
from hub.peering.witness import Witness
from hub.peers import Peer
from hub.registry import Registry
from shared.beat import check_json
from shared.errors import BadInput, HeadwaterError, Refused, Unreachable
from shared.merge import NodeRecord
from shared.runtime import Runtime
from shared.tasks import Bell, repeat

log = logging.getLogger(__name__)

PATH = "/peer/nodes"
ANSWERS, DIGESTS = "answers of /peer/nodes", "digests of /peer/nodes"
"""Where what peers answer is refused: what they were asked for each second, and each minute."""

ROUND_SECONDS = 1.0
COALESCE_SECONDS = 0.03
SWEEP_SECONDS = 60.0
TIMEOUT_SECONDS = 5.0
RETIRED_RECORDS_A_ROUND = 50
UNDER_WAY_MAX = 2 * PUSHES_MAX
"""Pushes to one peer that have not been answered; what is shed is fetched by the peer."""

PUT_OFF_MAX = 5
"""Sweeps in a row that are left out with a peer that lacks much: what lasts longer is looked at."""

PARKED_TOLD_MAX = 10
"""Events of one round; all of them are counted, and can be listed."""

PARTS_UNCHECKED_MAX = 100
"""Objects and lists in what a node told: fewer cannot nest too deep."""

Report = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True)
class Talk(Witness):
    """The talk of one hub with its peers about nodes."""

    registry: Registry
    mesh: Mesh
    runtime: Runtime
    report: Report
    counters: Counter[str]
    name: str = "nodes"
    """Of the section of the gossip that carries the pulses."""
    gone: set[str] = field(default_factory=set)
    """Hubs that a person has given up: their changes become ours."""
    _tasks: asyncio.TaskGroup | None = None
    _soon: Bell = field(default_factory=Bell)
    _heard: Bell = field(default_factory=Bell)
    _under_way: Counter[str] = field(default_factory=Counter)
    _reported: Counter[str] = field(default_factory=Counter)
    _put_off: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.registry.on_news = self._on_news
        self.registry.replica.admit = self._admit
        self.registry.replica.on_taken = self._on_taken
        self.mesh.witness.add(self)

    @property
    def exchange(self) -> Exchange[NodeRecord]:
        """The rules of this talk."""
        return self.registry.exchange

    async def run(self) -> None:
        """Keep all records the same, for ever."""
        rng = self.runtime.rng
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._tell())
            tasks.create_task(self._ask())
            tasks.create_task(repeat("looking after changes", self._look, rng))
            tasks.create_task(repeat("comparing records", self._sweep_all, rng))

    # ---- hooks of the rules

    def _on_news(self, is_urgent: bool) -> None:
        if is_urgent:
            self._soon.ring()

    def _admit(self, record: NodeRecord, sender: str) -> NodeRecord:
        _check(record)
        return self.mesh.witness.let_in(record, sender, self._now)

    def _on_taken(self, before: NodeRecord | None, after: NodeRecord) -> None:
        self.registry.noted(before, after, self._now)

    # ---- new changes

    async def _tell(self) -> None:
        while True:
            if await self._soon.wait(ROUND_SECONDS):
                await asyncio.sleep(COALESCE_SECONDS)
            for push in self.exchange.flush():
                self._push(write_letter(push))
            if self.registry.replica.unsaid:
                self._soon.ring()

    def _push(self, letter: bytes) -> None:
        assert self._tasks is not None  # Only `run` tells.
        for peer in self._live():
            if self._under_way[peer.hub_id] >= UNDER_WAY_MAX:
                self.counters["node_pushes_shed"] += 1
                continue
            self._under_way[peer.hub_id] += 1
            self._tasks.create_task(self._post_push(peer, peer.hub_id, letter))

    async def _post_push(self, peer: Peer, hub_id: str, letter: bytes) -> None:
        try:
            await self._post(peer, letter)
        except HeadwaterError as error:  # It fetches what it lacks.
            log.debug("%s was not told: %s", hub_id, error)
        finally:
            self._under_way[hub_id] -= 1

    def _live(self) -> list[Peer]:
        now = self._now
        peers = self.mesh.peers.by_url.values()
        return [peer for peer in peers if peer.hub_id and peer.state(now) != "dead"]

    # ---- who has what, in the gossip

    def of_mine(self, peer: str, now: float) -> bytes:
        """The pulse for a peer."""
        return write(self.exchange.pulse(peer))

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear the pulse of a peer; raises BadInput."""
        try:
            told = msgspec.json.decode(body, type=bytes)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"the pulse of {from_hub} cannot be read: {error}") from error
        pulse = read(told, Pulse, self.exchange.cluster)
        if pulse.sender != from_hub:
            raise BadInput(f"{from_hub} brings the pulse of {pulse.sender}")
        self.exchange.take_pulse(pulse, now)
        self._heard.ring()

    def heard(self, message: Gossip, now: float, wall_ms: int) -> None:
        """A hub that was given up is back."""
        self.gone.discard(message.sender.hub_id)

    def answered(self, peer: Peer, echo: Echo, answer: Gossip) -> None:
        """A hub that was given up is back."""
        self.gone.discard(answer.sender.hub_id)

    def forgot(self, peer: Peer) -> None:
        """Take over what only this hub has told, unless only a second address of it is gone."""
        peers = self.mesh.peers
        if peer.hub_id not in ("", peers.own_id) and peers.by_id(peer.hub_id) is None:
            self.exchange.forget(peer.hub_id)
            self.gone.add(peer.hub_id)

    # ---- what is missing

    async def _ask(self) -> None:
        while True:
            await self._heard.wait(ROUND_SECONDS)
            while (wanted := self.exchange.next_ask(self._now)) is not None:
                await self._ask_page(*wanted)

    async def _ask_page(self, hub_id: str, ask: Ask) -> None:
        try:
            answer = await self._question(self._peer(hub_id), ask, Answer)
            with self._judging(hub_id, ANSWERS):
                self.exchange.take_answer(ask, answer, self.runtime.wall_ms())
            self.mesh.witness.accepted(hub_id, ANSWERS)
        except HeadwaterError as error:
            log.debug("%s was asked for changes: %s", hub_id, error)
            self.exchange.not_answered(hub_id)

    @contextmanager
    def _judging(self, hub_id: str, door: str) -> Iterator[None]:
        """Have told what is wrong with an answer."""
        try:
            yield
        except (BadInput, Refused) as error:
            self.mesh.witness.refused(hub_id, door, error, self._now)
            raise

    def _peer(self, hub_id: str) -> Peer:
        peer = self.mesh.peers.by_id(hub_id)
        if peer is None:
            raise Unreachable(hub_id, "its address is not known", sent=False)
        return peer

    # ---- comparing all

    async def _sweep_all(self) -> float:
        for peer in self._live():
            if self._is_put_off(peer.hub_id):
                continue
            try:
                await self._sweep(peer)
                self.mesh.witness.accepted(peer.hub_id, DIGESTS)
            except HeadwaterError as error:
                log.debug("comparing records with %s: %s", peer.hub_id, error)
        return SWEEP_SECONDS * self.runtime.rng.uniform(0.9, 1.1)

    def _is_put_off(self, hub_id: str) -> bool:
        """Whether to compare later: a hub that fetches 100,000 records would be given them twice."""
        if self.exchange.is_near(hub_id) or self._put_off[hub_id] >= PUT_OFF_MAX:
            self._put_off[hub_id] = 0
            return False
        self._put_off[hub_id] += 1
        return True

    async def _sweep(self, peer: Peer) -> None:
        sweep = Sweep(self.exchange)
        question: Table | Listing | None = sweep.table()
        while question is not None:
            listing = await self._question(peer, question, Listing)
            with self._judging(peer.hub_id, DIGESTS):
                nodes, question = sweep.on_listing(listing)
            while nodes:
                swap, nodes = sweep.next_swap(nodes)
                swapped = await self._question(peer, swap, Swap)
                with self._judging(peer.hub_id, DIGESTS):
                    sweep.on_swap(swapped, self.runtime.wall_ms())

    async def _look(self) -> float:
        """Retire old streams step by step, and report what should not be."""
        self.exchange.retire(RETIRED_RECORDS_A_ROUND, self.gone)
        self._report_repairs()
        self._report_parked()
        return ROUND_SECONDS

    def _report_repairs(self) -> None:
        for reason, count in self.registry.replica.repaired.items():
            fresh = count - self._reported[reason]
            if fresh > 0:
                self._reported[reason] = count
                self.report("gossip.repaired", {"records": fresh, "reason": reason})

    def _report_parked(self) -> None:
        parked = self.registry.replica.parked
        fresh = parked.total - self._reported["parked"]
        self._reported["parked"] = parked.total
        for entry in islice(reversed(parked.entries.values()), min(fresh, PARKED_TOLD_MAX)):
            facts = {"node": entry.node, "hub": entry.sender, "reason": entry.reason}
            self.report("gossip.parked", facts)

    # ---- messages

    async def _question(self, peer: Peer, question: Message, kind: type[Kind]) -> Kind:
        """The answer of a peer; raises HeadwaterError when there is none that can be used."""
        reply = await self._post(peer, write_letter(question))
        with self._judging(peer.hub_id, ANSWERS if kind is Answer else DIGESTS):
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

    def answer(self, letter: bytes) -> bytes:
        """Take in what a peer posts, and answer where it asks; raises BadInput or Refused."""
        exchange, at_ms = self.exchange, self.runtime.wall_ms()
        message = read_any(letter, exchange.cluster)
        self.mesh.check_admitted(message.sender)
        self._check_double(message)
        match message:
            case Push() as push:
                exchange.take_push(push, at_ms)
                return b""
            case Ask() as ask:
                return write_letter(exchange.answer(ask))
            case Table() as table:
                return write_letter(answer_table(exchange, table))
            case Listing() as listing:
                return write_letter(answer_listing(exchange, listing))
            case Swap() as swap:
                return write_letter(answer_swap(exchange, swap, at_ms))
            case other:
                raise BadInput(f"this door is not for a message of the kind {type(other).__name__}")

    def _check_double(self, message: Head) -> None:
        """Refuse the letters of a double, which has another life than the hub that bears the name."""
        standing = self.exchange.peers.get(message.sender)
        is_other = standing is not None and message.life != standing.life
        if is_other and self.mesh.doubles.has_two(message.sender):
            raise Double(message.sender, two_of(message.sender))

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _check(record: NodeRecord) -> None:
    """Refuse a record that nests so deep that answers could not carry it; raises BadInput."""
    if record.intent:
        check_json([each.value for each in record.intent.values()])
    for said in (record.facts, record.observation):
        if said is not None and _may_be_deep(said.packed):
            check_json(said.data)


def _may_be_deep(packed: bytes) -> bool:
    """Counting spares most records from being read once more: few have so many parts."""
    return packed.count(b"{") + packed.count(b"[") > PARTS_UNCHECKED_MAX
