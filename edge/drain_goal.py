"""What a drain must make safe, and how far that is. Pure: the time comes in as an argument."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from shared.ranges import SEQ_MAX, Ranges

RATE_SECONDS = 10.0  # Long enough to smooth batches, short enough to show a stall.
PHRASES = {
    "not_on_any_hub": "chunks have not reached any hub",
    "on_one_hub": "chunks are on one hub only",
    "dead_letters": "chunks are dead letters",
}


class Amount(NamedTuple):
    """So much of the log. `bytes` are as stored; None where the disk could not be read."""

    chunks: int = 0
    records: int | None = 0
    bytes: int | None = 0

    def and_also(self, other: "Amount") -> "Amount":
        """Both together; what is not known of one is not known of both."""
        return Amount(
            self.chunks + other.chunks,
            _sum(self.records, other.records),
            _sum(self.bytes, other.bytes),
        )

    def without(self, other: "Amount") -> "Amount":
        """What of this is not in the other."""
        return Amount(
            max(0, self.chunks - other.chunks),
            _rest(self.records, other.records),
            _rest(self.bytes, other.bytes),
        )

    def at_least(self, other: "Amount") -> "Amount":
        """The larger of both, number by number."""
        return Amount(
            max(self.chunks, other.chunks),
            _larger(self.records, other.records),
            _larger(self.bytes, other.bytes),
        )

    def to_wire(self) -> dict[str, Any]:
        """As calls tell it."""
        return self._asdict()


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _rest(whole: int | None, part: int | None) -> int | None:
    return None if whole is None or part is None else max(0, whole - part)


def _larger(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else max(one, other)


NONE = Amount()


class Cause(NamedTuple):
    """A part of what an edge still holds, and why that is so."""

    name: str  # "not_on_any_hub" | "on_one_hub" | "dead_letters"
    amount: Amount
    why: str

    def to_wire(self) -> dict[str, Any]:
        """As calls tell it."""
        return {"cause": self.name, **self.amount.to_wire(), "why": self.why}


class Refused(Protocol):
    """What is told of a dead letter."""

    @property
    def records(self) -> int: ...
    @property
    def stored_bytes(self) -> int: ...
    @property
    def reason(self) -> str: ...


class Sample(NamedTuple):
    """What was left at a moment of the event loop's clock."""

    at: float
    records: int
    bytes: int


class Log(NamedTuple):
    """The log as it is now. `chunks` counts also those of a former life that wait to be rewritten."""

    epoch: str
    head_seq: int
    seqs: Ranges
    chunks: int


@dataclass(slots=True)
class Goal:
    """The chunks that were in the log when a drain began, and what has taken their place since."""

    log: Log
    seqs: Ranges = field(init=False)
    is_moving: bool = True
    """Whether chunks of a former life of the log may still have to be written again."""
    whole: Amount = NONE
    unreached: Amount = NONE
    one_hub: Amount = NONE
    samples: deque[Sample] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.seqs = self.log.seqs

    def observe(self, log: Log, safe: Ranges) -> Ranges:
        """What is left to be made safe.

        A new life of the log writes chunks again under other numbers, and a chunk that hubs refuse
        may be cut into new ones: what has taken the place of a wanted chunk is wanted too.
        """
        gone = self.seqs - log.seqs - safe
        if log.epoch != self.log.epoch:
            self.is_moving = True
            self.samples.clear()
        if self.is_moving:
            self.seqs = log.seqs
            self.is_moving = log.chunks > log.seqs.count
        elif gone:
            newer = Ranges(((self.log.head_seq + 1, SEQ_MAX),))
            self.seqs = (self.seqs - gone) | (log.seqs & newer)
        self.log = log
        return (self.seqs & log.seqs) - safe

    def note(self, now: float, unreached: Amount, one_hub: Amount) -> None:
        """Take a measurement of what is left."""
        self.unreached, self.one_hub = unreached, one_hub
        left = self.left
        self.whole = self.whole.at_least(left)  # A log that was written again may hold more.
        if left.records is None or left.bytes is None:
            return
        self.samples.append(Sample(now, left.records, left.bytes))
        while len(self.samples) > 2 and now - self.samples[1].at >= RATE_SECONDS:
            self.samples.popleft()

    @property
    def moving(self) -> Amount:
        """What of a former life of the log waits to be written again; its size is not known."""
        behind = max(0, self.log.chunks - self.log.seqs.count) if self.is_moving else 0
        return Amount(behind, None, None) if behind else NONE

    @property
    def left(self) -> Amount:
        """What is not on enough hubs, as measured last."""
        return self.unreached.and_also(self.one_hub)

    @property
    def rates(self) -> tuple[float, float]:
        """Records and stored bytes that became safe per second, of late."""
        if len(self.samples) < 2 or self.samples[-1].at <= self.samples[0].at:
            return 0.0, 0.0
        first, last = self.samples[0], self.samples[-1]
        seconds = last.at - first.at
        records, stored = first.records - last.records, first.bytes - last.bytes
        return max(0, records) / seconds, max(0, stored) / seconds

    @property
    def eta_seconds(self) -> float | None:
        """How long the rest takes at this rate; None while that is not known."""
        _, bytes_per_s = self.rates
        if not self.left.chunks:
            return 0.0
        if not bytes_per_s or self.left.bytes is None:
            return None
        return self.left.bytes / bytes_per_s


def dead_letters(letters: Sequence[Refused]) -> Cause:
    """What hubs refused for good: it is on this disk, and no drain moves it."""
    records = sum(letter.records for letter in letters)
    stored_bytes = sum(letter.stored_bytes for letter in letters)
    why = f"they stay on this disk; hubs refused the newest because: {letters[-1].reason}"
    return Cause("dead_letters", Amount(len(letters), records, stored_bytes), why)


def reason_of(verdict: str, causes: Sequence[Cause]) -> str:
    """One sentence for people: what is left, and why."""
    told = "; ".join(f"{each.amount.chunks} {PHRASES[each.name]}: {each.why}" for each in causes)
    if verdict == "cancelled":
        return f"the drain was cancelled; {told}" if told else "the drain was cancelled"
    if verdict == "drained":
        done = "everything that was buffered is on enough hubs"
        return f"{done}; {told}" if told else done
    return told
