"""Slots of nodes that are gone are given back: nobody sees it, and a hub does not grow with all who
were ever there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.nodes.life import Life
from hub.nodes.runs import Runs
from hub.nodes.verdict_doubt import PeerStanding
from hub.peering.exchange_moments import Moments
from tests.examples import examples
from tests.law.drawing import patient

NODES = [f"edge-{number}" for number in range(6)]
PEERS = {"hub-2": PeerStanding(is_alive=True)}


@dataclass
class Hub:
    """What one hub keeps by slot, and a peer that tells it what it hears."""

    life: Life = field(default_factory=lambda: Life("hub-1", 0.0, "run-1"))
    peer: Life = field(default_factory=lambda: Life("hub-2", 0.0, "run-2"))
    moments: Moments = field(init=False)
    runs: Runs = field(init=False)

    def __post_init__(self) -> None:
        slots = self.life.heard.slots
        self.moments, self.runs = Moments(slots), Runs(slots)

    def come(self, node: str, now: float) -> None:
        """A node beats to this hub."""
        self.life.hear(node, 1, round(now * 8) + 1, now)
        self.life.watch(node, now)
        self.moments.put(node, now)
        self.runs.judge(node, 1, 7, now, 10.0)

    def go(self, node: str, now: float) -> None:
        """A node is removed."""
        self.life.forget(node)
        self.moments.forget(node)
        self.runs.forget(node)
        self.peer.forget(node)

    def hear_of(self, node: str, now: float) -> None:
        """A node beats to the peer, which tells of it."""
        self.peer.hear(node, 1, round(now * 8) + 1, now)
        self.peer.watch(node, now)
        told = self.peer.told.section("hub-1", 5.0, now)
        if told is not None:
            self.peer.told.confirmed("hub-1", self.life.book.take("hub-2", told, now))

    def know(self, node: str, now: float) -> None:
        """A node becomes known without a beat here."""
        self.life.watch(node, now)

    def give_back(self, node: str, now: float) -> None:
        """What a large hub does now and then."""
        self.life.heard.let_go(self.life.watched)

    def cut_off(self, node: str, now: float) -> None:
        """Nobody reaches this hub, so that it doubts itself."""
        self.life.reach(PEERS, is_isolated=True, now=now)

    def wait(self, node: str, now: float) -> None:
        """Nothing happens."""

    def sees(self, now: float) -> list[Any]:
        """All that can be seen of the nodes that are there; of the others nothing is."""
        life = self.life
        return [
            (
                node,
                life.verdict(node),
                life.ages(node, now),
                life.heard.has_heard(node),
                life.heard.hears("hub-2", node, now - 3.0),
                self.moments.get(node),
                self.runs.known(node, now, 10.0),
            )
            for node in sorted(life.watched)
        ]


STEPS: dict[str, Callable[[Hub, str, float], None]] = {
    "come": Hub.come,
    "go": Hub.go,
    "hear of": Hub.hear_of,
    "know": Hub.know,
    "cut off": Hub.cut_off,
    "wait": Hub.wait,
    "give back": Hub.give_back,
}


SHIFTED = [("come", "edge-1", 0.5), ("come", "edge-2", 0.5), ("go", "edge-1", 0.5)]
DOUBTED = [*SHIFTED, ("cut off", "", 9.0), *[("wait", "", 9.0)] * 6]


@settings(patient, max_examples=examples(200))
@example([*SHIFTED, ("give back", "", 0.5)])
@example([*DOUBTED, ("give back", "", 0.5)])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(STEPS)), st.sampled_from(NODES), st.sampled_from([0.5, 2, 9])
        ),
        max_size=40,
    )
)
def test_nobody_sees_that_slots_were_given_back(steps: list[tuple[str, str, float]]) -> None:
    """Two hubs see the same, of which one gives back all it can at every turn, and the other none."""
    tidy, lavish, now = Hub(), Hub(), 100.0
    for hub in (tidy, lavish):
        hub.life.reach(PEERS, is_isolated=False, now=now)
    for name, node, seconds in steps:
        now += seconds
        told = []
        for hub in (tidy, lavish):
            if name != "give back" or hub is tidy:
                STEPS[name](hub, node, now)
            told.append((hub.life.tick(now), hub.life.book.counts(), hub.sees(now)))
        assert told[0] == told[1]
    tidy.give_back("", now)
    named = set(tidy.life.heard.peers["hub-2"].named) if tidy.life.heard.peers else set()
    held = {tidy.life.heard.slots.names[slot] for slot in named}
    assert set(tidy.life.heard.slots.names) == tidy.life.watched | held


def test_a_hub_is_as_large_as_those_who_live_and_not_as_all_who_ever_lived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten nodes live at any time, and 5,000 come and go."""
    monkeypatch.setattr("hub.nodes.heard.SLOTS_SPARE", 50)
    monkeypatch.setattr("hub.nodes.heard_told.RETIRED_SPARE", 50)
    hub = Hub()
    for number in range(5_000):
        now = number / 8
        hub.come(f"edge-{number}", now)
        hub.hear_of(f"edge-{number}", now)
        if number >= 10:
            hub.go(f"edge-{number - 10}", now)
        hub.life.tick(now)
        hub.peer.tick(now)
        assert len(hub.life.heard.slots) <= 300
        assert len(hub.peer.heard.slots) <= 150
    ear = hub.life.heard.own
    sizes = [len(ear.moved_at), len(ear.beat), len(hub.moments._at), len(hub.runs._run)]
    assert max(sizes) <= 400
    assert all(verdict is not None for verdict in map(hub.life.verdict, hub.life.watched))
