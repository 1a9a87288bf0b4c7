"""What of a hub with a wrong clock is let in, what waits, and that nothing is lost or rewritten."""

import pytest

from hub.peering.admission import Admission, Door, door_of
from hub.peering.clock_poison import (
    POISON_AHEAD_MS,
    count_poisoned,
    is_poisoned,
    may_witness,
    poisoned_fields,
    stamp_base,
    stamp_time_ms,
)
from hub.peering.clock_samples import Echo
from hub.peering.clocks import Clocks
from shared.merge import Facts, Intent, NodeRecord, Observation, merge, to_bytes
from shared.stamp import Stamp

NOW_MS = 1_000_000
SINCE_MS = 900_000
SOUND = Door(NOW_MS, 500.0, {})
C_IS_WRONG = Door(NOW_MS, 500.0, {"c": SINCE_MS})


def order(ms: int, hub: str, value: object = True, field: str = "draining") -> NodeRecord:
    """A record with one intent."""
    return NodeRecord("edge-1", intent={field: Intent(value, Stamp(ms, 0, hub))})


def full(ms: int, hub: str) -> NodeRecord:
    """A record with everything in it."""
    seen = Observation(1, 7, ms, hub, {"load": {}})
    facts = Facts(1, 3, {"hostname": "box"})
    intent = order(ms, hub).intent
    return NodeRecord("edge-1", facts, seen, intent)


def test_facts_and_beats_of_a_quarantined_hub_are_taken_and_its_orders_wait() -> None:
    admission = Admission()
    record = full(NOW_MS + 7_000, "c")
    taken = admission.let_in(record, "c", None, C_IS_WRONG)
    assert (taken.facts, taken.observation) == (record.facts, record.observation)
    assert taken.intent == {}
    assert (admission.withheld, admission.parked) == (1, 1)


@pytest.mark.parametrize(
    ("ms", "maker", "brought_by", "is_taken"),
    [
        (NOW_MS + 7_000, "c", "c", False),
        (NOW_MS - 99_000, "c", "c", False),  # Its clock may as well be behind.
        (NOW_MS - 1, "a", "c", True),
        (NOW_MS + 500, "a", "c", True),
        (NOW_MS + 501, "a", "c", False),  # Whoever made it: only this hub says so.
        (NOW_MS + 501, "a", "a", True),
        (NOW_MS + 7_000, "c", "b", False),
        (SINCE_MS + 1, "c", "b", False),
        (SINCE_MS, "c", "b", True),  # Of its sound days.
        (NOW_MS + 9_000, "b", "b", True),  # The clock of a hub decides, and never a stamp.
    ],
)
def test_the_clock_of_the_hub_decides(ms: int, maker: str, brought_by: str, is_taken: bool) -> None:
    admission = Admission()
    record = order(ms, maker)
    taken = admission.let_in(record, brought_by, None, C_IS_WRONG)
    assert taken == (record if is_taken else NodeRecord("edge-1"))
    assert admission.parked == (0 if is_taken else 1)


def test_a_record_of_a_sound_hub_is_passed_as_it_is() -> None:
    record = full(NOW_MS, "a")
    assert Admission().let_in(record, "a", None, SOUND) is record
    assert Admission().let_in(record, "a", None, C_IS_WRONG) is record


def test_only_the_fields_that_must_wait_wait() -> None:
    record = merge(order(NOW_MS + 7_000, "c"), order(NOW_MS, "a", {"x": "y"}, "labels"))
    taken = Admission().let_in(record, "c", None, C_IS_WRONG)
    assert taken == order(NOW_MS, "a", {"x": "y"}, "labels")


def test_what_is_held_already_is_no_news_and_does_not_wait() -> None:
    admission = Admission()
    held = order(NOW_MS + 7_000, "c")
    admission.let_in(held, "c", held, C_IS_WRONG)
    admission.let_in(order(NOW_MS + 6_000, "c", False), "c", held, C_IS_WRONG)
    assert (admission.withheld, admission.parked) == (0, 0)


def test_when_its_clock_is_sound_its_orders_are_taken_without_being_asked_for_again() -> None:
    admission = Admission()
    record = order(NOW_MS + 7_000, "c")
    admission.let_in(record, "c", None, C_IS_WRONG)
    assert admission.release(C_IS_WRONG) == []
    assert admission.release(SOUND) == [record]
    assert (admission.released, admission.parked, admission.parked_bytes) == (1, 0, 0)
    assert admission.release(SOUND) == []


def test_what_was_only_too_far_ahead_is_taken_when_its_time_comes() -> None:
    admission = Admission()
    admission.let_in(order(NOW_MS + 5_000, "a"), "c", None, C_IS_WRONG)
    later = Door(NOW_MS + 4_500, 500.0, {"c": SINCE_MS})
    assert admission.release(later) == [order(NOW_MS + 5_000, "a")]


def test_of_many_orders_for_one_field_the_winner_waits_and_the_room_does_not_grow() -> None:
    admission = Admission()
    for step in range(500):
        admission.let_in(order(NOW_MS + step, "c", step % 7), "c", None, C_IS_WRONG)
    assert admission.parked == 1
    assert admission.release(SOUND) == [order(NOW_MS + 499, "c", 499 % 7)]


