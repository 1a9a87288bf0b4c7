"""What of a hub's word this log believes, and when it must call itself a clone. Pure rules.

A hub says which sequence numbers it has, and proves it: for the last number of each span (the newest
sixteen) it names the hash of the chunk that it holds there. Each chunk's header carries the hash of
the one before it, and a hub refuses a chunk that does not fit its neighbours, so a hash that is ours
stands for its span up to there. What is believed:

* a span whose proof is our own hash at that number, or its beginning, up to such a proof: every
  question names a mark, the head that this log had when the agent started, and the hub proves that too;
* of every other span, what was proven before: by such a proof, or by the hub's own answer
  (accepted, duplicate) to a push of ours;
* of `safe`, what is within what is believed.

A hub of version 0.1 sends no proofs. Of it we believe only the answers to our own pushes, and what of
those it calls safe; after a restart the chunks are pushed once more, and it says that it has them.

A number beyond our own head, or another hash at a number of ours, means that two logs have the same
name: this one was copied, or set back to an older state. A hub that no longer has what it had has
lost its disk: nothing that it proved before counts any more.
"""

import binascii
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

from shared.backoff import Backoff, backoff_seconds
from shared.errors import BadInput
from shared.ranges import NOTHING, SEQ_MAX, Ranges, from_wire, of_spans

PROOFS_MAX = 64
"""Hubs send sixteen; whoever sends more than this is not looked up any further."""

EVERYTHING = Ranges(((1, SEQ_MAX),))

CLONED = "cloned_origin"
"""How the reason begins with which a hub refuses a chunk of another log with the same name."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a hub said that it holds of one epoch, to a question asked at `asked_at` (loop time)."""

    epoch: str
    asked_at: float
    have: Ranges = NOTHING
    safe: Ranges = NOTHING
    proofs: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Belief:
    """What this log takes as true of one hub; `grown_at` is when it last learned of more."""

    have: Ranges = NOTHING
    safe: Ranges = NOTHING
    grown_at: float = 0.0


def read_claim(
    epoch: str,
    asked_at: float,
    have: object,
    safe: object,
    proofs: Iterable[tuple[int, str]],
) -> Claim:
    """What a hub's answer claims; raises BadInput for what cannot be read."""
    newest = sorted(proofs, reverse=True)[:PROOFS_MAX]
    try:
        read = tuple((seq, bytes.fromhex(text)) for seq, text in newest)
    except (ValueError, binascii.Error) as error:
        raise BadInput(f"a proof is not a hash in hex: {error}") from error
    return Claim(epoch, asked_at, from_wire(have), from_wire(safe), read)


def to_look_up(claim: Claim, head_seq: int) -> tuple[int, ...]:
    """The numbers whose own hashes are needed to weigh a claim."""
    return tuple(seq for seq, _ in claim.proofs if seq in claim.have and seq <= head_seq)


def conflict(claim: Claim, own: Mapping[int, bytes | None], head_seq: int) -> str:
    """Why the hub's log cannot be ours; empty when it may be. `own` maps numbers to our hashes."""
    if claim.have.last > head_seq:
        return f"a hub holds chunk {claim.have.last} of this log, whose last is {head_seq}"
    for seq, theirs in claim.proofs:
        mine = own.get(seq)
        if mine is not None and mine != theirs and seq in claim.have:
            return f"a hub holds another chunk {seq} of this log than the one written here"
    return ""


def weigh(
    claim: Claim, own: Mapping[int, bytes | None], before: Belief, now: float
) -> tuple[Belief, bool]:
    """What is believed after a claim without conflict, and whether the hub has lost its disk."""
    # An answer from before the last one may know less, which is no sign of loss.
    is_newest = claim.asked_at > before.grown_at
    is_lost = is_newest and bool(before.have - claim.have)
    before = Belief(grown_at=before.grown_at) if is_lost else before
    have = before.have | _proven_spans(claim, own)
    safe = claim.safe & have if is_newest else before.safe | (claim.safe & have)
    return Belief(have, safe, now if have - before.have else before.grown_at), is_lost


def own_push(before: Belief, held: Ranges, now: float) -> Belief:
    """What is believed after a hub has said that it holds these chunks that we pushed to it."""
    grown_at = now if held - before.have else before.grown_at
    return Belief(before.have | held, before.safe, grown_at)


def _proven_spans(claim: Claim, own: Mapping[int, bytes | None]) -> Ranges:
    ours = sorted(seq for seq, theirs in claim.proofs if own.get(seq) == theirs)
    spans: list[tuple[int, int]] = []
    for first, last in claim.have.spans:
        index = bisect_right(ours, last)
        if index and ours[index - 1] >= first:
            spans.append((first, ours[index - 1]))
    return of_spans(spans)


def to_keep(beliefs: Iterable[Belief], everything: Ranges) -> Ranges:
    """What a new life of the log must write again: all that is not proven to be on a hub."""
    proven = NOTHING
    for belief in beliefs:
        proven = proven | belief.have | belief.safe
    return everything - proven


@dataclass(slots=True)
class Renewal:
    """The end of one life of the log, once a clone has shown itself, and the wait before it.

    The first is free. Each one after that, without a chunk of the new life having been taken, waits
    longer: a hub that calls every log a clone must not keep the disk busy.
    """

    conflict: str = ""
    _farewell: Ranges | None = None
    _count: int = 0
    _due_at: float | None = None

    def suspect(self, reason: str) -> None:
        """Note why this log cannot be the only one of its name; the first reason stays."""
        self.conflict = self.conflict or reason

    def due_at(self, now: float, limits: Backoff, rng: Random) -> float:
        """When the new life may begin."""
        if self._due_at is None:
            wait = backoff_seconds(self._count - 1, limits, rng) if self._count else 0.0
            self._due_at = now + wait
        return self._due_at

    def keep(self, beliefs: Iterable[Belief]) -> Ranges:
        """What the new life writes again: the same however often it has to be tried."""
        if self._farewell is None:
            # Open at its end: what is appended before the new life begins must be kept too.
            self._farewell = to_keep(beliefs, EVERYTHING)
        return self._farewell

    def reborn(self) -> None:
        """The new life has begun."""
        self._count += 1 if self.conflict else 0
        self.conflict, self._farewell, self._due_at = "", None, None

    def accepted(self) -> None:
        """A hub has taken a chunk of this life."""
        self._count = 0
