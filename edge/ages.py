"""How old the buffered data is, from a bounded number of marks. Pure."""

from bisect import bisect_right
from dataclasses import dataclass, field

MARKS_MAX = 4096


@dataclass(slots=True)
class AgeMarks:
    """When some sequence numbers were made: enough to tell the age of any, in bounded memory."""

    marks: list[tuple[int, int]] = field(default_factory=list)

    def mark(self, seq: int, created_ms: int) -> None:
        """Note a chunk; numbers mostly grow. Every second mark goes when there are too many."""
        if self.marks and seq <= self.marks[-1][0]:
            return
        self.marks.append((seq, created_ms))
        if len(self.marks) > MARKS_MAX:
            self.marks = self.marks[::2]

    def at(self, seq: int) -> int | None:
        """The time of the last mark that is not after this number."""
        index = bisect_right(self.marks, (seq, 2**63)) - 1
        return self.marks[max(index, 0)][1] if self.marks else None

    def forget_before(self, seq: int) -> None:
        """Drop the marks that no number from `seq` on needs."""
        index = bisect_right(self.marks, (seq, 2**63)) - 1
        self.marks = self.marks[max(index, 0) :]

    def forget_all(self) -> None:
        """Begin anew, as a new life of the log does."""
        self.marks = []
