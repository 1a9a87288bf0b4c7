"""An edge that runs machines, as a process for the benchmarks of calls; and its own door."""

import http.client
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from shared.benchmarks.stage import answers, free_port, wait_until
from shared.unix_socket import short_path

NODE = "edge-1"
STOP_SECONDS_MAX = 20.0
CALL_SECONDS_MAX = 30.0


class LocalConnection(http.client.HTTPConnection):
    """HTTP over the socket that only people on this machine can open."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CALL_SECONDS_MAX)
        self._path = path

    def connect(self) -> None:
        """Open it; raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CALL_SECONDS_MAX)
        with short_path(self._path) as address:
            self.sock.connect(address)


@dataclass(slots=True)
class EdgeProcess:
    """One edge that knows some hubs."""

    folder: Path
    process: psutil.Popen
    connection: LocalConnection

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The edge's own answer; raises OSError, http.client.HTTPException or RuntimeError."""
        message = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        self.connection.request("POST", "/rpc", message, {"content-type": "application/json"})
        answer = orjson.loads(self.connection.getresponse().read())
        if "result" not in answer:
            raise RuntimeError(f"{method}: {answer}")
        result: dict[str, Any] = answer["result"]
        return result

    def create(self, name: str, image: str, *, start: bool = False) -> None:
        """Make a machine; raises RuntimeError when that fails."""
        spec = {"name": name, "image": image}
        self.do("vm.create", spec=spec, start=start)

    def do(self, method: str, **params: Any) -> None:
        """Order something and wait for its end; raises RuntimeError when it fails."""
        done = self.ask(method, wait_s=CALL_SECONDS_MAX, **params)
        if done["state"] != "done":
            raise RuntimeError(f"{method}: {done['error']}")

    def stop(self) -> None:
        """End it, and with it its machines."""
        self.connection.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except psutil.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS_MAX)


def has_qemu() -> bool:
    """Whether VMs can be run here."""
    return all(shutil.which(name) for name in ("qemu-system-x86_64", "qemu-img"))


@contextmanager
def edge_of(folder: Path, key_file: Path, hub_ports: list[int]) -> Iterator[EdgeProcess]:
    """An edge that has begun, ended with the block. Sandboxes need no isolation here."""
    otlp_port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(key_file, folder.parent / "cluster.key")
    masters = ",".join(f"127.0.0.1:{port}" for port in hub_ports)
    command = [
        *(sys.executable, "-m", "shared.main", "edge", "run", "--node-id", NODE),
        *("--data", str(folder), "--masters", masters, "--otlp-port", str(otlp_port)),
        *("--host-metrics-seconds", "0", "--vms-on-stop", "stop", "--allow-unisolated"),
    ]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    edge = EdgeProcess(folder, process, LocalConnection(folder / "edge.sock"))
    try:
        wait_until(lambda: answers(otlp_port, "/livez") or process.poll() is not None, 0.01)
        if process.poll() is not None:
            raise TimeoutError("the edge ended at its start; see what it printed above")
        yield edge
    finally:
        edge.stop()
