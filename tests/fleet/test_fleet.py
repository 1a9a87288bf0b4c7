"""Seeds of the simulation: every one must keep every promise, and be repeatable."""

import os
from pathlib import Path

import pytest

from tests.fleet.scenario import Outcome, play

SEEDS = [int(seed) for seed in os.environ.get("SEEDS", "1 2 3 4 5 6 7 8").split()]


@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_edges_and_two_hubs_keep_every_promise(seed: int, short_folder: Path) -> None:
    """A third of requests and of answers is lost, a hub dies and returns: both hubs hold exactly all."""
    outcome = play(seed, short_folder)
    assert outcome.records > 1000
    for fault in ("request_lost", "reply_lost", "request_doubled", "dial_lost", "hub_killed"):
        assert outcome.happened[fault] > 0, f"the network never did {fault}"


def test_a_seed_tells_the_same_story_every_time(short_folder: Path) -> None:
    def told(name: str, seed: int) -> Outcome:
        folder = short_folder / name
        folder.mkdir()
        return play(seed, folder, edges=5)

    assert told("first", 11) == told("again", 11)
    assert told("other", 12).digest != told("third", 13).digest
