"""The ingest benchmark: load generator, edge and hub, each a process, on this machine."""

import http.client
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil

from shared.benchmarks.bodies import log_body

READY_SECONDS_MAX = 20.0
SETTLE_SECONDS_MAX = 120.0
YARDSTICK_SECONDS = 1.5
BUFFER_BYTES_MAX = 4 * 1024**3

Figures = dict[str, float | str]


def measure(seconds: float, tell: Callable[[str], None]) -> Figures:
    """Run both loads and the yardstick; returns one flat object of figures."""
    with tempfile.TemporaryDirectory(prefix="hw-bench-") as folder:
        tell("starting a hub and an edge")
        with _processes(Path(folder)) as (hub, edge, ports):
            tell(f"1000 records per request, 8 connections, {seconds:g} s")
            large = _run(hub, edge, ports, 8, 1000, seconds)
            tell(f"50 records per request, 32 connections, {seconds:g} s")
            small = _run(hub, edge, ports, 32, 50, seconds)
        tell("raw SQLite commits of the same size, synchronous FULL")
        limit = raw_commit_bytes_per_s(Path(folder), log_body(1000, 0, time.time_ns()))
    return {
        "acked_records_per_s_1000": round(large["acked_records_per_s"]),
        "acked_records_per_s_50": round(small["acked_records_per_s"]),
        "durable_records_per_s": round(large["durable_records_per_s"]),
        "edge_cpu_s_per_million": round(large["edge_cpu_s_per_million"], 3),
        "hub_cpu_s_per_million": round(large["hub_cpu_s_per_million"], 3),
        "edge_cpu_s_per_million_50": round(small["edge_cpu_s_per_million"], 3),
        "refused_requests": large["refused"] + small["refused"],
        "sqlite_synchronous": "FULL",
        "raw_sqlite_full_bytes_per_s": round(limit),
        "ratio_to_sqlite_full": round(large["acked_bytes_per_s"] / limit, 3),
    }


def _run(
    hub: psutil.Process,
    edge: psutil.Process,
    ports: tuple[int, int, str],
    connections: int,
    records: int,
    seconds: float,
) -> dict[str, float]:
    hub_port, otlp_port, token = ports
    before = _hub_records(hub_port, token)
    cpu_before = _cpu_seconds(edge), _cpu_seconds(hub)
    began = time.monotonic()
    load = _load(otlp_port, connections, records, seconds)
    _wait_until(lambda: _hub_records(hub_port, token) - before >= load["records"])
    durable_seconds = time.monotonic() - began
    millions = load["records"] / 1e6
    return {
        "acked_records_per_s": load["records"] / load["seconds"],
        "acked_bytes_per_s": load["bytes"] / load["seconds"],
        "durable_records_per_s": load["records"] / durable_seconds,
        "edge_cpu_s_per_million": (_cpu_seconds(edge) - cpu_before[0]) / millions,
        "hub_cpu_s_per_million": (_cpu_seconds(hub) - cpu_before[1]) / millions,
        "refused": load["refused"],
    }


def _load(port: int, connections: int, records: int, seconds: float) -> dict[str, float]:
    arguments = map(str, (port, connections, records, seconds))
    command = [sys.executable, "-m", "shared.benchmarks.load", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, timeout=seconds + 60)
    result: dict[str, float] = orjson.loads(done.stdout)
    return result


@contextmanager
def _processes(
    folder: Path,
) -> Iterator[tuple[psutil.Process, psutil.Process, tuple[int, int, str]]]:
    hub_port, otlp_port = _free_port(), _free_port()
    (folder / "cluster.key").write_text("bench-only-on-loopback\n")
    hub = _start("hub", "--hub-id", "hub-1", "--data", str(folder / "hub"), "--port", str(hub_port))
    edge = _start(
        *("edge", "--node-id", "edge-1", "--data", str(folder / "edge")),
        *("--masters", f"127.0.0.1:{hub_port}", "--otlp-port", str(otlp_port)),
        *("--host-metrics-seconds", "0", "--buffer-bytes-max", str(BUFFER_BYTES_MAX)),
    )
    try:
        _wait_until(lambda: _answers(hub_port, "/readyz") and _answers(otlp_port, "/livez"))
        token = (folder / "hub" / "admin.token").read_text().strip()
        yield psutil.Process(hub.pid), psutil.Process(edge.pid), (hub_port, otlp_port, token)
    finally:
        for process in (edge, hub):
            process.terminate()
        for process in (edge, hub):
            process.wait(10)


def _start(role: str, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "shared.main", role, "run", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _hub_records(port: int, token: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    call = {"jsonrpc": "2.0", "id": 1, "method": "hub.status", "params": {}}
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    connection.request("POST", "/rpc", orjson.dumps(call), headers)
    answer: dict[str, Any] = orjson.loads(connection.getresponse().read())
    connection.close()
    return int(answer["result"]["records"])


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("the hub and the edge did not settle; see what they printed above")
        time.sleep(0.05)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


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
