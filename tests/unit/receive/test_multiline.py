"""Records of several lines come out once each, whatever the blocks they were read in."""

import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.receive.lines import Cut, cut_encoded, encoding_of
from edge.receive.multiline import (
    GRAMMARS,
    LINES_MAX,
    Grammar,
    Standing,
    StartLine,
    cut_records,
    grammar_of,
)
from edge.receive.patterns import PATTERN_CHARACTERS_MAX
from tests.unit.otlp.samples import patient

DATED = StartLine(re.compile(r"^\d"))
NEW = Standing()


@pytest.mark.parametrize(
    ("block", "lines", "used_bytes"),
    [
        (b"", [], 0),
        (b"1 one\n", [], 0),
        (b"1 one\n more\n2 two\n", [b"1 one\n more"], 12),
        (b"1 one\r\n more\r\n2 two\r\n", [b"1 one\n more"], 14),
        (b"1 one\n\n more\n\n2 two\n", [b"1 one\n\n more"], 14),
        (b"no start\nmore\n1 one\n", [b"no start\nmore"], 14),
        (b"1 one\n2 tw", [], 0),
        (b"1 one\n2 two\n3 three\n", [b"1 one", b"2 two"], 12),
    ],
)
def test_a_record_comes_out_when_the_next_one_begins(
    block: bytes, lines: list[bytes], used_bytes: int
) -> None:
    assert cut_records(block, DATED, 100, NEW) == Cut(lines, used_bytes)


def test_the_last_record_comes_out_when_the_file_is_quiet() -> None:
    cut = cut_records(b"1 one\n more\n", DATED, 100, NEW, flush_record=True)
    assert (cut.lines, cut.used_bytes, cut.pieces) == ([b"1 one\n more"], 12, {})


def test_what_belongs_to_a_record_that_is_out_is_numbered() -> None:
    first = cut_records(b"1 one\n", DATED, 100, NEW, flush_record=True)
    after = Standing(first.piece, first.stage, first.inside_line)
    late = cut_records(b" late\n2 two\n", DATED, 100, after)
    assert (late.lines, late.pieces, late.piece) == ([b" late"], {0: 2}, 0)
    assert cut_records(b"2 two\n3 three\n", DATED, 100, after).pieces == {}


def test_a_line_that_has_not_ended_holds_its_record_back_until_its_writer_has_stopped() -> None:
    block = b"1 one\n mo"
    assert cut_records(block, DATED, 100, NEW, flush_record=True).lines == []
    cut = cut_records(block, DATED, 100, NEW, flush_record=True, flush_line=True)
    assert (cut.lines, cut.pieces, cut.inside_line) == ([b"1 one\n mo"], {0: 1}, True)
    after = Standing(cut.piece, cut.stage, cut.inside_line)
    rest = cut_records(b"2re\n2 two\n", DATED, 100, after)
    assert (rest.lines, rest.pieces) == ([b"2re"], {0: 2})


def test_a_record_of_too_many_lines_comes_in_pieces() -> None:
    block = b"1 one\n" + b" more\n" * LINES_MAX + b"2 two\n"
    cut = cut_records(block, DATED, 100_000, NEW)
    assert [line.count(b"\n") + 1 for line in cut.lines] == [LINES_MAX, 1]
    assert cut.pieces == {0: 1, 1: 2}


def test_a_record_of_too_many_bytes_comes_in_pieces_of_whole_lines() -> None:
    cut = cut_records(b"1 one\n 4567\n 4567\n2 two\n", DATED, 11, NEW)
    assert cut == Cut([b"1 one\n 4567", b" 4567"], 18, 0, {0: 1, 1: 2})


