"""When which check runs: the budget of a hub, without waiting for anything. Rules only.

At most so many checks run at once and begin per second. What is due first begins first, so nothing
starves. Checks that timed out last time share half of the places: however many targets hang, the other
half is there for those that answer.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from hub.nodes.check_rules import Check, phase_seconds

JITTER = 0.1
WAIT_SECONDS_MAX = 1.0
LOOKED_AT_MAX = 5_000


@dataclass(frozen=True, slots=True)
class CheckBudget:
    """How much of a hub the checks may take."""

    at_once_max: int = 64
    per_second_max: float = 50.0  # 3,000 checks a minute, at about a millisecond each.

    @property
    def slow_max(self) -> int:
        """How many of those that timed out may run at once."""
        return max(self.at_once_max // 2, 1)


@dataclass(slots=True, eq=False)
class Plan:
    """A check of a node, and when it is due."""

    node: str
    check: Check
    due_at: float
    is_slow: bool = False
    is_gone: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A check that holds one of the places; give it back with `Schedule.ended`."""

    plan: Plan
    is_slow: bool


@dataclass(slots=True)
class Schedule:
    """The checks of all nodes; `now` is monotonic seconds."""

    rng: Random
    budget: CheckBudget = field(default_factory=CheckBudget)
    running: int = 0
    slow_running: int = 0
    planned: int = 0
    """How many checks there are in all."""
    missed: int = 0
    """Runs that were left out because the budget, or the check itself, was too slow for them."""
    _plans: dict[str, dict[str, Plan]] = field(default_factory=dict)
    _due: list[tuple[float, int, Plan]] = field(default_factory=list)
    _slow: deque[Plan] = field(default_factory=deque)
    _pushed: int = 0
    _starts: float = 1.0
    _filled_at: float | None = None

    def checks_of(self, node: str) -> tuple[Check, ...]:
        """What is planned for a node."""
        return tuple(plan.check for plan in self._plans.get(node, {}).values())

    def nodes(self) -> list[str]:
        """The nodes that have checks."""
        return list(self._plans)

    def plan(self, node: str, checks: Iterable[Check], now: float) -> list[str]:
        """Have exactly these checks for a node; returns the names of those that are gone."""
        held = self._plans.pop(node, {})
        wanted = {check.name: check for check in checks}
        kept = {name: plan for name, plan in held.items() if wanted.get(name) == plan.check}
        for name in held.keys() - kept.keys():
            held[name].is_gone = True
        for name in wanted.keys() - kept.keys():
            kept[name] = self._fresh(node, wanted[name], now)
        self.planned += len(kept) - len(held)
        if kept:
            self._plans[node] = {name: kept[name] for name in wanted}
        return sorted(held.keys() - wanted.keys())

    def _fresh(self, node: str, check: Check, now: float) -> Plan:
        plan = Plan(node, check, now + phase_seconds(node, check.name, check.spec.interval_s))
        self._push(plan)
        return plan

    def _push(self, plan: Plan) -> None:
        self._pushed += 1
        heapq.heappush(self._due, (plan.due_at, self._pushed, plan))

    def take(self, now: float, is_mine: Callable[[Plan], bool]) -> list[Run]:
        """The checks that begin now; those of other hubs wait for their next turn."""
        self._refill(now)
        runs: list[Run] = []
        while self._may_start() and self._slow and self.slow_running < self.budget.slow_max:
            plan = self._slow.popleft()
            if not plan.is_gone:
                runs.append(self._start(plan))
        for _ in range(LOOKED_AT_MAX):
            if not self._may_start() or not self._due or self._due[0][0] > now:
                break
            runs += self._look_at(heapq.heappop(self._due)[2], now, is_mine)
        return runs

    def _look_at(self, plan: Plan, now: float, is_mine: Callable[[Plan], bool]) -> list[Run]:
        if plan.is_gone:
            return []
        if not is_mine(plan):
            plan.is_slow = False
            self._again(plan, now)
            return []
        if plan.is_slow and self.slow_running >= self.budget.slow_max:
            self._slow.append(plan)
            return []
        return [self._start(plan)]

    def _refill(self, now: float) -> None:
        passed = 0.0 if self._filled_at is None else max(now - self._filled_at, 0.0)
        self._filled_at = now
        most = max(self.budget.per_second_max, 1.0)
        self._starts = min(self._starts + passed * self.budget.per_second_max, most)

    def _may_start(self) -> bool:
        return self.running < self.budget.at_once_max and self._starts >= 1

    def _start(self, plan: Plan) -> Run:
        self._starts -= 1
        self.running += 1
        self.slow_running += plan.is_slow
        return Run(plan, plan.is_slow)

    def ended(self, run: Run, *, timed_out: bool, now: float) -> None:
        """Give the place back, and plan the next turn."""
        self.running -= 1
        self.slow_running -= run.is_slow
        run.plan.is_slow = timed_out
        if not run.plan.is_gone:
            self._again(run.plan, now)

    def _again(self, plan: Plan, now: float) -> None:
        interval = plan.check.spec.interval_s
        wait = interval * self.rng.uniform(1 - JITTER, 1 + JITTER)
        plan.due_at += wait
        if plan.due_at <= now:
            self.missed += 1
            plan.due_at = now + wait
        self._push(plan)

    def next_seconds(self, now: float) -> float:
        """When to ask again, unless a run ends before."""
        if not self._due or self.running >= self.budget.at_once_max:
            return WAIT_SECONDS_MAX
        pause = min(1.0 / self.budget.per_second_max, WAIT_SECONDS_MAX)
        return min(max(self._due[0][0] - now, pause), WAIT_SECONDS_MAX)
