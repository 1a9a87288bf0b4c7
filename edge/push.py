"""How an answer to a push is read: what to do next with these chunks, and with this hub. Pure rules."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.backoff import retry_after_seconds


class Next(StrEnum):
    """What a push leads to."""

    DONE = "done"  # The answer holds a receipt.
    NEXT_HUB = "next_hub"  # This hub cannot; another may, at once.
    WAIT = "wait"  # This hub asks for time; the next one may have room.
    SPLIT = "split"  # Too much or something bad in one batch: halve it, down to the one chunk.


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, why, and how long to leave this hub alone."""

    next: Next
    reason: str = ""
    retry_after_seconds: float | None = None


def judge_status(
    status: int, headers: Mapping[str, str], body: bytes, wall_seconds: float
) -> Verdict:
    """Judge an HTTP answer by its status; the body is only quoted."""
    if status == 200:
        return Verdict(Next.DONE)
    reason = f"HTTP {status}: {body[:300].decode('utf-8', 'replace').strip()}"
    wait = retry_after_seconds(headers.get("retry-after"), wall_seconds)
    if status in (429, 503):
        return Verdict(Next.WAIT, reason, wait)
    if status in (400, 413, 422):
        return Verdict(Next.SPLIT, reason)
    # 401 and 403 say something about this edge's key, and 404 about the address, but nothing about
    # the data: it stays in the buffer until a person has mended the settings.
    return Verdict(Next.NEXT_HUB, reason, wait)


def halves(count: int) -> tuple[int, int]:
    """How a refused batch of `count` chunks is cut; the first part is never empty."""
    return (count + 1) // 2, count // 2
