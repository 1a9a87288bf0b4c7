"""What goes is the oldest, for a reason, and no more than that."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.retention import (
    POLICIES,
    DayFile,
    Policy,
    Reason,
    age_days,
    expired,
    is_clock_sound,
    over_limit,
)
from shared.records import Signal
from tests.law.drawing import patient

TODAY = "2026-11-21"


def day_before(days: int) -> str:
    return str(date.fromisoformat(TODAY) - timedelta(days=days))


def file_of(
    days_back: int, signal: str = "logs", size: int = 10, *, is_safe: bool = True
) -> DayFile:
    return DayFile(day_before(days_back), signal, size, 1, 1, 0, is_safe)


SIGNALS = ("logs", "metrics", "unheard_of")
files_of_all = st.lists(
    st.builds(
        file_of,
        st.integers(-2, 30),
        st.sampled_from(SIGNALS),
        st.integers(0, 20),
        is_safe=st.booleans(),
    ),
    max_size=25,
    unique_by=lambda file: (file.day, file.signal),
)
policies_of_all = st.dictionaries(
    st.sampled_from(("logs", "metrics")),
    st.builds(Policy, st.integers(0, 12), st.integers(0, 100)),
)


def without(files: Sequence[DayFile], gone: Sequence[DayFile]) -> list[DayFile]:
    return [file for file in files if file not in gone]


@patient
@given(files_of_all, policies_of_all)
def test_what_goes_is_older_than_all_that_stays(
    files: list[DayFile], policies: dict[str, Policy]
) -> None:
    """Of each signal the newest files are kept, and always those of today and later."""
    gone = [file for file, _ in expired(files, policies, TODAY)]
    for signal in SIGNALS:
        went = [file.day for file in gone if file.signal == signal]
        stays = [file.day for file in without(files, gone) if file.signal == signal]
        assert max(went, default="") < min(stays, default="9999")
    assert all(file.day < TODAY for file in gone)


@patient
@given(files_of_all, policies_of_all)
def test_age_takes_all_that_is_past_its_days_and_nothing_else(
    files: list[DayFile], policies: dict[str, Policy]
) -> None:
    """Whether or not the chunks are on enough hubs."""
    aged = {file for file, reason in expired(files, policies, TODAY) if reason is Reason.AGE}
    for file in files:
        days = policies.get(file.signal, Policy()).days
        assert (file in aged) == (days > 0 and age_days(file.day, TODAY) > days)


@patient
@given(files_of_all, policies_of_all)
def test_bytes_take_no_more_than_is_needed_and_only_what_is_safe(
    files: list[DayFile], policies: dict[str, Policy]
) -> None:
    """Without the last file that went, the signal would still be over its limit."""
    judged = expired(files, policies, TODAY)
    left = without(files, [file for file, _ in judged])
    for signal, policy in policies.items():
        went = [file for file, why in judged if (file.signal, why) == (signal, Reason.BYTES)]
        assert all(file.is_safe for file in went)
        if went:
            kept = sum(file.stored_bytes for file in left if file.signal == signal)
            assert kept + went[-1].stored_bytes > policy.stored_bytes


@patient
@given(files_of_all, policies_of_all)
def test_a_limit_on_bytes_holds_unless_the_oldest_file_left_must_wait(
    files: list[DayFile], policies: dict[str, Policy]
) -> None:
    """It waits for its copies, or for the day to be over."""
    left = without(files, [file for file, _ in expired(files, policies, TODAY)])
    for signal in over_limit(left, policies):
        oldest = min((file for file in left if file.signal == signal), key=lambda file: file.day)
        assert not oldest.is_safe or oldest.day >= TODAY


@patient
@given(files_of_all, policies_of_all)
def test_once_is_enough(files: list[DayFile], policies: dict[str, Policy]) -> None:
    """After what expired is gone, nothing else is expired on the same day."""
    gone = [file for file, _ in expired(files, policies, TODAY)]
    assert expired(without(files, gone), policies, TODAY) == []


@patient
@given(files_of_all, policies_of_all)
def test_the_order_in_which_files_are_told_makes_no_difference(
    files: list[DayFile], policies: dict[str, Policy]
) -> None:
    """And the oldest come first."""
    judged = expired(files, policies, TODAY)
    assert expired(files[::-1], policies, TODAY) == judged
    assert [file.day for file, _ in judged] == sorted(file.day for file, _ in judged)


def test_a_file_of_the_last_day_of_its_time_is_kept_whole() -> None:
    """Its newest chunk may have come a second before midnight."""
    files = [file_of(15), file_of(14), file_of(0)]
    assert expired(files, {"logs": Policy(14)}, TODAY) == [(files[0], Reason.AGE)]


def test_age_is_taken_off_before_bytes_are_counted() -> None:
    files = [file_of(9, size=50), file_of(3, size=10), file_of(1, size=10)]
    policies = {"logs": Policy(7, 20)}
    assert expired(files, policies, TODAY) == [(files[0], Reason.AGE)]


def test_every_signal_has_a_policy_and_events_are_kept_longest() -> None:
    assert set(POLICIES) == {str(signal) for signal in Signal}
    assert max(POLICIES, key=lambda signal: POLICIES[signal].days) == Signal.EVENTS


HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("offsets_ms", "up_seconds", "is_sound"),
    [
        ([], 0.0, True),
        ([None], 59.0, False),
        ([None, None], 60.0, True),
        ([None, 5.0], 0.0, True),
        ([-HOUR_MS], 0.0, True),
        ([-HOUR_MS - 1], 9e9, False),
        ([+1000 * HOUR_MS], 0.0, True),
        ([-1000 * HOUR_MS, 0.0, 3.0], 0.0, True),
        ([-1000 * HOUR_MS, -1000 * HOUR_MS, 0.0], 0.0, False),
    ],
)
def test_a_clock_that_is_ahead_of_most_peers_is_not_believed(
    offsets_ms: list[float | None], up_seconds: float, is_sound: bool
) -> None:
    """It would make everything old at once. A hub alone has nobody to ask, and one peer may be wrong."""
    assert is_clock_sound(offsets_ms, up_seconds) == is_sound
