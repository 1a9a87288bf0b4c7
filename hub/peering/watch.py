"""Watches the peers of this hub: the shell around hub.peering.detector.

It probes and asks as the detector says, reports what came of it and of every message of the gossip,
writes the verdicts where all others read them (hub.peers), and tells people.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.gossip import Gossip
from hub.mesh import Mesh
from hub.peering.clock_samples import Echo
from hub.peering.detect_row import Row, read_row
from hub.peering.detect_values import Ask, Failure, Life, Probe, Refute, Tell
from hub.peering.detector import Detector
from hub.peering.probe_wire import (
    PROBE_BYTES_MAX,
    TIMEOUT_SECONDS_MAX,
    Question,
    Reply,
    failure_of,
    read_reply,
    sign_of,
    write_probe,
)
from hub.peering.witness import Witness
from hub.peers import Peer
from shared.errors import BadInput, HeadwaterError, Unavailable
from shared.tasks import Bell

log = logging.getLogger(__name__)

PROBE_PATH = "/peer/probe"
SECTION = "reach"
SILENT = ("avoid", "dead")


@dataclass(slots=True)
class Watcher(Witness):
    """Keeps the detector of this hub informed, and does what it asks for."""

    detector: Detector
    mesh: Mesh
    report: Callable[[str, Mapping[str, Any]], None]
    save: Callable[[int], Awaitable[None]]
    """Writes an incarnation down."""
    counters: Counter[str] = field(default_factory=Counter)
    _names: dict[str, str] = field(default_factory=dict)
    """What the detector calls the hub at each address."""
    _reached: dict[str, float] = field(default_factory=dict)
    """When a probe of each was answered last."""
    _hanging: set[str] = field(default_factory=set)
    """Those whose gossip fails while their probes are answered: they live, and do not serve."""
    _bell: Bell = field(default_factory=Bell)
    _tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Watch for ever."""
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            while True:
                self._settle(clock())
                await self._bell.wait(max(self.detector.next_at - clock(), 0.0))

    def _settle(self, now: float) -> None:
        """Let the detector judge by all that was reported, and do what follows."""
        self._look_who_is_there(now)
        for action in self.detector.tick(now):
            match action:
                case Probe(name, seconds):
                    self._start(self._probe(name, seconds))
                case Ask(via, about, seconds):
                    self._start(self._ask(via, about, seconds))
                case Refute(incarnation):
                    self._start(self._refute(incarnation))
                case Tell(name, facts):
                    self.report(name, facts)
        for url, peer in self.mesh.peers.by_url.items():
            self._judge(peer, self._names[url])
        self.mesh.peers.is_isolated = self.detector.is_isolated
        self.counters["peer_deaths"] = self.detector.news.deaths

    def _judge(self, peer: Peer, name: str) -> None:
        """Write a verdict where all others read it."""
        before, peer.verdict = peer.verdict, self.detector.state(name).value
        peer.hangs = name in self._hanging
        if before in SILENT and peer.is_alive:
            self.mesh.welcome(peer)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None  # Only `run` has the detector tick.
        self._tasks.create_task(work)

    # ---- who is watched

    def _look_who_is_there(self, now: float) -> None:
        """Watch whom the mesh knows, and nobody else."""
        urls = self.mesh.peers.by_url
        for url in [url for url in self._names if url not in urls]:
            self._forget(url)
        for url, peer in urls.items():
            self._call(url, peer.key, now)

    def _call(self, url: str, name: str, now: float) -> None:
        """The hub at this address is to be called so from now on."""
        before = self._names.get(url)
        if before is not None and before != name:
            self.detector.rename(before, name)
        self._names[url] = name
        if name not in self.detector.watches:
            self.detector.expect(name, now)

    def _forget(self, url: str) -> None:
        name = self._names.pop(url)
        if name not in self._names.values():
            self.detector.forget(name)
            self._reached.pop(name, None)
            self._hanging.discard(name)

    def _peer(self, name: str) -> Peer | None:
        url = next((url for url, each in self._names.items() if each == name), "")
        return self.mesh.peers.by_url.get(url)

    # ---- what the gossip shows

    def sent(self, peer: Peer, now: float) -> None:
        """Gossip is a probe as good as any: the next one has time."""
        if name := self._names.get(peer.url):
            self.detector.sent(name, now)
            self._bell.ring()

    def answered(self, peer: Peer, echo: Echo, answer: Gossip) -> None:
        """The peer lives, and serves."""
        hub_id, now = answer.sender.hub_id, echo.received_at
        if hub_id == self.detector.own_id:
            return  # An address of ours; the mesh is about to drop it.
        self._call(peer.url, hub_id, now)
        self._hanging.discard(hub_id)
        self.detector.answered(hub_id, now, now - echo.sent_at, life_in(answer))
        self._bell.ring()

    def failed(self, peer: Peer, sent_at: float, now: float, error: HeadwaterError) -> None:
        """The peer does not serve; it may live, when it answers probes."""
        name = self._names.get(peer.url)
        if name is None:
            return
        failure = failure_of(error)
        lives = self._reached.get(name, -math.inf) >= sent_at
        if failure is Failure.TIMEOUT and lives and not self.detector.health.slept(sent_at):
            failure = Failure.UNUSABLE
        if failure is Failure.UNUSABLE:
            self._hanging.add(name)
        self.detector.failed(name, now, sent_at, failure)
        self._bell.ring()

    def heard(self, message: Gossip, now: float, wall_ms: int) -> None:
        """A peer reaches us."""
        self.detector.heard(message.sender.hub_id, now, life_in(message))
        self._bell.ring()

    def forgot(self, peer: Peer) -> None:
        """It is watched no longer."""
        if peer.url in self._names:
            self._forget(peer.url)

    # ---- probes

    async def _probe(self, name: str, seconds: float) -> None:
        peer, sent_at = self._peer(name), self._now
        if peer is None:
            return
        self.detector.sent(name, sent_at)
        try:
            reply = await self._question(peer, seconds)
        except HeadwaterError as error:
            self._probe_failed(self._names.get(peer.url, name), sent_at, failure_of(error))
        else:
            self._probe_answered(self._names.get(peer.url, name), sent_at, reply)
        self._bell.ring()

    def _probe_failed(self, name: str, sent_at: float, failure: Failure) -> None:
        self.detector.failed(name, self._now, sent_at, failure)

    def _probe_answered(self, name: str, sent_at: float, reply: Reply) -> None:
        now, hub = self._now, reply.sender.hub
        if hub == self.detector.own_id:
            return  # An address of ours; the mesh drops it when it gossips with it.
        if hub != name and name not in self._names:
            # Another hub listens there now: for the one that was meant nobody does.
            self._probe_failed(name, sent_at, Failure.REFUSED)
            return
        self._reached[name] = now
        if name in self._hanging:
            self._probe_failed(name, sent_at, Failure.UNUSABLE)
        else:
            self.detector.answered(name, now, now - sent_at, reply.sender.life)

    async def _ask(self, via: str, about: str, seconds: float) -> None:
        """What the other hub hears of a peer. That it does not answer says nothing of the peer."""
        helper = self._peer(via)
        if helper is None or about in self._names:  # A hub without a name cannot be asked about.
            return
        try:
            reply = await self._question(helper, seconds, about)
        except HeadwaterError as error:
            log.debug("%s cannot be asked about %s: %s", via, about, error)
            return
        life = reply.about.life if reply.about and reply.about.hub == about else None
        self.detector.indirect(via, about, self._now, life)
        self._bell.ring()

    async def _question(self, peer: Peer, seconds: float, about: str = "") -> Reply:
        """The answer of a peer; raises Unreachable, or BadInput when it cannot be read."""
        sender = sign_of(self.detector.own_id, self.detector.next_life())
        asked = Question(sender, about, min(seconds, TIMEOUT_SECONDS_MAX))
        reply = await self.mesh.post(
            peer, PROBE_PATH, write_probe(asked), seconds, reply_bytes_max=PROBE_BYTES_MAX
        )
        return read_reply(reply.body)

    async def answer(self, question: Question) -> Reply:
        """Say that we live; where it is asked, say also what another hub answers us."""
        self.detector.heard(question.sender.hub, self._now, question.sender.life)
        self._bell.ring()
        heard = await self._hear(question) if question.about else None
        sign = sign_of(self.detector.own_id, self.detector.next_life())
        return Reply(sign, heard.sender if heard else None)

    async def _hear(self, question: Question) -> Reply | None:
        """What the hub asked about answers within half of the time; None when that is nothing."""
        peer = self.mesh.peers.by_id(question.about)
        if peer is None:
            return None
        try:
            return await self._question(peer, question.timeout_seconds / 2)
        except HeadwaterError as error:
            log.debug("%s, asked about by %s: %s", question.about, question.sender.hub, error)
            return None

    async def _refute(self, incarnation: int) -> None:
        """Write down that we live on as another, and tell everybody now."""
        try:
            await self.save(incarnation)
        except Unavailable as error:  # Told all the same: after a restart it is refuted once more.
            log.warning("the incarnation %d is not saved: %s", incarnation, error)
        self.mesh.tell_soon()

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class ReachSection:
    """What hubs tell each other of whom they reach: their rows of the matrix."""

    detector: Detector
    wall_ms: Callable[[], int]
    name: str = SECTION

    def of_mine(self, peer: str, now: float) -> Row:
        """Our row; each message has one of its own, so it is a sign of life."""
        return self.detector.next_row(now, self.wall_ms())

    def take(self, body: bytes, from_hub: str, now: float) -> None:
        """Hear the row of a peer; raises BadInput."""
        self.detector.take_row(read_row(body), from_hub, now)


def life_in(message: Gossip) -> Life:
    """The moment of its life at which a hub wrote this.

    Only a first question, to a hub whose name was not known, has no row; nor has one that cannot be
    read, which the section complains of.
    """
    sender = message.sender
    try:
        row = read_row(bytes(message.sections.get(SECTION, b"")))
    except BadInput:
        return Life(sender.instance, 0, 0)
    return row.life if row.hub == sender.hub_id else Life(sender.instance, 0, 0)
