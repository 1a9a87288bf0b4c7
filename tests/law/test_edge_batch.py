"""What an edge puts together: bounded, in order, nothing left out and nothing twice."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from edge.batch import PushLimits, take_push, wanted_from
from edge.push import Next, halves, judge_status
from shared.receive.gather import GatherLimits, join_parts, take_group
from shared.records import Encoding, Part, Signal
from tests.law.drawing import patient, ranges_of, seq_sets

LIMITS = GatherLimits(parts_max=5, bytes_max=60, chunk_raw_bytes_max=30)
PUSH = PushLimits(bytes_target=60, chunks_max=5)

parts = st.builds(
    Part,
    st.sampled_from(Signal),
    st.sampled_from(Encoding),
    st.binary(min_size=1, max_size=40),
    st.integers(0, 9),
    st.integers(0, 3),
    st.integers(3, 9),
)
sizes = st.lists(st.integers(0, 80), max_size=12)


@patient
@given(st.lists(parts, min_size=1, max_size=12))
def test_a_commit_takes_at_least_one_part_and_stays_within_its_bounds(waiting: list[Part]) -> None:
    count = take_group(waiting, LIMITS)
    assert 1 <= count <= min(len(waiting), LIMITS.parts_max)
    size = sum(len(part.body) for part in waiting[:count])
    assert size <= LIMITS.bytes_max or count == 1
    if count < min(len(waiting), LIMITS.parts_max):
        assert size + len(waiting[count].body) > LIMITS.bytes_max


@patient
@given(st.lists(parts, max_size=12))
def test_chunks_hold_every_body_once_in_order_by_kind(coming: list[Part]) -> None:
    joined = join_parts(coming, LIMITS)
    by_kind: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
    expected: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
    for chunk in joined:
        by_kind[chunk.signal, chunk.encoding].extend(chunk.bodies)
    for part in coming:
        expected[part.signal, part.encoding].append(part.body)
    assert by_kind == expected
    assert sum(chunk.records for chunk in joined) == sum(part.records for part in coming)


@patient
@given(st.lists(parts, max_size=12))
def test_a_chunk_is_bounded_and_spans_the_times_of_its_parts(coming: list[Part]) -> None:
    by_body = {(part.signal, part.encoding, part.body): part for part in coming}
    for chunk in join_parts(coming, LIMITS):
        size = sum(map(len, chunk.bodies))
        assert size <= LIMITS.chunk_raw_bytes_max or len(chunk.bodies) == 1
        if len(by_body) == len(coming):
            mine = [by_body[chunk.signal, chunk.encoding, body] for body in chunk.bodies]
            known = [part.time_min_ns for part in mine if part.time_min_ns]
            assert chunk.time_min_ns == min(known, default=0)
            assert chunk.time_max_ns == max(part.time_max_ns for part in mine)


@patient
@given(sizes)
def test_a_push_takes_at_least_one_chunk_and_stays_within_its_bounds(stored: list[int]) -> None:
    count = take_push(stored, PUSH)
    assert min(len(stored), 1) <= count <= min(len(stored), PUSH.chunks_max)
    assert sum(stored[:count]) <= PUSH.bytes_target or count == 1


@patient
@given(seq_sets, seq_sets, st.integers(0, 40))
def test_the_next_wanted_chunk_is_the_first_that_the_hub_lacks(
    buffered: frozenset[int], have: frozenset[int], after: int
) -> None:
    expected = min((seq for seq in buffered - have if seq > after), default=None)
    assert wanted_from(ranges_of(buffered), ranges_of(have), after) == expected


@given(st.integers(2, 5000))
def test_halving_ends_at_single_chunks(count: int) -> None:
    first, second = halves(count)
    assert first + second == count
    assert 0 < second <= first < count


@patient
@given(
    st.integers(100, 599),
    st.dictionaries(st.just("retry-after"), st.text(max_size=12)),
    st.binary(max_size=400),
)
def test_only_an_answer_about_the_data_can_cost_the_data_its_place(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    """Anything but a receipt or a refusal of these very bytes keeps them in the buffer."""
    verdict = judge_status(status, headers, body, 0.0)
    assert (verdict.next is Next.DONE) == (status == 200)
    assert (verdict.next is Next.SPLIT) == (status in (400, 413, 422))
    assert verdict.retry_after_seconds is None or 0 <= verdict.retry_after_seconds <= 3600
