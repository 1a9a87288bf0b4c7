"""Laws of stamps and clocks: no clock changes what hubs agree on, and a person always has the last word."""

from dataclasses import dataclass
from functools import reduce
from itertools import permutations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from hub.peering.admission import Admission, Door
from hub.peering.clock_poison import (
    POISON_AHEAD_MS,
    intent_order,
    is_poisoned,
    may_witness,
    reissue_over,
    stamp_over,
)
from hub.peering.clock_samples import Offset
from hub.peering.clock_verdict import ClockLimits, Verdict, reference
from shared.merge import NodeRecord, merge, to_bytes
from shared.stamp import HybridClock, Stamp
from tests.law.drawing import HUBS, hub_ids, node_records, patient, small, stamps


@dataclass(frozen=True)
class Order:
    """An intent that knows its reissue."""

    value: int
    stamp: Stamp
    reissue: int = 0


orders = st.builds(Order, small, stamps, st.integers(0, 2))
doors = st.builds(
    Door, small, small.map(float), st.dictionaries(hub_ids, small, max_size=2)
)  # fmt: skip
brought = st.lists(st.tuples(node_records(), hub_ids), min_size=1, max_size=6)


def latest(mine: Order, theirs: Order) -> Order:
    """The join of one field, as `shared.merge` does it, by the order that counts reissues."""
    if intent_order(mine) != intent_order(theirs):
        return max(mine, theirs, key=intent_order)
    return max(mine, theirs, key=lambda order: orjson.dumps(order.value))


# ---- Reissues


@patient
@given(st.lists(orders, min_size=1, max_size=4))
def test_orders_with_reissues_end_the_same_in_every_order_and_however_often_they_come(
    told: list[Order],
) -> None:
    ends = {reduce(latest, list(way)) for way in permutations(told)}
    assert len(ends) == 1
    (end,) = ends
    assert all(latest(end, each) == end for each in told)


@patient
@given(orders, orders, orders)
def test_the_grouping_of_orders_with_reissues_makes_no_difference(
    a: Order, b: Order, c: Order
) -> None:
    assert latest(latest(a, b), c) == latest(a, latest(b, c))


@patient
@given(st.lists(orders, min_size=1, max_size=5), stamps, small)
def test_whoever_orders_after_seeing_something_wins_whatever_its_stamp_says(
    seen: list[Order], stamp: Stamp, value: int
) -> None:
    held = reduce(latest, seen)
    mine = Order(value, stamp, reissue_over(held, stamp))
    assert reduce(latest, [*seen, mine]) == mine
    assert latest(mine, held) == mine


@patient
@given(
    st.integers(0, 10**12),
    st.lists(st.tuples(st.integers(0, 2**60), st.integers(0, 5)), max_size=5),
)
def test_every_order_of_a_hub_wins_over_what_it_holds_and_its_stamp_stays_a_time(
    wall_ms: int, poison: list[tuple[int, int]]
) -> None:
    clock, held = HybridClock("hub-1"), Order(0, Stamp(0, 0, ""))
    for ms, counter in poison:
        held = latest(held, Order(1, Stamp(ms, counter, "hub-2"), held.reissue))
        stamp, reissue = stamp_over(clock, held, wall_ms)
        mine = Order(2, stamp, reissue)
        assert latest(held, mine) == latest(mine, held) == mine
        assert not is_poisoned(stamp, wall_ms)
        assert reissue == held.reissue or is_poisoned(held.stamp, wall_ms)
        held = mine


@patient
@given(orders, stamps)
def test_a_reissue_is_counted_only_where_the_stamp_alone_would_lose(
    held: Order, stamp: Stamp
) -> None:
    grown = reissue_over(held, stamp) - held.reissue
    assert grown == (0 if stamp > held.stamp else 1)


@patient
@given(st.lists(orders, min_size=1, max_size=4), stamps)
def test_the_old_order_cannot_come_back_after_it_was_overruled(
    seen: list[Order], stamp: Stamp
) -> None:
    """Gossip brings the poisoned order again from every hub that still has it: nothing changes."""
    held = reduce(latest, seen)
    mine = Order(0, stamp, reissue_over(held, stamp))
    overruled = latest(held, mine)
    assert reduce(latest, seen * 2, overruled) == overruled


@patient
@given(st.lists(st.builds(Order, small, stamps), min_size=1, max_size=4))
def test_without_a_reissue_the_later_stamp_wins_as_ever(told: list[Order]) -> None:
    assert reduce(latest, told).stamp == max(each.stamp for each in told)


# ---- Our own stamps


