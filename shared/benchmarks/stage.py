"""What every benchmark needs: a hub and an edge as processes on this machine, and the yardstick."""

import http.client
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

SETTLE_SECONDS_MAX = 180.0
YARDSTICK_SECONDS = 1.5
BUFFER_BYTES_MAX = 16 * 1024**3
STOP_SECONDS_MAX = 20.0

Figures = dict[str, float | str]


@dataclass(slots=True)
class Stage:
    """One hub and one edge in a folder; both can be stopped and started again on their ports."""

    folder: Path
    hub_port: int
    otlp_port: int
    peer_port: int
    hub: psutil.Popen | None = None
    edge: psutil.Popen | None = None
    peer: psutil.Popen | None = None

    @property
    def token(self) -> str:
        """The hub's admin token."""
        return self.token_of("hub")

    def token_of(self, name: str) -> str:
        """The admin token of the hub in a folder of this name."""
        return (self.folder / name / "admin.token").read_text().strip()

    @property
    def cluster_key(self) -> str:
        """The secret that hubs and edges share."""
        return (self.folder / "cluster.key").read_text().strip()

    def start_hub(self) -> None:
        """Start the hub and wait until it is ready."""
        data, port = str(self.folder / "hub"), str(self.hub_port)
        self.hub = _start("hub", "--hub-id", "hub-1", "--data", data, "--port", port)
        self._wait_for(self.hub, lambda: answers(self.hub_port, "/readyz"))

    def start_peer(self) -> None:
        """Start a second hub that copies the first, and wait until it is ready."""
        data, port = str(self.folder / "peer"), str(self.peer_port)
        peers = ("--peers", f"127.0.0.1:{self.hub_port}")
        self.peer = _start("hub", "--hub-id", "hub-2", "--data", data, "--port", port, *peers)
        self._wait_for(self.peer, lambda: answers(self.peer_port, "/readyz"))

    def start_edge(self) -> float:
        """Start the edge; returns the seconds until it took in data."""
        began = time.monotonic()
        self.edge = _start(
            *("edge", "--node-id", "edge-1", "--data", str(self.folder / "edge")),
            *("--masters", f"127.0.0.1:{self.hub_port}", "--otlp-port", str(self.otlp_port)),
            *("--host-metrics-seconds", "0", "--buffer-bytes-max", str(BUFFER_BYTES_MAX)),
        )
        self._wait_for(self.edge, lambda: answers(self.otlp_port, "/livez"))
        return time.monotonic() - began

    @staticmethod
    def _wait_for(process: psutil.Popen, is_up: Callable[[], bool]) -> None:
        wait_until(lambda: is_up() or process.poll() is not None, 0.01)
        if not is_up():
            raise TimeoutError("a process ended at its start; see what it printed above")

    def stop_hub(self) -> None:
        """Stop the hub."""
        _stop(self.hub)
        self.hub = None

    def stop_edge(self) -> None:
        """Stop the edge."""
        _stop(self.edge)
        self.edge = None

    def stop_peer(self) -> None:
        """Stop the second hub."""
        _stop(self.peer)
        self.peer = None

    def hub_records(self, port: int = 0) -> int:
        """How many records the hub holds, or the second one when its port is given."""
        name = "peer" if port == self.peer_port else "hub"
        return int(call(port or self.hub_port, self.token_of(name), "hub.status")["records"])


@contextmanager
def staged(folder: Path, *, with_edge: bool = True) -> Iterator[Stage]:
    """A running hub, and an edge unless none is wanted, ended with the block."""
    stage = Stage(folder, free_port(), free_port(), free_port())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cluster.key").write_text("bench-only-on-loopback\n")
    try:
        stage.start_hub()
        if with_edge:
            stage.start_edge()
        yield stage
    finally:
        stage.stop_edge()
        stage.stop_peer()
        stage.stop_hub()


def _start(role: str, *arguments: str) -> psutil.Popen:
    command = [sys.executable, "-m", "shared.main", role, "run", *arguments]
    return psutil.Popen(command, stdout=subprocess.DEVNULL)


def _stop(process: psutil.Popen | None) -> None:
    if process is not None:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def call(port: int, token: str, method: str, **params: object) -> dict[str, Any]:
    """The result of an RPC method of a hub."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SETTLE_SECONDS_MAX)
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request("POST", "/rpc", orjson.dumps(message), headers)
    answer: dict[str, Any] = orjson.loads(connection.getresponse().read())
    connection.close()
    result: dict[str, Any] = answer["result"]
    return result


def wait_until(is_so: Callable[[], bool], pause_seconds: float = 0.05) -> None:
    """Wait for something to come true; raises TimeoutError after three minutes."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("the hub and the edge did not settle; see what they printed above")
        time.sleep(pause_seconds)


def cpu_seconds(process: psutil.Popen | None) -> float:
    """The processor time of a process so far."""
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


def run_load(port: int, *arguments: object, seconds: float) -> dict[str, float]:
    """Run the load generator as a process of its own; returns what it counted."""
    return run_process("shared.benchmarks.load", port, *arguments, seconds=seconds)


def run_process(module: str, *arguments: object, seconds: float) -> dict[str, float]:
    """Run a module as a process that prints a JSON object; returns that."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=seconds + 60)
    result: dict[str, float] = orjson.loads(done.stdout)
    return result


def raw_commit_bytes_per_s(folder: Path, blob: bytes) -> float:
    """The yardstick: bare SQLite, one blob of this size per commit, WAL and synchronous FULL."""
    connection = sqlite3.connect(folder / "yardstick.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=4096")
    connection.execute("CREATE TABLE blobs (body BLOB)")
    began, count = time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < YARDSTICK_SECONDS:
        connection.execute("INSERT INTO blobs VALUES (?)", (blob,))
        count += 1
    connection.close()
    return count * len(blob) / elapsed
