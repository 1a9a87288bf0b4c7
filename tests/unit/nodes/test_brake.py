"""When a crowd vanishes at once, nobody is declared dead for a while; and only for a while."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hub.nodes.brake import Brake, ChangeBudget, Signs

CALM = Signs(nodes=1_000, missing=0, offline=0, hubs=3, hubs_gone=0, witnesses=0)
STORM = replace(CALM, missing=400)


class Teller:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Mapping[str, Any]]] = []

    def __call__(self, name: str, facts: Mapping[str, Any]) -> None:
        self.told.append((name, facts))

    def names(self) -> list[str]:
        return [name for name, _ in self.told]


@pytest.fixture
def tell() -> Teller:
    return Teller()


@pytest.mark.parametrize(
    ("signs", "is_braked"),
    [
        (CALM, False),
        (replace(CALM, missing=333), False),
        (replace(CALM, missing=334), True),
        (replace(CALM, nodes=3, missing=3), False),
        (replace(CALM, nodes=5, missing=4), False),
        (replace(CALM, nodes=5, missing=5), True),
        (replace(CALM, hubs_gone=1), False),
        (replace(CALM, hubs_gone=2), True),
        (replace(CALM, hubs=2, hubs_gone=1), True),
        (replace(CALM, hubs=1), False),
        (replace(CALM, nodes=0), False),
    ],
)
def test_a_brake_begins_with_over_a_third_of_the_nodes_or_half_of_the_hubs(
    tell: Teller, signs: Signs, is_braked: bool
) -> None:
    brake = Brake(tell)
    brake.tick(signs, 10.0)
    assert (brake.doubt is not None) == is_braked
    assert tell.names() == ["fleet.brake.begin"] * is_braked


def test_a_brake_has_a_reason_and_an_end(tell: Teller) -> None:
    brake = Brake(tell)
    brake.tick(STORM, 10.0)
    assert brake.doubt is not None
    assert brake.doubt.reason == "400 of 1000 nodes fell silent within a short time"
    assert brake.doubt.ends_at == 130.0
    assert tell.told[0][1] == {
        "reason": brake.doubt.reason,
        "nodes": 1_000,
        "missing": 400,
        "hubs_gone": 0,
        "hold_seconds": 120.0,
    }


def test_nodes_that_were_offline_for_long_are_no_crowd(tell: Teller) -> None:
    brake = Brake(tell)
    for second in range(200):
        brake.tick(replace(CALM, offline=600), float(second))
    brake.tick(replace(CALM, offline=600, missing=100), 200.0)
    assert brake.doubt is None
    brake.tick(replace(CALM, offline=600, missing=134), 201.0)
    assert brake.doubt is not None


def test_nodes_that_went_offline_one_after_the_other_count_together_within_the_window(
    tell: Teller,
) -> None:
    """Ten a second brake after 34 seconds; one a second never does."""
    quick, slow = Brake(tell), Brake(tell)
    braked_at: list[int] = []
    slow_at: list[int] = []
    for second in range(400):
        quick.tick(replace(CALM, offline=min(second * 10, 400)), float(second))
        slow.tick(replace(CALM, offline=second), float(second))
        braked_at += [second] * bool(quick.braked)
        slow_at += [second] * bool(slow.braked)
    assert (braked_at[0], slow_at) == (34, [])


def test_it_ends_when_they_come_back(tell: Teller) -> None:
    brake = Brake(tell)
    brake.tick(STORM, 10.0)
    brake.tick(replace(CALM, missing=200), 20.0)
    assert brake.doubt is not None
    brake.tick(replace(CALM, missing=150), 30.0)
    assert not brake.braked
    assert tell.told[1] == (
        "fleet.brake.end",
        {"why": "they came back", "seconds": 20.0, "missing": 150},
    )


def test_it_ends_when_other_hubs_have_heard_as_little_for_a_while(tell: Teller) -> None:
    brake = Brake(tell)
    for second in range(10, 60):
        brake.tick(replace(STORM, witnesses=1 if second >= 20 else 0), float(second))
        if not brake.doubt:
            break
    assert second == 50
    assert tell.told[1][1]["why"] == "other hubs do not hear them either"


def test_a_witness_that_goes_away_is_none(tell: Teller) -> None:
    brake = Brake(tell)
    for second in range(10, 129):
        brake.tick(replace(STORM, witnesses=int(second % 20 < 15)), float(second))
    assert brake.doubt is not None


def test_it_ends_at_its_deadline_and_not_again_for_the_same_silence(tell: Teller) -> None:
    brake = Brake(tell)
    for second in range(10, 1_000):
        brake.tick(STORM if second < 131 else replace(CALM, offline=400), float(second))
    assert tell.names() == ["fleet.brake.begin", "fleet.brake.end"]
    assert tell.told[1][1]["why"] == "its time is over"


def test_a_second_crowd_brakes_again(tell: Teller) -> None:
    brake = Brake(tell)
    for second in range(10, 300):
        brake.tick(STORM if second < 131 else replace(CALM, offline=400), float(second))
    brake.tick(replace(CALM, offline=400, missing=201), 300.0)
    assert brake.doubt is not None
    assert brake.doubt.reason.startswith("201 of 600")


def test_hubs_that_stay_away_do_not_brake_for_ever(tell: Teller) -> None:
    brake = Brake(tell)
    for second in range(10, 1_000):
        brake.tick(replace(CALM, hubs_gone=2), float(second))
    assert tell.names() == ["fleet.brake.begin", "fleet.brake.end"]


def test_a_person_can_end_it(tell: Teller) -> None:
    brake = Brake(tell)
    assert not brake.override("alice", CALM, 5.0)
    brake.tick(STORM, 10.0)
    assert brake.override("alice", STORM, 12.0)
    brake.tick(STORM, 13.0)
    assert brake.doubt is None
    assert tell.told[1][1] == {"why": "alice ended it", "seconds": 2.0, "missing": 400}


def test_a_person_who_ends_it_elsewhere_keeps_it_from_beginning_here_for_the_same_silence(
    tell: Teller,
) -> None:
    brake = Brake(tell)
    assert not brake.override("alice", STORM, 9.0)
    for second in range(10, 200):
        brake.tick(STORM if second < 20 else replace(CALM, offline=400), float(second))
    assert tell.told == []
    brake.tick(replace(CALM, offline=400, missing=201), 200.0)
    assert tell.names() == ["fleet.brake.begin"]


def test_the_list_of_what_went_offline_is_bounded(tell: Teller) -> None:
    brake = Brake(tell)
    for quarter in range(10_000):
        brake.tick(CALM, quarter / 4)
    assert len(brake._offline) <= 63


@pytest.mark.parametrize(("nodes", "allowed"), [(0, 50), (100, 50), (1_000, 50), (10_000, 500)])
def test_changes_are_limited_to_a_share_of_the_fleet(nodes: int, allowed: int) -> None:
    assert ChangeBudget().allowed(nodes, 0.0) == allowed


def test_a_budget_is_spent_and_comes_back_after_ten_seconds() -> None:
    budget = ChangeBudget()
    budget.spend(30, 0.0)
    budget.spend(20, 5.0)
    assert [budget.allowed(100, at) for at in (5.0, 9.9, 10.0, 15.0)] == [0, 0, 30, 50]
