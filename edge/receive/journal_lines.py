"""Lines out of blocks of bytes, wherever the blocks were cut, in bounded memory."""

from dataclasses import dataclass, field

HEAD_BYTES_MAX = 4096  # Enough to find where an entry stood, should it be there.


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end. When it was too long, only its `head`: `size_bytes` is longer."""

    head: bytes
    size_bytes: int

    @property
    def is_whole(self) -> bool:
        """Whether `head` is all of it."""
        return len(self.head) == self.size_bytes


@dataclass(slots=True)
class LineCutter:
    """Cuts a stream at its line ends; of lines longer than `line_bytes_max` only the head is kept."""

    line_bytes_max: int
    _pieces: list[bytes] = field(default_factory=list)
    _size_bytes: int = 0

    def feed(self, block: bytes) -> list[Line]:
        """The lines that end in this block, blank ones left out."""
        *ended, rest = block.split(b"\n")
        lines = [line for piece in ended if (line := self._end(piece)).size_bytes]
        self._add(rest)
        return lines

    def _end(self, piece: bytes) -> Line:
        self._add(piece)
        line = Line(b"".join(self._pieces), self._size_bytes)
        self._pieces, self._size_bytes = [], 0
        return line

    def _add(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        self._pieces.append(piece)
        if self._size_bytes > self.line_bytes_max:
            self._pieces = [b"".join(self._pieces)[:HEAD_BYTES_MAX]]
