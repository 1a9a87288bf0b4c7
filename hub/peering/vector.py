"""Which changes a hub has: for every stream of changes, the numbers that are in its records.

A *stream* is what one hub originates in one life: `(hub, epoch)`, with an epoch that is new at every
start. A number is covered when the change that bore it, or a later change of the same node in the
same stream, which contains it, has been merged here. Pure.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from shared.errors import BadInput
from shared.ranges import NOTHING, SEQ_MAX, Ranges, of_spans

Stream = tuple[str, str]
"""Origin and epoch."""

Dot = tuple[Stream, int]
"""One change: a stream and a number in it."""

STREAMS_MAX = 512
ORIGINS_MAX = 64
"""More hubs than any cluster has."""

SPANS_MAX = 4096
"""Of a vector that is told: whoever has more holes tells of fewer numbers, which is always true."""


@dataclass(slots=True)
class Vector:
    """The numbers that are covered, by stream. Only grows, but for streams that are dropped."""

    ranges: dict[Stream, Ranges] = field(default_factory=dict)
    _digest: str = ""

    def covers(self, stream: Stream, seq: int) -> bool:
        """Whether the change is in the records."""
        held = self.ranges.get(stream)
        return held is not None and seq in held

    def add(self, stream: Stream, first: int, last: int) -> None:
        """Cover first..last."""
        self.ranges[stream] = self.ranges.get(stream, NOTHING).add(first, last)
        self._digest = ""

    def claim(self, theirs: Mapping[Stream, Ranges]) -> None:
        """Cover all of that."""
        for stream, ranges in theirs.items():
            self.ranges[stream] = self.ranges.get(stream, NOTHING) | ranges
        self._digest = ""

    def lacks(self, theirs: Mapping[Stream, Ranges]) -> dict[Stream, Ranges]:
        """What they cover and this does not."""
        return minus(theirs, self.ranges)

    def drop(self, stream: Stream) -> Ranges:
        """Forget a stream; returns what was covered of it."""
        self._digest = ""
        return self.ranges.pop(stream, NOTHING)

    @property
    def is_short(self) -> bool:
        """Whether all of it can be told in one message."""
        return sum(len(held.spans) for held in self.ranges.values()) <= SPANS_MAX

    def digest(self) -> str:
        """Equal for equal vectors: 32 hexadecimal digits."""
        if not self._digest:
            told = [[*stream, held.to_wire()] for stream, held in sorted(self.ranges.items())]
            packed = msgspec.msgpack.encode(told)
            self._digest = hashlib.blake2b(packed, digest_size=16).hexdigest()
        return self._digest


def minus(mine: Mapping[Stream, Ranges], theirs: Mapping[Stream, Ranges]) -> dict[Stream, Ranges]:
    """What is in the first and not in the second."""
    found = ((stream, held - theirs.get(stream, NOTHING)) for stream, held in mine.items())
    return {stream: rest for stream, rest in found if rest}


def common(mine: Mapping[Stream, Ranges], theirs: Mapping[Stream, Ranges]) -> dict[Stream, Ranges]:
    """What is in both."""
    found = ((stream, held & theirs.get(stream, NOTHING)) for stream, held in mine.items())
    return {stream: rest for stream, rest in found if rest}


def check_bounds(streams: Collection[Stream]) -> None:
    """Refuse more streams or hubs than any cluster has; raises BadInput."""
    if len(streams) > STREAMS_MAX:
        raise BadInput(f"there are at most {STREAMS_MAX} streams of changes")
    if len({origin for origin, _ in streams}) > ORIGINS_MAX:
        raise BadInput(f"a cluster has at most {ORIGINS_MAX} hubs")


WireStream = tuple[str, str, list[tuple[int, int]]]
"""Origin, epoch and spans, as a message carries them."""


def to_wire(vector: Mapping[Stream, Ranges], spans_max: int = SPANS_MAX) -> list[WireStream]:
    """A vector for a message. What does not fit is left out: telling of less is true as well."""
    told: list[WireStream] = []
    room = spans_max
    for (origin, epoch), held in sorted(vector.items())[:STREAMS_MAX]:
        spans = held.spans[:room]
        room -= len(spans)
        if spans:
            told.append((origin, epoch, list(spans)))
    return told


def from_wire(told: Iterable[WireStream]) -> dict[Stream, Ranges]:
    """Read a vector whose names and sizes are checked; raises BadInput for spans that make no sense."""
    vector: dict[Stream, Ranges] = {}
    for origin, epoch, spans in told:
        if (origin, epoch) in vector:
            raise BadInput(f"the stream {origin} {epoch} is named twice")
        vector[origin, epoch] = of_spans(_checked(spans, origin))
    if sum(len(held.spans) for held in vector.values()) > SPANS_MAX:
        raise BadInput(f"a vector holds at most {SPANS_MAX} spans")
    check_bounds(vector)
    return vector


def _checked(spans: Iterable[tuple[int, int]], origin: str) -> Iterator[tuple[int, int]]:
    before = 0
    for first, last in spans:
        if not before < first <= last <= SEQ_MAX:
            raise BadInput(f"the spans of {origin} go backwards, overlap or end nowhere")
        before = last
        yield first, last