def read(
    data: bytes, ends: list[int], grammar: Grammar, bytes_max: int
) -> list[tuple[bytes, int | None]]:
    """Read the data as a growing file of which ever more is there: (record, number of the piece)."""
    out: list[tuple[bytes, int | None]] = []
    offset, standing = 0, NEW
    for end in [*sorted(min(end, len(data)) for end in ends), len(data)]:
        while True:
            block = data[offset : min(end, offset + 5 * bytes_max)]
            cut = cut_records(block, grammar, bytes_max, standing)
            out += [(line, cut.pieces.get(index)) for index, line in enumerate(cut.lines)]
            offset += cut.used_bytes
            standing = Standing(cut.piece, cut.stage, cut.inside_line)
            if not cut.used_bytes:
                break
    last = cut_records(data[offset:], grammar, bytes_max, standing, flush_line=True)
    return out + [(line, last.pieces.get(index)) for index, line in enumerate(last.lines)]


words = [b"a", b"1", b" b", b"\n", b"\n1", b"\n c", b"\r\n", "ü€".encode(), b"x" * 13, b"\xff"]
growing = st.lists(st.sampled_from(words), max_size=60).map(b"".join)
traces = st.lists(
    st.sampled_from(
        [
            b"2026 INFO x\n",
            b"Traceback (most recent call last):\n",
            b'  File "a.py", line 1\n',
            b"ValueError: x\n",
            b"\n",
            b"During handling of the above exception, another exception occurred:\n",
            b"java.lang.IllegalStateException: x\n",
            b"\tat a.B.c(B.java:1)\n",
            b"Caused by: x\n",
            b"panic: x\n",
            b"goroutine 1 [running]:\n",
            b"main.main()\n",
        ]
    ),
    max_size=40,
).map(b"".join)
ends = st.lists(st.integers(0, 300), max_size=8)


@patient
@given(growing, ends)
def test_records_do_not_depend_on_when_they_are_read(data: bytes, ends: list[int]) -> None:
    assert read(data, ends, DATED, 12) == read(data, [], DATED, 12)


@patient
@given(traces, ends, st.sampled_from(sorted(GRAMMARS)), st.sampled_from([120, 1000]))
def test_traces_do_not_depend_on_when_they_are_read(
    data: bytes, ends: list[int], name: str, bytes_max: int
) -> None:
    grammar = GRAMMARS[name]
    assert read(data, ends, grammar, bytes_max) == read(data, [], grammar, bytes_max)


@patient
@given(growing, ends)
def test_no_byte_of_a_line_is_lost_or_doubled(data: bytes, ends: list[int]) -> None:
    records = read(data, ends, DATED, 12)
    kept = b"".join(record.replace(b"\n", b"") for record, _ in records)
    assert kept.replace(b"\r", b"") == data.replace(b"\n", b"").replace(b"\r", b"")


@patient
@given(st.binary(max_size=2000), st.sampled_from(sorted(GRAMMARS)))
def test_any_bytes_can_be_cut(data: bytes, name: str) -> None:
    read(data, [], GRAMMARS[name], 50)


PYTHON = """\
2026-11-21 10:00:00 ERROR request failed
Traceback (most recent call last):
  File "a.py", line 1, in f
    g()
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in f
    raise Gone from None
app.Gone: nothing here
2026-11-21 10:00:01 INFO next
Traceback (most recent call last):
  File "b.py", line 1, in <module>
ValueError: bare
Traceback (most recent call last):
  File "c.py", line 1, in <module>
ValueError: another
done
"""

JAVA = """\
2026-11-21 10:00:00 ERROR request failed
java.lang.IllegalStateException: no
\tat com.example.A.b(A.java:1)
\t... 3 more
Caused by: java.io.IOException: disk
\tat com.example.C.d(C.java:2)
2026-11-21 10:00:01 INFO next
Exception in thread "main" java.lang.NullPointerException
\tat com.example.E.f(E.java:3)
java.lang.RuntimeException: bare
\tat com.example.G.h(G.java:4)
done
"""

