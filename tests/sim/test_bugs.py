"""The laws are worth something: each deliberate bug in the real code breaks one of them."""

from collections.abc import Callable
from itertools import islice

import pytest

from tests.sim.bugs import BUGS
from tests.sim.machines import luck
from tests.sim.mesh_plan import MeshPlan, draw
from tests.sim.run import simulate_mesh
from tests.sim.test_mesh import SEEDS

FOUND_BY = {
    "ack-before-commit": 21,
    "beat-overwrites-intent": 3,
    "clock-goes-back": 2,
    "fence-ignored": 5,
    "later-arrival-wins": 2,
    "gap-counts-as-had": 2,
    "lease-not-honoured": 451,
    "never-asks": 2,
    "one-copy-is-safe": 72,
    "own-silence-is-enough": 35,
    "received-not-noted": 2,
    "stamps-not-ahead": 48,
    "tombstone-dropped": 1,
    "vote-not-saved": 11,
}
"""A seed that finds each; `make sim N=500 BUG=name` looks for others when stories have changed."""

TRIES_MAX = 25
"""Seeds that are tried when the known one tells another story, as it does after changes of the code."""


def _of_hubs(plan: MeshPlan) -> set[str]:
    return {each.kind for each in plan.mishaps if each.name in plan.hub_names}


def _isolates_a_hub(plan: MeshPlan) -> bool:
    others = set(plan.hub_names)
    cuts = [each for each in plan.mishaps if each.kind in ("part", "silence")]
    return plan.hubs == 3 and any(
        each.for_seconds > 2 and len(others & set(each.others)) == 2 for each in cuts
    )


def _any_will_do(plan: MeshPlan) -> bool:
    return True


LIKELY: dict[str, Callable[[MeshPlan], bool]] = {
    "ack-before-commit": lambda plan: bool(_of_hubs(plan) & {"crash", "power", "battery"}),
    "clock-goes-back": lambda plan: "step" in _of_hubs(plan),
    "fence-ignored": lambda plan: plan.leader == "quorum",
    "lease-not-honoured": lambda plan: plan.leader == "quorum" and _isolates_a_hub(plan),
    "one-copy-is-safe": lambda plan: bool(_of_hubs(plan) & {"lose", "restore"}),
    "own-silence-is-enough": lambda plan: (
        plan.storm_seconds > 10 and bool(_of_hubs(plan) & {"part", "silence"})
    ),
    "stamps-not-ahead": lambda plan: "battery" in _of_hubs(plan),
    "tombstone-dropped": lambda plan: plan.removes,
    "vote-not-saved": lambda plan: (
        plan.leader == "quorum" and bool(_of_hubs(plan) & {"crash", "power", "battery"})
    ),
}
"""Which storms a bug needs to show itself; the others show themselves in any."""


def seeds_for(name: str) -> list[int]:
    """The seed that is known to find a bug, then others in whose storms it may show itself."""
    is_likely = LIKELY.get(name, _any_will_do)
    likely = (seed for seed in range(1, SEEDS + 1) if is_likely(draw(luck(seed, "plan"))))
    return [FOUND_BY[name], *islice(likely, TRIES_MAX)]


def test_there_are_ten_bugs_and_a_seed_for_each() -> None:
    assert FOUND_BY.keys() == BUGS.keys()
    assert len(BUGS) >= 10


@pytest.mark.parametrize("name", sorted(FOUND_BY))
@pytest.mark.timeout(600)
def test_a_planted_bug_is_found(name: str) -> None:
    """By a seed of every day, which without the bug keeps every law (tests.sim.test_mesh)."""
    assert any(not simulate_mesh(seed, BUGS[name]).ok for seed in seeds_for(name)), "not found"
