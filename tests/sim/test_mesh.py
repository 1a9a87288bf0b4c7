"""Five hundred small meshes in storms: every law holds in each, and every fault has really happened.

`make sim SEED=1 N=100000` plays more of them.
"""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.sim.machines import luck
from tests.sim.mesh_plan import MeshPlan, draw
from tests.sim.run import simulate_mesh

SEEDS = 500
BATCH = 20

ALWAYS = (
    *("request lost", "reply lost", "repeated", "reordered", "timeout", "link cut", "clock drift"),
    *("intent acked", "setting acked", "leader steps", "fenced writes", "node.remove", "kept"),
)
"""What happens in every batch of seeds, or the storm is none."""

KINDS = (
    *("crash", "power", "battery", "lose", "restore", "restart", "slow", "freeze", "part"),
    *("silence", "step"),
)
"""Everything that can go wrong with a machine."""


@pytest.mark.parametrize("first", range(1, SEEDS + 1, BATCH))
@pytest.mark.timeout(
    600
)  # Twenty seeds are some twelve seconds on a machine that does nothing else.
def test_every_law_holds_in_every_storm(first: int) -> None:
    """Twenty seeds; a failure names its seed, and `make sim SEED=n` shows the same again."""
    counts: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        report = simulate_mesh(seed)
        assert report.ok, report.to_text()
        counts.update(report.counts)
    missing = [fault for fault in ALWAYS if not counts[fault]]
    assert not missing, f"seeds {first} to {first + BATCH - 1} never met {missing}"


def test_the_seeds_know_every_mishap() -> None:
    """Each kind of mishap is planned for hubs at least ten times in the seeds of every day."""
    plans = [draw(luck(seed, "plan")) for seed in range(1, SEEDS + 1)]
    drawn = Counter(
        mishap.kind for plan in plans for mishap in plan.mishaps if mishap.name in plan.hub_names
    )
    assert {kind: drawn[kind] for kind in KINDS if drawn[kind] < 10} == {}
    assert sum(plan.leader == "quorum" for plan in plans) > SEEDS / 2
    assert sum(plan.removes for plan in plans) > SEEDS / 3
    assert sum(plan.leader == "quorum" and _loses_a_disk(plan) for plan in plans) > SEEDS / 20


def _loses_a_disk(plan: MeshPlan) -> bool:
    """Whether a hub comes back without what it held, and with that without its vote."""
    return any(mishap.kind in ("lose", "restore") for mishap in plan.mishaps)


@pytest.mark.parametrize(
    ("kind", "effects"),
    [
        ("power", ("power cut", "torn writes", "writes lost")),
        ("battery", ("clock set back",)),
        ("lose", ("disk lost",)),
        ("restore", ("restored",)),
        ("restart", ("stop", "hold")),
        ("slow", ("slow disk", "slow commit")),
        ("freeze", ("freeze",)),
        ("part", ("partition", "no way")),
        ("silence", ("one-way partition", "no way")),
        ("step", ("clock step",)),
    ],
)
def test_a_mishap_that_is_planned_happens(kind: str, effects: tuple[str, ...]) -> None:
    """The first seed that plans it for a hub counts what it does."""
    seed = next(seed for seed in range(1, SEEDS + 1) if kind in _kinds_for_hubs(seed))
    counts = simulate_mesh(seed).counts
    assert [effect for effect in effects if not counts.get(effect)] == [], f"seed {seed}"


def _kinds_for_hubs(seed: int) -> set[str]:
    plan = draw(luck(seed, "plan"))
    return {mishap.kind for mishap in plan.mishaps if mishap.name in plan.hub_names}


def test_a_seed_tells_the_same_story_every_time() -> None:
    first = simulate_mesh(7)
    assert simulate_mesh(7).digest == first.digest
    assert simulate_mesh(8).digest != first.digest


def test_another_process_tells_the_same_story() -> None:
    """Texts have other hashes there, and so sets of them another order: nothing may go by it."""
    told = {_story_with_hash_seed("12", number) for number in ("1", "3")}
    assert len(told) == 1


def _story_with_hash_seed(seed: str, number: str) -> str:
    words = [sys.executable, "-m", "tests.sim", seed]
    environment = {**os.environ, "PYTHONHASHSEED": number}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.partition("digest ")[2].split()[0]
