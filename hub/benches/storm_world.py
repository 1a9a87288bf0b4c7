"""The real failure detectors of some hubs on a bad network, in virtual time.

What each hub does with its detector here is what hub.peering.watch and hub.mesh do: it gossips once
a second, probes and asks when the detector says so, and reports what came of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import pairwise
from random import Random

from hub.peering.detect_row import Row
from hub.peering.detect_values import Ask, Failure, Life, PeerState, Probe
from hub.peering.detector import Detector

GOSSIP_SECONDS = 1.0
GOSSIP_SECONDS_MAX = 3.0
DELAY_SECONDS_MIN, DELAY_SECONDS_MEAN = 0.0003, 0.001

Turn = tuple[float, str, PeerState]
"""When what a hub said of a peer turned, whom that was, and to what."""


@dataclass(slots=True)
class Host:
    """One hub."""

    detector: Detector
    is_running: bool = True
    paused_until: float = 0.0
    next_tick: float = -1.0
    states: dict[str, PeerState] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)


@dataclass(slots=True)
class StormWorld:
    """The hubs, the network between them, and the time."""

    count: int
    rng: Random
    loss: float
    now: float = 100.0
    hosts: dict[str, Host] = field(default_factory=dict)
    cut: frozenset[str] = frozenset()
    """Hubs that nothing reaches, and from which nothing comes."""
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: int = 0

    def __post_init__(self) -> None:
        names = [f"hub-{number}" for number in range(1, self.count + 1)]
        for name in names:
            detector = Detector(name, f"{name}.1", 1, self.now)
            for other in names:
                detector.expect(other, self.now)
            self.hosts[name] = Host(detector)
        for name in names:
            self._later(self.rng.random() * GOSSIP_SECONDS, name, partial(self._gossip, name))
            self._settle(name)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.hosts[name].is_running = False

    def pause(self, name: str, seconds: float) -> None:
        """SIGSTOP for so long: what arrives waits, and timers fire late."""
        self.hosts[name].paused_until = self.now + seconds

    # ---- time

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Have something happen from outside in so many seconds."""
        self._order += 1
        heappush(self._events, (self.now + seconds, self._order, act))

    def _later(self, seconds: float, name: str, act: Callable[[], None]) -> None:
        def run() -> None:
            host = self.hosts[name]
            if host.is_running and host.paused_until > self.now:
                self.at(host.paused_until - self.now, run)
            elif host.is_running:
                act()

        self.at(seconds, run)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, act = heappop(self._events)
            act()
        self.now = end

    # ---- one hub

    def _settle(self, name: str) -> None:
        """Do what the detector wants after a report, and come back when it is due again."""
        host = self.hosts[name]
        for action in host.detector.tick(self.now):
            match action:
                case Probe(peer, timeout):
                    self._request(name, peer, timeout, None)
                case Ask(via, about, timeout):
                    self._ask(name, via, about, timeout)
        for peer, watch in host.detector.watches.items():
            if host.states.get(peer) is not watch.state:
                host.states[peer] = watch.state
                host.turns.append((self.now, peer, watch.state))
        due = host.detector.next_at
        if host.next_tick <= self.now or due < host.next_tick:
            host.next_tick = due
            self._later(due - self.now, name, lambda: self._tick(name, due))

    def _tick(self, name: str, due: float) -> None:
        if self.hosts[name].next_tick == due:
            self.hosts[name].next_tick = -1.0
            self._settle(name)

    def _gossip(self, name: str) -> None:
        for peer in self.hosts[name].detector.watches:
            row = self.hosts[name].detector.next_row(self.now)
            self._request(name, peer, GOSSIP_SECONDS_MAX, row)
        self._later(GOSSIP_SECONDS, name, lambda: self._gossip(name))

    # ---- messages

    def _request(self, name: str, peer: str, timeout: float, row: Row | None) -> None:
        """Gossip (with a row) or a probe: its answer or its failure is reported, whichever is first."""
        detector, sent_at = self.hosts[name].detector, self.now
        life = row.life if row else detector.next_life()
        detector.sent(peer, self.now)
        open_ = [True]

        def answered(theirs: Life, answer: Row | None) -> None:
            if open_ and open_.pop():
                detector.answered(peer, self.now, self.now - sent_at, theirs)
                if answer:
                    detector.take_row(answer, peer, self.now)
                self._settle(name)

        def failed(failure: Failure) -> None:
            if open_ and open_.pop():
                detector.failed(peer, self.now, sent_at, failure)
                self._settle(name)

        def arrive() -> None:
            theirs = self.hosts[peer].detector
            theirs.heard(name, self.now, life)
            if row:
                theirs.take_row(row, name, self.now)
            answer = theirs.next_row(self.now) if row else None
            spoken = answer.life if answer else theirs.next_life()
            self._send(peer, name, lambda: answered(spoken, answer))
            self._settle(peer)

        self._later(timeout, name, lambda: failed(Failure.TIMEOUT))
        self._send(name, peer, arrive, lambda: failed(Failure.REFUSED))

    def _ask(self, name: str, via: str, about: str, timeout: float) -> None:
        """Have another hub probe a third one, and report what it says."""
        told_once, replied_once = [True], [True]

        def told(life: Life | None) -> None:
            if told_once and told_once.pop():
                self.hosts[name].detector.indirect(via, about, self.now, life)
                self._settle(name)

        def reply(life: Life | None) -> None:
            if replied_once and replied_once.pop():
                self._send(via, name, lambda: told(life))

        def arrive() -> None:
            life = self.hosts[about].detector.next_life()
            self._send(about, via, lambda: reply(life))

        def probe() -> None:
            self._later(timeout / 2, via, lambda: reply(None))
            self._send(via, about, arrive, lambda: reply(None))

        self._send(name, via, probe)

    def _send(
        self,
        start: str,
        end: str,
        act: Callable[[], None],
        refused: Callable[[], None] | None = None,
    ) -> None:
        """One message: lost, refused by the machine of a dead hub, or delivered a little later."""
        delay = DELAY_SECONDS_MIN + self.rng.expovariate(1 / DELAY_SECONDS_MEAN)
        if self.cut & {start, end} or self.rng.random() < self.loss:
            return
        if self.hosts[end].is_running:
            self._later(delay, end, act)
        elif refused and self.rng.random() >= self.loss:
            self._later(2 * delay, start, refused)

    # ---- what came of it

    def deaths(self) -> int:
        """How often a hub declared another dead."""
        turns = (turn for host in self.hosts.values() for turn in host.turns)
        return sum(state is PeerState.DEAD for _, _, state in turns)

    def left_alive(self, hub: str, peer: str, since: float) -> float:
        """How long after `since` a hub called a peer alive for the last time."""
        last = since
        states = [(at, state) for at, turned, state in self.hosts[hub].turns if turned == peer]
        for (_, state), (until, _) in pairwise(states):
            if state is PeerState.ALIVE:
                last = max(last, until)
        return last - since

    def died(self, hub: str, peer: str, since: float) -> float:
        """How long after `since` a hub declared a peer dead; raises LookupError when it did not."""
        for at, turned, state in self.hosts[hub].turns:
            if at >= since and turned == peer and state is PeerState.DEAD:
                return at - since
        raise LookupError(f"{hub} does not call {peer} dead")

    def is_one(self) -> bool:
        """Whether every hub calls every other alive."""
        states = (w.state for host in self.hosts.values() for w in host.detector.watches.values())
        return all(state is PeerState.ALIVE for state in states)
