"""Lines come out once each, whatever the blocks they were read in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from edge.receive.lines import Cut, cut_lines
from edge.receive.log_wire import ESCAPED, PIECE, lines_part
from shared.otlp import read_part
from shared.otlp_make import resource_of
from shared.otlp_rows import LogRow, log_rows
from shared.records import Signal
from tests.unit.otlp.samples import patient


@pytest.mark.parametrize(
    ("block", "lines", "used_bytes"),
    [
        (b"", [], 0),
        (b"one\ntwo\n", [b"one", b"two"], 8),
        (b"one\ntw", [b"one"], 4),
        (b"on", [], 0),
        (b"\n\n\n", [], 3),
        (b"one\r\ntwo\r\n", [b"one", b"two"], 10),
        (b"a\x00b\n", [b"a\x00b"], 4),
        (b"12345678\n", [b"12345678"], 9),
    ],
)
def test_a_block_is_cut_at_its_line_ends(block: bytes, lines: list[bytes], used_bytes: int) -> None:
    assert cut_lines(block, 8) == Cut(lines, used_bytes)


@pytest.mark.parametrize(
    ("block", "piece", "flush", "expected"),
    [
        (b"123456789\n", 0, False, Cut([b"12345678", b"9"], 10, 0, {0: 1, 1: 2})),
        (b"a\n123456789", 0, False, Cut([b"a", b"12345678"], 10, 1, {1: 1})),
        (b"a\n12345678\r", 0, False, Cut([b"a"], 2)),
        (b"a\n12345678\r", 0, True, Cut([b"a", b"12345678", b"\r"], 11, 2, {1: 1, 2: 2})),
        (b"end\nnext\n", 1, False, Cut([b"end", b"next"], 9, 0, {0: 2})),
        (b"\nnext\n", 2, False, Cut([b"next"], 6, 0)),
        (b"a\nunfinished"[:7], 0, True, Cut([b"a", b"unfin"], 7, 1, {1: 1})),
        (b"more", 1, True, Cut([b"more"], 4, 2, {0: 2})),
        (b"", 1, True, Cut([], 0, 1)),
        ("1234567ü\n".encode(), 0, False, Cut([b"1234567", "ü".encode()], 10, 0, {0: 1, 1: 2})),
    ],
)
def test_long_and_unfinished_lines_come_in_numbered_pieces(
    block: bytes, piece: int, flush: bool, expected: Cut
) -> None:
    assert cut_lines(block, 8, piece=piece, flush=flush) == expected


def follow(data: bytes, ends: list[int], line_bytes_max: int) -> list[tuple[bytes, int | None]]:
    """Read the data as a growing file of which ever more is there: (line, number of the piece)."""
    out: list[tuple[bytes, int | None]] = []
    offset = piece = 0
    for end in [*sorted(ends), len(data)]:
        while True:
            cut = cut_lines(data[offset : min(end, offset + 20)], line_bytes_max, piece=piece)
            out += [(line, cut.pieces.get(index)) for index, line in enumerate(cut.lines)]
            offset, piece = offset + cut.used_bytes, cut.piece
            if not cut.used_bytes:
                break
    return out


growing = st.lists(
    st.sampled_from([b"a", b"bc", b"\n", "ü€".encode(), b"x" * 9, b"\r\n"]), max_size=30
)


@patient
@given(growing, st.lists(st.integers(0, 100), max_size=6))
def test_lines_do_not_depend_on_when_they_are_read(words: list[bytes], ends: list[int]) -> None:
    data = b"".join(words)
    assert follow(data, [min(end, len(data)) for end in ends], 12) == follow(data, [], 12)


@patient
@given(growing)
def test_pieces_add_up_to_their_line(words: list[bytes]) -> None:
    data = b"".join(words).replace(b"\r", b"") + b"\n"
    joined: list[bytes] = []
    for line, piece in follow(data, [], 12):
        if piece is not None and piece > 1:
            joined[-1] += line
        else:
            joined.append(line)
    assert joined == [line for line in data.split(b"\n") if line]


def rows(cut: Cut, resource: Resource | None = None) -> list[LogRow]:
    part = lines_part(cut, 77, resource or Resource(), "scope")
    read = read_part(Signal.LOGS, "application/x-protobuf", part.body)
    assert read == part  # What we frame by hand is what we would take from anybody.
    return list(log_rows(part.encoding, part.body))


def test_lines_become_log_records_with_their_resource() -> None:
    (row,) = rows(Cut([b"hello"], 6), resource_of({"log.file.name": "a.log"}))
    assert (row.body, row.time_ns, row.observed_ns, row.scope) == ("hello", 77, 77, "scope")
    assert row.resource == {"log.file.name": "a.log"}
    assert row.attributes == {}


@patient
@given(st.lists(st.text(min_size=1).map(str.encode), min_size=1))
def test_hand_framed_records_read_back_as_they_were(lines: list[bytes]) -> None:
    assert [row.body.encode() for row in rows(Cut(lines, 0))] == lines


@pytest.mark.parametrize("length", [1, 100, 127, 128, 16_383, 16_384, 300_000])
def test_lengths_at_the_edges_of_a_varint_are_framed_right(length: int) -> None:
    assert [len(row.body) for row in rows(Cut([b"x" * length, b"y"], 0))] == [length, 1]


def test_bytes_that_are_not_utf8_are_escaped_and_marked() -> None:
    fine, spoilt = rows(Cut([b"fine", b"sp\xffilt \xc3"], 0))
    assert (fine.body, fine.attributes) == ("fine", {})
    assert (spoilt.body, spoilt.attributes) == ("sp\\xffilt \\xc3", {ESCAPED: True})


def test_pieces_carry_their_number() -> None:
    first, second, whole = rows(Cut([b"be", b"gun", b"whole"], 0, 0, {0: 1, 1: 2}))
    assert (first.attributes, second.attributes) == ({PIECE: 1}, {PIECE: 2})
    assert whole.attributes == {}
