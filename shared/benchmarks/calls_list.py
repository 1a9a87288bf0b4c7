"""Many VMs on simulated edges: heartbeats as edges with many machines send them, and a list of all."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from shared.beat import write
from shared.benchmarks.mesh_beats import FIRST_BEAT, beat_of, node_name

BEAT_SECONDS = 3.0
SILENCE_SECONDS_MAX = 30.0


def vm_of(node: int, number: int) -> dict[str, Any]:
    """What a heartbeat carries of one machine, as edges write it."""
    name = f"vm-{node:04d}-{number:03d}"
    return {
        "id": f"{node:016x}{number:016x}",
        "name": name,
        "node_id": node_name(node),
        "kind": "vm",
        "driver": "qemu",
        "labels": {"tier": "web", "site": f"s{node % 10}"},
        "image": "builtin:tiny",
        "state": "running" if number % 3 else "stopped",
        "status": "running" if number % 3 else "stopped",
        "power": "running" if number % 3 else "stopped",
        "task": None,
        "reason": "user",
        "isolation": "emulated",
        "started_at": "2026-11-21T10:00:00.000Z",
        "restarts": 0,
        "epoch": f"{node:016x}",
        "seq": number,
    }


@dataclass(slots=True)
class Herd:
    """Nodes with machines that beat to one hub, in turns over one connection."""

    port: int
    key: str
    nodes: int
    machines: int
    failure: str = ""
    _rounds: int = 0
    _is_over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Beat until it is over; what goes wrong is kept in `failure`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SILENCE_SECONDS_MAX)
        try:
            while not self._is_over.is_set():
                began = time.monotonic()
                for node in range(self.nodes):
                    self._beat(connection, node)
                self._rounds += 1
                self._is_over.wait(max(0.0, began + BEAT_SECONDS - time.monotonic()))
        except (OSError, http.client.HTTPException) as error:
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def _beat(self, connection: http.client.HTTPConnection, node: int) -> None:
        beat = beat_of(node, FIRST_BEAT + self._rounds, 1, time.time_ns() // 1_000_000)
        machines = [vm_of(node, number) for number in range(self.machines)]
        body = write(msgspec.structs.replace(beat, vms=machines, vms_total=len(machines)))
        headers = {
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            "x-headwater-node": node_name(node),
            "x-headwater-node-key": f"simulated-key-of-{node_name(node)}-and-no-secret",
            "x-headwater-mark": f"{node:016x}:0",
        }
        connection.request("POST", "/edge/heartbeat", body, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"a beat was refused: {answer.status} {said[:200]!r}")

    def stop(self) -> None:
        """Beat no more."""
        self._is_over.set()


@contextmanager
def herd_of(port: int, key: str, nodes: int, machines: int) -> Iterator[Herd]:
    """They beat as long as the block lasts."""
    herd = Herd(port, key, nodes, machines)
    thread = threading.Thread(target=herd.run, name="herd")
    thread.start()
    try:
        yield herd
    finally:
        herd.stop()
        thread.join()


def read_page(connection: http.client.HTTPConnection, token: str) -> tuple[float, dict[str, Any]]:
    """The first page of all VMs as a client gets it, with nothing but a limit of 100, and the
    seconds that it took."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "vm.list", "params": {"limit": 100}}
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    began = time.monotonic()
    connection.request("POST", "/rpc", orjson.dumps(call), headers)
    body = connection.getresponse().read()
    took = time.monotonic() - began
    return took, orjson.loads(body)["result"]
