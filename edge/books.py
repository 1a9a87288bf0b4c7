"""The buffer's account of itself: what each segment file still holds, and what became of everything.

Pure values and sums. The buffer replaces its books in the same transaction as the rows they count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec

from shared.ranges import NOTHING, Ranges, of_spans
from shared.records import GENESIS_HASH, Gap, Signal
from shared.sums import Sum

Sums = Mapping[str, Sum]
"""By signal."""


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """What became of the records of one signal; `produced` minus the others is in the buffer."""

    produced: Sum = Sum()
    safe: Sum = Sum()
    shed: Sum = Sum()
    rejected: Sum = Sum()
    damaged: Sum = Sum()

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.produced + other.produced,
            self.safe + other.safe,
            self.shed + other.shed,
            self.rejected + other.rejected,
            self.damaged + other.damaged,
        )

    @property
    def buffered(self) -> Sum:
        """What must still be in the buffer for the books to balance."""
        return self.produced - self.safe - self.shed - self.rejected - self.damaged


FATES = ("safe", "shed", "rejected", "damaged")
"""The ways out of the buffer, as fields of Tally."""


class Totals(msgspec.Struct, frozen=True):
    """The head of the log, and what became of everything since this folder was made."""

    head_seq: int = 0
    head_hash: bytes = GENESIS_HASH
    by_signal: dict[str, Tally] = {}

    @property
    def all(self) -> Tally:
        """The sum over all signals."""
        return sum(self.by_signal.values(), Tally())


class Segment(msgspec.Struct, frozen=True):
    """One file of the buffer: which of the chunks written to it are still wanted."""

    number: int
    epoch: str
    live: Ranges = NOTHING
    alerts: Ranges = NOTHING
    """Those of `live` that hold events, which go to the hubs first."""
    sums: dict[str, Sum] = {}
    written_bytes: int = 0
    first_ms: int = 0
    last_ms: int = 0

    @property
    def held(self) -> Sum:
        """Everything live in this file."""
        return sum(self.sums.values(), Sum())


@dataclass(frozen=True, slots=True)
class Entry:
    """A chunk as the books see it."""

    seq: int
    signal: str
    records: int
    stored_bytes: int
    created_ms: int

    @property
    def sum(self) -> Sum:
        """The chunk as a sum."""
        return Sum(1, self.records, self.stored_bytes)


@dataclass(frozen=True, slots=True)
class Books:
    """The whole account. The last segment is the one that is written to."""

    epoch: str
    totals: Totals
    segments: tuple[Segment, ...]

    @property
    def active(self) -> Segment:
        """The segment that is written to."""
        return self.segments[-1]

    @property
    def current(self) -> tuple[Segment, ...]:
        """The segments of this life of the log."""
        return tuple(segment for segment in self.segments if segment.epoch == self.epoch)

    @property
    def seqs(self) -> Ranges:
        """What of this life of the log is in the buffer."""
        return _union(segment.live for segment in self.current)

    @property
    def alerts(self) -> Ranges:
        """The events among `seqs`."""
        return _union(segment.alerts for segment in self.current)

    @property
    def held(self) -> dict[str, Sum]:
        """What is in the buffer, by signal, all lives of the log together."""
        held: dict[str, Sum] = {}
        for segment in self.segments:
            held = add_sums(held, segment.sums)
        return held

    @property
    def written_bytes(self) -> int:
        """The bodies in all files, those that nobody wants any more included."""
        return sum(segment.written_bytes for segment in self.segments)

    def imbalance(self) -> dict[str, Sum]:
        """By signal, how much more is in the buffer than the totals say; empty when all is well."""
        held = self.held
        signals = held.keys() | self.totals.by_signal.keys()
        differences = {
            signal: held.get(signal, Sum()) - self.totals.by_signal.get(signal, Tally()).buffered
            for signal in sorted(signals)
        }
        return {signal: differs for signal, differs in differences.items() if differs != Sum()}

    def with_segment(self, segment: Segment) -> "Books":
        """The books with one segment replaced."""
        kept = (segment if each.number == segment.number else each for each in self.segments)
        return replace(self, segments=tuple(kept))


def add_sums(one: Sums, other: Sums) -> dict[str, Sum]:
    """The sums by signal; signals that add up to nothing are left out."""
    added = {
        signal: one.get(signal, Sum()) + other.get(signal, Sum())
        for signal in one.keys() | other.keys()
    }
    return {signal: each for signal, each in sorted(added.items()) if each != Sum()}


def subtract_sums(one: Sums, other: Sums) -> dict[str, Sum]:
    """What is left; signals of which nothing is left are left out."""
    return add_sums(one, {signal: Sum() - each for signal, each in other.items()})


def entered(books: Books, entry: Entry, digest: bytes, *, produced: bool) -> Books:
    """The books after the next chunk of the log; `produced` unless its records are known already."""
    totals = msgspec.structs.replace(books.totals, head_seq=entry.seq, head_hash=digest)
    if produced:
        totals = booked(totals, "produced", {entry.signal: entry.sum})
    return replace(placed(books, entry), totals=totals)


def placed(books: Books, entry: Entry) -> Books:
    """The books with a chunk in the active segment, wherever it came from."""
    active = books.active
    alerts = active.alerts
    if entry.signal == Signal.EVENTS:
        alerts = alerts.add(entry.seq, entry.seq)
    return books.with_segment(
        msgspec.structs.replace(
            active,
            live=active.live.add(entry.seq, entry.seq),
            alerts=alerts,
            sums=add_sums(active.sums, {entry.signal: entry.sum}),
            written_bytes=active.written_bytes + entry.stored_bytes,
            first_ms=min(active.first_ms or entry.created_ms, entry.created_ms),
            last_ms=max(active.last_ms, entry.created_ms),
        )
    )


def booked(totals: Totals, fate: str, sums: Sums) -> Totals:
    """The totals with sums added to one field of the tallies."""
    by_signal = dict(totals.by_signal)
    for signal, each in sums.items():
        tally = by_signal.get(signal, Tally())
        added = {fate: getattr(tally, fate) + each}
        by_signal[signal] = msgspec.structs.replace(tally, **added)
    return msgspec.structs.replace(totals, by_signal=by_signal)


def removed(books: Books, number: int, gone: Ranges, sums: Sums) -> Books:
    """The books without some chunks of one segment, whose sums are given; totals are untouched."""
    segment = next(each for each in books.segments if each.number == number)
    return books.with_segment(
        msgspec.structs.replace(
            segment,
            live=segment.live - gone,
            alerts=segment.alerts - gone,
            sums=subtract_sums(segment.sums, sums),
        )
    )


def without_empty(books: Books) -> tuple[Books, tuple[Segment, ...]]:
    """The books without the closed segments that hold nothing any more, and those segments."""
    empty = tuple(segment for segment in books.segments[:-1] if not segment.live)
    kept = tuple(each for each in books.segments if each not in empty)
    return replace(books, segments=kept), empty


def oldest_ms(books: Books) -> int | None:
    """About when the oldest chunk in the buffer was made, never later; Unix milliseconds."""
    times = [segment.first_ms for segment in books.segments if segment.live]
    return min(times, default=None)


def gap_of(signal: str, reason: str, seqs: Ranges, lost: Sum, times: tuple[int, int]) -> Gap:
    """The declaration of a loss; `times` are when the first and last lost chunk were made (ms)."""
    return Gap(signal, reason, seqs.spans, lost.chunks, lost.records, lost.stored_bytes, *times)


def _union(sets: Iterable[Ranges]) -> Ranges:
    return of_spans(span for each in sets for span in each.spans)
