"""Nodes beat as often as the hub can bear, and seldom enough while it has just begun."""

import pytest

from hub.nodes.interval import Asked, Interval, IntervalLimits

STEADY = 10_000.0
"""Long after the start."""


@pytest.mark.parametrize(
    ("nodes", "seconds"),
    [(0, 5.0), (1, 5.0), (500, 5.0), (10_000, 5.0), (20_000, 10.0), (100_000, 50.0), (10**6, 60.0)],
)
def test_the_interval_is_nodes_over_budget_within_bounds(nodes: int, seconds: float) -> None:
    """At 10,000 nodes it is still the shortest one, on which the bound of 17 s rests."""
    assert Interval(0.0).seconds(nodes, STEADY) == seconds


def test_after_a_start_the_interval_falls_from_twice_to_once_within_two_of_it() -> None:
    interval = Interval(100.0)
    seconds = [interval.seconds(10_000, 100.0 + past) for past in (0.0, 2.5, 5.0, 10.0, 1e6)]
    assert seconds == [10.0, 8.75, 7.5, 5.0, 5.0]


def test_a_clock_before_the_start_asks_for_no_more_than_twice() -> None:
    assert Interval(100.0).seconds(10, 50.0) == 10.0


def test_silence_proves_nothing_until_the_longest_first_interval_lapsed() -> None:
    interval = Interval(0.0)
    asked = interval.asked(10_000, 0.0, "edge-1", is_first=False)
    assert interval.listening_seconds(10_000) == pytest.approx(3.3 * asked.judged_seconds)


def test_first_beats_are_spread_and_judged_by_the_whole_interval() -> None:
    """A fleet that came at once comes back over the whole interval, at any tenth of it alike."""
    interval = Interval(0.0)
    asked = [interval.asked(10_000, STEADY, f"edge-{n}", is_first=True) for n in range(10_000)]
    told = sorted(ask.told_seconds for ask in asked)
    assert 1.0 <= told[0] < told[-1] <= 5.0
    tenths = [sum(1 + k * 0.4 <= t < 1 + (k + 1) * 0.4 for t in told) for k in range(10)]
    assert max(tenths) < 1.2 * min(tenths)
    assert {ask.judged_seconds for ask in asked} == {5.0}
    assert asked[7] == interval.asked(10_000, STEADY, "edge-7", is_first=True)


def test_a_prompt_loop_raises_the_budget_while_it_binds() -> None:
    interval = Interval(0.0)
    for second in range(1, 21):
        interval.observe(100_000, 0.010, float(second))
    assert interval.per_second == 3_000.0
    assert interval.steady_seconds(100_000) == pytest.approx(33.3, abs=0.1)


def test_a_budget_that_nobody_uses_does_not_grow() -> None:
    interval = Interval(0.0)
    for second in range(100):
        interval.observe(500, 0.0, float(second))
    assert interval.per_second == 2_000.0


def test_a_lagging_loop_halves_the_budget_and_waits_for_the_effect() -> None:
    interval = Interval(0.0)
    halved_at = []
    for second in range(1, 31):
        before = interval.halvings
        interval.observe(100_000, 0.300, float(second))
        if interval.halvings > before:
            halved_at.append(second)
    assert halved_at == [1, 11, 21]
    assert interval.per_second == 250.0


def test_between_the_marks_the_budget_stays() -> None:
    interval = Interval(0.0)
    for second in range(1, 31):
        interval.observe(100_000, 0.100, float(second))
    assert interval.per_second == 2_000.0


def test_the_budget_keeps_its_bounds() -> None:
    limits = IntervalLimits()
    low, high = Interval(0.0), Interval(0.0)
    for second in range(1, 1_000):
        low.observe(10**6, 1.0, float(second))
        high.observe(10**6, 0.0, float(second))
    assert (low.per_second, high.per_second) == (limits.per_second_min, limits.per_second_max)


def test_a_long_pause_does_not_count_as_a_long_good_time() -> None:
    interval = Interval(0.0)
    interval.observe(10**6, 0.0, 3_600.0)
    assert interval.per_second == 2_250.0


def test_no_interval_is_longer_than_edges_accept() -> None:
    """Right after a start it would be twice the longest that may be set."""
    interval = Interval(0.0, IntervalLimits(seconds_min=3600.0, seconds_max=3600.0))
    assert interval.asked(1, 0.0, "edge-1", is_first=False) == Asked(3600.0, 3600.0)
