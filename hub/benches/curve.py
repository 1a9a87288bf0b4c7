"""What the real exchange of some hubs costs by the number of nodes: all in one process, in virtual time.

Each node is at home on one hub. All come at once; then some of them change, spread over all hubs.
Every message is written, lost now and then, and read, as between real hubs. Run as a process:
`python -m hub.benches.curve HUBS NODES`. It prints one JSON object.
"""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random

import orjson
import psutil

from hub.peering.exchange import Exchange
from hub.peering.exchange_replica import Replica
from hub.peering.exchange_wire import Answer, Ask, Message, Pulse, Push
from hub.peering.node_letters import read_letter, write_letter
from hub.registry import RULES
from shared.benchmarks.mesh_beats import beat_of
from shared.merge import LABELS, Facts, Intent, NodeRecord, Observation
from shared.stamp import HybridClock

CLUSTER = "curve"
STEP_SECONDS = 0.05
PULSE_STEPS = 20
LOSS = 0.01
CHANGES = 2_000
CHANGES_A_STEP = 20
SETTLE_SECONDS_MAX = 300.0
WALL_MS = 1_790_000_000_000

Deliver = Callable[[], None]


@dataclass(slots=True)
class Hubs:
    """The hubs, what is on its way between them, and what it has cost."""

    count: int
    rng: Random
    exchanges: dict[str, Exchange[NodeRecord]] = field(default_factory=dict)
    now: float = 0.0
    bytes_sent: int = 0
    pulse_bytes: int = 0
    pulses: int = 0
    _steps: int = 0
    _on_its_way: list[Deliver] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in range(1, self.count + 1):
            self.join(f"hub-{number}")

    def join(self, name: str) -> None:
        """A hub that knows nothing."""
        self.exchanges[name] = Exchange(Replica((name, "e.1"), RULES), CLUSTER)

    def home_of(self, number: int) -> Replica[NodeRecord]:
        """The records of the hub that a node tells of itself."""
        return self.exchanges[f"hub-{1 + number % self.count}"].replica

    # ---- time

    def step(self) -> None:
        """What was sent arrives in any order, and every hub says what it has to say."""
        self.now += STEP_SECONDS
        self._steps += 1
        arriving, self._on_its_way = self._on_its_way, []
        self.rng.shuffle(arriving)
        for deliver in arriving:
            deliver()
        for name in self.exchanges:
            self._flush(name)
            if self._steps % PULSE_STEPS == 0:
                self._pulse(name)
            self._ask(name)

    def settle(self) -> float:
        """Go on until all hubs have the same; returns the virtual seconds that took."""
        began = self.now
        while not self._is_settled():
            if self.now - began > SETTLE_SECONDS_MAX:
                raise TimeoutError("the hubs do not agree")
            self.step()
        return self.now - began

    def _is_settled(self) -> bool:
        replicas = [exchange.replica for exchange in self.exchanges.values()]
        if any(replica.unsaid for replica in replicas):
            return False
        return len({replica.vector.digest() for replica in replicas}) == 1

    def check(self) -> None:
        """Raise ValueError unless all hubs have byte-equal records."""
        first, *others = (exchange.replica.digests.hashes for exchange in self.exchanges.values())
        if any(dict(other) != dict(first) for other in others):
            raise ValueError("hubs that cover the same changes have different records")

    # ---- messages

    def _post(self, message: Message, to: Iterable[str], take: Callable[[str, bytes], None]) -> int:
        letter = write_letter(message)
        for name in to:
            self.bytes_sent += len(letter)
            if self.rng.random() >= LOSS:
                self._on_its_way.append(partial(take, name, letter))
        return len(letter)

    def _others(self, name: str) -> list[str]:
        return [other for other in self.exchanges if other != name]

    def _flush(self, name: str) -> None:
        for push in self.exchanges[name].flush():
            self._post(push, self._others(name), self._take_push)

    def _take_push(self, name: str, letter: bytes) -> None:
        self.exchanges[name].take_push(read_letter(letter, Push, CLUSTER), WALL_MS)

    def _pulse(self, name: str) -> None:
        for to in self._others(name):
            size = self._post(self.exchanges[name].pulse(to), [to], self._take_pulse)
            self.pulse_bytes, self.pulses = self.pulse_bytes + size, self.pulses + 1

    def _take_pulse(self, name: str, letter: bytes) -> None:
        self.exchanges[name].take_pulse(read_letter(letter, Pulse, CLUSTER), self.now)

    def _ask(self, name: str) -> None:
        wanted = self.exchanges[name].next_ask(self.now)
        if wanted is not None:
            to, ask = wanted
            self._post(ask, [to], lambda at, letter: self._answer(at, letter, name))

    def _answer(self, at: str, letter: bytes, asker: str) -> None:
        ask = read_letter(letter, Ask, CLUSTER)
        answer = self.exchanges[at].answer(ask)

        def take(name: str, body: bytes) -> None:
            self.exchanges[name].take_answer(ask, read_letter(body, Answer, CLUSTER), WALL_MS)

        self._post(answer, [asker], take)


def arrive(hubs: Hubs, nodes: int) -> None:
    """All nodes come, each to its hub."""
    for number in range(nodes):
        beat = beat_of(number, 1, 1, WALL_MS)
        home = hubs.home_of(number)
        data = {"load": beat.load, "buffer": beat.buffer, "epoch": beat.epoch, "vms": beat.vms}
        seen = Observation(1, 1, WALL_MS, home.own[0], data)
        home.originate(NodeRecord(beat.node_id, Facts(1, 1, beat.facts), seen))


def change(hubs: Hubs, nodes: int, changes: int) -> None:
    """Label nodes all over the fleet, some at each step."""
    clock = HybridClock("person")
    for number in range(changes):
        node = number * nodes // changes
        intent = Intent({"turn": str(number)}, clock.next(WALL_MS))
        name = beat_of(node, 1, 1, WALL_MS).node_id
        hubs.home_of(node).originate(NodeRecord(name, intent={LABELS: intent}))
        if number % CHANGES_A_STEP == 0:
            hubs.step()


def measure(hub_count: int, nodes: int) -> dict[str, float]:
    """All figures. Costs are per node, change and hub that is told, sender's part included."""
    hubs = Hubs(hub_count, Random(nodes))  # noqa: S311  # The same luck at every run.
    told = hub_count - 1
    cpu = time.process_time()
    arrive(hubs, nodes)
    join_seconds = hubs.settle()
    join_cpu, join_bytes = time.process_time() - cpu, hubs.bytes_sent
    changes = min(CHANGES, nodes)
    cpu, sent = time.process_time(), hubs.bytes_sent
    change(hubs, nodes, changes)
    seconds = hubs.settle()
    change_cpu, change_bytes = time.process_time() - cpu, hubs.bytes_sent - sent
    hubs.check()
    rss_bytes = psutil.Process().memory_info().rss
    return {
        "join_cpu_us": join_cpu / nodes / told * 1e6,
        "join_bytes": join_bytes / nodes / told,
        "join_agreed_s": join_seconds,
        "change_cpu_us": change_cpu / changes / told * 1e6,
        "change_bytes": change_bytes / changes / told,
        "change_agreed_s": seconds,
        "pulse_bytes": hubs.pulse_bytes / hubs.pulses,
        "kb_per_node_and_hub": rss_bytes / nodes / hub_count / 1e3,
    }


if __name__ == "__main__":
    sys.stdout.write(orjson.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))).decode())
