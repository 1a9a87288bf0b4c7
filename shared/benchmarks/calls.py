"""The benchmark of calls on machines: what a hub adds to a call, how many it carries, and how soon
another hub takes over; how long lists and starts take."""

import http.client
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from shared.benchmarks.calls_edge import NODE, EdgeProcess, edge_of, has_qemu
from shared.benchmarks.calls_list import herd_of, read_page
from shared.benchmarks.mesh_stage import CLUSTER_KEY, Asker, HubProcess, MeshStage, mesh_staged
from shared.benchmarks.stage import Figures, run_process, wait_until

HUBS = 3
VM = "measured"
CALLS_EACH_SECOND = 200
CALLS_MIN = 100
BLOCK_CALLS = 20
"""Turns of the two ways: what else the machine does meets both alike."""

CONNECTIONS = 32
CALM_SECONDS = 1.0
"""Before a hub is killed, so that nothing of before counts."""

STARTS = 5
PAGES = 15
LOOK_SECONDS = 0.005
SHELL, TINY = "builtin:shell", "builtin:tiny"
TINY_BANNER = "headwater tiny ready"

Tell = Callable[[str], None]


def measure(seconds: float, tell: Tell, nodes: int = 100, machines: int = 100) -> Figures:
    """All of it; returns one flat object of figures."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="hw-bench-") as name:
        folder = Path(name)
        tell(f"{HUBS} hubs and an edge with machines")
        with (
            mesh_staged(folder / "m", HUBS) as stage,
            edge_of(folder / "e" / "edge", folder / "m" / "cluster.key", stage.ports) as edge,
        ):
            edge.create(VM, SHELL)
            wait_until(lambda: all(has_link(hub) for hub in stage.hubs))
            figures |= starts(edge, tell)
            figures |= overhead(stage.hubs[0], edge, seconds, tell)
            figures |= rate(stage.hubs[0], seconds, tell)
            figures |= failover(stage, tell)
        figures |= pages(folder / "l", nodes, machines, tell)
    return figures


def has_link(hub: HubProcess) -> bool:
    """Whether the edge has dialled this hub, so that it needs no other for a call."""
    items = hub.asker()("hub.list")["items"]
    return any(item["state"] == "self" and item["links"] == 1 for item in items)


def ask_live(ask: Asker) -> None:
    """Read the machine's record from its node, through a hub."""
    found = ask("vm.get", vm=VM, node=NODE, live=True)
    if found["freshness"] != "live":
        raise RuntimeError(f"not live: {found}")


def timed(call: Callable[[], object]) -> float:
    """The milliseconds that a call takes."""
    began = time.monotonic()
    call()
    return (time.monotonic() - began) * 1000


