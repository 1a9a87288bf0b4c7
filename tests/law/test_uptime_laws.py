"""The laws of uptime: whatever the order in which hubs' observations come, and whatever their clocks."""

from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.nodes.history import BEGAN, Attendance, Change, by_log, spans_of, told
from hub.nodes.history_write import Observing
from hub.nodes.uptime import (
    DAY_MS,
    MINUTE_MS,
    Health,
    Opinion,
    Parts,
    Scale,
    Span,
    bars,
    buckets,
    merged,
    total,
)

# Few moments, so that ends and beginnings of different hubs meet often.
moments = st.integers(0, 40)
spans = st.builds(Span, moments, moments, st.sampled_from(Opinion))
lists = st.lists(spans, max_size=12)
states = st.sampled_from(["online", "late", "suspect", "offline", "unknown", "flapping", "new"])


def plain_health(all_spans: list[Span], moment: int) -> Health:
    """The rule in its plainest form: who says what at this moment."""
    said = {span.opinion for span in all_spans if span.start_ms <= moment < span.end_ms}
    if Opinion.HEALTHY in said:
        return Health.DEGRADED if Opinion.FAILED in said else Health.HEALTHY
    if Opinion.DEGRADED in said:
        return Health.DEGRADED
    return Health.OFFLINE if Opinion.OFFLINE in said else Health.UNKNOWN


@given(lists)
@settings(deadline=None)
def test_every_moment_is_as_the_plain_rule_says(all_spans: list[Span]) -> None:
    """The sweep over all ends gives what looking at each moment by itself gives."""
    verdict = {
        moment: piece.health
        for piece in merged(all_spans)
        for moment in range(piece.start_ms, piece.end_ms)
    }
    for moment in range(-1, 42):
        assert verdict.get(moment, Health.UNKNOWN) == plain_health(all_spans, moment)


