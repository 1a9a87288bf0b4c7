"""The loop of liveness: what it tells people, whom it speaks for, and when it stays out of things."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.gossip import Gossip, HubRecord
from hub.nodes.adoption import duty_of
from hub.nodes.heard_told import HeardTold
from hub.nodes.heard_wire import write
from hub.nodes.hold import Holds, LeavingSection
from hub.nodes.life import Life
from hub.nodes.live_sections import HeardGossip, HeardTalk, LeavingGossip, LeavingTalk, LoadGossip
from hub.nodes.live_watch import LAGS_KEPT, NAMED_MAX, Lag, LifeWatch
from hub.peers import Peers
from shared.codec import compress
from shared.errors import BadInput
from shared.liveness import NodeState
from tests.law.drawing import patient

T = 5.0
LISTENED = 40.0
"""By then a hub that began at 0 has listened long enough to judge."""


class Story:
    """Hub 1 of three, with peers that live until told otherwise."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Mapping[str, Any]]] = []
        self.heard: list[tuple[str, str, str]] = []
        """What a listener heard of verdicts."""
        self.life = Life("hub-1", 0.0, "run")
        self.peers = Peers("hub-1", "http://hub-1")
        self.talk = HeardGossip(self.life, self.peers)
        self.watch = LifeWatch(
            self.life,
            self.peers,
            self.talk.isolated,
            self._tell,
            asyncio.Event(),
            Counter(),
            lambda: round(self.now * 1000),
            [lambda *verdict: self.heard.append(verdict)],
        )
        self.others = {name: HeardTold(f"{name}-run") for name in ("hub-2", "hub-3")}
        for name in self.others:
            (peer,) = self.peers.learn([f"http://{name}"])
            peer.hub_id, peer.verdict = name, "alive"
        self.now = 0.0

    def _tell(self, name: str, facts: Mapping[str, Any]) -> None:
        self.told.append((name, facts))

    def is_now(self, hub: str, verdict: str) -> None:
        """The detector says so from now on."""
        peer = self.peers.by_id(hub)
        assert peer is not None
        peer.verdict = verdict

    def until(self, now: float, *nodes: str) -> None:
        """Time goes by; peers that live report, and these nodes beat here."""
        while self.now < now:
            self.now += 0.25
            for name, other in self.others.items():
                if self.peers.by_id(name).verdict == "alive":  # type: ignore[union-attr]
                    self._report(name, other)
            for node_id in nodes:
                self.life.watch(node_id, self.now)
                self.life.hear(node_id, 1, round(self.now * 4), self.now)
            self.watch.step(self.now)

    def _report(self, name: str, other: HeardTold) -> None:
        section = other.section("hub-1", T, self.now)
        talk = HeardTalk(b"" if section is None else compress(write(section)))
        self.talk.take(msgspec.json.encode(talk), name, self.now)

    def said(self, kind: str) -> list[Mapping[str, Any]]:
        """The facts of all events of a kind."""
        return [facts for name, facts in self.told if name == kind]


def mine(count: int, hubs: tuple[str, ...] = ("hub-1", "hub-2", "hub-3")) -> list[str]:
    """Nodes that hub 1 cares for."""
    names = (f"edge-{number}" for number in range(10_000))
    return [each for each in names if duty_of(each, hubs) == "hub-1"][:count]


def _moving_node() -> str:
    """A node that hub 1 has to care for once hub 3 is dead, and not before."""
    names = mine(10_000, ("hub-1", "hub-2"))
    return next(name for name in names if duty_of(name, ("hub-1", "hub-2", "hub-3")) == "hub-3")


def test_a_hub_speaks_only_for_the_nodes_that_it_cares_for() -> None:
    story = Story()
    names = [f"edge-{number}" for number in range(4)]
    ours = [each for each in names if each in mine(4)]
    story.until(LISTENED, *names)
    story.until(LISTENED + 20)
    assert {each["node_id"] for each in story.said("node.offline")} == set(ours)
    assert 0 < len(ours) < 4
    assert {each["observer"] for each in story.said("node.offline")} == {"hub-1"}
    story.until(LISTENED + 21, *names)
    assert {each["node_id"] for each in story.said("node.online")} == set(ours)


