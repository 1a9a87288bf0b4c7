"""A load generator. Without a pace each connection sends its next body when the last one was acked;
with one, bodies have their time, and the delay of each is counted from that time.

Run as a process of its own (`python -m shared.benchmarks.load`), so that its work is not counted as
the edge's. One thread serves all connections, since it shares the machine with what it measures.
It prints one JSON object.
"""

import heapq
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

import orjson

from shared.benchmarks.bodies import log_body

BODIES = 8  # Different enough that nothing can cache the answer.
REFUSED_SECONDS = 0.05  # A full buffer asks for patience.
SILENCE_SECONDS_MAX = 30.0
HEAD_END = b"\r\n\r\n"
LENGTH_NAME = b"\r\ncontent-length: "


@dataclass(slots=True)
class Tally:
    """What all connections have seen."""

    acked: int = 0
    refused: int = 0
    delays_seconds: list[float] = field(default_factory=list)


def request_bytes(port: int, body: bytes) -> bytes:
    """An HTTP/1.1 request, ready to be sent again and again."""
    head = (
        f"POST /v1/logs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/x-protobuf\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answered_status(data: bytes) -> int | None:
    """The status of an answer with a Content-Length; None while some of it is still to come."""
    head_end = data.find(HEAD_END)
    if head_end < 0:
        return None
    named = data.lower().find(LENGTH_NAME, 0, head_end)
    line_end = data.find(b"\r\n", named + 2)
    length = int(data[named + len(LENGTH_NAME) : line_end]) if named >= 0 else 0
    return int(data[9:12]) if len(data) >= head_end + len(HEAD_END) + length else None


@dataclass(slots=True)
class Connection:
    """One keep-alive connection: at most one request is on its way."""

    socket: socket.socket
    requests: Iterator[bytes]
    due: float = 0.0
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    received: bytes = b""

    def begin(self) -> None:
        """Send the next request, as far as it goes."""
        self.unsent, self.received = memoryview(next(self.requests)), b""
        self.go_on()

    def go_on(self) -> None:
        """Send what did not fit into the socket before."""
        try:
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return

    def take(self) -> int | None:
        """Read what has come; the status once the answer is whole. Raises ConnectionError."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the edge closed the connection")
        self.received += data
        return answered_status(self.received)


class Load:
    """Keeps all connections busy, each at its time, until the time is over.

    An `interval` of 0 seconds means: the next request as soon as the last one is answered.
    """

    def __init__(
        self, port: int, bodies: list[bytes], connections: int, until: float, interval: float
    ) -> None:
        self.tally = Tally()
        self._until = until
        self._interval = interval
        self._selector = selectors.DefaultSelector()
        requests = [request_bytes(port, body) for body in bodies]
        self._connections = [
            Connection(_connect(port), cycle(requests)) for _ in range(connections)
        ]
        self._idle: list[tuple[float, int]] = []
        self._waiting = 0
        began = time.monotonic()
        for number, each in enumerate(self._connections):
            self._selector.register(each.socket, selectors.EVENT_READ, number)
            self._plan(number, began + interval * number / connections)

    def run(self) -> None:
        """Send and receive until every request that was begun is answered."""
        try:
            while self._begin_due() or self._waiting:
                self._answer_all()
        finally:
            self._selector.close()
            for each in self._connections:
                each.socket.close()

    def _plan(self, number: int, due: float) -> None:
        self._connections[number].due = due
        if due < self._until:
            heapq.heappush(self._idle, (due, number))

    def _begin_due(self) -> bool:
        """Begin what is due; whether something is planned for later."""
        now = time.monotonic()
        if now >= self._until:
            self._idle.clear()
        while self._idle and self._idle[0][0] <= now:
            self._begin(heapq.heappop(self._idle)[1])
        return bool(self._idle)

    def _begin(self, number: int) -> None:
        self._waiting += 1
        self._connections[number].begin()
        self._watch(number)

    def _watch(self, number: int) -> None:
        connection = self._connections[number]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        if self._selector.get_key(connection.socket).events != wanted:
            self._selector.modify(connection.socket, wanted, number)

    def _answer_all(self) -> None:
        patience = SILENCE_SECONDS_MAX
        if self._idle:
            patience = max(0.0, self._idle[0][0] - time.monotonic())
        events = self._selector.select(patience)
        if not events and not self._idle:
            raise ConnectionError(f"no answer for {patience:.0f} s")
        for key, mask in events:
            self._serve(key.data, mask)

    def _serve(self, number: int, mask: int) -> None:
        connection = self._connections[number]
        if mask & selectors.EVENT_WRITE:
            connection.go_on()
            self._watch(number)
        status = connection.take() if mask & selectors.EVENT_READ else None
        if status is not None:
            self._waiting -= 1
            self._count(number, status, time.monotonic())

    def _count(self, number: int, status: int, now: float) -> None:
        if status == 200:
            self.tally.acked += 1
        else:
            self.tally.refused += 1
        if self._interval:
            due = self._connections[number].due
            self.tally.delays_seconds.append(now - due)
            self._plan(number, due + self._interval)
        elif status == 200 and now < self._until:
            self._begin(number)
        else:
            self._plan(number, now + REFUSED_SECONDS)


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_SECONDS_MAX)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    return connection


def main(port: int, connections: int, records: int, seconds: float, pace: float = 0.0) -> None:
    """Load an edge on loopback and print what was acked; `pace` is in requests per second."""
    bodies = [log_body(records, n * records, time.time_ns()) for n in range(BODIES)]
    began = time.monotonic()
    load = Load(port, bodies, connections, began + seconds, connections / pace if pace else 0.0)
    load.run()
    tally = load.tally
    delays = sorted(tally.delays_seconds) or [0.0]
    figures = {
        "ack_p50_ms": delays[len(delays) // 2] * 1000,
        "ack_p99_ms": delays[len(delays) * 99 // 100] * 1000,
        "requests": tally.acked,
        "records": tally.acked * records,
        "bytes": tally.acked * sum(map(len, bodies)) // BODIES,
        "refused": tally.refused,
        "seconds": time.monotonic() - began,
    }
    sys.stdout.write(orjson.dumps(figures).decode())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *map(float, sys.argv[4:]))
