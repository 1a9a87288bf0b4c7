"""Hubs that exchange their changes page by page end up knowing the same, whatever gets lost."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hub.gossip import Exchange
from hub.registry import Registry
from shared.beat import Beat
from shared.merge import LABELS, NodeRecord, to_bytes
from shared.stamp import HybridClock
from tests.law.drawing import node_records, patient

NODES = ("edge-1", "edge-2", "edge-3")
PAGE = 2


def registry_of(hub_id: str) -> Registry:
    """An empty registry of a hub."""
    return Registry(hub_id, 0.0, HybridClock(hub_id))


def known_to(registry: Registry) -> dict[str, bytes]:
    """All that a hub knows, as bytes."""
    return {node_id: to_bytes(record) for node_id, record in registry.records.items()}


any_record = st.sampled_from(NODES).flatmap(lambda node_id: node_records(node_id))


@patient
@given(st.lists(any_record | st.none()), st.integers(1, 3))
def test_paging_through_changes_delivers_every_one(
    steps: list[NodeRecord | None], limit: int
) -> None:
    """None stands for a page that is fetched while the changes go on."""
    source, copy, since = registry_of("hub-1"), registry_of("hub-2"), 0
    for step in [*steps, *[None] * len(NODES)]:
        if step is not None:
            source.apply(step, 0.0)
            continue
        page, since = source.changed_since(since, limit)
        assert len(page) <= limit
        for record in page:
            copy.apply(record, 0.0)
    assert known_to(copy) == known_to(source)
    assert source.changed_since(since, limit) == ([], source.changes)


@patient
@given(st.lists(any_record, max_size=8))
def test_a_change_is_told_when_there_is_one_and_only_then(steps: list[NodeRecord]) -> None:
    registry = registry_of("hub-1")
    for step in steps:
        before, changes = known_to(registry), registry.changes
        assert registry.apply(step, 0.0) == (known_to(registry) != before)
        assert (registry.changes > changes) == (known_to(registry) != before)
        assert not registry.apply(step, 1.0)


@patient
@given(st.lists(any_record, max_size=8))
def test_what_a_hub_was_told_makes_its_stamps_later(steps: list[NodeRecord]) -> None:
    """Told now, or read from its disk after a restart: an order given after it must win."""
    told, reborn = registry_of("hub-1"), registry_of("hub-1")
    for step in steps:
        told.apply(step, 0.0)
    reborn.load(told.records.values())
    for registry in (told, reborn):
        for node_id in NODES:
            registry.intend(node_id, LABELS, {"new": "label"}, 0, 1.0)
            assert registry.records[node_id].intent_value(LABELS) == {"new": "label"}


@patient
@given(st.lists(any_record, max_size=8), st.integers(0, 10_000))
def test_a_beat_is_heard_at_once_and_takes_no_intent_away(
    steps: list[NodeRecord], wall_ms: int
) -> None:
    registry = registry_of("hub-1")
    for step in steps:
        registry.apply(step, 0.0)
    before = registry.records.get("edge-1", NodeRecord("edge-1"))
    beat = Beat("edge-1", 9, 1, "e1", 1, {"hostname": "edge-1"}, {}, {})
    registry.hear(beat, 5.0, wall_ms)
    after = registry.records["edge-1"]
    assert after.intent == before.intent
    assert after.observation is not None
    assert (after.observation.incarnation, after.observation.hub_id) == (9, "hub-1")
    assert registry.age_seconds("edge-1", 7.5) == 2.5


class Hub:
    """A hub as far as gossip goes. A restart keeps what was saved, under new numbers."""

    def __init__(self, name: str) -> None:
        self.name, self.lives = name, 0
        self.registry = registry_of(name)
        self.exchange = Exchange()

    @property
    def instance(self) -> str:
        return f"{self.name}#{self.lives}"

    def restart(self, *, empty: bool) -> None:
        """Begin a new life, with what was on disk or with nothing."""
        records = [] if empty else list(self.registry.records.values())
        self.lives += 1
        self.registry, self.exchange = registry_of(self.name), Exchange()
        self.registry.load(records)

    def ask(self, peer: "Hub", *, lost: bool, answer_lost: bool) -> None:
        """One exchange as the mesh does it, over a network that may lose either half."""
        fresh, through = self.registry.changed_since(self.exchange.told_through, PAGE)
        instance, since = self.exchange.instance, self.exchange.heard_through
        if lost:
            return
        for record in fresh:
            peer.registry.apply(record, 0.0)
        known = since if instance == peer.instance else 0
        answer, reached = peer.registry.changed_since(known, PAGE)
        if answer_lost:
            return
        was_same = self.exchange.instance == peer.instance
        self.exchange.meet(peer.instance)
        if was_same:
            self.exchange.told(through)
        for record in answer:
            self.registry.apply(record, 0.0)
        self.exchange.heard(reached)


class Gossips(RuleBasedStateMachine):
    """Two hubs hear of nodes, exchange news badly, and restart; in the end they agree."""

    @initialize()
    def begin(self) -> None:
        self.hubs = Hub("hub-1"), Hub("hub-2")

    @rule(index=st.integers(0, 1), record=any_record)
    def hears(self, index: int, record: NodeRecord) -> None:
        self.hubs[index].registry.apply(record, 0.0)

    @rule(index=st.integers(0, 1), lost=st.booleans(), answer_lost=st.booleans())
    def asks(self, index: int, lost: bool, answer_lost: bool) -> None:
        self.hubs[index].ask(self.hubs[1 - index], lost=lost, answer_lost=answer_lost)

    @rule(index=st.integers(0, 1), empty=st.booleans())
    def restarts(self, index: int, empty: bool) -> None:
        self.hubs[index].restart(empty=empty)

    @rule(index=st.integers(0, 1))
    def comes_to_rest(self, index: int) -> None:
        """One hub asks until nothing is new: that alone must bring both to the same knowledge."""
        mine, theirs = self.hubs[index], self.hubs[1 - index]
        for _ in range(3 * len(NODES)):
            mine.ask(theirs, lost=False, answer_lost=False)
        assert known_to(mine.registry) == known_to(theirs.registry)

    @invariant()
    def numbers_are_never_ahead_of_what_they_count(self) -> None:
        for mine, theirs in (self.hubs, self.hubs[::-1]):
            assert mine.exchange.told_through <= mine.registry.changes
            if mine.exchange.instance == theirs.instance:
                assert mine.exchange.heard_through <= theirs.registry.changes


Gossips.TestCase.settings = settings(patient, max_examples=40, stateful_step_count=25)
TestGossips = Gossips.TestCase
