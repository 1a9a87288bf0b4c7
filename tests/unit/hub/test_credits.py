"""Drain credits: nobody is slowed without a crowd, and a crowd shares one budget."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.credits import CreditLimits, Demand, credit_bytes_per_s, has_backlog

LIMITS = CreditLimits(budget_bytes_per_s=8_000_000)


@pytest.mark.parametrize(
    ("demand", "credit"),
    [
        (Demand(0), None),
        (Demand(7), None),
        (Demand(8), 1_000_000.0),
        (Demand(80), 100_000.0),
        (Demand(8000), LIMITS.share_bytes_per_s_min),
        (Demand(1, commit_seconds=0.6), 4_000_000.0),
        (Demand(0, jobs_waiting=1000), 4_000_000.0),
        (Demand(8, commit_seconds=0.6), 500_000.0),
    ],
)
def test_a_crowd_or_a_slow_disk_makes_shares(demand: Demand, credit: float | None) -> None:
    assert credit_bytes_per_s(demand, LIMITS) == credit


def test_without_a_budget_nobody_is_limited() -> None:
    assert credit_bytes_per_s(Demand(5000, 10.0, 4000), CreditLimits(0)) is None


@given(st.integers(8, 100_000), st.floats(0, 10), st.integers(0, 5000))
def test_the_shares_never_pass_the_budget_unless_they_are_the_least(
    edges: int, commit_seconds: float, waiting: int
) -> None:
    credit = credit_bytes_per_s(Demand(edges, commit_seconds, waiting), LIMITS)
    assert credit is not None
    assert credit >= LIMITS.share_bytes_per_s_min
    assert credit == LIMITS.share_bytes_per_s_min or credit * edges <= 8_000_001


@pytest.mark.parametrize(
    ("buffer", "expected"),
    [
        ({}, False),
        ({"pending_chunks": 9, "oldest_age_s": 60.0}, True),
        ({"pending_chunks": 9, "oldest_age_s": 1.0}, False),
        ({"pending_chunks": 0, "oldest_age_s": 60.0}, False),
        ({"pending_chunks": 9, "oldest_age_s": None}, False),
        ({"pending_chunks": "many", "oldest_age_s": 60.0}, False),
        ({"pending_chunks": 9, "oldest_age_s": "old"}, False),
    ],
)
def test_a_backlog_is_old_and_waits(buffer: dict[str, Any], expected: bool) -> None:
    assert has_backlog(buffer, LIMITS) is expected
