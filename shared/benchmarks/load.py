"""A load generator. Without a pace each connection sends its next body when the last one was acked;
with one, bodies have their time, and the delay of each is counted from that time.

Run as a process of its own (`python -m shared.benchmarks.load`), so that its work is not counted as
the edge's. It prints one JSON object.
"""

import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from itertools import cycle

import orjson

from shared.benchmarks.bodies import log_body

BODIES = 8  # Different enough that nothing can cache the answer.


@dataclass(slots=True)
class Tally:
    """What one connection has seen."""

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


def read_status(connection: socket.socket) -> int:
    """Read one answer with a Content-Length; returns its status."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    head, _, rest = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(rest) < length:
        rest += _receive(connection)
    return int(head.split(b" ", 2)[1])


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the edge closed the connection")
    return data


def send_for(port: int, requests: list[bytes], until: float, tally: Tally) -> None:
    """Send until the time is over, one request at a time."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in cycle(requests):
            if time.monotonic() >= until:
                return
            connection.sendall(request)
            if read_status(connection) == 200:
                tally.acked += 1
            else:
                tally.refused += 1
                time.sleep(0.05)  # A full buffer asks for patience.


def send_at_pace(
    port: int, requests: list[bytes], until: float, tally: Tally, first: float, interval: float
) -> None:
    """Send one request every `interval` seconds from `first` on, late ones at once."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due = first
        for request in cycle(requests):
            if due >= until:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            connection.sendall(request)
            if read_status(connection) == 200:
                tally.acked += 1
            else:
                tally.refused += 1
            tally.delays_seconds.append(time.monotonic() - due)
            due += interval


def main(port: int, connections: int, records: int, seconds: float, pace: float = 0.0) -> None:
    """Load an edge on loopback and print what was acked; `pace` is in requests per second."""
    bodies = [log_body(records, n * records, time.time_ns()) for n in range(BODIES)]
    requests = [request_bytes(port, body) for body in bodies]
    tallies = [Tally() for _ in range(connections)]
    began = time.monotonic()
    until, interval = began + seconds, connections / pace if pace else 0.0
    threads = [
        threading.Thread(
            target=send_at_pace,
            args=(port, requests, until, tally, began + number / pace, interval),
        )
        if pace
        else threading.Thread(target=send_for, args=(port, requests, until, tally))
        for number, tally in enumerate(tallies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acked = sum(tally.acked for tally in tallies)
    delays = sorted(delay for tally in tallies for delay in tally.delays_seconds) or [0.0]
    figures = {
        "ack_p50_ms": delays[len(delays) // 2] * 1000,
        "ack_p99_ms": delays[len(delays) * 99 // 100] * 1000,
        "requests": acked,
        "records": acked * records,
        "bytes": acked * sum(map(len, bodies)) // BODIES,
        "refused": sum(tally.refused for tally in tallies),
        "seconds": time.monotonic() - began,
    }
    sys.stdout.write(orjson.dumps(figures).decode())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *map(float, sys.argv[4:]))
