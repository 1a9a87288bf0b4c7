"""What a drain wants: the chunks that were there, and whatever takes their place in the log."""

from edge.drain_goal import Amount, Goal, Log
from shared.ranges import NOTHING, Ranges, of_seqs


def span(first: int, last: int) -> Ranges:
    """Consecutive numbers."""
    return Ranges(((first, last),))


def goal_of(seqs: Ranges) -> Goal:
    """A drain that has looked once, at a log with these chunks."""
    goal = Goal(Log("a", seqs.last, seqs, seqs.count))
    goal.observe(goal.log, NOTHING)
    return goal


def test_what_comes_later_is_not_wanted() -> None:
    """A busy edge could never be drained otherwise."""
    goal = goal_of(span(1, 3))
    assert goal.observe(Log("a", 5, span(1, 5), 5), span(1, 3)) == NOTHING


def test_what_is_safe_may_leave_the_log() -> None:
    """The log forgets it by itself."""
    goal = goal_of(span(1, 3))
    assert goal.observe(Log("a", 5, span(3, 5), 3), span(1, 2)) == span(3, 3)


def test_the_pieces_of_a_cut_chunk_are_wanted_in_its_place() -> None:
    """A chunk left the log without being safe: what was written meanwhile may be its halves."""
    goal = goal_of(span(1, 3))
    cut = Log("a", 6, of_seqs([1, 3, 4, 5, 6]), 5)
    assert goal.observe(cut, NOTHING) == cut.seqs
    assert goal.observe(Log("a", 7, cut.seqs | span(7, 7), 6), cut.seqs) == NOTHING


def test_in_a_new_life_of_the_log_everything_that_is_written_again_is_wanted() -> None:
    """Safe numbers of the new life say nothing of chunks that are still to get theirs."""
    goal = goal_of(span(8, 12))
    assert goal.observe(Log("b", 2, span(1, 2), 6), span(1, 2)) == NOTHING
    assert goal.moving == Amount(4, None, None)
    assert goal.observe(Log("b", 6, span(1, 6), 6), span(1, 2)) == span(3, 6)
    assert goal.moving == Amount()
    assert goal.observe(Log("b", 7, span(1, 7), 7), span(1, 6)) == NOTHING


def test_rate_and_remaining_time_follow_the_last_seconds() -> None:
    """Old samples are forgotten, so a stall shows."""
    goal = goal_of(span(1, 100))
    for second in range(31):
        left = max(40, 100 - 4 * second)
        goal.note(float(second), Amount(left, 10 * left, 1000 * left), Amount())
        if second == 10:
            assert goal.rates == (40.0, 4000.0)
            assert goal.eta_seconds == 15.0
    assert goal.rates == (0.0, 0.0)
    assert goal.eta_seconds is None
    assert goal.whole == Amount(100, 1000, 100_000)


def test_a_disk_that_cannot_be_read_leaves_numbers_unknown_and_no_wrong_ones() -> None:
    """Chunks are counted from memory; what they hold only the disk knows."""
    goal = goal_of(span(1, 3))
    goal.note(1.0, Amount(2, None, None), Amount(1, 5, 50))
    assert goal.left == Amount(3, None, None)
    assert goal.eta_seconds is None
    assert goal.whole.without(goal.left) == Amount(0, None, None)


def test_nothing_left_needs_no_time() -> None:
    """Even before anything could be measured twice."""
    assert goal_of(NOTHING).eta_seconds == 0.0
