"""Records of several lines, such as stack traces: which line begins one, and cutting blocks by that.

Pure, and as independent of where the blocks were cut as the lines are: a record comes out once the
next one begins, or when the file has been quiet. Until then the place stays before it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge.receive.lines import Cut, split_line
from edge.receive.patterns import safe_pattern

LINES_MAX = 500
"""Of one record; the deepest stack traces that anybody reads have fewer."""

PROBE_BYTES_MAX = 1024
"""So much of a line tells whether it begins a record, which bounds the time of the expression."""


class Grammar(Protocol):
    """Tells where records begin. A stage is what must be known of the lines before."""

    def begin(self, line: str) -> str:
        """The stage after the first line of a record."""
        ...

    def go_on(self, stage: str, line: str) -> str | None:
        """The stage after a further line of the record; None when the line begins another one."""
        ...


@dataclass(frozen=True, slots=True)
class StartLine:
    """Records begin where the expression is found in a line."""

    start: "re.Pattern[str]"

    def begin(self, line: str) -> str:
        return ""

    def go_on(self, stage: str, line: str) -> str | None:
        return None if self.start.search(line) else ""


Move = tuple[str, "re.Pattern[str]", str]
"""The stage before, what the line looks like, the stage after."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A table of moves; a line that no move of the stage takes begins the next record."""

    starts: Sequence[tuple["re.Pattern[str]", str]]
    moves: Sequence[Move]

    def begin(self, line: str) -> str:
        return next((stage for start, stage in self.starts if start.match(line)), "plain")

    def go_on(self, stage: str, line: str) -> str | None:
        fits = (after for before, like, after in self.moves if before == stage and like.match(line))
        return next(fits, None)


_BLANK = re.compile(r"\s*$")
_INDENTED = re.compile(r"\s+\S")
_ANY = re.compile(r"")

_TRACEBACK = re.compile(r"Traceback \(most recent call last\):")
_CHAINED = re.compile(r"(During handling of|The above exception was) ")
PYTHON = Trace(
    starts=((_TRACEBACK, "frames"),),
    moves=(
        ("plain", _TRACEBACK, "frames"),  # logging.exception writes its message first.
        ("plain", _INDENTED, "plain"),
        ("frames", _INDENTED, "frames"),
        ("frames", _BLANK, "frames"),
        ("frames", _ANY, "raised"),  # The first line that is not indented names the exception.
        ("raised", _INDENTED, "raised"),
        ("raised", _BLANK, "gap"),
        ("gap", _BLANK, "gap"),
        ("gap", _CHAINED, "chained"),
        ("chained", _BLANK, "chained"),
        ("chained", _TRACEBACK, "frames"),
    ),
)
"""Tracebacks as the module `traceback` prints them, with the log line before them."""

_THROWN = re.compile(r"([\w$]+\.)+[\w$]*(Exception|Error|Throwable)\b")
_UNCAUGHT = re.compile(r'Exception in thread "')
_CAUSE = re.compile(r"Caused by: ")
JAVA = Trace(
    starts=((_THROWN, "thrown"), (_UNCAUGHT, "thrown")),
    moves=(
        ("plain", _THROWN, "thrown"),  # Loggers write their message first.
        ("plain", _INDENTED, "plain"),
        ("plain", _CAUSE, "thrown"),
        ("thrown", _INDENTED, "frames"),
        ("thrown", _CAUSE, "thrown"),
        ("frames", _INDENTED, "frames"),  # Frames, "... 5 more" and "Suppressed:" are indented.
        ("frames", _CAUSE, "thrown"),
    ),
)
"""Stack traces as Throwable.printStackTrace prints them, with the log line before them."""

_PANIC = re.compile(r"panic: |fatal error: |.{0,200}\bpanic serving ")
_GOROUTINE = re.compile(r"(goroutine \d+ (gp=\S+ )?.*\[|runtime stack:)")
_CALL = re.compile(r"(\S+\(.*\)$|created by |\.\.\.|exit status \d)")
GO = Trace(
    starts=((_PANIC, "panic"), (_GOROUTINE, "calls")),
    moves=(
        ("plain", _GOROUTINE, "calls"),
        ("plain", _INDENTED, "plain"),
        ("panic", _BLANK, "panic"),
        ("panic", _INDENTED, "panic"),
        ("panic", re.compile(r"\[signal "), "panic"),
        ("panic", _GOROUTINE, "calls"),
        ("calls", _INDENTED, "calls"),
        ("calls", _CALL, "calls"),
        ("calls", _BLANK, "gap"),
        ("gap", _BLANK, "gap"),
        ("gap", _GOROUTINE, "calls"),
        ("gap", re.compile(r"exit status \d"), "plain"),
    ),
)
"""Panics as the Go runtime prints them: all goroutines of one panic are one record."""

