"""Calls to one hub as fast as it answers them, over a few connections that are kept.

Run as a process of its own (`python -m shared.benchmarks.calls_load PORT TOKEN_FILE NODE VM CONNECTIONS
SECONDS`), so that its work is not counted as a hub's. It prints one JSON object.
"""

import selectors
import socket
import sys
import time
from itertools import repeat
from pathlib import Path

import orjson

from shared.benchmarks.load import SILENCE_SECONDS_MAX, Connection


def request_of(port: int, token: str, node: str, vm: str) -> bytes:
    """One `vm.get`, which the node itself answers, ready to be sent again and again."""
    params = {"vm": vm, "node": node, "live": True}
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "vm.get", "params": params})
    head = (
        f"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Caller:
    """Keeps all connections busy until the time is over: each asks again once it was answered."""

    def __init__(self, port: int, request: bytes, connections: int) -> None:
        self.answered, self.failed = 0, 0
        self._selector = selectors.DefaultSelector()
        self._connections = [
            Connection(socket.create_connection(("127.0.0.1", port), timeout=30), repeat(request))
            for _ in range(connections)
        ]
        for each in self._connections:
            each.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(each.socket, selectors.EVENT_READ, each)

    def run(self, seconds: float) -> float:
        """Call, and wait for the last answers; returns how long it took. Raises ConnectionError."""
        began = time.monotonic()
        for each in self._connections:
            each.begin()
        waiting = len(self._connections)
        while waiting:
            ready = self._selector.select(SILENCE_SECONDS_MAX)
            if not ready:
                raise ConnectionError(f"no answer for {SILENCE_SECONDS_MAX:g} s")
            for key, _ in ready:
                if self._is_answered(key.data):
                    waiting -= 1
                    if time.monotonic() - began < seconds:
                        waiting += 1
                        key.data.begin()
        return time.monotonic() - began

    def _is_answered(self, connection: Connection) -> bool:
        status = connection.take()
        if status is None:
            return False
        is_good = status == 200 and b'"result":' in connection.received
        self.answered += is_good
        self.failed += not is_good
        return True

    def close(self) -> None:
        """Hang up."""
        self._selector.close()
        for each in self._connections:
            each.socket.close()


def main(port: int, token_file: Path, node: str, vm: str, connections: int, seconds: float) -> None:
    """Call, and print what came of it."""
    request = request_of(port, token_file.read_text().strip(), node, vm)
    caller = Caller(port, request, connections)
    took = caller.run(seconds)
    caller.close()
    said = {"answered": caller.answered, "failed": caller.failed, "seconds": took}
    sys.stdout.write(orjson.dumps(said).decode())


if __name__ == "__main__":
    _, port, token_file, node, vm, connections, seconds = sys.argv
    main(int(port), Path(token_file), node, vm, int(connections), float(seconds))
