"""The real failure detectors of some hubs on a bad network, in virtual time.

What each hub does with its detector here is what hub.peering.watch and hub.mesh do: it gossips once
a second, probes and asks when the detector says so, and reports what came of it.
"""

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from hub.benches.storm_net import Process, StormNet
from hub.peering.detect_row import Row
from hub.peering.detect_values import Ask, Failure, Life, PeerState, Probe, Tell
from hub.peering.detector import Detector

GOSSIP_SECONDS = 1.0
GOSSIP_SECONDS_MAX = 3.0

Turn = tuple[float, str, PeerState]
"""When what a hub said of a peer turned, whom that was, and to what."""


@dataclass(slots=True)
class Host(Process):
    """One life of a hub: its process, and what its detector says."""

    detector: Detector
    next_tick: float = -1.0
    states: dict[str, PeerState] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    told: list[Tell] = field(default_factory=list)


@dataclass(slots=True)
class StormWorld(StormNet[Host]):
    """The hubs, the network between them, and the time."""

    def __post_init__(self) -> None:
        for name in self.names:
            self._create(name, 1)
        for name in self.names:
            self._begin(name)

    @property
    def names(self) -> list[str]:
        """All hubs, also those that are dead."""
        return [f"hub-{number}" for number in range(1, self.count + 1)]

    # ---- processes

    def _create(self, name: str, incarnation: int) -> None:
        before = self.hosts.get(name)
        number = before.number + 1 if before else 1
        detector = Detector(name, f"{name}.{number}", incarnation, self.now)
        for other in self.names:
            detector.expect(other, self.now)
        self.hosts[name] = Host(number, detector)

    def _begin(self, name: str) -> None:
        self.later(self.rng.random() * GOSSIP_SECONDS, name, partial(self._gossip, name))
        self._settle(name)

    def restart(self, name: str, incarnation: int) -> None:
        """Start a hub again, whatever it says its incarnation is."""
        self._create(name, incarnation)
        self._begin(name)

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
                case Tell():
                    host.told.append(action)
        self._note(host)
        due = host.detector.next_at
        if host.next_tick <= self.now or due < host.next_tick:
            host.next_tick = due
            self.later(due - self.now, name, lambda: self._tick(name, due))

    def _tick(self, name: str, due: float) -> None:
        if self.hosts[name].next_tick == due:
            self.hosts[name].next_tick = -1.0
            self._settle(name)

    def _note(self, host: Host) -> None:
        for peer, watch in host.detector.watches.items():
            if host.states.get(peer) is not watch.state:
                host.states[peer] = watch.state
                host.turns.append((self.now, peer, watch.state))

    def _gossip(self, name: str) -> None:
        for peer in self.hosts[name].detector.watches:
            row = self.hosts[name].detector.next_row(self.now)
            self._request(name, peer, GOSSIP_SECONDS_MAX, row)
        self.later(GOSSIP_SECONDS, name, lambda: self._gossip(name))

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
            self.send(peer, name, lambda: answered(spoken, answer))
            self._settle(peer)

        self.later(timeout, name, lambda: failed(Failure.TIMEOUT))
        self.send(name, peer, arrive, lambda: failed(Failure.REFUSED))

    def _ask(self, name: str, via: str, about: str, timeout: float) -> None:
        """Have another hub probe a third one, and report what it says."""
        told_once, replied_once = [True], [True]

        def told(life: Life | None) -> None:
            if told_once and told_once.pop():
                self.hosts[name].detector.indirect(via, about, self.now, life)
                self._settle(name)

        def reply(life: Life | None) -> None:
            if replied_once and replied_once.pop():
                self.send(via, name, lambda: told(life))

        def arrive() -> None:
            life = self.hosts[about].detector.next_life()
            self.send(about, via, lambda: reply(life))

        def probe() -> None:
            self.later(timeout / 2, via, lambda: reply(None))
            self.send(via, about, arrive, lambda: reply(None))

        self.send(name, via, probe)

    # ---- what came of it

    def deaths(self) -> list[tuple[str, str]]:
        """Which hub declared whom dead, in the lives that the hubs have now."""
        return [
            (name, peer)
            for name, host in self.hosts.items()
            for _, peer, state in host.turns
            if state is PeerState.DEAD
        ]

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
        states = {w.state for host in self.hosts.values() for w in host.detector.watches.values()}
        return states == {PeerState.ALIVE}
