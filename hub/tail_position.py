"""Where a reader of a live tail stands, in a form that every hub understands.

A position is a set of chunks, named by (origin, epoch, seq): those the reader need not be told of
any more. It begins as what the first hub held when the tail began (`base`), and grows with each
message that the reader takes in. A chunk belongs to the tail when it is not in the position, and
its log is in the base or the cluster took the chunk in after the tail began; both are the same on
every hub, whatever it holds and in whichever order it came there. A chunk that was told in part is
kept with the place to go on from: place 0 is what it declares lost, place i + 1 is its row i.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from shared.errors import BadInput
from shared.ranges import NOTHING, SEQ_MAX, Ranges, of_spans

LogKey = tuple[str, str]
"""Origin and epoch: one log."""

VERSION = 1
LOGS_MAX = 20_000  # Some 2 MB of JSON: more than that is a fleet to be followed node by node.
SPANS_MAX = 100_000
PARTS_MAX = 16  # One for each hub that the reader was cut off from in the middle of a chunk.
PAGE_LOGS = 500  # Logs in one message.
SKEW_MS = 10_000  # How far the clocks of hubs may be apart before a new log begins too late.
TIME_MS_MAX = 2**53

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Seq = Annotated[int, Meta(ge=1, le=SEQ_MAX)]
Spans = Annotated[list[tuple[Seq, Seq]], Meta(max_length=SPANS_MAX)]
LogSpans = tuple[Name, Name, Spans]
Logs = Annotated[list[LogSpans], Meta(max_length=LOGS_MAX)]
Place = Annotated[int, Meta(ge=0, le=2**40)]
TimeMs = Annotated[int, Meta(ge=0, le=TIME_MS_MAX)]


class PositionWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A position as JSON."""

    version: int
    start_ms: TimeMs
    base: Logs
    later: Logs = []
    parts: Annotated[list[tuple[Name, Name, Seq, Place]], Meta(max_length=PARTS_MAX)] = []


class ToldPart(msgspec.Struct, frozen=True):
    """What a `rows` or `gap` message says of the reader's place; it says more to people."""

    origin: Name
    epoch: Name
    seq: Seq
    next: Place
    last: bool


class SeenLogs(msgspec.Struct, frozen=True):
    """A `position` message: chunks to count as seen. The base comes once, in pages."""

    logs: Logs
    start_ms: TimeMs | None = None
    base: bool = False
    more: bool = False


Wanted = TypeVar("Wanted")


@dataclass(slots=True)
class Position:
    """A set of chunks that need not be told. It changes in place: a fleet's is too large to copy for
    each message. Nothing is told before the base is whole, so until then it is no position yet."""

    start_ms: int = 0
    base: dict[LogKey, Ranges] = field(default_factory=dict)
    later: dict[LogKey, Ranges] = field(default_factory=dict)
    parts: dict[tuple[LogKey, int], int] = field(default_factory=dict)
    is_whole: bool = False

    def seen(self, key: LogKey) -> Ranges:
        """What of a log need not be told."""
        return self.base.get(key) or self.later.get(key, NOTHING)

    def wants(self, key: LogKey, seq: int, received_ms: int) -> bool:
        """Whether a chunk is still to be told, given when the cluster took it in."""
        if seq in self.seen(key):
            return False
        return key in self.base or received_ms >= self.start_ms - SKEW_MS

    def place(self, key: LogKey, seq: int) -> int:
        """From where on a chunk is to be told."""
        return self.parts.get((key, seq), 0)

    def missing(self, held: Mapping[LogKey, Ranges]) -> dict[LogKey, Ranges]:
        """What of these logs has not been seen; chunks from before the tail's start are still in it
        when their log is not in the base."""
        lacking = ((key, ranges - self.seen(key)) for key, ranges in held.items())
        return {key: ranges for key, ranges in lacking if ranges}

    def see(self, key: LogKey, ranges: Ranges) -> None:
        """Count chunks of a log as seen."""
        logs = self.base if key in self.base else self.later
        logs[key] = _joined(logs.get(key, NOTHING), ranges)
        for part in [part for part in self.parts if part[0] == key and part[1] in ranges]:
            del self.parts[part]

    def fold(self, event: str, data: Mapping[str, Any]) -> None:
        """Take in a message of a hub; raises BadInput when it cannot be read. Those that do not
        move the reader leave the position as it is."""
        match event:
            case "rows" | "gap":
                self._fold_part(_converted(data, ToldPart))
            case "position":
                self._fold_logs(_converted(data, SeenLogs))

    def _fold_part(self, told: ToldPart) -> None:
        key = (told.origin, told.epoch)
        if told.last:
            self.see(key, Ranges(((told.seq, told.seq),)))
        else:
            self.parts[(key, told.seq)] = told.next

    def _fold_logs(self, seen: SeenLogs) -> None:
        for origin, epoch, spans in seen.logs:
            if seen.base:
                self.base[(origin, epoch)] = read_spans(spans)
            else:
                self.see((origin, epoch), read_spans(spans))
        if seen.start_ms is not None:
            self.start_ms = seen.start_ms
        if seen.base:
            self.is_whole = not seen.more

    def to_wire(self) -> dict[str, Any]:
        """The position as JSON values."""
        return {
            "version": VERSION,
            "start_ms": self.start_ms,
            "base": logs_to_wire(self.base),
            "later": logs_to_wire(self.later),
            "parts": [[*key, seq, place] for (key, seq), place in self.parts.items()],
        }


