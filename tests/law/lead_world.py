"""Hubs that elect a leader on a network that fails by the luck of one seed, on virtual time.

Each hub has a clock of its own pace, and a disk that takes its time, fails, and keeps or loses what
was being written when the hub crashes. The laws are checked after every event.
"""

import heapq
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from sqlite_utils.db import Database

from hub.lead.action import Action, Reply, Save, Send
from hub.lead.election import Election
from hub.lead.messages import Ask
from hub.lead.model import Ballot, Members, Role, Tell, Timing
from hub.store.lead_table import guard, highest_fence, lead_tables
from shared.errors import Refused

TIMING = Timing()
STORM_SECONDS = 8.0
CALM_SECONDS_MAX = 5.0
FAULTS = ("crash", "start", "cut", "cut", "isolate", "heal", "weather", "hand over", "members")

Machine = Callable[[str, Ballot, Timing, float, Random], Election]


class Broken(AssertionError):
    """A law did not hold; the text begins with its name."""


def elections_of_the_hub(
    hub_id: str, ballot: Ballot, timing: Timing, now: float, rng: Random
) -> Election:
    """The machine as it is."""
    return Election(hub_id, ballot, timing, now, rng)


@dataclass(slots=True)
class Host:
    """One hub: what survives a crash, and the machine while it is up."""

    name: str
    disk: Ballot
    ahead_seconds: float
    pace: float
    machine: Election | None = None
    life: int = 0
    busy_until: float = 0.0
    writing: Ballot | None = None
    tick_at: float = float("inf")

    def clock(self, now: float) -> float:
        """Its monotonic clock at a real instant."""
        return self.ahead_seconds + now * self.pace

    def real(self, local: float) -> float:
        """When its clock will show this."""
        return (local - self.ahead_seconds) / self.pace

    def is_leading(self, now: float) -> bool:
        """Whether it believes that it may act."""
        return self.machine is not None and self.machine.is_leading(self.clock(now))


