"""Simulated edges: heartbeats as edges send them, many nodes over a few keep-alive connections.

Run as a process of its own, so that its work is not counted as a hub's. One thread serves all
connections, and each has at most one beat on its way, as the connection of an edge has. It reads
orders from its standard input and prints JSON objects, one a line.
"""

import heapq
import re
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import msgspec
import orjson

from shared.beat import Beat, write
from shared.benchmarks.load import answered_status

SILENCE_SECONDS_MAX = 30.0
RETRY_SECONDS = 0.5
JITTER = 0.1
SPREAD_SECONDS_MIN, SPREAD_NODES_PER_S = 1.0, 500.0
"""A fleet comes within this time, as after a power cut: not all in one moment."""

INTERVAL_SECONDS = 5.0
"""Between the beats of a node whose hub has not said what it wants."""

STEP_SECONDS = 0.5
FIRST_BEAT = 1_000_000  # All counts have the same length, and so have all beats.
NODE_DIGITS = 6
INTERVAL = re.compile(rb'"interval_seconds":([0-9.]+)')

ONCE, FLOOD, PACED = "once", "flood", "paced"


class Order(msgspec.Struct, frozen=True):
    """What to send: every node once, all of them again and again, or each when its hub asks for it."""

    ports: list[int]
    key: str
    nodes: int
    pace: str
    seconds: float = 3600.0
    connections: int = 16
    first: int = 0
    beats_before: int = 0
    incarnation: int = 1


def node_name(number: int) -> str:
    """The name of a simulated node."""
    return f"node-{number:0{NODE_DIGITS}d}"


def beat_of(number: int, count: int, incarnation: int, wall_ms: int) -> Beat:
    """What an edge on a small machine tells at each beat, with nothing in its buffer."""
    return Beat(
        node_id=node_name(number),
        incarnation=incarnation,
        beat=count,
        epoch=f"{number:016x}",
        facts_number=1,
        facts={
            "hostname": node_name(number),
            "os": "Linux 6.1.0-31-amd64",
            "arch": "x86_64",
            "cpus": 4,
            "memory_bytes": 16_777_216_000,
            "version": "5.0.0",
            "python": "3.11.7",
            "boot_time_ms": 1_790_000_000_000,
            "addresses": ["10.20.30.40", "fd00::1020:3040"],
        },
        load={"load_1m": 0.42, "cpu_percent": 12.5, "memory_percent": 41.3, "disk_percent": 63.0},
        buffer={"epoch": f"{number:016x}", "head_seq": 0, "chunks": 0, "records": 0, "bytes": 0,
                "oldest_age_s": None, "accepted_seq": 0, "safe_seq": 0, "pending_chunks": 0},
        wall_ms=wall_ms,
        uses="hub-1",
        run=f"{number:016x}",
    )  # fmt: skip


class Composer:
    """Beats as bytes, from one that was written by the code of the edge."""

    def __init__(self, key: str, incarnation: int) -> None:
        number, count, wall_ms = 987_654, 7_654_321, 1_234_567_890_123
        body = write(beat_of(number, count, incarnation, wall_ms)).replace(b"%", b"%%")
        for text, place in (
            (node_name(number).encode(), b"node-%(number)06d"),
            (f"{number:016x}".encode(), b"%(number)016x"),
            (str(count).encode(), b"%(count)07d"),
            (str(wall_ms).encode(), b"%(wall_ms)013d"),
        ):
            body = body.replace(text, place)
        length = len(write(beat_of(number, count, incarnation, wall_ms)))
        head = (
            "POST /edge/heartbeat HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            "X-Headwater-Node: node-%(number)06d\r\n"
            "X-Headwater-Node-Key: simulated-key-of-node-%(number)06d-and-no-secret\r\n"
            f"X-Headwater-Mark: %(number)016x:0\r\nContent-Length: {length}\r\n\r\n"
        )
        self._template = head.encode() + body

    def request(self, number: int, count: int, wall_ms: int) -> bytes:
        """The whole HTTP request of one beat."""
        named = {b"number": number, b"count": count, b"wall_ms": wall_ms}
        return self._template % named