GO = """\
2026/11/21 10:00:00 listening
panic: runtime error: index out of range [5] with length 3
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45]

goroutine 1 [running]:
main.main()
\t/tmp/prog.go:8 +0x12

goroutine 18 [chan receive]:
net/http.(*conn).serve(0xc0000a0000, {0x1, 0x2})
\t/usr/lib/go/http.go:1 +0x1
created by main.start in goroutine 1
\t/tmp/prog.go:4 +0x1
exit status 2
2026/11/21 10:00:01 started again
2026/11/21 10:00:02 http: panic serving 127.0.0.1:1: boom
goroutine 7 [running]:
main.handle(0x1)
\t/tmp/prog.go:9 +0x1
2026/11/21 10:00:03 next
"""


@pytest.mark.parametrize(
    ("name", "text", "first_lines"),
    [
        ("python", PYTHON, [0, 12, 16, 19]),
        ("java", JAVA, [0, 6, 7, 9, 11]),
        ("go", GO, [0, 1, 14, 15, 19]),
    ],
)
def test_usual_stack_traces_are_one_record_each(
    name: str, text: str, first_lines: list[int]
) -> None:
    lines = text.splitlines()
    records = [record.decode() for record, _ in read(text.encode(), [], GRAMMARS[name], 10_000)]
    assert [record.split("\n")[0] for record in records] == [lines[n] for n in first_lines]
    assert sum(len(re.findall(r"^.+$", record, re.MULTILINE)) for record in records) == len(
        list(filter(None, lines))
    )


def test_a_grammar_is_a_name_or_an_expression() -> None:
    assert grammar_of("") is None
    assert grammar_of("java") is GRAMMARS["java"]
    assert grammar_of(r"^\d") == DATED


@pytest.mark.parametrize("text", ["(", "[", "*x", "x" * (PATTERN_CHARACTERS_MAX + 1)])
def test_an_expression_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="multiline must"):
        grammar_of(text)


@pytest.mark.parametrize(
    ("head", "setting", "expected"),
    [
        (b"abc", "utf-8", ("utf-8", 0)),
        (b"\xef\xbb\xbfabc", "utf-8", ("utf-8", 3)),
        (b"\xff\xfea\0", "utf-8", ("utf-16le", 2)),
        (b"\xfe\xff\0a", "utf-16", ("utf-16be", 2)),
        (b"a\0b\0", "utf-16", ("utf-16le", 0)),
        (b"\0a\0b", "utf-16be", ("utf-16be", 0)),
        (b"\xff\xfea", "latin-1", ("latin-1", 0)),
        (b"", "utf-8", ("utf-8", 0)),
    ],
)
def test_a_byte_order_mark_counts_for_more_than_the_setting(
    head: bytes, setting: str, expected: tuple[str, int]
) -> None:
    assert encoding_of(head, setting) == expected


def whole(block: bytes) -> Cut:
    return cut_records(block, DATED, 1 << 20, NEW, flush_line=True)


@pytest.mark.parametrize("encoding", ["utf-16le", "utf-16be", "latin-1"])
def test_other_encodings_come_out_as_utf8_and_count_their_own_bytes(encoding: str) -> None:
    text = "1 zwölf\n2 halb" if encoding == "latin-1" else "1 zwölf €😀\n2 halb"
    block = text.encode(encoding)
    held = partial(cut_records, grammar=DATED, record_bytes_max=99, before=NEW)
    assert cut_encoded(block, encoding, held).used_bytes == 0
    cut = cut_encoded(block, encoding, whole)
    assert (cut.lines, cut.used_bytes) == ([line.encode() for line in text.split("\n")], len(block))


@patient
@given(st.binary(max_size=300), st.sampled_from(["utf-16le", "utf-16be", "latin-1"]))
def test_every_byte_of_any_encoding_is_used_up_once(data: bytes, encoding: str) -> None:
    used = cut_encoded(data, encoding, whole).used_bytes
    assert used == (len(data) if encoding == "latin-1" else len(data) // 2 * 2)
