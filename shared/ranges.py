"""Sets of sequence numbers as sorted, disjoint, inclusive ranges: how "what do you have?" is answered."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.errors import BadInput

SEQ_MAX = 2**62
"""Far beyond any log, and still a signed 64-bit integer when one is added."""

RANGES_MAX = 100_000
"""A peer that announces more holes than this is broken; real logs have a handful."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """An immutable set of whole numbers >= 1, kept as `((first, last), ...)`, both ends included."""

    spans: tuple[tuple[int, int], ...] = ()

    def __contains__(self, seq: int) -> bool:
        index = bisect_right(self.spans, (seq, SEQ_MAX)) - 1
        return index >= 0 and self.spans[index][1] >= seq

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.spans:
            yield from range(first, last + 1)

    def __or__(self, other: "Ranges") -> "Ranges":
        return of_spans(self.spans + other.spans)

    def __sub__(self, other: "Ranges") -> "Ranges":
        if not other.spans or not self.spans:
            return self
        return Ranges(tuple(_subtract(self.spans, other.spans)))

    def __and__(self, other: "Ranges") -> "Ranges":
        if self.spans == other.spans:
            return self
        return self - (self - other)

    @property
    def count(self) -> int:
        """How many numbers are in the set."""
        return sum(last - first + 1 for first, last in self.spans)

    @property
    def first(self) -> int:
        """The smallest number in the set; 0 when it is empty."""
        return self.spans[0][0] if self.spans else 0

    @property
    def last(self) -> int:
        """The largest number in the set; 0 when it is empty."""
        return self.spans[-1][1] if self.spans else 0

    def add(self, first: int, last: int) -> "Ranges":
        """The set with first..last in it; cheap when it continues the last span, as logs do."""
        if self.spans and self.spans[-1][0] <= first <= self.spans[-1][1] + 1:
            head = self.spans[:-1]
            return Ranges((*head, (self.spans[-1][0], max(last, self.spans[-1][1]))))
        return of_spans((*self.spans, (first, last)))

    def first_missing(self, first: int) -> int:
        """The smallest number >= first that is not in the set."""
        index = bisect_right(self.spans, (first, SEQ_MAX)) - 1
        if index >= 0 and self.spans[index][1] >= first:
            return self.spans[index][1] + 1
        return first

    def to_wire(self) -> list[list[int]]:
        """`[[first, last], ...]`, as JSON and MessagePack carry it."""
        return [[first, last] for first, last in self.spans]


NOTHING = Ranges()
"""The empty set."""


def of_spans(spans: Iterable[tuple[int, int]]) -> Ranges:
    """The union of spans in any order, overlapping or not."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return Ranges(tuple(joined))


def of_seqs(seqs: Iterable[int]) -> Ranges:
    """The set of the given numbers."""
    return of_spans((seq, seq) for seq in seqs)


def from_wire(value: object) -> Ranges:
    """Read what `to_wire` wrote, from anybody; raises BadInput for anything else."""
    if not isinstance(value, list) or len(value) > RANGES_MAX:
        raise BadInput(f"ranges must be a list of at most {RANGES_MAX} pairs")
    return of_spans(_read_span(pair) for pair in value)


def _read_span(pair: object) -> tuple[int, int]:
    match pair:
        case [int(first), int(last)] if 1 <= first <= last <= SEQ_MAX:
            return first, last
    raise BadInput("a range must be a pair [first, last] with 1 <= first <= last")


def _subtract(
    mine: tuple[tuple[int, int], ...], theirs: tuple[tuple[int, int], ...]
) -> Iterator[tuple[int, int]]:
    position = 0
    for first, last in mine:
        while position < len(theirs) and theirs[position][1] < first:
            position += 1
        at = position
        while at < len(theirs) and theirs[at][0] <= last:
            if theirs[at][0] > first:
                yield first, theirs[at][0] - 1
            first = theirs[at][1] + 1
            at += 1
        if first <= last:
            yield first, last