def percentile(values: list[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


def overhead(hub: HubProcess, edge: EdgeProcess, seconds: float, tell: Tell) -> Figures:
    """A read through the owning hub, and the same asked of the edge by its own socket, in turns."""
    count = max(CALLS_MIN, int(CALLS_EACH_SECOND * seconds))
    tell(f"{count} calls each way")
    ask = hub.asker()
    through: list[float] = []
    direct: list[float] = []
    for number in range(-BLOCK_CALLS, count):  # The first calls open connections.
        taken = timed(lambda: ask_live(ask)), timed(lambda: edge.ask("vm.get", vm=VM))
        if number >= 0:
            through.append(taken[0])
            direct.append(taken[1])
    through.sort()
    direct.sort()
    figures: Figures = {}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        by_hub, by_edge = percentile(through, share), percentile(direct, share)
        figures[f"call_overhead_{name}_ms"] = round(by_hub - by_edge, 2)
        figures[f"call_hub_{name}_ms"] = round(by_hub, 2)
        figures[f"call_edge_{name}_ms"] = round(by_edge, 2)
    return figures


def rate(hub: HubProcess, seconds: float, tell: Tell) -> Figures:
    """Reads that one hub takes to the edge and back, as many as it can."""
    tell(f"calls through one hub over {CONNECTIONS} connections, {seconds:g} s")
    token_file = hub.folder / "admin.token"
    words = (hub.port, token_file, NODE, VM, CONNECTIONS, seconds)
    said = run_process("shared.benchmarks.calls_load", *words, seconds=seconds)
    return {
        "calls_per_s": round(said["answered"] / said["seconds"]),
        "calls_failed": said["failed"],
    }


def failover(stage: MeshStage, tell: Tell) -> Figures:
    """Kill the hub that a client uses, again and again until one is left; the longest silence counts."""
    tell("killing the hub that is used")
    hubs, silences = list(stage.hubs), []
    while len(hubs) > 1:
        used, *hubs = hubs
        ask_live(used.asker())
        time.sleep(CALM_SECONDS)
        at = used.kill()
        answered = False
        while not answered:
            answered = any(is_answered(hub) for hub in (used, *hubs))
        silences.append(time.monotonic() - at)
    return {"failover_s": round(max(silences), 3)}


def is_answered(hub: HubProcess) -> bool:
    """Whether a new call through this hub reaches the node."""
    try:
        ask_live(hub.asker())
    except (OSError, http.client.HTTPException, RuntimeError):
        return False
    return True


def starts(edge: EdgeProcess, tell: Tell) -> Figures:
    """Medians: a sandbox until it is started, a VM until its guest has said that it is ready."""
    tell(f"starting {STARTS} machines of each kind")
    taken: list[float] = []
    for number in range(STARTS):
        name = f"shell-{number}"
        edge.create(name, SHELL)
        taken.append(timed(lambda name=name: edge.do("vm.start", vm=name)))  # type: ignore[misc]
        edge.do("vm.delete", vm=name, force=True)
    figures: Figures = {"sandbox_start_ms": round(sorted(taken)[STARTS // 2], 1)}
    if not has_qemu():
        tell("no QEMU here: apt-get install --no-install-recommends qemu-system-x86 qemu-utils")
        return {**figures, "tiny_start_ms": "no QEMU here"}
    return {**figures, "tiny_start_ms": round(tiny_starts(edge), 1)}


def tiny_starts(edge: EdgeProcess) -> float:
    """The median in milliseconds."""
    taken: list[float] = []
    for number in range(STARTS):
        name = f"tiny-{number}"
        edge.create(name, TINY)
        taken.append(timed(lambda name=name: start_to_banner(edge, name)))  # type: ignore[misc]
        edge.do("vm.delete", vm=name, force=True)
    return sorted(taken)[STARTS // 2]


def start_to_banner(edge: EdgeProcess, name: str) -> None:
    """Start a VM, and wait until its console shows that the guest is up."""
    edge.do("vm.start", vm=name)

    def is_up() -> bool:
        return TINY_BANNER in edge.ask("vm.console.log", vm=name)["data"]

    wait_until(is_up, LOOK_SECONDS)


def pages(folder: Path, nodes: int, machines: int, tell: Tell) -> Figures:
    """The first page of all VMs of many nodes that beat; the median."""
    tell(f"{nodes * machines} VMs on {nodes} simulated edges")
    with (
        mesh_staged(folder, 1) as stage,
        herd_of(stage.ports[0], CLUSTER_KEY, nodes, machines) as herd,
    ):
        (hub,) = stage.hubs
        ask, token = hub.asker(), (hub.folder / "admin.token").read_text().strip()
        total = nodes * machines
        wait_until(lambda: bool(herd.failure) or ask("vm.list", limit=1)["total"] == total)
        if herd.failure:
            raise RuntimeError(herd.failure)
        connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=30)
        taken = sorted(read_page(connection, token)[0] * 1000 for _ in range(PAGES))
        connection.close()
    return {
        "vms": total,
        "vm_list_first_page_ms": round(taken[PAGES // 2], 1),
        "vm_list_first_page_max_ms": round(taken[-1], 1),
    }
