"""Three hubs that many nodes beat to: how soon all show a change, a dead node, and a dead hub."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles
from typing import Any

from shared.benchmarks.mesh_beats import node_name
from shared.benchmarks.mesh_stage import (
    POLL_SECONDS,
    Asker,
    Fleet,
    HubProcess,
    MeshStage,
    mesh_staged,
    peer_states,
    wait_until_one,
)
from shared.benchmarks.stage import Figures, wait_until

HUBS = 3
DEAD_NODES = 5
NODE_POLL_SECONDS = 0.05
KILL_EVERY_SECONDS = 4.0
REST_SECONDS_MAX = 6.0
"""Hubs that met just now say nothing of each other yet."""

WARM_SECONDS_MAX, WARM_SECONDS_EACH = 45.0, 9.0
"""A hub that has just started asks for fewer beats, and for half a minute silence proves nothing."""

CALM_SECONDS_MAX, CALM_SECONDS_EACH = 120.0, 12.0
CALM_INTERVAL_SECONDS = 5.5
"""While a fleet comes, hubs that are late with everything ask for fewer beats, and soon for more."""

MISS_SECONDS_MAX = 300.0
"""Longer than a node may be silent when hubs that cannot follow ask for a beat a minute."""

Tell = Callable[[str], None]


def agree(folder: Path, seconds: float, tell: Tell, nodes: int) -> Figures:
    """All of it, with the nodes beating all the time."""
    tell(f"{HUBS} hubs, {nodes} nodes that beat to all of them")
    with mesh_staged(folder, HUBS) as stage:
        fleet = stage.start_fleet(nodes)
        _wait_until_calm(fleet, seconds)
        figures = _see_changes(stage, seconds, tell, nodes)
        figures |= _miss_nodes(stage, fleet, tell, nodes)
        figures |= _miss_hubs(stage, seconds, tell)
        sums = fleet.count()
    return {
        **figures,
        "heartbeat_answer_p99_ms": round(sums["p99_ms"], 2),
    }


def _wait_until_calm(fleet: Fleet, seconds: float) -> None:
    """Until the hubs ask for beats as often as they would for ever, or cannot get there."""
    time.sleep(min(seconds * WARM_SECONDS_EACH, WARM_SECONDS_MAX))
    until = time.monotonic() + min(seconds * CALM_SECONDS_EACH, CALM_SECONDS_MAX)
    while fleet.count()["interval_seconds"] > CALM_INTERVAL_SECONDS:
        if time.monotonic() > until:
            return
        time.sleep(1.0)


def p99(values: list[float]) -> float:
    """The 99th percentile, which among few values is the largest one."""
    if len(values) < 100:
        return max(values)
    return quantiles(values, n=100, method="inclusive")[98]


# ---- changes


def _see_changes(stage: MeshStage, seconds: float, tell: Tell, nodes: int) -> Figures:
    """Label one node after the other, on each hub in turn, and look until all hubs show it."""
    tell(f"changes, one after the other, {seconds:g} s")
    askers = [hub.asker() for hub in stage.hubs]
    took: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or not took:
        number = len(took)
        node, labels = node_name(number * 7 % nodes), {"turn": str(number)}
        began = time.monotonic()
        askers[number % HUBS]("node.label", node=node, labels=labels)
        waiting = [ask for at, ask in enumerate(askers) if at != number % HUBS]
        while waiting:
            waiting = [ask for ask in waiting if ask("node.get", node=node)["labels"] != labels]
        took.append(time.monotonic() - began)
        time.sleep(POLL_SECONDS)
    return {
        "change_visible_p50_ms": round(sorted(took)[len(took) // 2] * 1000, 1),
        "change_visible_p99_ms": round(p99(took) * 1000, 1),
        "changes": len(took),
    }


# ---- nodes


def _miss_nodes(stage: MeshStage, fleet: Fleet, tell: Tell, nodes: int) -> Figures:
    """Let some nodes die, and look when the last hub calls the last of them offline."""
    tell(f"{DEAD_NODES} of {nodes} nodes die")
    dead = [1 + number * (nodes - 1) // DEAD_NODES for number in range(DEAD_NODES)]
    interval_seconds = fleet.count()["interval_seconds"]
    last_beat_at = fleet.let_die(dead)
    open_ = [(ask, node) for ask in (hub.asker() for hub in stage.hubs) for node in dead]
    took: list[float] = []

    def look() -> bool:
        for ask, node in list(open_):
            if ask("node.get", node=node_name(node))["state"] == "offline":
                took.append(time.monotonic() - last_beat_at[node])
                open_.remove((ask, node))
        return not open_

    until = time.monotonic() + MISS_SECONDS_MAX
    while not look():
        if time.monotonic() > until:
            raise TimeoutError(f"{len(open_)} verdicts on dead nodes are still missing")
        time.sleep(NODE_POLL_SECONDS)
    return {
        "dead_node_reported_s": round(max(took), 2),
        "heartbeat_interval_s": round(interval_seconds, 2),
    }


# ---- hubs


def _miss_hubs(stage: MeshStage, seconds: float, tell: Tell) -> Figures:
    """Kill one hub after the other; when do the others avoid it, and when do they call it dead?"""
    rounds = max(1, round(seconds / KILL_EVERY_SECONDS))
    avoided: list[float] = []
    dead: list[float] = []
    for number in range(rounds):
        tell(f"SIGKILL to a hub, {number + 1} of {rounds}")
        wait_until_one(stage)
        time.sleep(min(seconds, REST_SECONDS_MAX) + 0.137 * number)
        victim = stage.hubs[number % HUBS]
        for first, last in _watch_death(victim, stage.hubs):
            avoided.append(first)
            dead.append(last)
        victim.start()
    return {
        "route_around_p99_ms": round(p99(avoided) * 1000, 1),
        "declared_dead_max_s": round(max(dead), 2),
        "hubs_killed": rounds,
    }


def _watch_death(victim: HubProcess, hubs: list[HubProcess]) -> list[tuple[float, float]]:
    """Kill it; for each other hub, after how long it was alive no more, and after how long dead."""
    askers = [hub.asker() for hub in hubs if hub is not victim]
    with ThreadPoolExecutor(len(askers)) as pool:
        killed_at = victim.kill()
        return list(pool.map(lambda ask: _death_seen_by(ask, victim.name, killed_at), askers))


def _death_seen_by(ask: Asker, victim: str, killed_at: float) -> tuple[float, float]:
    moments: dict[str, float] = {}

    def look() -> bool:
        state = _state_of(ask, victim)
        if state != "alive":
            moments.setdefault("first", time.monotonic() - killed_at)
        if state == "dead":
            moments["dead"] = time.monotonic() - killed_at
        return "dead" in moments

    wait_until(look, POLL_SECONDS)
    return moments["first"], moments["dead"]


def _state_of(ask: Callable[..., dict[str, Any]], hub: str) -> str:
    return peer_states(ask).get(hub, "unknown")
