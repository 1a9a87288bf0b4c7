"""One hub with many nodes: beats that it takes in, its memory, its restart, and a full copy of it."""

import time
from collections.abc import Callable
from pathlib import Path

from shared.benchmarks.mesh_beats import FLOOD, ONCE, Order
from shared.benchmarks.mesh_stage import CLUSTER_KEY, Fleet, HubProcess, mesh_staged
from shared.benchmarks.stage import Figures, answers, free_port, wait_until

CONNECTIONS = 32
SETTLE_SECONDS = 2.5
LOOK_SECONDS = 0.02

Tell = Callable[[str], None]


def intake(folder: Path, seconds: float, tell: Tell, nodes: int) -> Figures:
    """Known nodes that beat as fast as one hub answers."""
    with mesh_staged(folder, 1) as stage:
        (hub,) = stage.hubs
        _beat(hub, nodes, ONCE)
        tell(f"beats of {nodes} nodes, as fast as a hub answers, {seconds:g} s")
        before = hub.cpu_seconds()
        told = _beat(hub, nodes, FLOOD, seconds, beats_before=1)
        used = hub.cpu_seconds() - before
    return {
        "heartbeats_per_s": round(told["answered"] / told["seconds"]),
        "heartbeat_cpu_us": round(used / told["answered"] * 1e6, 1),
        "heartbeat_flood_p99_ms": round(told["p99_ms"], 2),
        "heartbeats_refused": told["refused"],
    }


def _beat(
    hub: HubProcess, nodes: int, pace: str, seconds: float = 300.0, beats_before: int = 0
) -> dict[str, float]:
    order = Order(
        [hub.port], CLUSTER_KEY, nodes, pace, seconds, CONNECTIONS, beats_before=beats_before
    )
    return Fleet.start(order).finish()


def large(folder: Path, tell: Tell, nodes: int) -> Figures:
    """Ten times as many nodes, each heard once before and once after a restart; then a new peer."""
    with mesh_staged(folder, 1) as stage:
        (hub,) = stage.hubs
        tell(f"{nodes} nodes come to a hub")
        told = _beat(hub, nodes, ONCE)
        time.sleep(SETTLE_SECONDS)  # What it has just heard is saved within a second or two.
        filled_mb = hub.rss_mb()
        tell("restarting it")
        hub.stop()
        restart_seconds = hub.start()
        _beat(hub, nodes, ONCE, beats_before=1)
        time.sleep(SETTLE_SECONDS)
        rss_mb = max(filled_mb, hub.rss_mb())
        tell("a new hub copies all of it")
        resync_seconds = _resync(folder, hub, nodes)
    return {
        "nodes_large": nodes,
        "join_records_per_s": round(told["answered"] / told["seconds"]),
        "restart_100k_s": round(restart_seconds, 2),
        "rss_mb_100k": round(rss_mb, 1),
        "resync_100k_s": round(resync_seconds, 2),
    }


def _resync(folder: Path, hub: HubProcess, nodes: int) -> float:
    """From the start of the process of an empty hub until it has all records."""
    copy = HubProcess("hub-copy", folder / "hub-copy", free_port(), [hub.port])
    copy.launch()
    try:
        wait_until(lambda: answers(copy.port, "/livez"), LOOK_SECONDS)
        ask = copy.asker()

        def count() -> int:
            items = ask("hub.list")["items"]
            return int(next(item["nodes"] for item in items if item["state"] == "self"))

        wait_until(lambda: count() >= nodes, LOOK_SECONDS)
        return time.monotonic() - copy.started_at
    finally:
        copy.stop()
