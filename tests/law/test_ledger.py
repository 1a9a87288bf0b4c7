"""A ledger adds up: every number is held, declared lost, or named as missing, and no byte goes unread."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.epochs import EpochBook, Predecessor, describe_epoch
from hub.ledger import FATES, DeclaredGap, LedgerState, balance, declared, unaccounted
from hub.verify import StoredChunk, Verifier
from shared.ranges import NOTHING, Ranges, of_seqs, of_spans
from shared.records import GENESIS_HASH, Chunk, Gap
from shared.sums import Sum
from tests.law.drawing import chunk_of, patient, ranges_of, seq_sets

KEY = ("edge-1", "e1")


def gap_of(seqs: frozenset[int], reason: str = "shed", records: int = 10) -> Gap:
    return Gap("logs", reason, of_seqs(seqs).spans, len(seqs), records, 100, 1, 2)


some_seqs = seq_sets.filter(bool)
gap_lists = st.lists(some_seqs.map(gap_of), max_size=5)


@patient
@given(seq_sets, gap_lists)
def test_every_number_below_the_head_is_held_or_declared_or_missing(
    held: frozenset[int], gaps: list[Gap]
) -> None:
    told = {seq for gap in gaps for first, last in gap.ranges for seq in range(first, last + 1)}
    expected = set(range(1, max(held, default=0) + 1)) - held - told
    assert set(unaccounted(ranges_of(held), ranges_of(told))) == expected


@patient
@given(seq_sets, gap_lists)
def test_what_is_kept_in_memory_says_the_same_as_the_whole(
    held: frozenset[int], gaps: list[Gap]
) -> None:
    state = LedgerState()
    for gap in gaps:
        state.note_gaps(KEY, [gap])
    union = of_spans(span for gap in gaps for span in gap.ranges)
    assert state.declared.get(KEY, NOTHING) == union
    assert state.holes(KEY, ranges_of(held)) == unaccounted(ranges_of(held), union)
    assert state.records_by_reason.total() == 10 * len(gaps)
    state.succeeded.add(KEY)
    assert state.holes(KEY, ranges_of(held)) == NOTHING


@patient
@given(seq_sets, gap_lists)
def test_a_gap_whose_chunks_came_is_filled_and_no_loss(
    held: frozenset[int], gaps: list[Gap]
) -> None:
    each_once = {gap.ranges: gap for gap in gaps}
    told = declared([DeclaredGap(50, gap) for gap in gaps], ranges_of(held))
    lost = [gap for gap in each_once.values() if not set(of_spans(gap.ranges)) <= held]
    assert told.filled == len(each_once) - len(lost)
    assert sum(loss.records for loss in told.losses) == 10 * len(lost)


@patient
@given(st.lists(st.tuples(some_seqs, st.sampled_from(("shed", "damaged"))), max_size=6))
def test_gaps_add_up_the_same_in_whatever_order_they_came(
    drawn: list[tuple[frozenset[int], str]],
) -> None:
    gaps = [DeclaredGap(100 + n, gap_of(seqs, reason)) for n, (seqs, reason) in enumerate(drawn)]
    assert declared(gaps, NOTHING) == declared(gaps[::-1], NOTHING)


def test_a_later_word_on_the_same_chunks_replaces_the_earlier_one() -> None:
    """A dead letter that is discarded is lost once."""
    one = DeclaredGap(9, gap_of(frozenset({4}), "dead_letter"))
    two = DeclaredGap(12, gap_of(frozenset({4}), "discarded"))
    (loss,) = declared([one, two], NOTHING).losses
    assert (loss.reason, loss.records) == ("discarded", 10)


def book_of(held: Ranges, gaps: tuple[DeclaredGap, ...] = (), **changes: object) -> EpochBook:
    union = of_spans(span for each in gaps for span in each.gap.ranges)
    sums = {"logs": Sum(held.count, 3 * held.count, 90)}
    book = EpochBook("edge-1", "e1", held, sums, union, gaps, len(gaps), None, False, 0, 0)
    return replace(book, **changes)  # type: ignore[arg-type]


def test_a_complete_epoch_is_told_in_one_line() -> None:
    gap = gap_of(frozenset(range(7001, 7041)), records=200)
    other = replace_signal(gap_of(frozenset({3}), records=1), "traces")
    held = Ranges(((1, 918_233),)) - of_spans(((7001, 7040), (3, 3)))
    book = book_of(held, (DeclaredGap(7041, gap), DeclaredGap(8000, other)))
    assert describe_epoch(book)["summary"] == (
        "edge-1 epoch e1: 1..918,233 complete, 2 declared gaps "
        "[7001-7040 shed logs, 200 records; 3 shed traces, 1 records]"
    )


def replace_signal(gap: Gap, signal: str) -> Gap:
    return Gap(signal, gap.reason, *_rest(gap))


def _rest(gap: Gap) -> tuple[tuple[tuple[int, int], ...], int, int, int, int, int]:
    return gap.ranges, gap.chunks, gap.records, gap.stored_bytes, gap.since_ms, gap.until_ms


def test_what_is_missing_without_a_word_is_named() -> None:
    told = describe_epoch(book_of(Ranges(((1, 4), (6, 6), (9, 12)))))
    assert told["holes"] == {"count": 3, "ranges": [[5, 5], [7, 8]]}
    assert not told["complete"]
    assert "incomplete, 3 numbers missing without a word [5, 7-8]" in told["summary"]


def test_what_an_ended_epoch_lacks_was_carried_into_the_next() -> None:
    former = Predecessor("e0", 9, Ranges(((1, 4), (11, 12))), Ranges(((5, 5),)))
    told = describe_epoch(book_of(Ranges(((1, 4),)), predecessor=former))
    assert told["predecessor"] == {
        "epoch": "e0",
        "last_seq": 9,
        "held": 4,
        "carried_over": 4,
        "beyond": [[11, 12]],
    }
    ended = describe_epoch(book_of(Ranges(((1, 4), (6, 6))), is_succeeded=True))
    assert ended["complete"]
    assert ended["holes"]["count"] == 0


# ---- the edge's own sums

amounts = st.integers(0, 2**50)


@patient
@given(st.fixed_dictionaries(dict.fromkeys(FATES, amounts)), st.integers(-1000, 1000))
def test_the_balance_is_what_the_sums_do_not_explain(sums: dict[str, int], off: int) -> None:
    explained = sum(sums.values())
    produced = max(explained + off, 0)
    answer = balance({**sums, "produced": produced}, 3.0)
    assert answer is not None
    assert answer["balance"] == produced - explained
    assert ("balance" in answer["note"]) == (answer["balance"] == 0)
    assert "3 s ago" in answer["note"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
names = st.sampled_from(("produced", "safe", "buffered", "accepted", "by_signal", "shed"))


@patient
@given(anything | st.dictionaries(names, anything | st.dictionaries(names, anything)))
def test_whatever_a_node_tells_as_its_sums_is_read_without_trouble(told: object) -> None:
    answer = balance(told, None)
    assert (answer is None) == (not isinstance(told, dict))
    if answer is not None:
        assert all(0 <= answer[name] <= 2**53 for name in ("produced", "safe", "shed"))
        assert isinstance(answer["note"], str)


# ---- verifying


def log_of(count: int) -> list[StoredChunk]:
    chunks: list[Chunk] = []
    for seq in range(1, count + 1):
        head = chunks[-1].hash if chunks else GENESIS_HASH
        chunks.append(chunk_of(seq, b"body %d" % seq, previous_hash=head))
    return [StoredChunk(chunk, chunk.hash) for chunk in chunks]


LOG = log_of(8)


def verified(stored: list[StoredChunk], held: Ranges) -> Verifier:
    verifier = Verifier(KEY)
    for each in stored:
        verifier.feed(each.chunk.header.seq, each)
    verifier.expect(held)
    return verifier


@patient
@given(seq_sets)
def test_any_part_of_a_true_log_is_verified(drawn: frozenset[int]) -> None:
    """Chunks that are not held leave their neighbours without a link, not with a broken one."""
    held = of_seqs(drawn) & Ranges(((1, len(LOG)),))
    found = verified([LOG[seq - 1] for seq in held], held).to_wire()
    assert (found["broken"], found["verified"]) == (0, held.to_wire())


@patient
@given(st.integers(1, len(LOG)), st.data())
def test_one_wrong_byte_anywhere_is_found_at_its_number(seq: int, data: st.DataObject) -> None:
    stored = LOG[seq - 1]
    whole = stored.chunk
    in_body = data.draw(st.booleans())
    spoiled = bytearray(whole.body if in_body else whole.header_bytes)
    spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= data.draw(st.integers(1, 255))
    body, header_bytes = (spoiled, whole.header_bytes) if in_body else (whole.body, spoiled)
    chunk = Chunk(whole.header, bytes(header_bytes), bytes(body))
    damaged = [*LOG[: seq - 1], replace(stored, chunk=chunk), *LOG[seq:]]
    found = verified(damaged, Ranges(((1, len(LOG)),)))
    assert set(found.broken_seqs) == {seq}
    assert len(found.faults) == 1


@patient
@given(st.integers(1, len(LOG)))
def test_a_chunk_that_is_noted_and_not_there_is_found(seq: int) -> None:
    left = [each for each in LOG if each.chunk.header.seq != seq]
    assert set(verified(left, Ranges(((1, len(LOG)),))).broken_seqs) == {seq}


def test_a_chunk_of_another_chain_is_found_though_its_hashes_are_right() -> None:
    stranger = chunk_of(4, b"other", previous_hash=b"x" * 32)
    log = [*LOG[:3], StoredChunk(stranger, stranger.hash), *LOG[4:]]
    found = verified(log, Ranges(((1, len(LOG)),)))
    assert set(found.broken_seqs) == {4, 5}
    assert "does not follow" in found.faults[0]["fault"]


@pytest.mark.parametrize(
    "stranger", [chunk_of(1, origin="edge-9"), chunk_of(1, epoch="e9")], ids=["origin", "epoch"]
)
def test_a_chunk_of_another_log_is_found(stranger: Chunk) -> None:
    found = verified([StoredChunk(stranger, stranger.hash)], Ranges(((1, 1),)))
    assert found.faults == [{"first": 1, "last": 1, "fault": "the header names another log"}]
