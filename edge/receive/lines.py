"""Cutting blocks of a growing file into lines: pure, and wherever the blocks were cut.

Lines come out as UTF-8, or as bytes that only claim to be: whoever writes them down escapes those.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

ENCODINGS = ("utf-8", "utf-16", "utf-16le", "utf-16be", "latin-1")
"""What a file may be written in. Its byte order mark counts for more than its setting; "utf-16"
is little-endian where there is none, as the programs that write it are."""

_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16le", b"\xfe\xff": "utf-16be"}


@dataclass(frozen=True, slots=True)
class Cut:
    """What one block gave.

    `lines` have no line ends and are never empty: blank lines are left out. `pieces` numbers those
    that are only a piece of a line, from 1 on, by their index in `lines`. `used_bytes` of the block
    are done with; the rest must be offered again with more after it. `piece` is how many pieces of
    the line or record that goes on there are out already; `stage` and `inside_line` tell more of
    that place where records have several lines.
    """

    lines: list[bytes]
    used_bytes: int
    piece: int = 0
    pieces: dict[int, int] = field(default_factory=dict)
    stage: str = ""
    inside_line: bool = False


def encoding_of(head: bytes, setting: str) -> tuple[str, int]:
    """How a file that begins with these bytes is written, and how long its byte order mark is."""
    for mark, encoding in _MARKS.items():
        # Any bytes are Latin-1, so these three may be its letters.
        if head.startswith(mark) and setting != "latin-1":
            return encoding, len(mark)
    return "utf-16le" if setting == "utf-16" else setting, 0


def cut_encoded(block: bytes, encoding: str, cut: Callable[[bytes], Cut]) -> Cut:
    """Cut a block that is written in any of the ENCODINGS by a rule that knows UTF-8 only.

    No byte is lost: half a pair of UTF-16 becomes three bytes that are not UTF-8, and half a code
    unit at the end of the block is left for later.
    """
    if encoding == "utf-8":
        return cut(block)
    if encoding.startswith("utf-16"):
        block = block[: len(block) // 2 * 2]
    errors = "strict" if encoding == "latin-1" else "surrogatepass"
    translated = block.decode(encoding, errors).encode("utf-8", errors)
    made = cut(translated)
    used = translated[: made.used_bytes].decode("utf-8", errors)
    # Both ways are exact, so what is used up is as long as it is when written back.
    return replace(made, used_bytes=len(used.encode(encoding, errors)))


def cut_lines(block: bytes, line_bytes_max: int, *, piece: int = 0, flush: bool = False) -> Cut:
    """Cut a block at its line ends, and lines that are too long into pieces.

    `piece` is that of the previous cut. With `flush` the unfinished line at the end goes out too.
    A block must be longer than `line_bytes_max` by two bytes, or a line without end would never be cut.
    """
    end = block.rfind(b"\n") + 1
    lines = _whole_lines(block[:end])
    longest = max(map(len, lines), default=0)
    if not piece and not flush and max(longest, len(block) - end) <= line_bytes_max:
        return Cut(list(filter(None, lines)), end)
    return _cut_long(lines, block[end:], end, line_bytes_max, piece, flush=flush)


def _whole_lines(ended: bytes) -> list[bytes]:
    return ended.replace(b"\r\n", b"\n").split(b"\n")[:-1]


def _cut_long(
    lines: list[bytes], rest: bytes, end: int, line_bytes_max: int, piece: int, *, flush: bool
) -> Cut:
    out: list[bytes] = []
    pieces: dict[int, int] = {}
    for line in lines:
        cuts = list(split_line(line, line_bytes_max))
        _number(out, pieces, cuts, piece, whole=not piece and len(cuts) <= 1)
        piece = 0
    # A carriage return at the very end may be half a line end, which no line is too long for.
    begun = list(split_line(rest if flush else rest.removesuffix(b"\r"), line_bytes_max))
    if begun and not flush:
        begun.pop()  # Still growing, and perhaps cut inside a character.
    _number(out, pieces, begun, piece, whole=False)
    used_bytes = end + sum(map(len, begun))
    return Cut(out, used_bytes, piece + len(begun), pieces)


def _number(
    out: list[bytes], pieces: dict[int, int], cuts: list[bytes], before: int, *, whole: bool
) -> None:
    for number, cut in enumerate(cuts, start=before + 1):
        if not whole:
            pieces[len(out)] = number
        out.append(cut)


def split_line(line: bytes, bytes_max: int) -> Iterator[bytes]:
    """A line in pieces of bounded size; no cut goes through a UTF-8 character."""
    start = 0
    while start < len(line):
        end = _character_end(line, start, start + bytes_max)
        yield line[start:end]
        start = end


def _character_end(line: bytes, start: int, end: int) -> int:
    """The cut at or up to three bytes before `end` that does not split a UTF-8 character."""
    for place in range(end, max(start, end - 4), -1):
        if place >= len(line) or line[place] & 0b1100_0000 != 0b1000_0000:
            return place
    return end  # Not UTF-8, so any place will do.