def test_many_that_turn_at_once_are_one_event_with_their_number() -> None:
    story = Story()
    names = mine(NAMED_MAX + 5)
    story.until(LISTENED, *names)
    story.until(LISTENED + 20)
    assert story.watch.override("a person", story.now)
    story.until(LISTENED + 21)
    (said,) = story.said("node.offline")
    assert said["nodes"] == NAMED_MAX + 5
    assert said["first"].count(", ") == NAMED_MAX - 1


def test_every_listener_hears_every_change_of_a_verdict_in_order_whoever_speaks_for_the_node() -> (
    None
):
    story = Story()
    theirs = next(f"edge-{n}" for n in range(100) if f"edge-{n}" not in mine(100))
    also: list[str] = []
    story.watch.listeners = [*story.watch.listeners, lambda node, state, why: also.append(state)]
    story.until(LISTENED, theirs)
    story.until(LISTENED + 20)
    story.until(LISTENED + 21, theirs)
    assert story.heard == [
        (theirs, state, "") for state in ("online", "late", "suspect", "offline", "online")
    ]
    assert also == [state for _, state, _ in story.heard]
    assert story.said("node.offline") == []


def test_a_listener_hears_why_a_node_is_unknown() -> None:
    story = Story()
    story.until(LISTENED, "edge-1")
    story.peers.is_isolated = True
    story.until(LISTENED + 20)
    assert story.heard[-1] == ("edge-1", "unknown", "this hub reaches no other hub")


def test_another_hub_speaks_for_the_nodes_of_one_that_is_away_by_plan() -> None:
    """It stays the preferred one, so that nothing moves; but no death is kept quiet until it is back."""
    story = Story()
    name = _moving_node()
    story.until(LISTENED, name)
    story.watch.holds.take(LeavingSection(60.0, "an upgrade"), "hub-3", story.now)
    story.is_now("hub-3", "avoid")
    story.until(story.now + 20)
    assert [each["node_id"] for each in story.said("node.offline")] == [name]
    assert story.watch.home_of(name) == "hub-3"
    assert story.said("adoption.begin") == []


def test_a_hub_that_is_away_by_plan_is_neither_waited_for_nor_missed() -> None:
    """Its silence is no doubt: other nodes that die are offline in time."""
    story = Story()
    (name,) = mine(1)
    story.until(LISTENED, name)
    story.watch.holds.take(LeavingSection(60.0, "an upgrade"), "hub-3", story.now)
    story.is_now("hub-3", "avoid")
    story.until(story.now + 16.0)
    assert story.life.state(name) is NodeState.SUSPECT
    story.until(story.now + 1.0)
    assert story.life.state(name) is NodeState.OFFLINE
    assert story.life.book.signs().hubs == 2


def test_a_restart_tells_no_death_again_and_keeps_no_return_quiet() -> None:
    """What was on disk says who was offline; one node stays so, and one comes back at once."""
    story = Story()
    dead, back = mine(2)
    for node_id in (dead, back):
        story.life.watch(node_id, 0.0)
    story.watch.offline.load({dead: 1, back: 2}, story.life.watched)
    story.until(LISTENED + 10, back)
    assert story.life.state(dead) is NodeState.OFFLINE
    assert story.said("node.offline") == []
    assert [each["node_id"] for each in story.said("node.online")] == [back]
    assert story.watch.offline.since_ms == {dead: 1}


def test_a_removed_node_is_no_duty_and_not_offline_any_more() -> None:
    story = Story()
    (name,) = mine(1)
    story.until(LISTENED, name)
    story.until(LISTENED + 20)
    assert name in story.watch.offline
    story.life.forget(name)
    story.until(LISTENED + 22)
    assert name not in story.watch.offline
    assert story.watch.home_of(name) == ""
    assert name not in story.watch.adoption._holder
    assert story.life.take_news() == ([], [])


