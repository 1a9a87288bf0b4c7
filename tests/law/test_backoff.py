"""Waits stay within their bounds for ever, and Retry-After is a floor."""

from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import Backoff, TryAgain, backoff_seconds, retry_after_seconds, retrying
from tests.law.drawing import patient

limits = st.builds(Backoff, st.floats(0.001, 10), st.floats(0.001, 1000))


@patient
@given(st.integers(0, 10**9), limits, st.integers())
def test_a_wait_lies_between_zero_and_the_doubled_bound(
    attempt: int, bounds: Backoff, seed: int
) -> None:
    seconds = backoff_seconds(attempt, bounds, Random(seed))
    assert 0 <= seconds <= bounds.seconds_max
    if attempt < 20:
        assert seconds <= bounds.seconds_initial * 2**attempt


@patient
@given(st.none() | st.text(max_size=40), st.floats(0, 4e9))
def test_any_header_is_a_bounded_wait_or_none(value: str | None, now: float) -> None:
    seconds = retry_after_seconds(value, now)
    assert seconds is None or 0 <= seconds <= 3600


@patient
@given(st.integers(0, 10**12), st.floats(0, 4e9))
def test_seconds_and_dates_mean_the_same(seconds: int, now: float) -> None:
    assert retry_after_seconds(f" {seconds} ", now) == min(seconds, 3600)
    begin = datetime.fromtimestamp(int(now), UTC)
    date = format_datetime(begin, usegmt=True)
    assert retry_after_seconds(date, int(now) - 30) == 30
    assert retry_after_seconds(date, int(now) + 30) == 0


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "٣", "Mon, 99 Foo 2020 00:00:00 GMT"])
def test_what_is_neither_a_number_nor_a_date_counts_as_absent(value: str) -> None:
    assert retry_after_seconds(value, 0.0) is None


@given(st.lists(st.none() | st.floats(0, 100), max_size=12), st.integers())
@patient
async def test_a_step_is_tried_until_it_succeeds_and_never_sooner_than_asked(
    asked: list[float | None], seed: int
) -> None:
    bounds = Backoff(1.0, 60.0)
    waits: list[float] = []
    told: list[float] = []
    left = list(asked)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def step() -> str:
        if left:
            raise TryAgain("not yet", left.pop(0))
        return "done"

    policy = retrying(Random(seed), bounds, sleep, lambda _, seconds: told.append(seconds))
    assert await policy(step) == "done"
    assert waits == told
    assert len(waits) == len(asked)
    for attempt, (wait, floor) in enumerate(zip(waits, asked, strict=True)):
        assert (floor or 0.0) <= wait <= (floor or 0.0) + min(2.0**attempt, 60.0)


async def test_what_is_not_a_reason_to_try_again_is_raised_at_once() -> None:
    async def never(seconds: float) -> None:
        raise AssertionError("there is nothing to wait for")

    async def step() -> None:
        raise KeyError("a fault of ours")

    policy = retrying(Random(1), Backoff(), never, lambda *_: None)
    with pytest.raises(KeyError):
        await policy(step)
