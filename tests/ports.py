"""Ports for servers of the suite, below those that the system gives to outgoing connections.

A port from the system's own range may be taken by anybody's connection at any moment: between choosing
it and listening, or while a killed server is down.
"""

import itertools
import os
import socket

LOWEST = 12_000
PER_WORKER = 1_000
WORKERS_MAX = 20  # The ports end where the usual range of outgoing connections begins, at 32768.

_worker = int("0" + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")) % WORKERS_MAX
_offsets = itertools.count(
    os.getpid() * 7 % PER_WORKER
)  # Another run beside this one starts elsewhere.


def free_ports(count: int) -> list[int]:
    """Ports of this worker on which nobody listens, in a row wherever nobody is in between."""
    found: list[int] = []
    for offset in itertools.islice(_offsets, PER_WORKER):
        port = LOWEST + _worker * PER_WORKER + offset % PER_WORKER
        if _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} free ports from {LOWEST + _worker * PER_WORKER}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
