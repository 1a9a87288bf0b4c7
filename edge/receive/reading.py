"""How the bytes of a followed file become records, and within which bounds. Pure."""

from dataclasses import dataclass, replace

from edge.receive.lines import Cut, cut_encoded, cut_lines, encoding_of
from edge.receive.multiline import Grammar, Standing, cut_records
from edge.receive.place import Place
from shared.records import KIB


@dataclass(frozen=True, slots=True)
class FollowLimits:
    """How a file is followed."""

    block_bytes: int = 512 * KIB  # With its framing still well below a chunk of 1 MiB.
    line_bytes_max: int = 128 * KIB  # Longer lines are dumps, not messages.
    partial_seconds_max: float = 5.0  # A writer that pauses within a line longer has stopped.
    record_seconds_max: float = 1.0  # Nobody pauses that long within a stack trace.
    rotate_grace_seconds: float = 2.0  # Writers keep the old file open until told to reopen.
    poll_seconds: float = 0.25
    scan_seconds: float = 3.0  # How often wildcards are looked up.
    files_max: int = 1024  # A look at each of them four times a second still costs little.
    handles_max: int = 256  # A usual process may open 1,024 files in all.
    blocks_max: int = 8  # Blocks in memory that are read or wait for their commit.


@dataclass(frozen=True, slots=True)
class Reading:
    """How one file is read: its encoding, and where its records begin."""

    encoding: str = "utf-8"
    grammar: Grammar | None = None  # None: every line is a record.

    @property
    def growth(self) -> int:
        """How many bytes of UTF-8 one byte of the file may become."""
        return 2 if self.encoding == "latin-1" else 1

    def cut(
        self, block: bytes, place: Place, head: bytes, pause_seconds: float, limits: FollowLimits
    ) -> Cut:
        """The records of a block that was read at a place; `head` is how its file begins.

        `pause_seconds` is for how long the file has not grown past the end of this block.
        """
        encoding, mark_bytes = encoding_of(head, self.encoding)
        skipped_bytes = min(len(block), max(0, mark_bytes - place.offset))
        cut = cut_encoded(
            block[skipped_bytes:],
            encoding,
            lambda text: self._cut_text(text, place, pause_seconds, limits),
        )
        return replace(cut, used_bytes=cut.used_bytes + skipped_bytes)

    def _cut_text(
        self, text: bytes, place: Place, pause_seconds: float, limits: FollowLimits
    ) -> Cut:
        flush_line = pause_seconds >= limits.partial_seconds_max
        if self.grammar is None:
            return cut_lines(text, limits.line_bytes_max, piece=place.piece, flush=flush_line)
        return cut_records(
            text,
            self.grammar,
            limits.line_bytes_max,
            Standing(place.piece, place.stage, place.inside_line),
            flush_record=pause_seconds >= limits.record_seconds_max,
            flush_line=flush_line,
        )
