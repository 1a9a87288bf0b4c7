"""Three hubs with wires between them: what they tell each other in quiet times, and how a cut heals."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.benchmarks.mesh_beats import node_name
from shared.benchmarks.mesh_links import Wires
from shared.benchmarks.mesh_stage import MeshStage, mesh_staged, peer_states
from shared.benchmarks.stage import Figures, wait_until

HUBS = 3
PAIRS = HUBS * (HUBS - 1) // 2
QUIET_SECONDS_EACH = 3.0
"""Of counting for each second that loads last: a minute from twenty seconds on."""

REST_SECONDS_MAX = 15.0
CUT_SECONDS_MORE_MAX, CUT_SECONDS_MORE_EACH = 5.0, 5.0
LOOK_SECONDS = 0.01
CHUNK_PATHS = frozenset(
    {"/peer/have", "/peer/vector", "/peer/chunks", "/peer/fates", "/peer/ledger"}
)
"""Where telemetry is copied: that is no gossip, and grows with what edges push."""

Tell = Callable[[str], None]


def wired(folder: Path, seconds: float, tell: Tell, nodes: int) -> Figures:
    """All of it, with the nodes beating all the time."""
    tell(f"{HUBS} hubs with wires between them, {nodes} nodes")
    with mesh_staged(folder, HUBS, is_wired=True) as stage:
        assert stage.wires is not None
        wait_until(lambda: _use_wires(stage, stage.wires))
        stage.start_fleet(nodes)
        time.sleep(min(seconds, REST_SECONDS_MAX))
        said = _listen(stage.wires, seconds, tell)
        return said | _cut_and_heal(stage, stage.wires, seconds, tell)


def _use_wires(stage: MeshStage, wires: Wires | None) -> bool:
    """Whether no hub knows another under an address that leads around its own wires."""
    assert wires is not None
    for hub in stage.hubs:
        peers = [item for item in hub.asker()("hub.list")["items"] if item["state"] != "self"]
        ports = sorted(int(peer["url"].rpartition(":")[2]) for peer in peers)
        if ports != sorted(wires.ports_from(hub.name)):
            return False
    return True


def _listen(wires: Wires, seconds: float, tell: Tell) -> Figures:
    window = seconds * QUIET_SECONDS_EACH
    tell(f"counting what they say, {window:g} s")
    before, began = wires.carried(), time.monotonic()
    time.sleep(window)
    said, took = wires.carried() - before, time.monotonic() - began
    chunks = sum(size for path, size in said.items() if path in CHUNK_PATHS)
    gossip = said.total() - chunks
    return {
        "gossip_bytes_per_s_pair": round(gossip / took / PAIRS),
        "chunk_bytes_per_s_pair": round(chunks / took / PAIRS),
        **{
            f"bytes_per_s_pair{path.replace('/', '_')}": round(size / took / PAIRS)
            for path, size in said.most_common()
            if path not in CHUNK_PATHS and path
        },
    }


def _cut_and_heal(stage: MeshStage, wires: Wires, seconds: float, tell: Tell) -> Figures:
    """Cut one hub off until it is dead for the others, change something on both sides, and heal."""
    lone, rest = stage.hubs[0], stage.hubs[1:]
    tell(f"cutting {lone.name} off")
    alone, others = lone.asker(), [hub.asker() for hub in rest]
    wires.cut_off(lone.name)
    wait_until(lambda: all(peer_states(ask).get(lone.name) == "dead" for ask in others))
    alone("node.label", node=node_name(0), labels={"side": "one"})
    others[0]("node.label", node=node_name(1), labels={"side": "many"})
    time.sleep(min(seconds * CUT_SECONDS_MORE_EACH, CUT_SECONDS_MORE_MAX))
    tell("healing")
    wires.heal(lone.name)
    healed_at = time.monotonic()
    askers = [alone, *others]
    wait_until(lambda: _is_one(askers), LOOK_SECONDS)
    return {"heal_s": round(time.monotonic() - healed_at, 2)}


def _is_one(askers: list[Any]) -> bool:
    """Whether all hubs call each other alive, and all have what was changed on both sides."""
    wanted = {node_name(0): {"side": "one"}, node_name(1): {"side": "many"}}
    return all(
        set(peer_states(ask).values()) == {"alive"}
        and all(ask("node.get", node=node)["labels"] == wanted[node] for node in wanted)
        for ask in askers
    )
