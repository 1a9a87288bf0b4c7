"""The rules that tell one log file from the next, as tables."""

from dataclasses import replace

import msgspec
import pytest

from edge.receive.lines import Cut
from edge.receive.place import (
    Candidate,
    Place,
    Verdict,
    advance,
    find_again,
    fingerprint,
    is_begun_anew,
    judge_end,
    next_generation,
)

LONG = bytes(range(256)) * 4
OTHER = LONG[::-1]


def candidate(name: str, inode: int, head: bytes, modified_ns: int = 0, size: int = 0) -> Candidate:
    return Candidate(name, 1, inode, size or len(head), modified_ns, head)


def place(inode: int, offset: int, head: bytes) -> Place:
    return Place(1, inode, offset, len(head), fingerprint(head))


@pytest.mark.parametrize(
    ("size", "head", "anew"),
    [
        (500, b"first line\n", False),
        (100, b"first line\n", False),
        (99, b"first line\n", True),
        (0, b"", True),
        (500, b"other line\n", True),
        (500, b"fir", True),
    ],
)
def test_a_file_that_shrank_or_begins_otherwise_was_begun_anew(
    size: int, head: bytes, anew: bool
) -> None:
    assert is_begun_anew(place(7, 100, b"first line\n"), size, head) is anew


def test_a_file_of_which_nothing_was_read_cannot_have_changed() -> None:
    assert not is_begun_anew(Place(1, 7, 0), 0, b"")
    assert not is_begun_anew(Place(1, 7, 0), 9, b"something")


def test_the_fingerprint_grows_with_what_was_read_and_then_stays() -> None:
    here = advance(Place(1, 7, 0), Cut([], 10), LONG)
    assert (here.offset, here.print_bytes) == (10, 10)
    assert here.print_sha256 == fingerprint(LONG[:10])
    here = advance(here, Cut([], 5000, 2), LONG)
    assert (here.offset, here.print_bytes, here.piece) == (5010, 1024, 2)
    assert advance(here, Cut([], 1), OTHER).print_sha256 == here.print_sha256


def test_a_place_says_where_in_a_record_it_is_and_can_be_read_without() -> None:
    here = advance(Place(1, 7, 0), Cut([], 5, 3, {}, "frames", True), LONG)
    assert (here.piece, here.stage, here.inside_line) == (3, "frames", True)
    old = msgspec.json.decode(b'{"device":1,"inode":7,"offset":5,"piece":3}', type=Place)
    assert (old.piece, old.stage, old.inside_line) == (3, "", False)


@pytest.mark.parametrize(
    ("at_path", "quiet_seconds", "verdict"),
    [
        (None, 99, Verdict.WAIT),
        ((1, 7), 99, Verdict.WAIT),
        ((1, 8), 1.9, Verdict.WAIT),
        ((1, 8), 2.0, Verdict.MOVE_ON),
        ((2, 7), 2.0, Verdict.MOVE_ON),
    ],
)
def test_a_file_is_left_when_its_name_went_to_another_and_it_is_quiet(
    at_path: tuple[int, int] | None, quiet_seconds: float, verdict: Verdict
) -> None:
    assert judge_end(Place(1, 7, 10), at_path, quiet_seconds, 2.0) is verdict


def test_a_renamed_file_is_found_again_by_its_inode_and_beginning() -> None:
    found = [candidate("a.log", 8, b"new\n"), candidate("a.log.1", 7, b"old\nmore\n")]
    assert find_again(place(7, 4, b"old\n"), found) is found[1]


def test_an_inode_that_went_to_another_file_does_not_count() -> None:
    assert find_again(place(7, 4, b"old\n"), [candidate("a.log", 7, b"new\n")]) is None


def test_a_copy_is_found_again_by_a_long_beginning_only() -> None:
    copies = [candidate("a.log.1", 9, LONG, size=2000)]
    assert find_again(place(7, 1500, LONG), copies) is copies[0]
    assert find_again(place(7, 2001, LONG), copies) is None
    assert find_again(place(7, 6, b"start\n"), [candidate("a.log.1", 9, b"start\nx\n")]) is None


def test_the_same_file_comes_before_its_copy() -> None:
    found = [candidate("a.log.1", 9, LONG, size=9000), candidate("a.log", 7, LONG, size=1500)]
    assert find_again(place(7, 1500, LONG), found) is found[1]


DONE = candidate("", 7, b"done\n", modified_ns=100)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], None),
        ([candidate("a.log", 8, b"new\n", 300)], "a.log"),
        ([candidate("a.log", 8, b"", 300), candidate("a.log.1", 9, b"mid\n", 200)], "a.log.1"),
        (
            [candidate("a.log", 8, b"", 300), candidate("a.log-20261121", 9, b"m", 200)],
            "a.log-20261121",
        ),
        ([candidate("a.log", 8, b"", 300), candidate("a.log.2", 9, b"old\n", 99)], "a.log"),
        ([candidate("a.log", 8, b"", 300), candidate("a.log.1", 7, b"done\n", 100)], "a.log"),
        ([candidate("a.log", 8, b"", 300), candidate("a.log.1", 9, b"done\n", 200)], "a.log"),
        ([candidate("a.log", 8, b"", 300), candidate("a.log.1.gz", 9, b"zip", 200)], "a.log"),
        ([candidate("a.log", 8, b"", 300), candidate("a.log.bak", 9, b"x", 200)], "a.log"),
        ([candidate("a.log.1", 7, b"done\n", 100)], None),
    ],
)
def test_the_oldest_unread_generation_comes_next(
    found: list[Candidate], expected: str | None
) -> None:
    chosen = next_generation("a.log", DONE, found)
    assert (chosen.name if chosen else None) == expected


def test_generations_are_read_in_the_order_they_were_written() -> None:
    newest = candidate("a.log", 10, b"c", 400)
    found = [candidate("a.log.1", 9, b"b", 300), candidate("a.log.2", 8, b"a", 200), newest]
    order, here = [], DONE
    while (following := next_generation("a.log", here, found)) is not None:
        order.append(following.name)
        here = replace(following, name="")
        if following is newest:
            break
    assert order == ["a.log.2", "a.log.1", "a.log"]