@dataclass(slots=True)
class Line:
    """One keep-alive connection to one hub."""

    hub: int
    socket: socket.socket
    job: int | None = None
    sent_at: float = 0.0
    received: bytes = b""


@dataclass(slots=True)
class Tally:
    """What came of all beats."""

    answered: int = 0
    refused: int = 0
    broken: int = 0
    delays_seconds: list[float] = field(default_factory=list)
    interval_seconds: float = 0.0


class Crowd:
    """All nodes towards all hubs. A job is a node's next beat to one hub."""

    def __init__(self, order: Order) -> None:
        self.order, self.tally = order, Tally()
        self._compose = Composer(order.key, order.incarnation)
        self._rng = Random(order.first)  # noqa: S311  # No secret is made of it.
        self._selector = selectors.DefaultSelector()
        hubs = range(len(order.ports))
        self._due: list[tuple[float, int, int]] = []
        self._waiting: list[deque[int]] = [deque() for _ in hubs]
        self._idle: list[list[Line]] = [[] for _ in hubs]
        self._broken: list[tuple[float, int]] = []
        self._counts = [FIRST_BEAT + order.beats_before] * order.nodes
        self._sent_at = [0.0] * order.nodes
        self._quiet: set[int] = set()
        self._new = {(hub, node) for hub in hubs for node in range(order.nodes)}
        self._stop_at = time.monotonic() + order.seconds
        self._busy = 0
        self._is_stopping = False

    # ---- the whole

    def run(self) -> None:
        """Beat until everything is said, the time is over, or whoever asked for it says stop."""
        self._selector.register(sys.stdin.buffer, selectors.EVENT_READ)
        self._plan_all()
        for hub in range(len(self.order.ports)):
            for _ in range(self.order.connections):
                self._connect(hub)
        while self._goes_on():
            self._begin_due()
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    self._obey()
                else:
                    self._hear(key.data)

    def _goes_on(self) -> bool:
        if self._is_stopping or time.monotonic() >= self._stop_at:
            return self._busy > 0 and time.monotonic() < self._stop_at + SILENCE_SECONDS_MAX
        return self.order.pace != ONCE or bool(self._new)

    def _plan_all(self) -> None:
        now = time.monotonic()
        spread = max(SPREAD_SECONDS_MIN, self.order.nodes / SPREAD_NODES_PER_S)
        for hub, waiting in enumerate(self._waiting):
            if self.order.pace != PACED:
                waiting.extend(range(self.order.nodes))
                continue
            for node in range(self.order.nodes):
                at = now + spread * node / self.order.nodes
                heapq.heappush(self._due, (at, hub, node))

    def _patience(self) -> float:
        now = time.monotonic()
        nexts = [self._due[0][0]] if self._due else []
        nexts += [self._broken[0][0]] if self._broken else []
        return max(0.0, min([STEP_SECONDS, *(at - now for at in nexts)]))

    # ---- sending

    def _begin_due(self) -> None:
        now = time.monotonic()
        while self._broken and self._broken[0][0] <= now:
            self._connect(heapq.heappop(self._broken)[1])
        while self._due and self._due[0][0] <= now:
            _, hub, node = heapq.heappop(self._due)
            self._waiting[hub].append(node)
        if self._is_stopping or now >= self._stop_at:
            return
        for hub, waiting in enumerate(self._waiting):
            idle = self._idle[hub]
            while waiting and idle:
                node = waiting.popleft()
                if node not in self._quiet:
                    self._send(idle.pop(), node)

    def _send(self, line: Line, node: int) -> None:
        self._counts[node] += 1
        line.job, line.received, line.sent_at = node, b"", time.monotonic()
        self._sent_at[node] = line.sent_at
        self._busy += 1
        number, wall_ms = self.order.first + node, time.time_ns() // 1_000_000
        try:
            line.socket.sendall(self._compose.request(number, self._counts[node], wall_ms))
        except OSError:
            self._drop(line)

    # ---- hearing

    def _hear(self, line: Line) -> None:
        try:
            data = line.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(line)
            return
        line.received += data
        status = answered_status(line.received)
        if status is not None:
            self._count(line, status)

    def _count(self, line: Line, status: int) -> None:
        node, now = line.job, time.monotonic()
        assert node is not None  # Hubs speak only when they are asked.
        line.job = None
        self._busy -= 1
        self._idle[line.hub].append(line)
        self.tally.delays_seconds.append(now - line.sent_at)
        if status != 200:
            self.tally.refused += 1
            self._plan(line.hub, node, now + RETRY_SECONDS)
            return
        self.tally.answered += 1
        self._note_first(line.hub, node)
        if self.order.pace == FLOOD:
            self._waiting[line.hub].append(node)
        elif self.order.pace == PACED:
            self._plan(line.hub, node, now + self._interval(line.received))

    def _note_first(self, hub: int, node: int) -> None:
        if self._new:
            self._new.discard((hub, node))
            if not self._new:
                say({"ready": True})

    def _interval(self, reply: bytes) -> float:
        found = INTERVAL.search(reply)
        seconds = float(found[1]) if found else INTERVAL_SECONDS
        self.tally.interval_seconds = seconds
        return seconds * self._rng.uniform(1 - JITTER, 1 + JITTER)

    def _plan(self, hub: int, node: int, at: float) -> None:
        heapq.heappush(self._due, (at, hub, node))

    # ---- connections

    def _connect(self, hub: int) -> None:
        try:
            made = socket.create_connection(("127.0.0.1", self.order.ports[hub]), timeout=2.0)
        except OSError:
            heapq.heappush(self._broken, (time.monotonic() + RETRY_SECONDS, hub))
            return
        made.settimeout(SILENCE_SECONDS_MAX)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(hub, made)
        self._selector.register(made, selectors.EVENT_READ, line)
        self._idle[hub].append(line)

    def _drop(self, line: Line) -> None:
        """The hub is gone: try again later, as an edge does."""
        now = time.monotonic()
        self._selector.unregister(line.socket)
        line.socket.close()
        heapq.heappush(self._broken, (now + RETRY_SECONDS, line.hub))
        if line.job is None:
            self._idle[line.hub].remove(line)
            return
        self._busy -= 1
        self.tally.broken += 1
        self._plan(line.hub, line.job, now + RETRY_SECONDS)

    # ---- orders

    def _obey(self) -> None:
        """`quiet NUMBER...`: these nodes die now. `count`: tell the sums. `stop`, or no more input."""
        words = sys.stdin.buffer.readline().decode().split()
        if not words or words[0] == "stop":
            self._is_stopping = True
            self._selector.unregister(sys.stdin.buffer)
        elif words[0] == "quiet":
            dead = [int(word) for word in words[1:]]
            self._quiet.update(dead)
            say({"last_beat_at": {str(node): self._sent_at[node] for node in dead}})
        elif words[0] == "count":
            say(self.figures())

    def figures(self) -> dict[str, float]:
        """What came of it so far."""
        delays = sorted(self.tally.delays_seconds) or [0.0]
        return {
            "answered": self.tally.answered,
            "refused": self.tally.refused,
            "broken": self.tally.broken,
            "interval_seconds": self.tally.interval_seconds,
            "p50_ms": delays[len(delays) // 2] * 1000,
            "p99_ms": delays[len(delays) * 99 // 100] * 1000,
        }


def say(message: Mapping[str, object]) -> None:
    """One line for whoever started this."""
    sys.stdout.write(orjson.dumps(message).decode() + "\n")
    sys.stdout.flush()


def main(order: Order) -> None:
    """Beat as ordered, and say at the end what came of it."""
    began, crowd = time.monotonic(), Crowd(order)
    crowd.run()
    say({**crowd.figures(), "seconds": time.monotonic() - began})


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Order))
