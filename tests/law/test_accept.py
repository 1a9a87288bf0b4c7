"""A hub keeps each chunk once, the first bytes it was sent for a key, and answers for every one."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.accept import check_integrity, check_sender, judge, judge_all
from shared.errors import BadInput, Refused
from shared.receipt import Outcome
from shared.records import Chunk
from tests.law.drawing import chunk_of, patient

BODIES = (b"one", b"other")
arriving = st.builds(chunk_of, st.integers(1, 6), st.sampled_from(BODIES))
batches = st.lists(st.lists(arriving, min_size=1, max_size=5), max_size=6)


@patient
@given(batches)
def test_the_first_bytes_under_a_key_stay_and_every_chunk_gets_its_answer(
    sent: list[list[Chunk]],
) -> None:
    """The store as a dict, with a naive judgement beside it."""
    held: dict[int, bytes] = {}
    for batch in sent:
        outcomes, fresh = judge_all(batch, held)
        assert [outcome.seq for outcome in outcomes] == [chunk.header.seq for chunk in batch]
        expected = dict(held)
        for chunk, outcome in zip(batch, outcomes, strict=True):
            first = expected.setdefault(chunk.header.seq, chunk.hash)
            assert outcome.held == (first == chunk.hash)
        stored = {chunk.header.seq: chunk.hash for chunk in fresh}
        assert len(stored) == len(fresh), "one key was stored twice"
        assert {**held, **stored} == expected
        held = expected


@patient
@given(arriving)
def test_a_replay_is_a_duplicate_and_never_an_error(chunk: Chunk) -> None:
    assert judge(chunk, None).outcome is Outcome.ACCEPTED
    assert judge(chunk, chunk.hash).outcome is Outcome.DUPLICATE


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
    outcome = judge(chunk_of(1, **{field: value}), None)
    assert outcome.outcome is Outcome.REJECTED
    assert outcome.reason.startswith(reason)


@patient
@given(arriving, st.data())
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
