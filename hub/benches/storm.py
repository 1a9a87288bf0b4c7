"""False deaths in bad weather, and how many deaths and cuts of hubs go, in virtual time.

Run as a process: `python -m hub.benches.storm SECONDS`. It prints one JSON object.
"""

import sys
from random import Random

import orjson

from hub.benches.storm_net import is_open
from hub.benches.storm_world import StormWorld

HUBS = 3
LOSS = 0.2
KILLS_EACH_SECOND = 1 / 12
CUTS_EACH_SECOND = 1 / 120
START_SECONDS = 12.0
DEAD_SECONDS_MAX = 30.0
CUT_SECONDS = 30.0
HEAL_SECONDS_MAX = 60.0
HEAL_STEP_SECONDS = 0.05
PERCENTILE = 0.99


def main(seconds: float) -> dict[str, float]:
    """All figures; more deaths and cuts are tried the longer the storm is."""
    kills = max(1, round(seconds * KILLS_EACH_SECOND))
    seen = [pair for seed in range(kills) for pair in _kill(seed)]
    avoided = sorted(first for first, _ in seen)
    cuts = max(1, round(seconds * CUTS_EACH_SECOND))
    return {
        "false_deaths": _weather(seconds),
        "storm_s": seconds,
        "sim_route_around_p99_ms": avoided[int(PERCENTILE * (len(avoided) - 1))] * 1000,
        "sim_declared_dead_max_s": max(dead for _, dead in seen),
        "sim_kills": kills,
        "sim_heal_max_s": max(_heal(seed) for seed in range(cuts)),
        "sim_cuts": cuts,
    }


def _weather(seconds: float) -> int:
    """How many hubs are declared dead while none is: loss each way, and pauses of some at a time."""
    world = StormWorld(HUBS, _luck(2), LOSS)
    world.pause_some(_luck(1))
    world.run(seconds)
    return len(world.deaths())


def _kill(seed: int) -> list[tuple[float, float]]:
    """For each hub that is left: after how long it avoids the killed one, and calls it dead."""
    world = StormWorld(HUBS, _luck(seed))
    world.run(START_SECONDS + _luck(seed).random())
    killed_at = world.now
    world.kill("hub-1")
    world.run(DEAD_SECONDS_MAX)
    left = [name for name in world.hosts if name != "hub-1"]
    return [
        (world.left_alive(name, "hub-1", killed_at), world.died(name, "hub-1", killed_at))
        for name in left
    ]


def _heal(seed: int) -> float:
    """After how long a mesh is one again that was cut until both sides called each other dead."""
    world = StormWorld(HUBS, _luck(seed))
    world.run(START_SECONDS + _luck(seed).random())
    world.cut = lambda start, end: "hub-1" in {start, end}
    world.run(CUT_SECONDS)
    healed_at, world.cut = world.now, is_open
    while not world.is_one():
        if world.now - healed_at > HEAL_SECONDS_MAX:
            raise TimeoutError(f"the mesh of seed {seed} does not heal")
        world.run(HEAL_STEP_SECONDS)
    return world.now - healed_at


def _luck(seed: int) -> Random:
    return Random(seed)  # noqa: S311  # The same weather at every run.


if __name__ == "__main__":
    sys.stdout.write(orjson.dumps(main(float(sys.argv[1]))).decode())
