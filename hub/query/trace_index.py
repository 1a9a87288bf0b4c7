"""What questions about traces want of an index: days that answer for the chunks they cover.

A chunk is either covered by a day, and then all of its spans are known there, or it belongs to the
rest, which is read. Any call of a day may raise BadInput when its file cannot be read.
"""

from collections.abc import Collection, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from hub.query.scan import Held
from hub.query.times import NS_PER_S
from hub.query.trace_spans import LightSpan

BUCKET_NS = 10 * NS_PER_S
"""The spans of one part begin within one aligned bucket of time. Wide enough to hold most traces
whole, narrow enough that little is read beyond the edges of a range."""


class MarkKind(IntEnum):
    """By what a part can be found; the numbers are on disk."""

    ERROR = 0
    SERVICE = 1
    NAME = 2


class Mark(NamedTuple):
    """What a part must have; an error has no text."""

    kind: MarkKind
    text: str = ""


class Seen(NamedTuple):
    """A part, as a walk along time meets it: times of its spans, in nanoseconds."""

    start_ns: int
    last_start_ns: int
    end_ns: int
    trace_id: bytes
    node: str


class TracePart(NamedTuple):
    """Spans of one trace in one chunk, with the chunk's origin."""

    arrival: int
    node: str
    spans: list[LightSpan]


class TraceDay(Protocol):
    """The traces in the chunks that one day file covers."""

    @property
    def first_ns(self) -> int:
        """The earliest start of any span; above `last_ns` when there is none."""
        ...

    @property
    def last_ns(self) -> int:
        """No part begins later."""
        ...

    def covers(self, arrival: int) -> bool:
        """Whether all spans of this chunk of the day are known here."""
        ...

    def arrivals_of(self, trace_id: bytes) -> set[int]:
        """The chunks that hold spans of a trace."""
        ...

    def parts_of(self, trace_id: bytes) -> Sequence[TracePart]:
        """All that is known of a trace."""
        ...

    def newest(self, before_ns: int, from_ns: int, mark: Mark | None) -> Iterator[Seen]:
        """The parts that begin in [from_ns, before_ns) and have the mark, latest start first,
        lazily."""
        ...

    def parts_between(self, from_ns: int, before_ns: int) -> Iterator[TracePart]:
        """The parts that begin in [from_ns, before_ns), lazily."""
        ...

    def counts(
        self, kind: MarkKind, from_ns: int, before_ns: int
    ) -> Iterator[tuple[str, str, int]]:
        """Each service or name with a node and how many of its spans begin in [from_ns, before_ns).

        Both times are multiples of BUCKET_NS.
        """
        ...


class TraceIndexes(Protocol):
    """All days at one moment, for one question."""

    def days(self) -> Sequence[TraceDay]:
        """Those that can be read."""
        ...

    def chunks(self, arrivals: Collection[int]) -> Iterator[Held]:
        """The chunks with these numbers, as far as they are still here, in any order."""
        ...

    def rest(self, *, nodes: Collection[str] | None, start_ns: int, end_ns: int) -> Iterator[Held]:
        """The chunks of traces that no day covers: as `ChunkReader.find` gives them, lazily."""
        ...
