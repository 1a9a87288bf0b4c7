"""Laws of a rolling restart: edges spread evenly again by hints, at a pace, and nobody is sent astray.

The edges are real ones as far as their choice of a hub goes (edge.hubs, edge.preference), and so are
the hints of the hubs; only the wire between them and the clock are made up, in steps of a second.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from edge.hubs import Hubs, HubView
from edge.lineage import Claim, read_claim
from hub.nodes.adoption import duty_of
from hub.nodes.hints import HintLimits, Hints
from shared.backoff import Backoff

NAMES = ("hub-1", "hub-2", "hub-3")
T = 5
EDGES = 300
RATIO_MAX = 1.25
AWAY_SECONDS = 15
RETRY = Backoff(seconds_initial=0.5, seconds_max=10.0)
CATCH_UP_SECONDS = 240
"""Within so many seconds after the last hub is back the load is even, and stays so."""


NOTHING_HELD: Claim = read_claim("e1", 0.0, [], [], {})
"""What a hub with an empty disk says of a log."""


@dataclass
class Edge:
    """One edge that beats to all hubs, and has something to push each time."""

    hubs: Hubs
    rng: Random
    offset: int
    sent_to: list[str] = field(default_factory=list)

    def views(self) -> dict[str, HubView]:
        return {view.hub_id: view for view in self.hubs.views.values()}

    def beat(self, world: "World", now: float) -> None:
        """Beat to all hubs, and push to the first that takes it."""
        for name, view in self.views().items():
            if name not in world.hints:
                self.hubs.beat_failed(view, now, "it is away", RETRY, self.rng)
                continue
            hint = world.hints[name].hint(self.hubs.node_id, self.chosen, now)
            if hint:
                self.sent_to.append(hint)
            self.hubs.beat_answered(view, now, NOTHING_HELD, None, self.rng)
            self.hubs.hinted(view, hint, now)
        first = next(view for view in self.hubs.order(now) if view.hub_id in world.hints)
        first.answered(now, self.rng)
        world.hints[first.hub_id].pushed(self.hubs.node_id, now)

    @property
    def chosen(self) -> str:
        """The hub that it is with."""
        return self.hubs.preference.chosen


@dataclass
class World:
    """Hubs that are up, each with its hints, and all edges."""

    edges: list[Edge]
    limits: HintLimits
    hints: dict[str, Hints] = field(default_factory=dict)
    now: float = 0.0
    moves_each_second: list[int] = field(default_factory=list)

    def start(self, name: str) -> None:
        """A hub starts, and knows of no edge."""
        self.hints[name] = Hints(name, self.limits)

    def pass_seconds(self, seconds: int) -> None:
        """Hubs tell each other their loads and tick; a part of the edges beats each second."""
        for _ in range(seconds):
            self.now += 1.0
            for hub in self.hints.values():
                hub.stand(sorted(self.hints), self.now)
                for name, peer in self.hints.items():
                    if name != hub.hub_id:
                        hub.take(peer.of_mine(), name, self.now)
                hub.tick(self.now)
            before = self.moves()
            for edge in self.edges:
                if int(self.now) % T == edge.offset:
                    edge.beat(self, self.now)
            self.moves_each_second.append(self.moves() - before)

    def moves(self) -> int:
        return sum(edge.hubs.preference.moves for edge in self.edges)

    def loads(self) -> Counter[str]:
        return Counter(edge.chosen for edge in self.edges)

    def ratio(self) -> float:
        """The fullest hub over the emptiest."""
        loads = self.loads()
        return max(loads[name] for name in NAMES) / max(min(loads[name] for name in NAMES), 1)


def edge(number: int, now: float) -> Edge:
    """An edge that has met all hubs."""
    hubs = Hubs(f"edge-{number}")
    for name in NAMES:
        (view,) = hubs.learn([f"http://{name}"])
        hubs.met(view, name, now)
    return Edge(hubs, Random(number), number % T)


def world_of(edges: int, limits: HintLimits | None = None) -> World:
    """Three hubs with every edge at home."""
    world = World([edge(number, 0.0) for number in range(edges)], limits or HintLimits())
    for name in NAMES:
        world.start(name)
    world.pass_seconds(30)
    return world


def restart_each_hub(world: World) -> None:
    """One hub after the other is away for a while."""
    for name in NAMES:
        del world.hints[name]
        world.pass_seconds(AWAY_SECONDS)
        world.start(name)
        world.pass_seconds(5)


@dataclass(frozen=True)
class Story:
    """What became of a fleet: all that happened after the last hub was back."""

    world: World
    uneven: float
    ratios: list[float]
    moves: list[int]


@pytest.fixture(scope="module")
def story() -> Story:
    """Three hundred edges go through a rolling restart and have time to come home."""
    world = world_of(EDGES)
    assert world.ratio() <= RATIO_MAX, "names that do not spread evenly prove nothing"
    restart_each_hub(world)
    uneven = world.ratio()
    world.pass_seconds(15)  # Until then the last hub is not yet trusted to stay.
    for each in world.edges:
        each.sent_to.clear()
    since, ratios = len(world.moves_each_second), []
    for _ in range(CATCH_UP_SECONDS + 60):
        world.pass_seconds(1)
        ratios.append(world.ratio())
    return Story(world, uneven, ratios, world.moves_each_second[since:])


def test_after_a_rolling_restart_the_load_is_even_and_stays_so(story: Story) -> None:
    assert story.uneven > 2
    assert max(story.ratios[CATCH_UP_SECONDS:]) <= RATIO_MAX


def test_the_way_back_is_no_stampede(story: Story) -> None:
    """In no second more edges come back than the pace allows for those that had a beat in it."""
    assert sum(story.moves) > EDGES / 10
    assert max(story.moves) <= len(NAMES) * (EDGES / story.world.limits.catch_up_seconds + 1)


def test_every_hint_sends_an_edge_home_and_nobody_needs_a_second_one(story: Story) -> None:
    sent = [(each.hubs.node_id, each.sent_to) for each in story.world.edges if each.sent_to]
    assert len(sent) > EDGES / 10
    for node_id, hints in sent:
        assert hints == [duty_of(node_id, NAMES)]


def test_without_hints_the_load_stays_uneven() -> None:
    """It is the hints that even it out: no edge leaves by itself a hub that tells it to stay."""
    world = world_of(100, replace(HintLimits(), per_second_max=0.0))
    restart_each_hub(world)
    world.pass_seconds(CATCH_UP_SECONDS)
    assert world.ratio() > 2
