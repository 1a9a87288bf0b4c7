"""Seeds of the simulation: every law holds in every storm, and a seed always tells the same story."""

import pytest

from tests.sim.run import simulate
from tests.sim.scenario import Plan


@pytest.mark.parametrize("seed", range(1, 11))
def test_two_hubs_and_twenty_edges_keep_every_promise(seed: int) -> None:
    """Requests, answers and links are lost, hubs and edges crash: in the end both hubs hold exactly all."""
    report = simulate(seed)
    assert report.ok, report.to_text()
    for fault in ("request lost", "reply lost", "repeated", "timeout"):
        assert report.counts[fault] > 0, f"the network never did: {fault}"


@pytest.mark.parametrize("hubs", [1, 3])
def test_other_numbers_of_hubs_keep_the_same_promises(hubs: int) -> None:
    report = simulate(50 + hubs, Plan(hubs=hubs, edges=6))
    assert report.ok, report.to_text()


def test_a_seed_tells_the_same_story_every_time() -> None:
    plan = Plan(edges=5)
    assert simulate(7, plan).digest == simulate(7, plan).digest
    assert simulate(7, plan).digest != simulate(8, plan).digest
