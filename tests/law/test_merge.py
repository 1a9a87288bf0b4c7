"""Node records merge to the same bytes on every hub, whatever came when, how often and by whom."""

from functools import reduce

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shared.merge import NodeRecord, from_bytes, merge, to_bytes
from tests.law.drawing import node_records, patient

records = node_records()
several = st.lists(records, min_size=1, max_size=6)


@patient
@given(several, st.data())
def test_order_grouping_and_repetition_make_no_difference(
    known: list[NodeRecord], data: st.DataObject
) -> None:
    plain = reduce(merge, known)
    heard = data.draw(st.permutations(known))
    heard += data.draw(st.lists(st.sampled_from(known), max_size=4))
    while len(heard) > 1:  # Merge any two neighbours, until one is left.
        index = data.draw(st.integers(0, len(heard) - 2))
        heard[index : index + 2] = [merge(heard[index], heard[index + 1])]
    assert to_bytes(heard[0]) == to_bytes(plain)


@patient
@given(records, records)
def test_merging_again_changes_nothing(mine: NodeRecord, theirs: NodeRecord) -> None:
    assert merge(mine, mine) == mine
    both = merge(mine, theirs)
    assert to_bytes(merge(both, theirs)) == to_bytes(both) == to_bytes(merge(mine, both))


@patient
@given(records, records)
def test_a_beat_undoes_no_intent_and_blanks_no_facts(held: NodeRecord, beat: NodeRecord) -> None:
    """What a hub hears directly carries facts or none, an observation, and never an intent."""
    beat = msgspec.structs.replace(beat, intent={}, heard={})
    after = merge(held, beat)
    assert after.intent == held.intent
    assert after.facts is not None or (held.facts is None and beat.facts is None)
    if held.observation is not None and beat.observation is None:
        assert after.observation == held.observation


@patient
@given(records, records)
def test_what_was_known_is_never_replaced_by_something_older(
    mine: NodeRecord, theirs: NodeRecord
) -> None:
    after = merge(mine, theirs)
    for each in (mine, theirs):
        if each.facts and after.facts:
            newest = after.facts.incarnation, after.facts.number
            assert newest >= (each.facts.incarnation, each.facts.number)
        if each.observation and after.observation:
            newest = after.observation.incarnation, after.observation.beat
            assert newest >= (each.observation.incarnation, each.observation.beat)
        assert all(after.intent[name].stamp >= held.stamp for name, held in each.intent.items())
        assert all(after.heard[hub] >= held for hub, held in each.heard.items())


@patient
@given(records)
def test_canonical_bytes_read_back_and_do_not_depend_on_the_order_of_keys(
    record: NodeRecord,
) -> None:
    assert from_bytes(to_bytes(record)) == record
    turned = msgspec.structs.replace(
        record,
        intent=dict(reversed(record.intent.items())),
        heard=dict(reversed(record.heard.items())),
    )
    assert to_bytes(turned) == to_bytes(record)