GRAMMARS: dict[str, Grammar] = {"python": PYTHON, "java": JAVA, "go": GO}


def grammar_of(text: str) -> Grammar | None:
    """The grammar of that name, else that expression; None for "". Raises ValueError."""
    if not text:
        return None
    if text in GRAMMARS:
        return GRAMMARS[text]
    try:
        return StartLine(safe_pattern(text, PROBE_BYTES_MAX))
    except ValueError as error:
        raise ValueError(f"multiline must be one of {', '.join(GRAMMARS)}, or {error}") from error


@dataclass(frozen=True, slots=True)
class Standing:
    """What must be known of a place within a record: pieces out already, stage, whether in a line.

    With no pieces out the place is one where a record begins.
    """

    piece: int = 0
    stage: str = ""
    inside_line: bool = False


def cut_records(
    block: bytes,
    grammar: Grammar,
    record_bytes_max: int,
    before: Standing,
    *,
    flush_record: bool = False,
    flush_line: bool = False,
) -> Cut:
    """Cut a block into records; its lines and `used_bytes` are as those of `cut_lines`.

    Records of more than LINES_MAX lines or `record_bytes_max` bytes come in numbered pieces. With
    `flush_record` the last record goes out once its last line has ended; what follows after all is
    numbered from 2 on. With `flush_line` it goes out as it is. A block must be longer than two
    records, or a long one would never be cut.
    """
    end = block.rfind(b"\n") + 1
    gathering = _Gathering(grammar, record_bytes_max, before)
    for line in block[:end].split(b"\n")[:-1]:
        gathering.take(line.removesuffix(b"\r"), len(line) + 1, ended=True)
    rest = block[end:]
    if rest and (flush_line or len(rest) > record_bytes_max):
        gathering.take(rest, len(rest), ended=False)
    if flush_line or (flush_record and not rest):
        gathering.emit(is_piece=bool(rest))
    return gathering.cut()


@dataclass(slots=True)
class _Gathering:
    """The records of one block. What is held begins at `held_at` and is not out yet."""

    grammar: Grammar
    bytes_max: int
    now: Standing
    out: list[bytes] = field(default_factory=list)
    pieces: dict[int, int] = field(default_factory=dict)
    used_bytes: int = 0
    held: list[bytes] = field(default_factory=list)
    held_at: Standing = field(default_factory=Standing)
    held_bytes: int = 0
    held_raw_bytes: int = 0

    def take(self, line: bytes, raw_bytes: int, *, ended: bool) -> None:
        """The next line, or what there is of it; `raw_bytes` count its end as well."""
        stage = self.now.stage if self.now.inside_line else self._turn_to(line)
        *whole, last = self._segments(line)
        for segment in whole:
            self._hold(segment, len(segment), Standing(0, stage, inside_line=True))
        last_raw_bytes = raw_bytes - sum(map(len, whole))
        self._hold(last, last_raw_bytes, Standing(0, stage, inside_line=not ended))

    def _segments(self, line: bytes) -> list[bytes]:
        if len(line) <= self.bytes_max:
            return [line]
        return list(split_line(line, self.bytes_max))

    def emit(self, *, is_piece: bool) -> None:
        """Put out what is held, numbered when it is not all of its record."""
        text = b"\n".join(self.held).strip(b"\n")
        if text:
            piece = self.now.piece + 1
            if is_piece or piece > 1:
                self.pieces[len(self.out)] = piece
            self.out.append(text)
            self.now = Standing(piece, self.now.stage, self.now.inside_line)
        self.used_bytes += self.held_raw_bytes
        self.held, self.held_bytes, self.held_raw_bytes = [], 0, 0

    def cut(self) -> Cut:
        """What is out; the place after it is where the held lines begin."""
        at = self.held_at if self.held else self.now
        return Cut(self.out, self.used_bytes, at.piece, self.pieces, at.stage, at.inside_line)

    def _turn_to(self, line: bytes) -> str:
        """The stage after this line; closes the open record when it begins another one."""
        text = line[: min(PROBE_BYTES_MAX, self.bytes_max)].decode("utf-8", "replace")
        is_open = bool(self.held) or self.now.piece > 0
        stage = self.grammar.go_on(self.now.stage, text) if is_open else None
        if stage is not None:
            return stage
        self.emit(is_piece=False)
        self.now = Standing()
        return self.grammar.begin(text)

    def _hold(self, segment: bytes, raw_bytes: int, after: Standing) -> None:
        fits = len(self.held) < LINES_MAX and self.held_bytes + len(segment) <= self.bytes_max
        if self.held and (self.now.inside_line or not fits):
            self.emit(is_piece=True)
        if not self.held:
            self.held_at = self.now
        self.held.append(segment)
        self.held_bytes += len(segment) + 1
        self.held_raw_bytes += raw_bytes
        self.now = Standing(self.now.piece, after.stage, after.inside_line)
