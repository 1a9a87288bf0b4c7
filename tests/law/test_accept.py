"""A hub keeps each chunk once, the first bytes it was sent for a key, and answers for every one."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from hub.accept import GAPS_MAX, Link, check_integrity, check_sender, judge, judge_all
from shared.errors import BadInput, Refused
from shared.ranges import RANGES_MAX
from shared.receipt import Outcome
from shared.records import GENESIS_HASH, Chunk, Gap, read_header
from tests.law.drawing import chunk_of, patient


def log_of(bodies: Sequence[bytes]) -> list[Chunk]:
    """A log with a true chain, one chunk for each body, from 1."""
    chunks: list[Chunk] = []
    head = GENESIS_HASH
    for seq, body in enumerate(bodies, 1):
        chunks.append(chunk_of(seq, body, previous_hash=head))
        head = chunks[-1].hash
    return chunks


def links_of(chunks: Iterable[Chunk]) -> dict[int, Link]:
    """What a hub that holds these chunks knows of them."""
    return {chunk.header.seq: Link(chunk.hash, chunk.header.previous_hash) for chunk in chunks}


LENGTH = 6
ORIGINAL = log_of([b"one"] * LENGTH)
seqs = st.integers(1, LENGTH)
batches = st.lists(st.lists(seqs, min_size=1, max_size=5), max_size=8)


def clone_from(seq: int) -> list[Chunk]:
    """A log that is the original's up to `seq`, and another machine's from there on."""
    return log_of([b"one"] * seq + [b"other"] * (LENGTH - seq))


@patient
@given(batches)
def test_a_log_is_taken_in_any_order_and_each_chunk_once(sent: list[list[int]]) -> None:
    """The store as a dict, with a naive judgement beside it."""
    held: dict[int, Link] = {}
    for numbers in sent:
        batch = [ORIGINAL[seq - 1] for seq in numbers]
        judged = judge_all(batch, held)
        assert [outcome.seq for outcome in judged.outcomes] == numbers
        known = set(held)
        for seq, outcome in zip(numbers, judged.outcomes, strict=True):
            expected = Outcome.DUPLICATE if seq in known else Outcome.ACCEPTED
            assert outcome.outcome is expected
            known.add(seq)
        assert judged.conflicts == ()
        held |= links_of(judged.fresh)
        assert held == links_of(ORIGINAL[seq - 1] for seq in known)


@patient
@given(st.integers(0, LENGTH - 1), st.lists(st.tuples(seqs, st.booleans()), max_size=12))
def test_no_two_logs_ever_mix_where_chunks_touch(shared: int, sent: list[tuple[int, bool]]) -> None:
    """Whatever order two machines with one name push in, held neighbours are of one chain."""
    clone = clone_from(shared)
    held: dict[int, Chunk] = {}
    for seq, by_clone in sent:
        chunk = (clone if by_clone else ORIGINAL)[seq - 1]
        judged = judge_all([chunk], links_of(held.values()))
        (outcome,) = judged.outcomes
        is_conflict = outcome.reason.startswith("cloned_origin")
        assert bool(judged.conflicts) == is_conflict == (not outcome.held)
        held |= {fresh.header.seq: fresh for fresh in judged.fresh}
        for number, each in held.items():
            after = held.get(number + 1)
            assert after is None or after.header.previous_hash == each.hash


@pytest.mark.parametrize("held", [[3], [2, 3], [4], [2], [3, 4]])
def test_other_bytes_or_a_broken_chain_are_a_cloned_origin(held: list[int]) -> None:
    """At the same number, after the chunk before, and before the chunk after."""
    clone = clone_from(1)
    links = links_of(ORIGINAL[seq - 1] for seq in held)
    judged = judge_all([clone[2]], links)
    assert judged.outcomes[0].reason.startswith("cloned_origin")
    assert judged.fresh == ()
    (conflict,) = judged.conflicts
    assert conflict.held_hash == links[conflict.held_seq].hash
    assert abs(conflict.held_seq - 3) <= 1


def test_a_batch_of_a_clone_is_refused_from_its_first_contradiction_on() -> None:
    """Else the chunks that follow, with no neighbour here, would take the numbers of the original."""
    judged = judge_all(clone_from(2)[2:], links_of(ORIGINAL[:3]))
    assert [outcome.held for outcome in judged.outcomes] == [False] * 4
    assert len(judged.conflicts) == 4


def test_a_chunk_that_is_refused_for_its_form_is_no_clone() -> None:
    bad = chunk_of(1, signal="smells")
    following = chunk_of(2, previous_hash=bad.hash)
    judged = judge_all([bad, following], {})
    assert [outcome.held for outcome in judged.outcomes] == [False, True]
    assert judged.conflicts == ()


def test_a_neighbour_whose_header_is_damaged_contradicts_nobody() -> None:
    held = {4: Link(ORIGINAL[3].hash, None)}
    assert judge(ORIGINAL[2], held).outcome is Outcome.ACCEPTED


@patient
@given(seqs)
def test_a_replay_is_a_duplicate_and_never_an_error(seq: int) -> None:
    chunk = ORIGINAL[seq - 1]
    assert judge(chunk, {}).outcome is Outcome.ACCEPTED
    assert judge(chunk, links_of(ORIGINAL)).outcome is Outcome.DUPLICATE


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("signal", "smells", "unknown_signal"),
        ("encoding", "morse", "unknown_encoding"),
        ("codec", "lzw", "unknown_codec"),
        ("records", -1, "negative_length"),
        ("raw_bytes", -1, "negative_length"),
        ("records", 2**41, "bad_length"),
        ("time_min_ns", -1, "bad_time"),
        ("time_max_ns", 2**63, "bad_time"),
        ("origin", "o" * 65, "bad_key"),
        ("epoch", "e" * 65, "bad_key"),
    ],
)
def test_a_chunk_that_cannot_be_kept_is_rejected_with_its_reason(
    field: str, value: Any, reason: str
) -> None:
    outcome = judge(chunk_of(1, **{field: value}), {})
    assert outcome.outcome is Outcome.REJECTED
    assert outcome.reason.startswith(reason)


SHED = Gap("logs", "shed", ((1, 2), (4, 4)), 3, 30, 300, 1, 2)


def test_a_chunk_may_declare_what_was_lost_before_it() -> None:
    assert judge(chunk_of(5, gaps=(SHED,), predecessor=("e0", 7)), {}).held


@pytest.mark.parametrize(
    ("gap", "why"),
    [
        (replace(SHED, ranges=()), "no range"),
        (replace(SHED, ranges=((0, 1),)), "1 <= first"),
        (replace(SHED, ranges=((3, 2),)), "first <= last"),
        (replace(SHED, ranges=((4, 5),)), "earlier chunks"),
        (replace(SHED, ranges=((1, 2**63),)), "earlier chunks"),
        (replace(SHED, records=-1), "counts"),
        (replace(SHED, stored_bytes=2**63), "counts"),
        (replace(SHED, chunks=2**41), "counts"),
        (replace(SHED, since_ms=-1), "times"),
        (replace(SHED, until_ms=2**62), "times"),
        (replace(SHED, reason=""), "characters"),
        (replace(SHED, signal="s" * 65), "characters"),
    ],
)
def test_a_gap_that_makes_no_sense_is_rejected_with_its_reason(gap: Gap, why: str) -> None:
    outcome = judge(chunk_of(5, gaps=(SHED, gap)), {})
    assert outcome.reason.startswith("bad_gap")
    assert why in outcome.reason


def test_a_header_declares_no_more_than_can_be_kept() -> None:
    many = chunk_of(5, gaps=(SHED,) * (GAPS_MAX + 1))
    assert judge(many, {}).reason.startswith("bad_gap")
    long = replace(SHED, ranges=((1, 1),) * (RANGES_MAX + 1))
    assert judge(chunk_of(5, gaps=(long,)), {}).reason.startswith("bad_gap")


@pytest.mark.parametrize(
    "predecessor", [("", 1), ("e" * 65, 1), ("e0", -1), ("e0", 2**63), ("e1", 1)]
)
def test_a_predecessor_that_cannot_be_one_is_rejected(predecessor: tuple[str, int]) -> None:
    outcome = judge(chunk_of(1, predecessor=predecessor), {})
    assert outcome.reason.startswith("bad_predecessor")


numbers = st.integers(-(2**63), 2**64 - 1)
wild_gaps = st.builds(
    Gap,
    st.text(max_size=70),
    st.text(max_size=70),
    st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple),
    *[numbers] * 5,
)


@patient
@given(
    st.lists(wild_gaps, max_size=3).map(tuple), st.none() | st.tuples(st.text(max_size=70), numbers)
)
def test_whatever_a_header_declares_is_judged_and_what_is_kept_fits_a_table(
    gaps: tuple[Gap, ...], predecessor: tuple[str, int] | None
) -> None:
    chunk = chunk_of(2**40, gaps=gaps, predecessor=predecessor)
    header = read_header(chunk.header_bytes)
    assert header == chunk.header
    if judge(chunk, {}).held:
        kept = [value for gap in header.gaps for value in astuple(gap)[3:]]
        assert all(0 <= value < 2**63 for value in kept)


@patient
@given(st.sampled_from(ORIGINAL), st.data())
def test_one_wrong_byte_refuses_the_batch(chunk: Chunk, data: st.DataObject) -> None:
    check_integrity([chunk])
    at = data.draw(st.integers(0, len(chunk.body) - 1))
    spoiled = bytearray(chunk.body)
    spoiled[at] ^= data.draw(st.integers(1, 255))
    assert hashlib.sha256(spoiled).digest() != chunk.header.body_sha256
    with pytest.raises(BadInput, match="SHA-256"):
        check_integrity([chunk, Chunk(chunk.header, chunk.header_bytes, bytes(spoiled))])


def test_an_edge_sends_its_own_log_only() -> None:
    check_sender([chunk_of(1), chunk_of(2)], "edge-1")
    with pytest.raises(Refused):
        check_sender([chunk_of(1)], "edge-2")
    with pytest.raises(BadInput, match="one epoch"):
        check_sender([chunk_of(1), chunk_of(1, epoch="e2")], "edge-1")
