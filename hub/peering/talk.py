"""Keeps the records of nodes the same on all hubs: pushes what is new, fetches what is missing.

What a hub originates is pushed to all peers a moment later, once, and nobody repeats it: each second
the gossip carries who has what, and whoever lacks something asks for it. Once a minute two hubs
compare digests of all that they hold; what that finds should never be, and is reported.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from hub.gossip import Gossip
from hub.mesh import Mesh
from hub.peering.clock_samples import Echo
from hub.peering.exchange import Exchange
from hub.peering.exchange_wire import Answer, Ask, Pulse, read, write
from hub.peering.node_letters import write_letter
from hub.peering.record_check import check_record
from hub.peering.talk_post import ANSWERS, TalkPost
from hub.peering.talk_report import Report, TalkReport
from hub.peering.talk_sweep import TalkSweep
from hub.peering.witness import Witness
from hub.peers import Peer
from hub.registry import Registry
from shared.errors import BadInput, HeadwaterError
from shared.merge import NodeRecord
from shared.runtime import Runtime
from shared.tasks import Bell, repeat

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
COALESCE_SECONDS = 0.03
SWEEP_SECONDS = 60.0
RETIRED_RECORDS_A_ROUND = 50


@dataclass(slots=True)
class Talk(Witness):
    """The talk of one hub with its peers about nodes."""

    registry: Registry
    mesh: Mesh
    runtime: Runtime
    post: TalkPost
    sweeps: TalkSweep
    reports: TalkReport
    name: str = "nodes"
    """Of the section of the gossip that carries the pulses."""
    gone: set[str] = field(default_factory=set)
    """Hubs that a person has given up: their changes become ours."""
    _soon: Bell = field(default_factory=Bell)
    _heard: Bell = field(default_factory=Bell)

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
            tasks.create_task(self._tell(tasks))
            tasks.create_task(self._ask())
            tasks.create_task(repeat("looking after changes", self._look, rng))
            tasks.create_task(repeat("comparing records", self._compare, rng))

    # ---- hooks of the rules

    def _on_news(self, is_urgent: bool) -> None:
        if is_urgent:
            self._soon.ring()

    def _admit(self, record: NodeRecord, sender: str) -> NodeRecord:
        check_record(record)
        return self.mesh.witness.let_in(record, sender, self._now)

    def _on_taken(self, before: NodeRecord | None, after: NodeRecord) -> None:
        self.registry.noted(before, after, self._now)

    # ---- new changes

    async def _tell(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            if await self._soon.wait(ROUND_SECONDS):
                await asyncio.sleep(COALESCE_SECONDS)
            for push in self.exchange.flush():
                self.post.push(write_letter(push), tasks)
            if self.registry.replica.unsaid:
                self._soon.ring()

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
            answer = await self.post.question(self.post.named(hub_id), ask, Answer)
            with self.post.judging(hub_id, ANSWERS):
                self.exchange.take_answer(ask, answer, self.runtime.wall_ms())
            self.mesh.witness.accepted(hub_id, ANSWERS)
        except HeadwaterError as error:
            log.debug("%s was asked for changes: %s", hub_id, error)
            self.exchange.not_answered(hub_id)

    async def _look(self) -> float:
        """Retire old streams step by step, and report what should not be."""
        self.exchange.retire(RETIRED_RECORDS_A_ROUND, self.gone)
        self.reports.tell()
        return ROUND_SECONDS

    async def _compare(self) -> float:
        await self.sweeps.compare()
        return SWEEP_SECONDS * self.runtime.rng.uniform(0.9, 1.1)

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def build_talk(
    registry: Registry, mesh: Mesh, runtime: Runtime, report: Report, counters: Counter[str]
) -> Talk:
    """The talk of a hub whose records are loaded; from now on its changes are told."""
    post = TalkPost(mesh, registry.exchange, counters)
    reports = TalkReport(registry.replica, report)
    return Talk(registry, mesh, runtime, post, TalkSweep(post, runtime), reports)
