"""The words of the push conversation: what to do next, what was answered, and what an answer means.

Pure values and rules; edge.conversation decides with them, edge.shipper carries out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from edge.lanes import Lane
from edge.lineage import CLONED
from shared.backoff import retry_after_seconds
from shared.ranges import Ranges
from shared.receipt import ChunkOutcome


class Next(StrEnum):
    """What the answer to a push leads to."""

    DONE = "done"  # The answer holds a receipt.
    NEXT_HUB = "next_hub"  # Nobody answered; another hub may, at once.
    WAIT = "wait"  # This hub asks for time; the next one may have room.
    BACK_OFF = "back_off"  # This hub is unwell, perhaps because of this batch: later, elsewhere.
    SPLIT = "split"  # Too much or something bad in one batch: halve it, down to the one chunk.
    REMOVED = "removed"  # By a person, or it is a copy: a heartbeat tells when it is welcome again.
    DENIED = "denied"  # This edge or this address is wrong: say so, wait; nothing is lost by it.


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, why, and how long to leave this hub alone."""

    next: Next
    reason: str = ""
    retry_after_seconds: float | None = None
    was_sent: bool = True
    """False only when the push surely did not reach the hub."""


def judge_status(
    status: int, headers: Mapping[str, str], body: bytes, wall_seconds: float
) -> Verdict:
    """Judge an HTTP answer by its status (RFC 9110, 15); the body is only quoted."""
    if status == 200:
        return Verdict(Next.DONE)
    reason = f"HTTP {status}: {body[:300].decode('utf-8', 'replace').strip()}"
    wait = retry_after_seconds(headers.get("retry-after"), wall_seconds)
    if status in (429, 503):
        return Verdict(Next.WAIT, reason, wait)
    if status in (400, 413, 422):
        return Verdict(Next.SPLIT, reason)
    if status == 408 or status >= 500:
        return Verdict(Next.BACK_OFF, reason, wait)
    if status in (409, 410):
        return Verdict(Next.REMOVED, reason)
    # 401 and 403 say something about this edge's key, and 404 about the address, but nothing about
    # the data: it stays in the buffer until a person has mended the settings.
    return Verdict(Next.DENIED, reason, wait)


def halves(count: int) -> tuple[int, int]:
    """How a refused batch of `count` chunks is cut; the first part is never empty."""
    return (count + 1) // 2, count // 2


_ABOUT_THE_HEADER = (
    "unknown_signal",
    "unknown_encoding",
    "unknown_codec",
    "negative_length",
    "bad_length",
    "bad_key",
)


def is_about_the_header(reason: str) -> bool:
    """Whether a chunk was refused for what its smaller parts would say as well."""
    return reason.startswith(_ABOUT_THE_HEADER)


def is_about_a_clone(reason: str) -> bool:
    """Whether a chunk was refused because the hub holds another log with this name."""
    return reason.startswith(CLONED)


@dataclass(frozen=True, slots=True)
class Stock:
    """What the log holds at a moment."""

    epoch: str
    head_seq: int
    seqs: Ranges
    alerts: Ranges


@dataclass(frozen=True, slots=True)
class Item:
    """One chunk of a batch, as far as decisions need to know it."""

    seq: int
    records: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Send:
    """Push a batch to a hub. The batch's bytes are read once and are the same at each attempt."""

    batch: int
    hub_url: str
    lane: Lane
    wanted: Ranges
    """What may be in it, at the first attempt; what is in it, at all others."""
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until this time, or until there is news; None: until there is news."""

    until: float | None


@dataclass(frozen=True, slots=True)
class Split:
    """Put smaller chunks in the place of one that hubs refuse."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Bury:
    """Make a dead letter of a chunk that hubs refuse."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """Begin a new life of the log, and write again in it what is in `keep`."""

    reason: str
    keep: Ranges


Step = Send | Wait | Split | Bury | NewEpoch


@dataclass(frozen=True, slots=True)
class Taken:
    """A hub answered with a receipt, `seconds` after the batch was sent."""

    batch: int
    outcomes: tuple[ChunkOutcome, ...]
    seconds: float
    credit_bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Turned:
    """Anything else that became of a push, `seconds` after the batch was sent."""

    batch: int
    verdict: Verdict
    seconds: float


Reply = Taken | Turned
