"""Real hubs and edges on loopback, each its own process, that can be killed and started again."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from tests.ports import free_ports
from tests.system.starting import ROOT

CLUSTER_KEY = "the-cluster-key-of-these-tests"
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""What a process is given of the environment: no setting of the person who runs the tests."""

PAUSE_SECONDS, PAUSE_RATIO, PAUSE_SECONDS_MAX = 0.05, 0.1, 0.3
"""Who has waited for long looks less often: to be asked costs a hub more than anything else here."""

WAIT_SECONDS_MAX = 60.0
"""How long a busy machine may take for anything: only a failure ever waits so long."""

READY_SECONDS_MAX = WAIT_SECONDS_MAX
STOP_SECONDS_MAX = 20.0
LOG_CHARACTERS_SHOWN = 6000

Value = TypeVar("Value")


def eventually(
    look: Callable[[], Value],
    what: str,
    seconds_max: float = WAIT_SECONDS_MAX,
    *,
    last: Sequence[object] = (),
) -> Value:
    """The first true value that `look` gives; fails the test with the last one it gave."""
    began = time.monotonic()
    while not (found := look()):
        waited_seconds = time.monotonic() - began
        if waited_seconds > seconds_max:
            pytest.fail(f"waited {seconds_max} s in vain: {what} (at last: {last or found!r})")
        time.sleep(min(max(waited_seconds * PAUSE_RATIO, PAUSE_SECONDS), PAUSE_SECONDS_MAX))
    return found


class Answered(Exception):
    """A call that a hub answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.kind = error["data"]["kind"]


@dataclass
class Role:
    """One hub or edge: how it is started, where it lives, and its process while it has one."""

    name: str
    folder: Path
    words: tuple[str, ...]
    venv: str
    ready_url: str
    process: "subprocess.Popen[bytes] | None" = None
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20, trust_env=False))
    before: tuple[str, ...] = ()
    """The words of a program that becomes it, such as one that enters a network namespace."""

    environ: dict[str, str] = field(default_factory=dict)
    """What it is given besides KEPT_VARIABLES."""

    @property
    def log(self) -> Path:
        """All that the process has said, over all its lives."""
        return self.folder / "said"

    def start(self, *, wait: bool = True) -> None:
        """Start it, or start it again, and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(ROOT / "start.sh"), f"VENV={self.venv}", f"DATA={self.folder}", *self.words]
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(
                [*self.before, *command],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={**kept, **self.environ},
                start_new_session=True,
            )
        if wait:
            eventually(self.is_ready, f"{self.name} is ready", READY_SECONDS_MAX)

    def is_ready(self) -> bool:
        """Whether it answers; fails at once when the process has ended by itself."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended:\n{self.said()}"
        try:
            return self.client.get(self.ready_url).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing written."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(5)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(STOP_SECONDS_MAX)

    def end(self) -> None:
        """End it however it can be ended."""
        self.client.close()
        if self.process is None or self.process.poll() is not None:
            return
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()

    def said(self) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return self.log.read_text(errors="replace")[-LOG_CHARACTERS_SHOWN:]


@dataclass
class HubProcess(Role):
    """A hub, and what can be asked of it."""

    url: str = ""

    @property
    def database(self) -> Path:
        """Its SQLite file."""
        return self.folder / "hub" / "hub.db"

    def call(self, method: str, **params: Any) -> Any:
        """The result of a call; raises Answered, or httpx.TransportError when the hub is gone."""
        token = (self.folder / "hub" / "admin.token").read_text().strip()
        answer = self.client.post(
            f"{self.url}/rpc",
            json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
            headers={"authorization": f"Bearer {token}"},
        ).json()
        if "error" in answer:
            raise Answered(answer["error"])
        return answer["result"]

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a call, empty while the hub cannot answer it yet."""
        try:
            result: dict[str, Any] = self.call(method, **params)
        except Answered:
            return {}
        return result

    def children(self, module: str) -> list[psutil.Process]:
        """The processes of this module that it has started and that live."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in family if module in _words_of(each)]

    def holds_in_buffer(self, node: str) -> int:
        """How many records a node still keeps; -1 while the hub cannot reach it."""
        return int(self.ask("edge.buffer", node=node).get("records", -1))

    def node_ids(self) -> list[str]:
        """The nodes that it knows to be online."""
        nodes = self.call("node.list")["items"]
        return [node["node_id"] for node in nodes if node["state"] == "online"]

    def has_link_to(self, count: int) -> bool:
        """Whether so many edges have dialled this hub."""
        hubs = self.call("hub.list")["items"]
        return any(hub["state"] == "self" and hub["links"] == count for hub in hubs)

    def records(self, **query: Any) -> list[dict[str, Any]]:
        """All log records that a query finds, page by page."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.call("log.query", limit=1000, order="oldest", **query, **cursor)
            found += page["items"]
            if not page["cursor"]:
                return found
            cursor = {"cursor": page["cursor"]}


