"""Duties have one hub each, everywhere the same; they move and go back at a pace."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from edge.preference import Candidate, Preference
from hub.nodes.adoption import SCAN_MAX, Adoption, duty_of
from shared.errors import BadInput

HUBS = ("hub-1", "hub-2", "hub-3")
NODES = [f"edge-{number}" for number in range(10_000)]


class Story:
    """One hub's book of duties, and what it told."""

    def __init__(self, nodes: list[str]) -> None:
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.book = Adoption("hub-1", lambda name, facts: self.told.append((name, facts)))
        self.book.stand(HUBS, 0.0)
        for node in nodes:
            self.book.add(node)

    def settle(self, now: float) -> list[int]:
        """Step each second until nothing moves; how many moved in each."""
        counts = []
        while not self.book.is_settled:
            counts.append(len(self.book.step(now)))
            now += 1.0
        return counts

    def loads(self) -> Counter[str]:
        return Counter(self.book.holder(node) for node in NODES)


def test_duties_are_balanced() -> None:
    loads = Counter(duty_of(node, HUBS) for node in NODES)
    assert max(loads.values()) / min(loads.values()) <= 1.25


@pytest.mark.parametrize("hubs", range(2, 8))
def test_duties_stay_balanced_when_a_hub_is_gone(hubs: int) -> None:
    names = [f"10.0.0.{number}" for number in range(hubs)]
    loads = Counter(duty_of(node, names[1:]) for node in NODES)
    assert max(loads.values()) / min(loads.values()) <= 1.25


def test_a_duty_does_not_depend_on_the_order_of_hubs() -> None:
    assert all(duty_of(node, HUBS) == duty_of(node, HUBS[::-1]) for node in NODES[:100])


def test_only_the_duties_of_the_hub_that_is_gone_move() -> None:
    for node in NODES[:1_000]:
        if duty_of(node, HUBS) != "hub-3":
            assert duty_of(node, HUBS[:2]) == duty_of(node, HUBS)


def test_without_hubs_there_is_no_duty() -> None:
    with pytest.raises(BadInput):
        duty_of("edge-1", [])


def test_an_edge_and_a_hub_weigh_alike() -> None:
    """Otherwise hubs would send home edges that think they are there."""
    candidates = [Candidate(hub, True, True, True, True) for hub in HUBS]
    for node in NODES[:50]:
        assert Preference(node).order(candidates)[0].name == duty_of(node, HUBS)


def test_the_duties_of_a_dead_hub_move_to_the_others_and_back_at_a_pace() -> None:
    story = Story(NODES)
    before = story.loads()
    story.book.stand(HUBS[:2], 100.0)
    counts = story.settle(100.0)
    assert sum(counts) == before["hub-3"]
    assert max(sum(counts[start : start + 10]) for start in range(len(counts))) <= 500
    assert set(story.loads()) == {"hub-1", "hub-2"}
    story.book.stand(HUBS, 500.0)
    counts = story.settle(500.0)
    assert max(sum(counts[start : start + 10]) for start in range(len(counts))) <= 500
    assert story.loads() == before


def test_moves_are_told_once_for_each_pair_of_hubs() -> None:
    story = Story(NODES[:1_000])
    lost = Counter(duty_of(node, HUBS) for node in NODES[:1_000])["hub-3"]
    story.book.stand(HUBS[:2], 10.0)
    story.settle(10.0)
    assert story.told[0] == ("adoption.begin", {"lost": "hub-3", "back": "", "names": 1_000})
    ends = [facts for name, facts in story.told if name == "adoption.end"]
    assert [(facts["from"], facts["to"]) for facts in ends] == [
        ("hub-3", "hub-1"),
        ("hub-3", "hub-2"),
    ]
    assert sum(facts["names"] for facts in ends) == lost


def test_where_no_duty_moves_nothing_is_told() -> None:
    """What begins also ends: a death that changes nothing for anybody is told as such elsewhere."""
    mine = [node for node in NODES if duty_of(node, HUBS) == "hub-1"][:5]
    story = Story(mine)
    story.book.stand(HUBS[:2], 10.0)
    story.settle(10.0)
    story.book.stand(HUBS, 20.0)
    story.settle(20.0)
    assert story.told == []


def test_the_same_hubs_again_are_no_news() -> None:
    story = Story(NODES[:10])
    story.book.stand(reversed(HUBS), 10.0)
    story.book.stand([], 11.0)
    assert (story.told, story.book.is_settled) == ([], True)


def test_a_hub_that_returns_half_way_gets_back_only_what_had_moved() -> None:
    story = Story(NODES)
    before = story.loads()
    story.book.stand(HUBS[:2], 10.0)
    moved = len(story.book.step(10.0))
    story.book.stand(HUBS, 30.0)
    assert sum(story.settle(30.0)) == moved == 500
    assert story.loads() == before


def test_two_deaths_in_a_row_leave_everything_with_the_last() -> None:
    story = Story(NODES[:1_000])
    story.book.stand(HUBS[:2], 10.0)
    story.book.step(10.0)
    story.book.stand(["hub-1"], 11.0)
    story.settle(11.0)
    assert all(story.book.is_mine(node) for node in NODES[:1_000])


def test_a_removed_name_moves_no_more_and_a_new_one_is_where_it_belongs() -> None:
    story = Story(["edge-1"])
    story.book.stand(["hub-2"], 10.0)
    story.book.drop("edge-1")
    assert story.settle(10.0) == [0]
    assert story.book.holder("edge-2") == "hub-2"


def test_a_step_weighs_a_bounded_number_of_names() -> None:
    story = Story([f"edge-{number}" for number in range(SCAN_MAX + 1)])
    story.book.budget.share = 1.0
    story.book.stand(HUBS[:2], 10.0)
    story.book.step(10.0)
    assert not story.book.is_settled
    story.book.step(11.0)
    assert story.book.is_settled
