"""Which numbers of a log a refilled hub may take over as dropped, since nobody holds them. Pure.

A hub that begins with an empty disk gets what its peers still hold. What their retention took before
never comes, and is no loss. A number counts as dropped here only when a peer says that it dropped it
and every other known peer, asked now, either dropped it too or never had it. Whoever is away may hold
it: until it is back, or forgotten, the number stays missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hub.replicate import LogKey
from shared.ranges import NOTHING, Ranges
from shared.sums import Sum


@dataclass(frozen=True, slots=True)
class Went:
    """What the retention of a hub took from one log, as that hub tells it."""

    first_seq: int
    last_seq: int
    last_hash: bytes
    """The hash of the chunk that was at `last_seq`."""
    sum: Sum
    first_received_ms: int
    """When the first chunk of the log came to that hub, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of some numbers of one log on one hub; `held` and `dropped` are parts of `judged`.

    A number that was judged and is in neither of them is not there and was not dropped there.
    """

    judged: Ranges
    held: Ranges = NOTHING
    dropped: Ranges = NOTHING
    went: Went | None = None


Fates = Mapping[LogKey, Fate]


@dataclass(frozen=True, slots=True)
class Witness:
    """A known peer as far as it can be asked."""

    name: str
    has_answered: bool
    """Since this hub started; then it has also told which other hubs it knows."""
    is_swept: bool
    """A sweep of it has gone well since this hub started."""


@dataclass(frozen=True, slots=True)
class TakenOver:
    """Numbers of one log to be taken over, and what the peer that dropped them tells of them."""

    seqs: Ranges
    went: Went


def silent(witnesses: Iterable[Witness]) -> list[str]:
    """Who must be heard first; nothing is taken over while anybody is in this list."""
    return [each.name for each in witnesses if not (each.has_answered and each.is_swept)]


def dropped_of(fates: Fates) -> dict[LogKey, Ranges]:
    """What a peer says that it dropped, by log."""
    return {key: fate.dropped for key, fate in fates.items() if fate.dropped}


def joined_fates(one: Fates, more: Fates) -> dict[LogKey, Fate]:
    """Two answers of one hub to different questions."""
    joined = dict(one)
    for key, fate in more.items():
        before = joined.get(key, Fate(NOTHING))
        joined[key] = Fate(
            before.judged | fate.judged,
            before.held | fate.held,
            before.dropped | fate.dropped,
            fate.went or before.went,
        )
    return joined


def agreed(first: Fates, others: Sequence[Fates]) -> dict[LogKey, TakenOver]:
    """What the first peer dropped and each of the others was asked for and does not hold."""
    found: dict[LogKey, TakenOver] = {}
    for key, fate in first.items():
        seqs = fate.dropped - fate.held
        for other in others:
            theirs = other.get(key, Fate(NOTHING))
            seqs = (seqs & theirs.judged) - theirs.held
        if seqs and fate.went is not None:
            found[key] = TakenOver(seqs, fate.went)
    return found


def share_of(went: Went, chunks: int) -> Sum:
    """The sum of so many of the chunks that went: exact for all of them, else a share by their number."""
    if chunks >= went.sum.chunks:
        return Sum(chunks, went.sum.records, went.sum.stored_bytes)
    records = went.sum.records * chunks // went.sum.chunks
    return Sum(chunks, records, went.sum.stored_bytes * chunks // went.sum.chunks)
