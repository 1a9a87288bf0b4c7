"""Several hubs as processes on this machine, with simulated edges, for the benchmarks of the mesh."""

import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import orjson
import psutil

from shared.benchmarks.mesh_beats import Order
from shared.benchmarks.mesh_links import Wires
from shared.benchmarks.stage import answers, free_port, wait_until

CLUSTER_KEY = "bench-only-on-loopback"
POLL_SECONDS = 0.005
CALL_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 20.0


class Asker:
    """Asks one hub over one connection that is kept; a new one when the hub has gone."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_SECONDS_MAX)

    def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a method; raises OSError, http.client.HTTPException or RuntimeError."""
        message = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        try:
            self._connection.request("POST", "/rpc", message, self._headers)
            answer = orjson.loads(self._connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if "result" not in answer:
            raise RuntimeError(f"{method}: {answer}")
        result: dict[str, Any] = answer["result"]
        return result


@dataclass(slots=True)
class HubProcess:
    """One hub on its port; it can be killed and started again."""

    name: str
    folder: Path
    port: int
    peer_ports: list[int]
    process: psutil.Popen | None = None
    started_at: float = 0.0

    def start(self) -> float:
        """Start it, and wait until it is ready; returns how many seconds that took."""
        self.launch()
        wait_until(lambda: answers(self.port, "/readyz") or self._has_ended(), POLL_SECONDS)
        if self._has_ended():
            raise TimeoutError(f"{self.name} ended at its start; see what it printed above")
        return time.monotonic() - self.started_at

    def launch(self) -> None:
        """Start it."""
        peers = ",".join(f"127.0.0.1:{port}" for port in self.peer_ports)
        command = [
            *(sys.executable, "-m", "shared.main", "hub", "run", "--hub-id", self.name),
            *("--data", str(self.folder), "--port", str(self.port)),
            *(("--peers", peers) if peers else ()),
        ]
        self.started_at = time.monotonic()
        self.process = psutil.Popen(command, stdout=subprocess.DEVNULL)

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> float:
        """SIGKILL; returns when that was."""
        assert self.process is not None
        at = time.monotonic()
        self.process.kill()
        self.process.wait(STOP_SECONDS_MAX)
        return at

    def stop(self) -> None:
        """Stop it in order, if it runs."""
        if not self._has_ended():
            assert self.process is not None
            self.process.terminate()
            self.process.wait(STOP_SECONDS_MAX)

    def asker(self) -> Asker:
        """A connection for questions."""
        return Asker(self.port, (self.folder / "admin.token").read_text().strip())

    def cpu_seconds(self) -> float:
        """The processor time of its main process so far."""
        assert self.process is not None
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss_mb(self) -> float:
        """The memory of its main process, which is the one that knows the nodes."""
        assert self.process is not None
        return float(self.process.memory_info().rss) / 1e6


@dataclass(slots=True)
class Fleet:
    """Simulated edges in a process of their own."""

    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, order: Order) -> "Fleet":
        """Begin to beat."""
        command = [sys.executable, "-m", "shared.benchmarks.mesh_beats"]
        command.append(msgspec.json.encode(order).decode())
        pipe = subprocess.PIPE
        return cls(subprocess.Popen(command, stdin=pipe, stdout=pipe))

    def _say(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(words.encode() + b"\n")
        self.process.stdin.flush()

    def _next_with(self, key: str) -> dict[str, Any]:
        """The next of its lines that has a key; raises RuntimeError when it ends before that."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told: dict[str, Any] = orjson.loads(line)
            if key in told:
                return told
        raise RuntimeError("the simulated edges ended early; see what they printed above")

    def wait_until_heard(self) -> None:
        """Wait until every hub has answered every node once."""
        self._next_with("ready")

    def let_die(self, nodes: list[int]) -> dict[int, float]:
        """Let nodes die; returns when each of them sent its last beat (monotonic seconds)."""
        self._say("quiet " + " ".join(map(str, nodes)))
        told = self._next_with("last_beat_at")["last_beat_at"]
        return {int(node): at for node, at in told.items()}

    def count(self) -> dict[str, float]:
        """The sums so far."""
        self._say("count")
        return self._next_with("answered")

    def finish(self) -> dict[str, float]:
        """The sums of a fleet that ends by itself."""
        return self._next_with("seconds")

    def stop(self) -> None:
        """End it."""
        with suppress(BrokenPipeError):  # It has ended by itself.
            self._say("stop")
        self.process.communicate(timeout=60)


@dataclass(slots=True)
class MeshStage:
    """The hubs of a mesh, and the wires between them if there are any."""

    hubs: list[HubProcess]
    wires: Wires | None = None
    fleets: list[Fleet] = field(default_factory=list)

    @property
    def ports(self) -> list[int]:
        """Where edges find the hubs."""
        return [hub.port for hub in self.hubs]

    def start_fleet(self, nodes: int) -> Fleet:
        """Edges that beat to all hubs at the pace these ask for, each heard everywhere by now."""
        fleet = Fleet.start(Order(self.ports, CLUSTER_KEY, nodes, "paced"))
        self.fleets.append(fleet)
        fleet.wait_until_heard()
        return fleet

    def close(self) -> None:
        """End everything."""
        for fleet in self.fleets:
            fleet.stop()
        for hub in self.hubs:
            hub.stop()
        if self.wires is not None:
            self.wires.stop()


@contextmanager
def mesh_staged(folder: Path, count: int, *, is_wired: bool = False) -> Iterator[MeshStage]:
    """Some running hubs that know and like each other, ended with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cluster.key").write_text(CLUSTER_KEY + "\n")
    ports = {f"hub-{number}": free_port() for number in range(1, count + 1)}
    wires = Wires(ports) if is_wired else None
    if wires is not None:
        wires.start()

    def peers_of(name: str) -> list[int]:
        return wires.ports_from(name) if wires else [ports[each] for each in ports if each != name]

    hubs = [HubProcess(name, folder / name, port, peers_of(name)) for name, port in ports.items()]
    stage = MeshStage(hubs, wires)
    try:
        for hub in hubs:
            hub.start()
        wait_until_one(stage)
        yield stage
    finally:
        stage.close()


def wait_until_one(stage: MeshStage) -> float:
    """Wait until every hub calls every other alive; returns when that was so."""
    askers = [hub.asker() for hub in stage.hubs]
    wanted = len(stage.hubs) - 1

    def is_one() -> bool:
        return all(list(peer_states(ask).values()) == ["alive"] * wanted for ask in askers)

    wait_until(is_one, POLL_SECONDS)
    return time.monotonic()


def peer_states(ask: Callable[..., dict[str, Any]]) -> dict[str, str]:
    """What a hub says of its peers."""
    items = ask("hub.list")["items"]
    return {item["hub_id"]: item["state"] for item in items if item["state"] != "self"}
