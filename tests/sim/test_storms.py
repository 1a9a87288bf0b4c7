"""Seeds of the simulation: every law holds in every storm, and a seed always tells the same story."""

import pytest

from tests.sim.machines import luck
from tests.sim.run import simulate
from tests.sim.scenario import Plan, mishaps

SEEDS = (7, 10, 20)
"""Few enough for every day, and between them everything that can go wrong. `make sim` has the rest."""


@pytest.mark.parametrize("seed", SEEDS)
def test_two_hubs_and_twenty_edges_keep_every_promise(seed: int) -> None:
    """Requests, answers and links are lost, hubs and edges crash: in the end both hubs hold exactly all."""
    report = simulate(seed)
    assert report.ok, report.to_text()
    assert report.counts["records"] > 1000
    for fault in ("request lost", "reply lost", "repeated", "timeout", "link cut", "buffer full"):
        assert report.counts[fault] > 0, f"the network never did: {fault}"
    assert report.counts["crash"] > 0
    assert report.counts["order answered"] == Plan().orders


@pytest.mark.parametrize("hubs", [1, 3])
def test_other_numbers_of_hubs_keep_the_same_promises(hubs: int) -> None:
    report = simulate(50 + hubs, Plan(hubs=hubs, edges=6))
    assert report.ok, report.to_text()


def test_a_seed_tells_the_same_story_every_time() -> None:
    plan = Plan(edges=5)
    first = simulate(7, plan)
    assert simulate(7, plan).digest == first.digest
    assert simulate(8, plan).digest != first.digest


def test_the_seeds_know_every_mishap() -> None:
    plan = Plan()
    drawn = [mishap for seed in SEEDS for mishap in mishaps(plan, luck(seed, "mishaps"))]
    of_hubs = {mishap.kind for mishap in drawn if mishap.name in plan.hub_names}
    assert of_hubs == {"crash", "restart", "lose", "full", "part"}
    of_edges = {mishap.kind for mishap in drawn if mishap.name in plan.edge_names}
    assert of_edges == {"crash", "restart", "full", "step"}