class World:
    """Some hubs, the network between them, and a store that only the leader should write to."""

    def __init__(
        self, seed: int, *, machine: Machine = elections_of_the_hub, saves: bool = True
    ) -> None:
        self.rng = Random(seed)
        self.machine, self.saves = machine, saves
        self.now = 0.0
        self.is_stormy = False
        self.seen: Counter[str] = Counter()
        self.leader_of: dict[int, str] = {}
        self.written: list[int] = []
        self.cuts: set[tuple[str, str]] = set()
        self.loss = self.repeats = self.slow = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.store = sqlite3.connect(":memory:")
        lead_tables(Database(self.store))
        names = tuple(f"hub-{n}" for n in range(1, self.rng.choice((3, 3, 4, 5)) + 1))
        voting = names if self.rng.random() < 0.7 else names[:3]
        self.hosts = {name: self._host(name, voting) for name in names}

    def _host(self, name: str, voting: tuple[str, ...]) -> Host:
        hubs = tuple(sorted({*voting, name}))
        pace = 1 + self.rng.choice((-1, 1, self.rng.uniform(-1, 1))) * TIMING.drift_max
        return Host(name, Ballot(Members(hubs)), self.rng.uniform(0, 1e6), pace)

    # ---- time

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Let something happen later."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, what))

    def run_until(self, end: float) -> None:
        """Let time pass; raises Broken."""
        while self._events and self._events[0][0] <= end:
            self.now, _, what = heapq.heappop(self._events)
            what()
            self._check()
        self.now = end

    def _check(self) -> None:
        leading = [host.name for host in self.hosts.values() if host.is_leading(self.now)]
        if len(leading) > 1:
            raise Broken(f"one acts: {' and '.join(leading)} act at {self.now:.3f} s")

    def acting(self) -> str:
        """Who may act now, empty when nobody may."""
        return next((h.name for h in self.hosts.values() if h.is_leading(self.now)), "")

    # ---- hubs

    def start(self, host: Host) -> None:
        """Begin with what is on the disk."""
        if host.machine is None:
            host.life += 1
            host.busy_until, host.tick_at = self.now, float("inf")
            local, rng = host.clock(self.now), Random(self.rng.random())
            host.machine = self.machine(host.name, host.disk, TIMING, local, rng)
            self._plan_tick(host)

    def crash(self, host: Host) -> None:
        """End at once; what was being written is on the disk or not."""
        if host.machine is not None:
            self.seen["crash"] += 1
            if host.writing is not None:
                kept = self.rng.random() < 0.5
                self.seen["written and unsaid" if kept else "lost while written"] += 1
                self._write(host, kept)
            host.machine = None

    def _write(self, host: Host, kept: bool) -> None:
        if host.writing is not None and kept and self.saves:
            host.disk = host.writing
        host.writing = None

    def step(
        self,
        host: Host,
        life: int,
        work: Callable[[Election, float], list[Action]],
        reply: Callable[[Reply], None] | None = None,
    ) -> None:
        """Let the machine of one life do one thing, as soon as its disk is idle."""
        if host.machine is None or host.life != life:
            return
        if self.now < host.busy_until:
            self.at(host.busy_until, lambda: self.step(host, life, work, reply))
            return
        actions = work(host.machine, host.clock(self.now))
        self._perform(host, life, actions, reply)
        self._plan_tick(host)

    def _plan_tick(self, host: Host) -> None:
        assert host.machine is not None
        due, life = max(host.real(host.machine.due_at()), self.now + 0.001), host.life
        if due < host.tick_at or host.tick_at <= self.now:
            host.tick_at = due
            self.at(due, lambda: self._tick(host, life))

    def _tick(self, host: Host, life: int) -> None:
        if host.life == life:
            host.tick_at = float("inf")
            self.step(host, life, lambda machine, local: machine.tick(local))

    def _perform(
        self,
        host: Host,
        life: int,
        actions: list[Action],
        reply: Callable[[Reply], None] | None,
    ) -> None:
        if actions and isinstance(actions[0], Save):
            ballot, rest = actions[0].ballot, actions[1:]
            host.writing = ballot
            if self.is_stormy and self.rng.random() < 0.03:
                self.at(self.now, lambda: self.crash(host))
            slow = self.rng.random() < 0.05
            host.busy_until = self.now + self.rng.uniform(0.0, 0.5 if slow else 0.01)
            self.at(host.busy_until, lambda: self._saved(host, life, ballot, rest, reply))
            return
        for action in actions:
            self._do(host, action, reply)

    def _saved(
        self,
        host: Host,
        life: int,
        ballot: Ballot,
        rest: list[Action],
        reply: Callable[[Reply], None] | None,
    ) -> None:
        if host.machine is None or host.life != life:
            return
        if self.rng.random() < 0.01:
            self.seen["disk error"] += 1
            host.writing = None
            return
        self._write(host, kept=True)
        self._perform(host, life, rest, reply)
        more = host.machine.saved(host.clock(self.now), ballot)
        self._perform(host, life, more, None)
        self._plan_tick(host)

    def _do(self, host: Host, action: Action, reply: Callable[[Reply], None] | None) -> None:
        machine = host.machine
        assert machine is not None
        if self.saves and not isinstance(action, Tell) and host.disk != machine.ballot:
            raise Broken(f"disk first: {host.name} speaks before its ballot is on disk")
        if machine.role is Role.LEADER:
            known = self.leader_of.setdefault(machine.term, host.name)
            if known != host.name:
                raise Broken(f"one per term: {known} and {host.name} lead term {machine.term}")
        if isinstance(action, Send):
            self._send(host, host.life, action)
        elif isinstance(action, Reply) and reply:
            reply(action)
        elif isinstance(action, Tell):
            self.seen[action.name] += 1

    # ---- network

    def _delay(self) -> float:
        return self.rng.uniform(0.0005, 0.02) * (40 if self.rng.random() < self.slow else 1)

    def _passes(self, sender: str, receiver: str) -> bool:
        return (sender, receiver) not in self.cuts and self.rng.random() >= self.loss

    def _send(self, sender: Host, life: int, send: Send) -> None:
        receiver = self.hosts[send.to]

        def answered(reply: Reply) -> None:
            if self._passes(receiver.name, sender.name):
                self.at(self.now + self._delay(), lambda: self._hear(sender, life, send, reply))

        for _ in range(1 + (self.rng.random() < self.repeats)):
            if self._passes(sender.name, receiver.name):
                self.at(
                    self.now + self._delay(),
                    lambda: self._ask(receiver, send.ask, answered),
                )

    def _ask(self, receiver: Host, ask: Ask, answered: Callable[[Reply], None]) -> None:
        self.step(
            receiver, receiver.life, lambda machine, local: machine.on_ask(local, ask), answered
        )

    def _hear(self, sender: Host, life: int, send: Send, reply: Reply) -> None:
        self.step(sender, life, lambda machine, local: machine.on_answer(local, send, reply.answer))

    # ---- the protected thing

    def write_as_leader(self) -> None:
        """Whoever may act begins a write with its fence, and it arrives when it arrives."""
        name = self.acting()
        if name:
            machine = self.hosts[name].machine
            assert machine is not None
            fence = machine.term
            self.at(self.now + self.rng.choice((0.01, 0.5, 3.0)), lambda: self._arrives(fence))
        self.at(self.now + 0.3, self.write_as_leader)

    def _arrives(self, fence: int) -> None:
        try:
            with self.store:
                guard(self.store, "report", fence)
        except Refused:
            self.seen["fenced off"] += 1
            return
        if self.written and fence < self.written[-1]:
            raise Broken(f"fences grow: {fence} was let in after {self.written[-1]}")
        self.written.append(highest_fence(self.store, "report"))

    # ---- faults

    def fault(self) -> None:
        """One more turn of luck."""
        fault = self.rng.choice(FAULTS)
        self.seen[fault] += 1
        host = self.rng.choice(list(self.hosts.values()))
        others = [name for name in self.hosts if name != host.name]
        if fault == "crash":
            self.crash(host)
        elif fault == "start":
            self.start(host)
        elif fault == "cut":
            self.cuts.add(self.rng.choice([(host.name, others[0]), (others[0], host.name)]))
        elif fault == "isolate":
            self.cuts |= {(host.name, other) for other in others}
            if self.rng.random() < 0.5:
                self.cuts |= {(other, host.name) for other in others}
        elif fault == "heal":
            self.cuts.clear()
        elif fault == "weather":
            self.loss = self.rng.choice((0.0, 0.1, 0.4))
            self.repeats, self.slow = self.rng.choice((0.0, 0.3)), self.rng.choice((0.0, 0.1))
        else:
            self._operate(fault)

    def _operate(self, fault: str) -> None:
        leader = self.hosts.get(self.acting())
        if leader is None:
            return

        def work(machine: Election, local: float) -> list[Action]:
            try:
                if fault == "hand over":
                    return machine.step_down(local)
                return machine.change_members(local, self._other_members(machine))
            except Refused:
                self.seen[f"{fault} refused"] += 1
                return []

        self.seen[f"{fault} asked"] += 1
        self.step(leader, leader.life, work)

    def _other_members(self, machine: Election) -> set[str]:
        changed = {self.rng.choice(sorted(self.hosts))} ^ set(machine.members.hubs)
        return changed if len(changed) >= 3 else set(self.hosts)

    # ---- the story

    def storm(self) -> None:
        """Begin all hubs, and let things go wrong for a while."""
        for host in self.hosts.values():
            self.start(host)
        self.write_as_leader()
        self.is_stormy = True
        when = self.rng.uniform(0.0, 2.5)
        while when < STORM_SECONDS:
            self.at(when, self.fault)
            when += self.rng.uniform(0.05, 1.0)
        self.run_until(STORM_SECONDS)
        self.is_stormy = False

    def calm(self) -> float:
        """End all faults but one dead hub at times; the seconds until somebody acts, or Broken."""
        self.cuts.clear()
        self.loss = self.repeats = self.slow = 0.0
        for host in self.hosts.values():
            self.start(host)
        if self.rng.random() < 0.3:
            self.crash(self.rng.choice(list(self.hosts.values())))
        begun = self.now
        while self.now < begun + CALM_SECONDS_MAX:
            if self.acting():
                return self.now - begun
            self.run_until(self.now + 0.05)
        raise Broken(f"a leader returns: nobody leads {CALM_SECONDS_MAX:g} s after the last fault")


def live(seed: int, *, machine: Machine = elections_of_the_hub, saves: bool = True) -> World:
    """One story from its start to its end; raises Broken."""
    world = World(seed, machine=machine, saves=saves)
    try:
        world.storm()
        world.calm()
        world.run_until(world.now + 1.0)
    finally:
        world.store.close()
    return world
