"""Several detectors on a seeded network in virtual time: loss, pauses, deaths and cuts.

The shell of each hub is written out here as small as it can be: it gossips once a second, probes and
asks when its detector says so, and reports what came of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from hub.peering.detect_row import Row
from hub.peering.detect_values import Ask, Failure, Life, PeerState, Probe, Tell
from hub.peering.detector import Detector

GOSSIP_SECONDS = 1.0
GOSSIP_TIMEOUT_SECONDS = 3.0


@dataclass(slots=True)
class Host:
    """One hub: its detector, and what became of its process."""

    detector: Detector
    number: int
    life: int = 1
    running: bool = True
    paused_until: float = 0.0
    next_tick: float = -1.0
    told: list[tuple[float, Tell]] = field(default_factory=list)
    turns: list[tuple[float, str, PeerState]] = field(default_factory=list)
    states: dict[str, PeerState] = field(default_factory=dict)


@dataclass(slots=True)
class World:
    """All hubs and the network between them."""

    count: int
    seed: int
    loss: float = 0.0
    refuses: bool = True
    """Whether the machine of a dead hub answers for it; otherwise requests get lost."""
    now: float = 100.0
    rng: Random = field(init=False)
    hosts: dict[str, Host] = field(default_factory=dict)
    cut: Callable[[str, str], bool] = lambda _one, _other: False
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        for number in range(1, self.count + 1):
            self.start(f"hub-{number}", 0.0, 1)

    # ---- processes

    def start(self, name: str, after: float, incarnation: int) -> None:
        """Start a hub, or start it again with a larger incarnation."""
        before = self.hosts.get(name)
        life = before.life + 1 if before else 1
        detector = Detector(name, f"{name}.{life}", incarnation, self.now + after)
        for other in range(1, self.count + 1):
            detector.expect(f"hub-{other}", self.now + after)
        self.hosts[name] = Host(detector, int(name.removeprefix("hub-")), life)
        first = self.rng.random() * GOSSIP_SECONDS
        self.later(after + first, name, lambda: self._gossip(name))
        self.later(after, name, lambda: self._settle(name))

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.hosts[name].running = False

    def pause(self, name: str, seconds: float) -> None:
        """SIGSTOP for this long: what arrives waits, timers fire late."""
        self.hosts[name].paused_until = self.now + seconds

    # ---- time

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Let something happen from outside after these seconds."""
        self._push(self.now + seconds, act)

    def later(self, seconds: float, name: str, act: Callable[[], None]) -> None:
        """Let the hub do something, if the same process still runs then; a pause delays it."""
        life = self.hosts[name].life

        def run() -> None:
            host = self.hosts[name]
            if not host.running or host.life != life:
                return
            if host.paused_until > self.now:
                self._push(host.paused_until, run)
            else:
                act()

        self._push(self.now + seconds, run)

    def _push(self, at: float, act: Callable[[], None]) -> None:
        self._order += 1
        heappush(self._events, (at, self._order, act))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, act = heappop(self._events)
            act()
        self.now = end

    # ---- the shell of a hub

    def _settle(self, name: str) -> None:
        """Tick after a report, do what the detector wants, and be there when it is due again."""
        host = self.hosts[name]
        for action in host.detector.tick(self.now):
            match action:
                case Probe(peer, timeout):
                    self._request(name, peer, timeout, None)
                case Ask(via, about, timeout):
                    self._ask(name, via, about, timeout)
                case Tell():
                    host.told.append((self.now, action))
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
            self._request(name, peer, GOSSIP_TIMEOUT_SECONDS, row)
        self.later(GOSSIP_SECONDS, name, lambda: self._gossip(name))

    # ---- requests

    def _request(self, name: str, peer: str, timeout: float, row: Row | None) -> None:
        """A probe (no row) or gossip: what the peer answers, or how it failed, is reported once."""
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
            answer_life = answer.life if answer else theirs.next_life()
            self._send(peer, name, lambda: answered(answer_life, answer))
            self._settle(peer)

        self.later(timeout, name, lambda: failed(Failure.TIMEOUT))
        refused = lambda: failed(Failure.REFUSED)  # noqa: E731
        self._send(name, peer, arrive, refused)

    def _ask(self, name: str, via: str, about: str, timeout: float) -> None:
        detector = self.hosts[name].detector
        open_ = [True]

        def told(life: Life | None) -> None:
            if open_ and open_.pop():
                detector.indirect(via, about, self.now, life)
                self._settle(name)

        def probe() -> None:
            reply: list[bool] = [True]

            def answer(life: Life | None) -> None:
                if reply and reply.pop():
                    self._send(via, name, lambda: told(life))

            def arrive() -> None:
                life = self.hosts[about].detector.next_life()
                self._send(about, via, lambda: answer(life))

            self.later(timeout / 2, via, lambda: answer(None))
            self._send(via, about, arrive, lambda: answer(None))

        self._send(name, via, probe)

    def _send(
        self,
        start: str,
        end: str,
        act: Callable[[], None],
        refused: Callable[[], None] | None = None,
    ) -> None:
        """One message: lost, refused by the machine of a dead hub, or delivered a little later."""
        delay = 0.0003 + self.rng.expovariate(1 / 0.001)
        if self.cut(start, end) or self.rng.random() < self.loss:
            return
        if self.hosts[end].running:
            self.later(delay, end, act)
        elif self.refuses and refused and self.rng.random() >= self.loss:
            self.later(2 * delay, start, refused)

    # ---- what is measured

    def state(self, hub: str, peer: str) -> PeerState:
        """What a hub says of a peer now."""
        return self.hosts[hub].detector.state(peer)

    def deaths(self) -> list[tuple[float, str, str]]:
        """When which hub declared whom dead."""
        return sorted(
            (at, name, peer)
            for name, host in self.hosts.items()
            for at, peer, state in host.turns
            if state is PeerState.DEAD
        )

    def first(self, hub: str, peer: str, states: set[PeerState], since: float) -> float | None:
        """How long after `since` a hub first came to one of these states of a peer."""
        for at, turned, state in self.hosts[hub].turns:
            if at >= since and turned == peer and state in states:
                return at - since
        return None

    def left_alive(self, hub: str, peer: str, since: float) -> float:
        """How long after `since` a hub stopped to call a peer alive for the last time."""
        turns = [(at, state) for at, turned, state in self.hosts[hub].turns if turned == peer]
        assert turns
        assert turns[-1][1] is not PeerState.ALIVE
        last_alive = max(i for i, (_, state) in enumerate(turns) if state is PeerState.ALIVE)
        return max(turns[last_alive + 1][0] - since, 0.0)
