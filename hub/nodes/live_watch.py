"""The loop of liveness on a running hub: keeps the rules of hub.nodes informed, and tells people."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.nodes.adoption import Adoption, duty_of
from hub.nodes.hints import Hints
from hub.nodes.hold import Holds
from hub.nodes.life import Life
from hub.nodes.offline_book import OfflineBook
from hub.nodes.verdict import Change, offline_seconds
from hub.nodes.verdict_doubt import PeerStanding
from hub.nodes.verdict_wheel import TURNS_PER_SECOND
from hub.peers import Peer, Peers
from shared.beat import Beat
from shared.liveness import NodeState

TICK_SECONDS = 1 / TURNS_PER_SECOND
WINK_SECONDS = 0.001
LOOK_SECONDS = 1.0
"""How often what is not urgent is looked at."""

LAGS_KEPT = 100
NAMED_MAX = 20
"""Nodes that get an event of their own when many turn at once; more become one event."""

Report = Callable[[str, Mapping[str, Any]], None]
Listener = Callable[[str, str, str], None]
"""Is told of a verdict that turned: the node, the state, and the reason."""


@dataclass(slots=True)
class Lag:
    """How late the event loop has been lately: by how much short sleeps were too long."""

    _seconds: "deque[float]" = field(default_factory=lambda: deque(maxlen=LAGS_KEPT))

    def note(self, seconds: float) -> None:
        """Take in one of them."""
        self._seconds.append(max(seconds, 0.0))

    @property
    def p99_seconds(self) -> float:
        """The worst of them but one in a hundred."""
        ordered = sorted(self._seconds)
        return ordered[max(len(ordered) * 99 // 100 - 1, 0)] if ordered else 0.0


@dataclass(slots=True)
class LifeWatch:
    """Judges nodes eight times a second; once a second it looks at duties, hints and holds."""

    life: Life
    peers: Peers
    isolated: set[str]
    """The peers that say of themselves that they reach nobody."""
    report: Report
    stopping: asyncio.Event
    counters: Counter[str]
    wall_ms: Callable[[], int]
    listeners: Sequence[Listener] = ()
    offline: OfflineBook = field(default_factory=OfflineBook)
    holds: Holds = field(init=False)
    adoption: Adoption = field(init=False)
    hints: Hints = field(init=False)
    lag: Lag = field(default_factory=Lag)
    _returned: list[Change] = field(default_factory=list)
    _looked_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.holds = Holds(self.report)
        self.adoption = Adoption(self.life.hub_id, self.report)
        self.hints = Hints(self.life.hub_id)

    async def run(self) -> None:
        """Watch for ever."""
        clock = asyncio.get_running_loop().time
        while True:
            self.step(clock())
            slept_at = clock()
            # Just after the wheel turned: who is due then need not wait for one turn more.
            seconds = TICK_SECONDS - (slept_at - self.life.began_at) % TICK_SECONDS + WINK_SECONDS
            await asyncio.sleep(seconds)
            self.lag.note(clock() - slept_at - seconds)

    def step(self, now: float) -> None:
        """Judge, and tell what turned."""
        self.life.reach(self._standings(), is_isolated=self.peers.is_isolated, now=now)
        turned = self.life.tick(now)
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look(now)
        if not self.adoption.standing:  # Who speaks must be known before the first word.
            self._look_at_duties(now)
        for name, facts in self.life.take_events():
            self.report(name, facts)
        self._tell(turned, now)
        for change in turned:
            for listener in self.listeners:
                listener(change.node_id, change.new.value, change.reason)

    # ---- hubs

    def _standings(self) -> dict[str, PeerStanding]:
        """How the peers are that have ever answered. One that is away by plan is neither heard, nor
        missed."""
        return {
            peer.hub_id: PeerStanding(
                _lives(peer), peer.hub_id in self.isolated, peer.verdict == "alive" or peer.hangs
            )
            for peer in self.peers.by_url.values()
            if peer.hub_id and peer.verdict != "unknown" and not self._held(peer)
        }

    def _held(self, peer: Peer) -> bool:
        return self.holds.is_held(peer.hub_id)

    def _caring(self) -> set[str]:
        """The hubs that can care for nodes: those that live, and those that said when they return."""
        peers = self.peers.by_url.values()
        here = {peer.hub_id for peer in peers if peer.hub_id and (_lives(peer) or self._held(peer))}
        return {self.life.hub_id, *here}

    def _open(self) -> set[str]:
        """The hubs that edges may be sent to."""
        return {
            peer.hub_id
            for peer in self.peers.by_url.values()
            if _lives(peer) and not self._held(peer) and peer.hub_id not in self.isolated
        }

    # ---- once a second

    def _look(self, now: float) -> None:
        self.life.observe(self.lag.p99_seconds, now)
        self.counters["heartbeat_halvings"] = self.life.interval.halvings
        self.counters["hints"] = self.hints.given
        self.holds.tick(now)
        own = set() if self.stopping.is_set() else {self.life.hub_id}
        self.hints.stand(sorted(self._open() | own), now)
        self.hints.tick(now)
        self._look_at_duties(now)

    def _look_at_duties(self, now: float) -> None:
        """Follow the hubs that stand; a hub that doubts itself adopts nothing."""
        if self.life.is_listening(now) or self.life.brake.braked or self.peers.is_isolated:
            return
        self.adoption.stand(self._caring(), now)
        fresh, gone = self.life.take_news()
        for node_id in gone:
            self.adoption.drop(node_id)
            self.offline.drop(node_id)
        for node_id in fresh:
            if node_id in self.life.watched:
                self.adoption.add(node_id)
        if not self.adoption.is_settled:
            self.adoption.step(now)

    # ---- people

    def home_of(self, node_id: str) -> str:
        """The hub that is preferred for a node and speaks for it; empty before duties are known."""
        standing = self.adoption.standing
        if not standing or node_id not in self.life.watched:
            return ""
        holder = self.adoption.holder(node_id)
        if holder not in standing:  # Its hub is gone, and the duty has not moved yet.
            holder = duty_of(node_id, standing)
        return holder

    def cares_for(self, node_id: str) -> bool:
        """Whether this hub is the one that speaks for a node: for those of a hub that is away by plan
        another one does."""
        speaker = self.home_of(node_id)
        if self.holds.is_held(speaker):
            speaker = duty_of(node_id, self.holds.missing(self.adoption.standing))
        return speaker == self.life.hub_id

    def _tell(self, turned: Sequence[Change], now: float) -> None:
        if not self.adoption.standing:
            # A return waits until it is known who speaks for whom; no death is told so early.
            self._returned += [each for each in turned if each.node_id in self.offline]
            return
        if self._returned:
            turned, self._returned = [*self._returned, *turned], []
        mine = [change for change in turned if self.cares_for(change.node_id)]
        offline = [each for each in mine if each.new is NodeState.OFFLINE and self._news(each, now)]
        self._tell_of("node.offline", offline)
        self._tell_of("node.online", [each for each in mine if self._is_return(each)])
        for change in turned:
            self.offline.turned(change.node_id, change.new, self.wall_ms())

    def _is_return(self, change: Change) -> bool:
        return change.new is NodeState.ONLINE and change.node_id in self.offline

    def _news(self, change: Change, now: float) -> bool:
        """What went offline before this hub began to listen was told then, if any hub was there."""
        if change.node_id in self.offline:
            return False
        age = self.life.age_seconds(change.node_id, now)
        return age is None or now - age >= self.life.began_at - offline_seconds(
            self.life.interval_seconds
        )

    def _tell_of(self, name: str, changes: Sequence[Change]) -> None:
        if len(changes) > NAMED_MAX:
            named = ", ".join(change.node_id for change in changes[:NAMED_MAX])
            self.report(name, {"nodes": len(changes), "first": named})
            return
        for change in changes:
            observer = change.observer or "no hub"
            facts = {"node_id": change.node_id, "observer": observer, "reason": change.reason}
            self.report(name, facts)

    # ---- nodes and people ask

    def is_missed(self, node_id: str) -> bool:
        """Whether some peer that lives does not hear the node by itself."""
        now = asyncio.get_running_loop().time()
        since = now - offline_seconds(self.life.interval_seconds)
        listening = [hub_id for hub_id, peer in self.life.book.peers.items() if peer.is_alive]
        listening += [peer.said_id for peer in self.peers.by_url.values() if peer.only_speaks(now)]
        return not all(self.life.heard.hears(hub_id, node_id, since) for hub_id in listening)

    def hint(self, beat: Beat, now: float) -> str:
        """To which hub an edge should go."""
        return self.hints.hint(beat.node_id, beat.uses, now)

    def override(self, who: str, now: float) -> bool:
        """End the brake by a person's word; False if there is none."""
        return self.life.brake.override(who, self.life.book.signs(), now)


def _lives(peer: Peer) -> bool:
    return peer.verdict in ("alive", "avoid")


def held_facts(holds: Holds, now: float) -> Iterable[dict[str, Any]]:
    """The hubs that are away by plan, for people."""
    for hub_id, hold in sorted(holds.held.items()):
        left = round(max(hold.ends_at - now, 0.0), 1)
        yield {"hub": hub_id, "reason": hold.reason, "ends_in_s": left}
