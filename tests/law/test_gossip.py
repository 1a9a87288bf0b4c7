"""What one hub does with orders, beats and words of others. How hubs agree: see test_exchange_laws."""

from hypothesis import given
from hypothesis import strategies as st

from hub.peering.exchange_saved import take_dirty
from hub.registry import Registry
from shared.beat import Beat
from shared.merge import LABELS, REMOVED, NodeRecord, to_bytes
from shared.stamp import HybridClock
from tests.law.drawing import node_records, patient

NODES = ("edge-1", "edge-2", "edge-3")


def registry_of(hub_id: str) -> Registry:
    """An empty registry of a hub."""
    return Registry(hub_id, 0.0, HybridClock(hub_id))


def known_to(registry: Registry) -> dict[str, bytes]:
    """All that a hub knows, as bytes."""
    return {node_id: to_bytes(record) for node_id, record in registry.records.items()}


any_record = st.sampled_from(NODES).flatmap(lambda node_id: node_records(node_id))


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
    assert reborn.begin("s.2", "c", take_dirty(told.replica)) == {}
    for registry in (told, reborn):
        for node_id in NODES:
            registry.intend(node_id, LABELS, {"new": "label"}, 0, 1.0)
            assert registry.records[node_id].intent_value(LABELS) == {"new": "label"}


@patient
@given(
    st.lists(any_record.filter(lambda record: REMOVED not in record.intent), max_size=8),
    st.integers(0, 10_000),
)
def test_a_beat_is_heard_at_once_and_takes_no_intent_away(
    steps: list[NodeRecord], wall_ms: int
) -> None:
    """Of a node that nobody removed: the door sends the others away."""
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


@patient
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 30)), max_size=40))
def test_most_beats_change_no_record_and_the_newest_one_heard_is_shown(
    beats: list[tuple[int, int]],
) -> None:
    """They come out of order and twice, one a second. Told are new lives, and else one in a minute."""
    registry = registry_of("hub-1")
    told = 0
    for second, (incarnation, number) in enumerate(beats):
        before = registry.changes, registry.replica.seq
        registry.hear(
            Beat("edge-1", incarnation, number, "e1", 1, {}, {"n": number}, {}),
            float(second),
            1_000 * second,
        )
        told += registry.replica.seq - before[1]
        newest = registry.newest("edge-1")
        assert newest is not None
        assert (newest.incarnation, newest.beat) == max(beats[: second + 1])
        assert newest.data["load"] == {"n": newest.beat}
    assert told <= len({incarnation for incarnation, _ in beats})
