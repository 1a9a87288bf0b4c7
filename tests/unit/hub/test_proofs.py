"""Proofs: the hashes at the ends of spans, from memory as soon as they were seen once."""

from hypothesis import given
from hypothesis import strategies as st

from hub.store.proofs import HASHES_MAX, LOGS_MAX, SPANS_MAX, Proofs
from shared.ranges import Ranges, of_seqs

KEY = ("edge-1", "e1")


def digest(seq: int) -> bytes:
    return seq.to_bytes(32)


def asked(proofs: Proofs, have: Ranges) -> tuple[list[tuple[int, str]], int]:
    """The answer, and how many hashes had to be read from the disk for it."""
    lacking = proofs.lacking(KEY, have)
    proofs.learn(KEY, [(seq, digest(seq)) for seq in lacking])
    return proofs.of(KEY, have), len(lacking)


@given(st.lists(st.integers(1, 200) | st.just(0), max_size=120))
def test_an_answer_names_the_end_of_each_of_the_newest_spans(steps: list[int]) -> None:
    """A zero stands for a question in between."""
    proofs, have = Proofs(), Ranges()
    for seq in [*steps, 0]:
        if seq:
            have = have.add(seq, seq)
            proofs.note(KEY, seq, digest(seq))
        else:
            answer, _ = asked(proofs, have)
            ends = [last for _, last in have.spans[-SPANS_MAX:]]
            assert answer == [(end, digest(end).hex()) for end in ends]


def test_a_log_that_only_grows_is_never_read() -> None:
    proofs = Proofs()
    for seq in range(1, 500):
        proofs.note(KEY, seq, digest(seq))
        assert asked(proofs, Ranges(((1, seq),)))[1] == 0


def test_what_was_asked_for_once_is_not_read_again() -> None:
    proofs, have = Proofs(), of_seqs(range(1, 40, 2))
    assert asked(proofs, have)[1] == SPANS_MAX
    assert asked(proofs, have)[1] == 0


def test_an_edge_that_was_set_back_finds_its_own_end_within_a_span() -> None:
    """Its mark is proven beside the ends, and is read from the disk once."""
    proofs, have = Proofs(), Ranges(((1, 53),))
    assert proofs.lacking(KEY, have, 31) == [31, 53]
    proofs.learn(KEY, [(31, digest(31)), (53, digest(53))])
    for _ in range(2):
        assert [seq for seq, _ in proofs.of(KEY, have, 31)] == [31, 53]
        assert proofs.lacking(KEY, have, 31) == []
    assert proofs.lacking(KEY, have, 54) == []


def test_memory_is_bounded_by_logs_and_by_hashes() -> None:
    proofs = Proofs()
    for seq in range(1, 1000, 2):
        proofs.note(KEY, seq, digest(seq))
    assert len(proofs._logs[KEY]) == HASHES_MAX
    for number in range(LOGS_MAX):
        proofs.note((f"edge-{number}", "e"), 1, digest(1))
    assert len(proofs._logs) == LOGS_MAX
    assert KEY not in proofs._logs
