"""How fast edges may push what they gathered while no hub was there. Pure.

After an outage thousands of edges come back at once. Each pushes live data first; what their backlogs
may take of this hub is handed out in equal shares, so that nobody is starved by whoever came first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KIB = 1024
MIB = 1024 * KIB  # Not from shared.records: settings are read with the standard library alone.

BUDGET_BYTES_PER_S = 50 * MIB


@dataclass(frozen=True, slots=True)
class CreditLimits:
    """When there is a crowd, and what it shares. A budget of 0 is no limit at all."""

    # What one hub on two cores takes in with commits on a plain disk, with room for live data.
    budget_bytes_per_s: int = BUDGET_BYTES_PER_S
    # A few edges cannot overrun a hub, and a lone one should be as fast as it can.
    crowd_edges_min: int = 8
    # Slower than this, a backlog of some hours would never end.
    share_bytes_per_s_min: float = 64 * KIB
    # Data that is on its way for no longer than this is no backlog.
    backlog_age_seconds_min: float = 5.0
    # Commits that take longer than this, or more jobs waiting, mean that the disk is the limit.
    commit_seconds_max: float = 0.5
    jobs_waiting_max: int = 256


@dataclass(frozen=True, slots=True)
class Demand:
    """What this hub has to do with now."""

    edges_with_backlog: int
    commit_seconds: float = 0.0
    jobs_waiting: int = 0


def has_backlog(buffer: Mapping[str, Any], limits: CreditLimits) -> bool:
    """Whether an edge, by what its heartbeat said of its buffer, has more than it just gathered."""
    pending, age = buffer.get("pending_chunks"), buffer.get("oldest_age_s")
    if not isinstance(pending, int) or not isinstance(age, int | float):
        return False
    return pending > 0 and age > limits.backlog_age_seconds_min


def is_behind(demand: Demand, limits: CreditLimits) -> bool:
    """Whether the writer of this hub cannot follow."""
    if demand.jobs_waiting > limits.jobs_waiting_max:
        return True
    return demand.commit_seconds > limits.commit_seconds_max


def credit_bytes_per_s(demand: Demand, limits: CreditLimits) -> float | None:
    """The share of one edge; None when everybody may push as fast as they like."""
    behind = is_behind(demand, limits)
    if not limits.budget_bytes_per_s:
        return None
    if demand.edges_with_backlog < limits.crowd_edges_min and not behind:
        return None
    # A disk that cannot follow has shown that the budget is more than it can do.
    budget = limits.budget_bytes_per_s / (2 if behind else 1)
    return max(budget / max(demand.edges_with_backlog, 1), limits.share_bytes_per_s_min)