def test_what_finds_no_room_is_counted_and_its_hub_is_asked_again_once_it_is_sound() -> None:
    admission = Admission(parked_max=2)
    for name in ("draining", "labels", "removed"):
        admission.let_in(order(NOW_MS, "c", True, name), "c", None, C_IS_WRONG)
    assert (admission.parked, admission.turned_away) == (2, 1)
    assert admission.holds_of("c")
    assert admission.take_to_ask_again(C_IS_WRONG) == []
    assert len(admission.release(SOUND)) == 2
    assert admission.holds_of("c"), "a part of it is still not here"
    assert admission.take_to_ask_again(SOUND) == ["c"]
    assert not admission.holds_of("c")


def test_the_room_is_bounded_in_bytes_too() -> None:
    admission = Admission(parked_bytes_max=10_000)
    for number in range(50):
        big = order(NOW_MS + number, "c", "x" * 900, f"field-{number}")
        admission.let_in(big, "c", None, C_IS_WRONG)
    assert 0 < admission.parked < 12
    assert admission.parked_bytes <= 10_000
    assert admission.parked + admission.turned_away == 50


def test_what_two_hubs_bring_waits_for_the_first_of_them_that_is_sound() -> None:
    admission = Admission()
    both = Door(NOW_MS, 500.0, {"b": SINCE_MS, "c": SINCE_MS})
    record = order(NOW_MS + 5_000, "a")
    for hub in ("b", "c"):
        admission.let_in(record, hub, None, both)
    assert admission.release(C_IS_WRONG) == [record]
    assert admission.parked_by_maker() == {"a": 1}
    admission.forget("c")
    assert (admission.parked, admission.parked_bytes) == (0, 0)


def test_three_hubs_of_which_one_clock_runs_ahead_end_with_equal_bytes() -> None:
    """While its clock is wrong the others agree without it; afterwards all three do, unchanged."""
    makers = {"a": 0, "b": 1, "c": 7_000}
    orders = {hub: order(NOW_MS + ahead, hub, hub) for hub, ahead in makers.items()}
    held = dict(orders)
    doors = {"a": Admission(), "b": Admission(), "c": Admission()}

    def gossip(door: Door) -> None:
        for mine in makers:
            for theirs in makers:
                seen = door if mine != "c" else SOUND
                taken = doors[mine].let_in(held[theirs], theirs, held[mine], seen)
                held[mine] = merge(held[mine], taken)

    gossip(C_IS_WRONG)
    gossip(C_IS_WRONG)
    assert to_bytes(held["a"]) == to_bytes(held["b"]) == to_bytes(orders["b"])
    assert held["c"] == orders["c"]
    for hub in ("a", "b"):
        for record in doors[hub].release(SOUND):
            held[hub] = merge(held[hub], record)
    assert {to_bytes(record) for record in held.values()} == {to_bytes(orders["c"])}


def test_the_door_is_made_of_the_verdicts_on_clocks() -> None:
    clocks = Clocks("a")
    for second in range(6):
        for hub, ahead in (("b", 0), ("c", 7_000)):
            at, ms = float(second), NOW_MS + second * 1000
            clocks.measured(hub, Echo(at, at, ms, ms, ms + ahead, ms + ahead))
    door = door_of(clocks, 5.0, NOW_MS + 5_000)
    assert door.quarantined == {"c": NOW_MS + 3_000}
    assert not door.admits(order(NOW_MS + 9_000, "c").intent["draining"], "c")


# ---- Stamps that are no times


def test_a_stamp_an_hour_ahead_is_kept_but_is_no_time_and_no_base_for_stamps() -> None:
    stamp = Stamp(NOW_MS + POISON_AHEAD_MS + 1, 0, "c")
    assert is_poisoned(stamp, NOW_MS)
    assert not may_witness(stamp, NOW_MS)
    assert stamp_time_ms(stamp, NOW_MS) is None
    assert stamp_time_ms(stamp, NOW_MS + 1) == stamp.wall_ms
    assert may_witness(stamp, NOW_MS + 1)


def test_poisoned_orders_are_counted_by_field() -> None:
    far = NOW_MS + POISON_AHEAD_MS + 1
    record = merge(order(far, "c"), order(NOW_MS, "a", {}, "labels"))
    assert poisoned_fields(record, NOW_MS) == ["draining"]
    assert count_poisoned([record, order(10**18, "c"), order(0, "a")], NOW_MS) == 2


def test_our_own_mark_is_lowered_only_when_the_other_clocks_call_ours_sound() -> None:
    far = NOW_MS + POISON_AHEAD_MS + 1
    lowered = stamp_base(far, NOW_MS, is_clock_sound=True)
    assert (lowered.high_water_ms, lowered.is_lowered) == (NOW_MS, True)
    assert stamp_base(far, NOW_MS, is_clock_sound=False).high_water_ms == far
    assert not stamp_base(far - 1, NOW_MS, is_clock_sound=True).is_lowered