@patient
@given(st.lists(st.integers(0, 2**60), max_size=8), st.integers(0, 10**12))
def test_no_stamp_of_others_carries_ours_more_than_an_hour_ahead(
    foreign: list[int], wall_ms: int
) -> None:
    clock = HybridClock("hub-1")
    for ms in foreign:
        stamp = Stamp(ms, 0, "hub-2")
        if may_witness(stamp, wall_ms):
            clock.witness(stamp)
    mine = clock.next(wall_ms)
    assert mine.wall_ms <= wall_ms + POISON_AHEAD_MS
    assert not is_poisoned(mine, wall_ms)


# ---- Admission


@patient
@given(brought, doors)
def test_what_waits_and_what_was_let_in_are_together_all_that_came(
    told: list[tuple[NodeRecord, str]], door: Door
) -> None:
    """After the quarantine the record is the same, byte for byte, as if there had been none."""
    admission, held = Admission(), NodeRecord("edge-1")
    for record, hub in told:
        held = merge(held, admission.let_in(record, hub, held, door))
    sound = Door(door.wall_ms, door.limit_ms, {})
    after = reduce(merge, admission.release(sound), held)
    assert to_bytes(after) == to_bytes(reduce(merge, (record for record, _ in told), held))
    assert to_bytes(after) == to_bytes(
        reduce(merge, (record for record, _ in told), NodeRecord("edge-1"))
    )
    assert admission.parked == 0


@patient
@given(brought, doors)
def test_nothing_that_a_quarantined_hub_stamped_and_brought_appears(
    told: list[tuple[NodeRecord, str]], door: Door
) -> None:
    admission = Admission()
    for record, hub in told:
        taken = admission.let_in(record, hub, None, door)
        makers = {intent.stamp.hub_id for intent in taken.intent.values()}
        assert hub not in door.quarantined or hub not in makers


@patient
@given(brought, doors)
def test_facts_beats_and_stamps_are_never_changed_by_admission(
    told: list[tuple[NodeRecord, str]], door: Door
) -> None:
    admission = Admission()
    for record, hub in told:
        taken = admission.let_in(record, hub, None, door)
        assert (taken.facts, taken.observation) == (record.facts, record.observation)
        assert all(record.intent[name] == intent for name, intent in taken.intent.items())
    came = [intent for record, _ in told for intent in record.intent.values()]
    assert all(parked.intent in came for parked in admission.parked_records(1_000))


@patient
@given(brought, doors, st.integers(0, 3))
def test_where_room_is_short_every_hub_that_lost_something_is_asked_again(
    told: list[tuple[NodeRecord, str]], door: Door, room: int
) -> None:
    """Asked again, when all are sound, it brings everything: nothing is lost either way."""
    admission, held = Admission(parked_max=room), NodeRecord("edge-1")
    for record, hub in told:
        held = merge(held, admission.let_in(record, hub, held, door))
        assert admission.parked <= room
    sound = Door(door.wall_ms, door.limit_ms, {})
    held = reduce(merge, admission.release(sound), held)
    for hub in admission.take_to_ask_again(sound):
        held = reduce(merge, (record for record, whose in told if whose == hub), held)
    everything = reduce(merge, (record for record, _ in told), NodeRecord("edge-1"))
    assert to_bytes(held) == to_bytes(everything)


# ---- The median

offsets = st.floats(-20_000, 20_000)


@patient
@given(st.lists(st.floats(-200, 200), min_size=2, max_size=4), st.data())
def test_while_most_clocks_agree_every_sound_hub_finds_the_wrong_ones_and_only_these(
    sound: list[float], data: st.DataObject
) -> None:
    """From wherever it looks, with any error of measurement that is small against the limit."""
    wrong = data.draw(
        st.lists(st.floats(6_000, 20_000) | st.floats(-20_000, -6_000), max_size=len(sound) - 1)
    )
    true_ms = {f"h{n}": ms for n, ms in enumerate([*sound, *wrong])}
    if len(true_ms) < len(HUBS):
        return
    for mine, own_ms in true_ms.items():
        seen = {
            hub: Offset(ms - own_ms + data.draw(st.floats(-5, 5)), 5.0, 10.0, 0.0)
            for hub, ms in true_ms.items()
            if hub != mine
        }
        held = reference(mine, seen, ClockLimits())
        assert held.referees == tuple(sorted(true_ms))
        for hub, ms in true_ms.items():
            off_ms = abs((ms - own_ms) - held.span.middle_ms)
            verdict = ClockLimits().level(off_ms - held.span.error_ms)
            assert (verdict is Verdict.QUARANTINED) == (ms in wrong), (mine, hub)