@given(lists, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_observations_makes_no_difference(all_spans: list[Span], luck: Random) -> None:
    """Hubs that got the same observations in another order draw the same bars."""
    mixed = list(all_spans)
    luck.shuffle(mixed)
    assert merged(mixed) == merged(all_spans)


@given(lists, lists)
@settings(deadline=None)
def test_observations_that_come_twice_change_nothing(
    all_spans: list[Span], others: list[Span]
) -> None:
    """A page of a log that is read twice counts once."""
    assert merged([*all_spans, *others, *all_spans]) == merged([*all_spans, *others])


@given(lists)
@settings(deadline=None)
def test_pieces_are_in_order_and_differ_from_their_neighbours(all_spans: list[Span]) -> None:
    """Nothing overlaps, nothing is empty, and unknown is what no piece covers."""
    pieces = merged(all_spans)
    for piece in pieces:
        assert piece.start_ms < piece.end_ms
        assert piece.health is not Health.UNKNOWN
    for left, right in pairwise(pieces):
        assert left.end_ms <= right.start_ms
        assert left.end_ms < right.start_ms or left.health is not right.health


@given(lists, st.integers(0, 60), st.integers(1, 7), st.integers(1, 9), st.integers(0, 10))
@settings(deadline=None)
def test_the_parts_of_a_bucket_add_up_to_its_past(
    all_spans: list[Span], now: int, step: int, count: int, first: int
) -> None:
    """Healthy, degraded, offline and unknown are the whole of what is past, and never negative."""
    for bucket in buckets(merged(all_spans), first, step, count, now):
        parts = bucket.parts
        past = min(max(now - bucket.start_ms, 0), step)
        assert parts.length_ms == past
        assert bucket.end_ms - bucket.start_ms == step
        assert min(parts.healthy_ms, parts.degraded_ms, parts.offline_ms, parts.unknown_ms) >= 0


@given(lists, st.integers(0, 60), st.integers(1, 7), st.integers(1, 9))
@settings(deadline=None)
def test_a_bucket_that_is_still_to_come_is_empty(
    all_spans: list[Span], now: int, step: int, count: int
) -> None:
    """Whatever a hub with a wrong clock says of the future."""
    for bucket in buckets(merged(all_spans), 0, step, count, now):
        if bucket.start_ms >= now:
            assert bucket.parts == Parts()


@given(lists, lists, st.integers(1, 60))
@settings(deadline=None)
def test_one_more_observer_never_makes_more_unknown(
    mine: list[Span], theirs: list[Span], now: int
) -> None:
    """Who has an opinion adds to what is known."""
    alone = total(buckets(merged(mine), 0, 5, 12, now))
    both = total(buckets(merged([*mine, *theirs]), 0, 5, 12, now))
    assert both.unknown_ms <= alone.unknown_ms


@given(lists, st.lists(st.builds(Span, moments, moments, st.just(Opinion.OFFLINE)), max_size=5))
@settings(deadline=None)
def test_a_node_is_not_offline_while_any_hub_hears_it(
    heard: list[Span], silent: list[Span]
) -> None:
    """Hubs that do not hear a node add nothing where another one does."""
    before = {m: plain_health(heard, m) for m in range(41)}
    for piece in merged([*heard, *silent]):
        for moment in range(piece.start_ms, piece.end_ms):
            if before[moment] in (Health.HEALTHY, Health.DEGRADED):
                assert piece.health is before[moment]


@given(st.integers(0, 10**13), st.sampled_from([5 * MINUTE_MS, DAY_MS]), st.integers(1, 90))
def test_bars_are_aligned_and_the_newest_one_holds_now(now: int, step: int, count: int) -> None:
    """Buckets begin at whole steps of UTC, so all hubs cut in the same places."""
    drawn = bars([], Scale("any", step, count), now)
    assert [bucket.start_ms % step for bucket in drawn] == [0] * count
    assert drawn[-1].start_ms <= now < drawn[-1].end_ms


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["note", "tick", "settle"]),
            st.integers(0, 400),
            st.integers(-100_000, 100_000),
            st.sampled_from(["a", "b"]),
            states,
        ),
        max_size=40,
    )
)
@settings(deadline=None)
def test_a_clock_that_is_set_makes_no_negative_span(
    steps: list[tuple[str, int, int, str, str]],
) -> None:
    """However the wall clock of a hub jumps, what it wrote reads as spans within its attendances."""
    now, wall_ms, observing = 0.0, 1_000_000, Observing(0, 0, 0)
    observing.begin(now, wall_ms)
    for kind, seconds, jump_ms, node, state in steps:
        now, wall_ms = now + seconds, max(wall_ms + seconds * 1000 + jump_ms, 0)
        observing.tick(now, wall_ms)
        if kind == "note":
            observing.note(node, "", state, "", now, wall_ms)
        if kind == "settle":
            observing.settle(now, wall_ms)
    lines = observing.take_pending()
    attendances = attendances_of(lines, observing.attended_ms)
    for node in ("a", "b"):
        mine = [line for line in lines if line.node == node]
        said = told(
            "h@1",
            by_log([("h@1", each) for each in mine])["h@1"] if mine else [],
            attendances,
            0,
            2**50,
        )
        assert all(each.since_ms < each.until_ms for each in said)
        for each in said:
            assert any(
                a.since_ms <= each.since_ms and each.until_ms <= a.until_ms for a in attendances
            )
        assert all(span.start_ms < span.end_ms for span in spans_of(said))


def attendances_of(lines: list[Change], attended_ms: int) -> list[Attendance]:
    """What a table makes of the lines that open attendances."""
    opened = [line for line in lines if line.state == BEGAN]
    ends = [max(later.ended_ms, line.since_ms) for line, later in pairwise(opened)]
    return [
        Attendance(line.attendance, line.since_ms, end)
        for line, end in zip(opened, [*ends, attended_ms], strict=True)
    ]
