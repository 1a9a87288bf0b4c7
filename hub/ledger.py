"""The account of every log: what is held of it, what its edge has declared lost, and what is missing.

Pure. Which gaps still count, which numbers are neither held nor declared, and do the edge's own sums
balance?
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.ranges import NOTHING, Ranges, of_spans
from shared.records import Gap

LogKey = tuple[str, str]

MOVED = frozenset({"split"})
"""Reasons of gaps whose records are in other chunks of the same log: nothing is lost by them."""

REASONS = frozenset({"shed", "damaged", "dead_letter", "discarded", "split"})

COUNT_MAX = 2**53


@dataclass(frozen=True, slots=True)
class DeclaredGap:
    """A gap with the number of the chunk that declares it."""

    declared_seq: int
    gap: Gap

    @property
    def seqs(self) -> Ranges:
        """The numbers that it gives up."""
        return of_spans(self.gap.ranges)


@dataclass(frozen=True, slots=True)
class Loss:
    """All gaps of one reason and signal that still count, as one sum."""

    reason: str
    signal: str
    seqs: Ranges
    gaps: int
    chunks: int
    records: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Declared:
    """What the gaps of a log come to. `filled` are gaps whose chunks came all the same."""

    losses: tuple[Loss, ...] = ()
    filled: int = 0


def standing(gaps: Iterable[DeclaredGap], held: Ranges) -> tuple[list[Gap], int]:
    """The gaps that still count, and how many were filled.

    A later word on the same chunks replaces the earlier one, as when a dead letter is discarded.
    """
    latest: dict[tuple[str, tuple[tuple[int, int], ...]], Gap] = {}
    for each in sorted(gaps, key=lambda each: each.declared_seq):
        latest[each.gap.signal, each.gap.ranges] = each.gap
    left = [gap for gap in latest.values() if not _is_held(gap, held)]
    return left, len(latest) - len(left)


def _is_held(gap: Gap, held: Ranges) -> bool:
    return all(held.first_missing(first) > last for first, last in gap.ranges)


def declared(gaps: Iterable[DeclaredGap], held: Ranges) -> Declared:
    """The sums of the gaps that still count, by reason and signal."""
    left, filled = standing(gaps, held)
    grouped: dict[tuple[str, str], list[Gap]] = {}
    for gap in left:
        grouped.setdefault((gap.reason, gap.signal), []).append(gap)
    return Declared(tuple(_loss(*key, same) for key, same in sorted(grouped.items())), filled)


def _loss(reason: str, signal: str, gaps: Sequence[Gap]) -> Loss:
    return Loss(
        reason,
        signal,
        of_spans(span for gap in gaps for span in gap.ranges),
        len(gaps),
        sum(gap.chunks for gap in gaps),
        sum(gap.records for gap in gaps),
        sum(gap.stored_bytes for gap in gaps),
    )


@dataclass(slots=True)
class LedgerState:
    """What this hub knows of the declarations in all logs, for answers that must be quick."""

    declared: dict[LogKey, Ranges] = field(default_factory=dict)
    succeeded: set[LogKey] = field(default_factory=set)
    """Logs that a later epoch names as its predecessor."""
    origins: set[str] = field(default_factory=set)
    """Whoever has declared a gap."""
    records_by_reason: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    kept_beside: int = 0

    def note_gaps(self, key: LogKey, gaps: Iterable[Gap]) -> None:
        """Take in gaps that were just committed."""
        for gap in gaps:
            self.declared[key] = self.declared.get(key, NOTHING) | of_spans(gap.ranges)
            self.origins.add(key[0])
            self.records_by_reason[known_reason(gap.reason)] += gap.records

    def holes(self, key: LogKey, held: Ranges) -> Ranges:
        """Numbers below the head that are neither held nor declared, nor carried into a new epoch."""
        if key in self.succeeded:
            return NOTHING
        return unaccounted(held, self.declared.get(key, NOTHING))


def known_reason(reason: str) -> str:
    """A reason as a label: what an edge invents must not become a new time series."""
    return reason if reason in REASONS else "other"


def unaccounted(held: Ranges, declared_seqs: Ranges) -> Ranges:
    """Numbers up to the last one held that are neither held nor declared."""
    if len(held.spans) == 1 and held.first == 1:
        return NOTHING
    below = Ranges(((1, held.last),)) if held else NOTHING
    return below - held - declared_seqs


FATES = ("safe", "accepted", "buffered", "shed", "rejected", "damaged")
"""Where records can be. Accepted ones are on one hub and still in the buffer; buffered are on none."""


def balance(told: object, age_s: float | None) -> dict[str, Any] | None:
    """The edge's own sums with their difference; None when it told none. `told` may be anything."""
    if not isinstance(told, Mapping):
        return None
    sums = told_sums(told)
    by_signal = told.get("by_signal")
    signals = by_signal if isinstance(by_signal, Mapping) else {}
    answer: dict[str, Any] = {**sums, "balance": difference(sums), "age_s": age_s}
    answer["by_signal"] = {
        name: {**told_sums(each), "balance": difference(told_sums(each))}
        for name, each in list(signals.items())[:8]
        if isinstance(name, str) and isinstance(each, Mapping)
    }
    return {**answer, "note": _note(answer)}


def told_sums(told: Mapping[Any, Any]) -> dict[str, int]:
    """What an edge says it produced and what became of it, in records; odd values count as 0."""
    return {name: _count(told.get(name)) for name in ("produced", *FATES)}


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_MAX:
        return value
    return 0


def difference(sums: Mapping[str, int]) -> int:
    """Records that were produced and are nowhere (or, below zero, counted twice)."""
    return sums["produced"] - sum(sums[fate] for fate in FATES)


def _note(answer: Mapping[str, Any]) -> str:
    age = answer["age_s"]
    when = "at an unknown time" if age is None else f"{age:.0f} s ago"
    if not answer["balance"]:
        return f"told {when}: the sums balance"
    what = "are nowhere" if answer["balance"] > 0 else "are counted twice"
    return f"told {when}: {abs(answer['balance']):,} records {what}; ask again after the next beat"
