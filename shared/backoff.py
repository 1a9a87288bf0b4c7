"""How long to wait before trying again: full jitter, Retry-After, and one shared tenacity policy."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random

import tenacity

DOUBLINGS_MAX = 32  # An edge may fail for weeks; the power must stay small.


@dataclass(frozen=True, slots=True)
class Backoff:
    """The bounds of a series of waits."""

    seconds_initial: float = 1.0  # Long enough not to hammer a hub that is just starting.
    seconds_max: float = 300.0  # A returning hub is used again within five minutes at the worst.


def backoff_seconds(attempt: int, limits: Backoff, rng: Random) -> float:
    """A wait drawn evenly from zero to the doubled, capped bound ("full jitter"); attempt counts from 0.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog (2015).
    """
    doublings = min(max(attempt, 0), DOUBLINGS_MAX)
    return rng.uniform(0, min(limits.seconds_max, limits.seconds_initial * 2**doublings))


def retry_after_seconds(
    value: str | None, wall_seconds: float, seconds_max: float = 3600.0
) -> float | None:
    """Read a Retry-After header, in seconds or as a date (RFC 9110, 10.2.3); None when there is none."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), seconds_max)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - wall_seconds, 0.0), seconds_max)


class TryAgain(Exception):
    """Raised inside a retried step: it failed in a way that time may cure."""

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


def retrying(
    rng: Random,
    limits: Backoff,
    sleep: Callable[[float], Awaitable[None]],
    before_sleep: Callable[[TryAgain, float], None],
) -> tenacity.AsyncRetrying:
    """The one retry policy: only TryAgain is retried, never given up by time, Retry-After is a floor.

    `sleep` may end early when somebody asks for an attempt right now, as a drain does.
    """

    def wait(state: tenacity.RetryCallState) -> float:
        jittered = backoff_seconds(state.attempt_number - 1, limits, rng)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_seconds if isinstance(error, TryAgain) else None
        return jittered if asked is None else asked + jittered

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TryAgain):
            before_sleep(error, state.upcoming_sleep)

    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(TryAgain),
        wait=wait,
        sleep=sleep,
        before_sleep=tell,
        reraise=True,
    )