def _words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def each_shows(
    hubs: Sequence[HubProcess], look: Callable[[HubProcess], Value], wanted: Value
) -> None:
    """Wait until each hub shows what is wanted."""
    for hub in hubs:
        seen: list[Value] = []

        def shows(hub: HubProcess = hub, seen: list[Value] = seen) -> bool:
            seen[:] = [look(hub)]
            return seen == [wanted]

        eventually(shows, f"{hub.name} shows {wanted!r}", last=seen)


@dataclass
class EdgeProcess(Role):
    """An edge, and where programs send to it."""

    otlp_url: str = ""


@dataclass
class Fleet:
    """The hubs and edges of one test; `end` leaves nothing behind."""

    folder: Path
    venv: str
    roles: list[Role] = field(default_factory=list)

    def hub(self, name: str, *words: str, port: int = 0, start: bool = True) -> HubProcess:
        """Start a hub with these words of start.sh."""
        port = port or free_ports(1)[0]
        url = f"http://127.0.0.1:{port}"
        hub = HubProcess(
            name,
            self.folder / name,
            ("MODE=master", f"HUB_ID={name}", f"PORT={port}", f"CLUSTER_KEY={CLUSTER_KEY}", *words),
            self.venv,
            f"{url}/readyz",
            url=url,
        )
        self.roles.append(hub)
        if start:
            hub.start()
        return hub

    def hubs(self, count: int, *words: str, start: bool = True) -> list[HubProcess]:
        """Hubs of which each is told of all others, started side by side."""
        ports = free_ports(count)
        hubs = [
            self.hub(f"hub-{number}", _peers(ports, port), *words, port=port, start=False)
            for number, port in enumerate(ports, 1)
        ]
        if start:
            start_together(hubs)
        return hubs

    def two_hubs(self, *words: str) -> tuple[HubProcess, HubProcess]:
        """Two hubs of which each is told of the other, started side by side."""
        first, second = self.hubs(2, *words)
        return first, second

    def edge(
        self,
        name: str,
        hubs: Sequence[HubProcess],
        *words: str,
        folder: str = "",
        start: bool = True,
    ) -> EdgeProcess:
        """Start an edge that sends to these hubs. It does not measure this machine unless told so."""
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        masters = ",".join(hub.url.removeprefix("http://") for hub in hubs)
        settings = [f"NODE_ID={name}", f"MASTERS={masters}", f"OTLP_PORT={port}"]
        edge = EdgeProcess(
            name,
            self.folder / (folder or name),
            (
                "MODE=worker",
                *settings,
                f"CLUSTER_KEY={CLUSTER_KEY}",
                *(() if any("METRICS" in word for word in words) else ("HOST_METRICS_SECONDS=0",)),
                "VMS_ON_STOP=stop",
                *words,
            ),
            self.venv,
            f"{url}/livez",
            otlp_url=url,
        )
        self.roles.append(edge)
        if start:
            edge.start()
        return edge

    def settled(self, hubs: Sequence[HubProcess], *edges: EdgeProcess) -> None:
        """Wait until every hub has a link to every edge and calls all of them online."""
        names = sorted(edge.name for edge in edges)
        each_shows(hubs, HubProcess.node_ids, names)
        each_shows(hubs, lambda hub: hub.has_link_to(len(names)), True)

    def end(self) -> None:
        """End everything that was started here, and what it started in turn."""
        for role in reversed(self.roles):  # Edges first: they end their sandboxes.
            role.end()
        end_all_in(self.folder)

    def report(self) -> str:
        """What everybody said last."""
        return "\n".join(f"---- {role.name}\n{role.said()}" for role in self.roles)


def start_together(roles: Sequence[Role]) -> None:
    """Start them side by side, and wait until all are ready."""
    for role in roles:
        role.start(wait=False)
    for role in roles:
        eventually(role.is_ready, f"{role.name} is ready")


def _peers(ports: Sequence[int], mine: int) -> str:
    others = ",".join(f"127.0.0.1:{port}" for port in ports if port != mine)
    return f"PEER_MASTERS={others}"


def end_all_in(folder: Path) -> None:
    """End what still runs with this folder in its command line, such as sandboxes of a killed edge."""
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(5)
