"""Lag: how far behind a peer we are, in chunks and in seconds, and when people hear of it."""

from hypothesis import given
from hypothesis import strategies as st

from hub.lag import CAUGHT_UP_SECONDS, LATE_SECONDS, MARKS_MAX, ORIGINS_MAX, PeerLag, by_origin
from shared.ranges import of_seqs
from tests.law.drawing import patient

steps = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(0, 1)), max_size=60)
"""Seconds that pass, chunks that come to the peer, and which share of the rest is pulled."""


@patient
@given(steps)
def test_the_lag_is_the_age_of_the_oldest_chunk_that_is_known_and_not_here(
    story: list[tuple[int, int, float]],
) -> None:
    lag, now, known_at, pulled = PeerLag(), 0.0, [], 0
    for seconds, chunks, share in story:
        now += seconds
        known_at += [now] * chunks
        lag.heard(len(known_at), now)
        pulled += int((len(known_at) - pulled) * share)
        lag.reached(pulled)
        oldest = known_at[pulled] if pulled < len(known_at) else now
        assert lag.chunks == len(known_at) - pulled
        assert lag.seconds(now) == now - oldest


@patient
@given(st.integers(1, 5), st.integers(MARKS_MAX, 6 * MARKS_MAX), st.floats(0, 1))
def test_a_long_lag_needs_little_memory_and_never_reads_shorter(
    step: int, count: int, share: float
) -> None:
    lag, pulled = PeerLag(), int(count * share)
    for number in range(1, count + 1):
        lag.heard(number, number * step)
        assert len(lag._heads) <= MARKS_MAX
    lag.reached(pulled)
    now = float(count * step)
    true_seconds = now - (pulled + 1) * step if pulled < count else 0.0
    assert lag.seconds(now) >= true_seconds
    assert lag.chunks == count - pulled


def test_steady_traffic_is_no_lag() -> None:
    """There is always a chunk that has not come yet; it is just never the same one."""
    lag = PeerLag()
    for number in range(1, 1000):
        lag.heard(number, number * 0.1)
        lag.reached(number - 1)
        assert lag.seconds(number * 0.1) < 0.2
        assert not lag.turned(number * 0.1)


def test_people_hear_once_that_a_peer_is_late_and_once_that_it_is_not() -> None:
    lag = PeerLag()
    lag.heard(10, 100.0)
    told = [(second, lag.turned(100.0 + second)) for second in range(60)]
    assert [second for second, turned in told if turned] == [int(LATE_SECONDS) + 1]
    lag.heard(20, 160.0)
    lag.reached(10)
    between = 160.0 + (CAUGHT_UP_SECONDS + LATE_SECONDS) / 2
    assert not lag.turned(between), "between the two bounds nothing is told"
    lag.reached(20)
    assert lag.turned(between)
    assert not lag.turned(between + 1000)


def test_numbers_of_another_life_of_the_store_are_forgotten() -> None:
    lag = PeerLag("life 1", 5)
    lag.heard(5, 1.0)
    assert (lag.chunks, lag.seconds(9.0)) == (0, 0.0), "what was pulled before a restart is here"
    lag.heard(9, 2.0)
    lag.meet("life 1")
    assert lag.chunks == 4
    lag.meet("life 2")
    lag.heard(3, 7.0)
    assert (lag.chunks, lag.seconds(8.0)) == (3, 1.0)


def test_lag_by_origin_counts_all_epochs_and_keeps_the_worst() -> None:
    lacking = {("b", "e1"): of_seqs([1, 2]), ("b", "e2"): of_seqs([9]), ("a", "e1"): of_seqs([4])}
    assert by_origin(lacking) == {"b": 3, "a": 1}
    many = {(f"n{number:05}", "e"): of_seqs([1]) for number in range(ORIGINS_MAX + 7)}
    many["zz", "e"] = of_seqs([1, 2])
    shown = by_origin(many)
    assert len(shown) == ORIGINS_MAX
    assert shown["zz"] == 2


def test_what_a_peer_has_counts_from_when_it_was_heard_and_not_from_when_its_store_is_known() -> (
    None
):
    lag = PeerLag()
    lag.heard(2, 10.0)
    lag.meet("store-1")
    assert (lag.chunks, lag.seconds(15.0)) == (2, 5.0)
    lag.meet("store-2")
    assert (lag.chunks, lag.seconds(15.0)) == (0, 0.0)