def read_position(value: object) -> Position:
    """Read what `to_wire` wrote, from anybody; raises BadInput for anything else."""
    wire = _converted(value, PositionWire)
    if wire.version != VERSION:
        raise BadInput(f"position: version {wire.version} is not known here, only {VERSION}")
    if len(wire.base) + len(wire.later) > LOGS_MAX:
        raise BadInput(f"position: more than {LOGS_MAX} logs")
    if sum(len(spans) for _, _, spans in (*wire.base, *wire.later)) > SPANS_MAX:
        raise BadInput(f"position: more than {SPANS_MAX} ranges")
    position = Position(wire.start_ms, _read_logs(wire.base), is_whole=True)
    for key, ranges in _read_logs(wire.later).items():
        position.see(key, ranges)
    position.parts = {
        ((origin, epoch), seq): place
        for origin, epoch, seq, place in wire.parts
        if seq not in position.seen((origin, epoch))
    }
    return position


def base_messages(position: Position) -> Iterator[dict[str, Any]]:
    """The `position` messages that tell a reader where its tail begins; at least one."""
    pages = list(_pages(logs_to_wire(position.base)))
    for number, page in enumerate(pages or [[]], 1):
        yield {
            "start_ms": position.start_ms,
            "base": True,
            "logs": page,
            "more": number < len(pages),
        }


def seen_messages(seen: Mapping[LogKey, Ranges]) -> Iterator[dict[str, Any]]:
    """The `position` messages for chunks that went by without a word."""
    for page in _pages(logs_to_wire(seen)):
        yield {"logs": page}


def logs_to_wire(logs: Mapping[LogKey, Ranges]) -> list[list[Any]]:
    """Logs with their ranges as JSON values."""
    return [[*key, ranges.to_wire()] for key, ranges in logs.items()]


def read_spans(spans: Sequence[tuple[int, int]]) -> Ranges:
    """Ranges from pairs; raises BadInput when one runs backwards."""
    if any(first > last for first, last in spans):
        raise BadInput("position: a range must be a pair [first, last] with first <= last")
    return of_spans(spans)


def _read_logs(logs: Sequence[LogSpans]) -> dict[LogKey, Ranges]:
    read: dict[LogKey, Ranges] = {}
    for origin, epoch, spans in logs:
        read[(origin, epoch)] = read.get((origin, epoch), NOTHING) | read_spans(spans)
    return read


def _pages(logs: Sequence[list[Any]]) -> Iterator[list[list[Any]]]:
    waiting = iter(logs)
    while page := list(islice(waiting, PAGE_LOGS)):
        yield page


def _joined(mine: Ranges, more: Ranges) -> Ranges:
    if len(more.spans) == 1:  # The usual case, and the cheap one.
        return mine.add(*more.spans[0])
    return mine | more


def _converted(value: object, kind: type[Wanted]) -> Wanted:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"position: {error}") from error
