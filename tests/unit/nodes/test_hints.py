"""Edges stay where they are until the hub they are with sends them home, at a pace."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec
import pytest

from edge.preference import START_SECONDS, Candidate, Preference
from hub.nodes.adoption import duty_of
from hub.nodes.hints import STAY, HintLimits, Hints, LoadSection
from shared.rendezvous import weight

HUBS = ("hub-1", "hub-2", "hub-3")
LATER = START_SECONDS + 1.0


def candidates(**changes: Candidate) -> list[Candidate]:
    """Three hubs that are well and give hints, but for the changes."""
    well = {hub: Candidate(hub, True, True, True, True) for hub in HUBS}
    return list((well | {name.replace("_", "-"): hub for name, hub in changes.items()}).values())


WELL = candidates()
HOME, SECOND, THIRD = sorted(HUBS, key=lambda hub: -weight("edge-1", hub))


def without(hub: str, *, is_back: bool = False, hints: bool = True) -> list[Candidate]:
    """The hubs while one of them has lapsed; `hints` says whether the others give any."""
    return [
        replace(view, is_ready=False, is_back=is_back, is_answering=False)
        if view.name == hub
        else replace(view, gives_hints=hints)
        for view in WELL
    ]


def names(order: list[Candidate]) -> list[str]:
    return [hub.name for hub in order]


def test_an_edge_begins_with_its_home_and_keeps_a_fixed_order() -> None:
    preference = Preference("edge-1", 0.0)
    assert names(preference.order(WELL)) == [HOME, SECOND, THIRD]
    assert (preference.chosen, preference.moves) == (HOME, 0)


def test_an_edge_walks_on_when_its_hub_lapses_and_stays_there() -> None:
    preference = Preference("edge-1", 0.0)
    preference.order(WELL)
    assert names(preference.order(without(HOME)))[0] == SECOND
    assert names(preference.order(WELL)) == [SECOND, HOME, THIRD]
    assert preference.moves == 1


def test_a_hub_that_is_only_busy_is_passed_over_and_not_left() -> None:
    preference = Preference("edge-1", 0.0)
    preference.order(WELL)
    busy = [replace(hub, is_ready=hub.name != HOME) for hub in WELL]
    assert names(preference.order(busy)) == [SECOND, THIRD, HOME]
    assert names(preference.order(WELL))[0] == preference.chosen == HOME


def test_with_a_hub_that_gives_no_hints_it_goes_back_by_itself() -> None:
    preference = Preference("edge-1", 0.0)
    preference.order(WELL)
    preference.order(without(HOME, hints=False))
    assert preference.chosen == SECOND
    old = [replace(hub, gives_hints=False) for hub in WELL]
    assert names(preference.order(old)) == [HOME, SECOND, THIRD]


def test_a_hub_that_just_answered_again_waits_for_its_place() -> None:
    preference = Preference("edge-1", 0.0)
    old = [replace(hub, gives_hints=False, is_back=hub.name != HOME) for hub in WELL]
    assert names(preference.order(old)) == [SECOND, THIRD, HOME]


def test_a_hint_of_its_own_hub_moves_it() -> None:
    preference = Preference("edge-1", 0.0)
    preference.order(without(HOME))
    assert preference.hinted(HOME, SECOND, WELL)
    assert names(preference.order(WELL))[0] == HOME


def test_a_hint_counts_before_the_hub_has_its_old_place_again() -> None:
    preference = Preference("edge-1", 0.0)
    preference.order(without(HOME))
    back = [replace(hub, is_back=hub.name != HOME) for hub in WELL]
    assert preference.hinted(HOME, SECOND, back)
    assert names(preference.order(back))[0] == HOME


@pytest.mark.parametrize(
    ("hint", "by"), [("", SECOND), (HOME, THIRD), (SECOND, SECOND), ("hub-9", SECOND)]
)
def test_other_hints_move_nobody(hint: str, by: str) -> None:
    """None at all, one of another hub, one to stay, and one to a hub that nobody knows."""
    preference = Preference("edge-1", 0.0)
    preference.order(without(HOME))
    assert not preference.hinted(hint, by, WELL)
    assert preference.chosen == SECOND


def test_a_hint_to_a_hub_that_does_not_answer_moves_nobody() -> None:
    preference = Preference("edge-1", 0.0)
    preference.order(without(HOME))
    assert not preference.hinted(HOME, SECOND, without(HOME))


def test_without_any_hub_that_is_ready_the_order_still_names_all() -> None:
    preference = Preference("edge-1", 0.0)
    preference.order(WELL)
    dark = [replace(hub, is_ready=False, is_back=False, is_answering=False) for hub in WELL]
    assert sorted(names(preference.order(dark))) == list(HUBS)
    assert (preference.chosen, preference.order([])) == (HOME, [])


def test_ids_that_come_early_choose_anew_and_later_ones_do_not() -> None:
    """A new hub is no reason for a third of the fleet to leap."""
    early, late = Preference("edge-1", 0.0), Preference("edge-1", 0.0)
    addresses = [replace(hub, name=f"http://{hub.name}:1") for hub in WELL]
    first = names(early.order(addresses))[0]
    late.order(addresses)
    early.named(first, first[7:-2], 1.0)
    late.named(first, first[7:-2], LATER)
    assert (early.chosen, late.chosen) == ("", first[7:-2])
    assert names(early.order(WELL))[0] == HOME
    late.named("http://hub-4:1", "hub-4", LATER)
    assert late.chosen == first[7:-2]


def hints_of(mine: int, others: int, **limits: float) -> Hints:
    """hub-1 with so many edges, beside two hubs with so many; all have stood long enough."""
    hints = Hints("hub-1", replace(HintLimits(), **limits))
    hints.stand(HUBS, 0.0)
    for number in range(mine):
        hints.pushed(f"edge-{number}", 100.0)
    for hub in HUBS[1:]:
        hints.take(LoadSection(others), hub, 100.0)
    hints.tick(100.0)
    return hints


@pytest.mark.parametrize(
    ("mine", "others", "per_second"),
    [
        (1_000, 1_000, 1.0),
        (3, 3, 0.5),
        (5_000, 2_500, 1_666.67 / 30),
        (1_250, 1_000, 3_250 * 0.02 / 60),
        (2_500, 5_000, 12_500 * 0.02 / 60),
        (50_000, 0, 100.0),
    ],
)
def test_the_pace_is_slow_unless_the_load_is_uneven(
    mine: int, others: int, per_second: float
) -> None:
    assert hints_of(mine, others).per_second == pytest.approx(per_second, abs=0.01)


def test_only_edges_with_this_hub_are_sent_and_only_home() -> None:
    hints = hints_of(5_000, 2_500)
    sent = [(n, hints.hint(f"edge-{n}", "hub-1", 101.0)) for n in range(200)]
    assert {hub for _, hub in sent} == {STAY, "hub-2", "hub-3"}
    assert all(hub in (STAY, duty_of(f"edge-{n}", HUBS)) for n, hub in sent)
    assert all(hints.hint(f"edge-{n}", "hub-2", 101.0) == STAY for n in range(5_000))
    assert hints.of_mine() == LoadSection(0)


def test_the_pace_is_kept() -> None:
    hints, given = hints_of(5_000, 2_500), 0
    for second in range(100, 110):
        for hub in HUBS[1:]:
            hints.take(LoadSection(2_500), hub, float(second))
        hints.tick(float(second))
        given += sum(
            hints.hint(f"edge-{n}", "hub-1", float(second)) != STAY
            for n in range((second - 100) * 500, (second - 99) * 500)
        )
    assert given == hints.given
    assert 10 * 55 <= given <= 11 * 56


def test_an_edge_that_does_not_follow_is_left_alone_for_a_while() -> None:
    hints = hints_of(50, 25, per_minute_min=6_000.0)
    away = next(f"edge-{n}" for n in range(50) if duty_of(f"edge-{n}", HUBS) != "hub-1")
    answers = []
    for second in range(100, 800, 100):
        hints.tick(float(second))
        answers.append(hints.hint(away, "hub-1", float(second)))
    home = duty_of(away, HUBS)
    assert answers == [home, STAY, STAY, STAY, home, STAY, STAY]


def test_nobody_is_sent_to_a_hub_that_is_back_for_a_moment() -> None:
    hints = hints_of(50, 25, per_minute_min=6_000.0)
    hints.stand(["hub-1"], 100.0)
    hints.stand(["hub-1", "hub-2"], 105.0)
    for second in (106.0, 114.0):
        hints.tick(second)
        assert {hints.hint(f"edge-{n}", "hub-1", second) for n in range(50)} == {STAY}
    hints.take(LoadSection(25), "hub-2", 116.0)
    hints.tick(116.0)
    assert {hints.hint(f"edge-{n}", "hub-1", 116.0) for n in range(50)} == {STAY, "hub-2"}


def test_a_hub_alone_sends_nobody() -> None:
    hints = Hints("hub-1")
    hints.stand(["hub-1"], 0.0)
    hints.pushed("edge-1", 100.0)
    hints.tick(100.0)
    assert (hints.per_second, hints.hint("edge-1", "hub-1", 100.0)) == (0.0, STAY)


def test_a_hub_that_is_about_to_leave_sends_all_its_edges() -> None:
    hints = hints_of(300, 300)
    hints.stand(HUBS[1:], 100.0)
    sent: Counter[str] = Counter()
    left = {f"edge-{n}" for n in range(300)}
    for second in range(100, 160):
        for hub in HUBS[1:]:
            hints.take(LoadSection(300), hub, float(second))
        hints.tick(float(second))
        for node in sorted(left):
            hub = hints.hint(node, "hub-1", float(second))
            if hub != STAY:
                hints.hint(node, hub, float(second))
                sent[hub] += 1
                left.discard(node)
    assert len(left) < 60
    assert set(sent) == {"hub-2", "hub-3"}


def test_edges_that_are_gone_count_no_more() -> None:
    hints = hints_of(10, 10)
    hints.pushed("edge-3", 200.0)
    hints.tick(281.0)
    assert hints.of_mine() == LoadSection(1)


def test_a_peer_that_tells_nonsense_is_not_read() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"edges":-1}', type=LoadSection)


@dataclass(slots=True)
class Fleet:
    """Edges and hubs in steps of a second: each edge beats to its own hub every five seconds."""

    edges: list[Preference]
    hubs: dict[str, Hints]
    down: str = ""

    def views(self) -> list[Candidate]:
        return without(self.down) if self.down else WELL

    def second(self, now: float) -> None:
        up = [hub for hub in HUBS if hub != self.down]
        for name in up:
            self.hubs[name].stand(up, now)
            for peer in up:
                self.hubs[name].take(self.hubs[peer].of_mine(), peer, now)
            self.hubs[name].tick(now)
        views = self.views()
        for edge in self.edges[int(now) % 5 :: 5]:
            self._beat(edge, views, up, now)

    def _beat(self, edge: Preference, views: list[Candidate], up: list[str], now: float) -> None:
        if edge.chosen == self.down:
            edge.order(views)
        for hub in up:
            hint = self.hubs[hub].hint(edge.node_id, edge.chosen, now)
            edge.hinted(hint, hub, views)

    def ratio(self) -> float:
        loads = Counter(edge.chosen for edge in self.edges)
        return max(loads[hub] for hub in HUBS) / max(min(loads[hub] for hub in HUBS), 1)


def test_after_a_rolling_restart_the_load_is_even_within_two_minutes() -> None:
    """10,000 edges, three hubs that are each away for fifteen seconds, one after the other."""
    edges = [Preference(f"edge-{n}", 0.0) for n in range(10_000)]
    for edge in edges:
        edge.order(WELL)
    fleet = Fleet(edges, {hub: Hints(hub) for hub in HUBS})
    now = 0.0
    for _ in range(30):
        fleet.second(now := now + 1.0)
    for hub in HUBS:
        fleet.down, fleet.hubs[hub] = hub, Hints(hub)
        for _ in range(15):
            fleet.second(now := now + 1.0)
        fleet.down = ""
        for _ in range(5):
            fleet.second(now := now + 1.0)
    assert fleet.ratio() > 3
    even_after = None
    moves = [sum(edge.moves for edge in edges)]
    for second in range(120):
        fleet.second(now := now + 1.0)
        moves.append(sum(edge.moves for edge in edges))
        if even_after is None and fleet.ratio() <= 1.25:
            even_after = second
    assert even_after is not None
    assert fleet.ratio() <= 1.25
    assert max(b - a for a, b in pairwise(moves)) <= 300