def test_while_it_brakes_or_is_cut_off_a_hub_takes_no_duties() -> None:
    story = Story()
    names = [f"edge-{number}" for number in range(30)]
    story.until(LISTENED, *names)
    story.peers.is_isolated = True
    story.is_now("hub-3", "dead")
    story.until(LISTENED + 5, *names)
    assert story.said("adoption.begin") == []
    story.peers.is_isolated = False
    story.is_now("hub-2", "dead")
    story.until(LISTENED + 80, *names)
    assert story.life.brake.braked
    assert story.said("adoption.begin") == []
    assert story.watch.override("a person", story.now)
    story.until(story.now + 5, *names)
    assert [each["lost"] for each in story.said("adoption.begin")] == ["hub-2, hub-3"]
    assert all(story.watch.cares_for(each) for each in names)


def test_a_node_of_a_dead_hub_is_spoken_for_before_its_duty_has_moved() -> None:
    story = Story()
    name = _moving_node()
    story.until(LISTENED, name)
    assert not story.watch.cares_for(name)
    story.watch.adoption.stand({"hub-1", "hub-2"}, story.now)
    assert story.watch.adoption.holder(name) == "hub-3"
    assert story.watch.cares_for(name)


def test_what_was_offline_before_a_hub_began_is_told_again_only_when_nobody_remembers() -> None:
    story = Story()
    old, unheard = mine(2)
    story.others["hub-2"].moved(old, -500.0)
    story.life.watch(old, 0.0)
    story.life.watch(unheard, 0.0)
    story.until(LISTENED + 10)
    assert story.life.state(old) is NodeState.OFFLINE
    assert [each["node_id"] for each in story.said("node.offline")] == [unheard]
    assert story.said("node.offline")[0]["observer"] == "no hub"


def test_a_node_is_missed_while_a_peer_that_lives_does_not_hear_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = Story()
    story.until(LISTENED, "edge-1")

    async def is_missed() -> bool:
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: story.now)
        return story.watch.is_missed("edge-1")

    assert asyncio.run(is_missed())
    for other in story.others.values():
        other.moved("edge-1", story.now)
    story.until(LISTENED + 1, "edge-1")
    assert not asyncio.run(is_missed())
    story.is_now("hub-3", "dead")
    story.until(LISTENED + 30, "edge-1")
    story.others["hub-2"].moved("edge-1", story.now)
    story.until(LISTENED + 31, "edge-1")
    assert not asyncio.run(is_missed())


def test_one_late_moment_is_no_lag_and_several_are() -> None:
    lag = Lag()
    assert lag.p99_seconds == 0.0
    for _ in range(LAGS_KEPT):
        lag.note(0.001)
    lag.note(3.0)
    assert lag.p99_seconds == 0.001
    lag.note(-1.0)
    lag.note(2.0)
    assert lag.p99_seconds == 2.0


def test_a_last_word_holds_against_messages_that_the_hub_wrote_before_it() -> None:
    told: list[tuple[str, Mapping[str, Any]]] = []
    gossip = LeavingGossip(Holds(lambda name, facts: told.append((name, facts))))
    word = LeavingTalk("hub-2", "run-1", LeavingSection(60.0, "it was stopped in order"))
    gossip.take_last_word(msgspec.json.encode(word), 0.0)
    gossip.heard(message("run-1"), 0.1, 0)
    assert gossip.holds.is_held("hub-2")
    gossip.heard(message("run-2"), 20.0, 0)
    assert not gossip.holds.is_held("hub-2")
    assert [name for name, _ in told] == ["hub.hold.begin", "hub.hold.end"]


def message(instance: str) -> Gossip:
    """A message of hub 2 that says nothing of leaving."""
    return Gossip(HubRecord("hub-2", "http://hub-2", "1", instance, 0), {}, 0)


anything = st.binary(max_size=200) | st.recursive(
    st.none() | st.integers() | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(
                ["heard", "reply", "edges", "hold_seconds", "reason", "hub_id", "leaving"]
            ),
            inner,
            max_size=4,
        )
        | st.lists(inner, max_size=4)
    ),
    max_leaves=8,
).map(msgspec.json.encode)


@patient
@given(anything)
def test_no_bytes_raise_anything_but_bad_input(body: bytes) -> None:
    story = Story()
    holds = LeavingGossip(story.watch.holds)
    for take in (story.talk.take, LoadGossip(story.watch.hints).take, holds.take):
        try:
            take(body, "hub-2", 1.0)
        except BadInput:
            continue
    try:
        holds.take_last_word(body, 1.0)
    except BadInput:
        return
