"""The law of node records: whatever the order, grouping and repetition, all hubs end with equal bytes."""

from functools import reduce
from itertools import permutations

import msgspec
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.merge import (
    DRAINING,
    LABELS,
    Facts,
    Intent,
    NodeRecord,
    Observation,
    from_bytes,
    merge,
    to_bytes,
)
from shared.stamp import Stamp

# Few different values, so that equal numbers with different contents are met often.
few = st.integers(0, 3)
hubs = st.sampled_from(["hub-1", "hub-2", "hub-3"])
contents = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 2), max_size=2)
stamps = st.builds(Stamp, few, few, hubs)
records = st.builds(
    NodeRecord,
    st.just("edge-1"),
    st.none() | st.builds(Facts, few, few, contents),
    st.none() | st.builds(Observation, few, few, few, hubs, contents),
    st.dictionaries(
        st.sampled_from([DRAINING, LABELS]),
        st.builds(Intent, st.booleans() | contents, stamps, few),
    ),
)


def merged(parts: list[NodeRecord]) -> bytes:
    return to_bytes(reduce(merge, parts))


@given(st.lists(records, min_size=2, max_size=4))
@settings(deadline=None)
def test_the_order_of_merging_makes_no_difference(parts: list[NodeRecord]) -> None:
    assert len({merged(list(order)) for order in permutations(parts)}) == 1


@given(records, records, records)
@settings(deadline=None)
def test_the_grouping_of_merging_makes_no_difference(
    a: NodeRecord, b: NodeRecord, c: NodeRecord
) -> None:
    assert to_bytes(merge(merge(a, b), c)) == to_bytes(merge(a, merge(b, c)))


@given(st.lists(records, min_size=1, max_size=4))
@settings(deadline=None)
def test_merging_again_makes_no_difference(parts: list[NodeRecord]) -> None:
    once = reduce(merge, parts)
    for part in (once, *parts):
        assert to_bytes(merge(once, part)) == to_bytes(once)


@given(records)
@settings(deadline=None)
def test_a_record_survives_its_way_through_bytes(record: NodeRecord) -> None:
    assert from_bytes(to_bytes(record)) == record


@given(records, st.builds(Observation, few, few, few, hubs, contents))
@settings(deadline=None)
def test_a_beat_neither_undoes_an_intent_nor_blanks_a_fact(
    record: NodeRecord, beat: Observation
) -> None:
    after = merge(record, NodeRecord("edge-1", None, beat))
    assert (after.intent, after.facts) == (record.intent, record.facts)


@given(records, st.builds(Intent, st.booleans(), stamps))
@settings(deadline=None)
def test_an_order_of_a_person_changes_nothing_that_the_node_said(
    record: NodeRecord, intent: Intent
) -> None:
    after = merge(record, NodeRecord("edge-1", intent={DRAINING: intent}))
    assert (after.facts, after.observation) == (record.facts, record.observation)
    kept = after.intent[DRAINING]
    assert (kept.reissue, kept.stamp) >= (intent.reissue, intent.stamp)


@given(records, records)
@settings(deadline=None)
def test_the_later_beat_of_the_later_life_wins(a: NodeRecord, b: NodeRecord) -> None:
    """Last write wins by last_seen only among equal beats: a restarted node outranks its own past."""
    held = [each.observation for each in (a, b) if each.observation is not None]
    after = merge(a, b).observation
    if held and after is not None:
        order = [(each.incarnation, each.beat, each.last_seen_ms, each.hub_id) for each in held]
        assert (after.incarnation, after.beat, after.last_seen_ms, after.hub_id) == max(order)


@given(st.lists(records, min_size=1, max_size=6), st.data())
@settings(deadline=None)
def test_news_that_takes_any_way_any_number_of_times_ends_the_same(
    parts: list[NodeRecord], data: st.DataObject
) -> None:
    heard = data.draw(st.permutations(parts))
    heard += data.draw(st.lists(st.sampled_from(parts), max_size=4))
    while len(heard) > 1:  # Merge any two neighbours, until one is left.
        index = data.draw(st.integers(0, len(heard) - 2))
        heard[index : index + 2] = [merge(heard[index], heard[index + 1])]
    assert to_bytes(heard[0]) == merged(parts)


@given(records, records)
@settings(deadline=None)
def test_nothing_known_is_replaced_by_something_older(a: NodeRecord, b: NodeRecord) -> None:
    after = merge(a, b)
    for each in (a, b):
        if each.facts is not None:
            assert after.facts is not None
            newest = after.facts.incarnation, after.facts.number
            assert newest >= (each.facts.incarnation, each.facts.number)
        assert all(
            (after.intent[name].reissue, after.intent[name].stamp) >= (held.reissue, held.stamp)
            for name, held in each.intent.items()
        )


@given(records)
@settings(deadline=None)
def test_the_order_of_keys_makes_no_difference_to_the_bytes(record: NodeRecord) -> None:
    turned = msgspec.structs.replace(record, intent=dict(reversed(record.intent.items())))
    assert to_bytes(turned) == to_bytes(record)


@given(st.dictionaries(st.sampled_from([DRAINING, LABELS]), st.builds(Intent, contents, stamps)))
@settings(deadline=None)
def test_records_without_a_reissue_have_the_bytes_that_older_versions_wrote(
    intent: dict[str, Intent],
) -> None:
    old = {
        name: {"value": held.value, "stamp": msgspec.to_builtins(held.stamp)}
        for name, held in intent.items()
    }
    stored = {"node_id": "edge-1", "facts": None, "observation": None, "intent": old}
    written = orjson.dumps(stored, option=orjson.OPT_SORT_KEYS)
    assert to_bytes(NodeRecord("edge-1", intent=intent)) == written
    older = orjson.dumps({**stored, "heard": {"hub-1": [1, 1, 1]}})
    assert from_bytes(older) == from_bytes(written) == NodeRecord("edge-1", intent=intent)
