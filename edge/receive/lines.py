"""Cutting blocks of a growing file into lines: pure, and wherever the blocks were cut."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cut:
    """What one block gave.

    `lines` have no line ends and are never empty: blank lines are left out. `pieces` numbers those
    that are only a piece of a line, from 1 on, by their index in `lines`. `used_bytes` of the block
    are done with; the rest must be offered again with more after it. `piece` is how many pieces of
    the line that starts there are out already.
    """

    lines: list[bytes]
    used_bytes: int
    piece: int = 0
    pieces: dict[int, int] = field(default_factory=dict)


def cut_lines(block: bytes, line_bytes_max: int, *, piece: int = 0, flush: bool = False) -> Cut:
    """Cut a block at its line ends, and lines that are too long into pieces.

    `piece` is that of the previous cut. With `flush` the unfinished line at the end goes out too.
    A block must be longer than `line_bytes_max`, or a line without end would never be cut.
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
        cuts = list(_cut_line(line, line_bytes_max))
        _number(out, pieces, cuts, piece, whole=not piece and len(cuts) <= 1)
        piece = 0
    begun = list(_cut_line(rest, line_bytes_max))
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


def _cut_line(line: bytes, bytes_max: int) -> Iterator[bytes]:
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
