"""Active checks of nodes, run by this hub: those that fall to it on schedule, and any on demand."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hub.nodes.check_rules import Check, Outcome, Result, host_of, read_checks, runner_of
from hub.nodes.check_schedule import Plan, Run, Schedule
from hub.nodes.history import FAILED, OK, UNKNOWN
from hub.nodes.history_write import Observing
from shared.errors import BadInput, Unavailable
from shared.runtime import Runtime
from shared.tasks import Bell

ON_DEMAND_MAX = 32
RUNS_KEPT_MAX = 10_000
UNREADABLE = "the checks of this node cannot be read here"

RunTime = tuple[str, str, int, int | None]
"""Node, check, Unix ms, and microseconds, or None for a run that failed."""


class Checker(Protocol):
    """What runs a check; it never raises but when it is cancelled."""

    async def run(self, check: Check, host: str) -> Outcome: ...


@dataclass(slots=True)
class Checks:
    """Plans and runs checks; keep `run` running. What it finds goes into `observing`.

    `live_hubs` are those that share the work, with this one; `address_of` is where hubs see a node.
    While `may_judge` is False, as on a hub that reaches nobody, failures are told to no one.
    """

    hub_id: str
    runtime: Runtime
    checker: Checker
    schedule: Schedule
    observing: Observing
    live_hubs: Callable[[], Iterable[str]]
    address_of: Callable[[str], str | None]
    tell: Callable[[str, Mapping[str, Any]], None]
    may_judge: Callable[[], bool] = lambda: True
    unreadable: dict[str, str] = field(default_factory=dict)
    """Nodes whose stored checks cannot be read, and why."""
    shed_runs: int = 0
    """Runs whose time was not kept, because the disk did not take those before."""
    _runs: list[RunTime] = field(default_factory=list)
    _bell: Bell = field(default_factory=Bell)
    _on_demand: int = 0

    def plan(self, node: str, value: Any, now: float) -> None:
        """Have the checks that the node's intent says; None and an empty list are no checks."""
        try:
            checks = read_checks(value or [])
        except BadInput as error:  # From a newer version, or written around the method.
            self.unreadable[node], checks = str(error), ()
        else:
            self.unreadable.pop(node, None)
        wall_ms = self.runtime.wall_ms()
        for name in self.schedule.plan(node, checks, now):
            self.observing.note(node, name, UNKNOWN, "the check was taken away", now, wall_ms)
            self.observing.forget(node, (name,))
        self._bell.ring()

    async def run(self) -> None:
        """Run what is due, for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = asyncio.get_running_loop().time()
                for due in self.due(now):
                    tasks.create_task(self.run_due(due))
                await self._bell.wait(self.schedule.next_seconds(now))

    def due(self, now: float) -> list[Run]:
        """What of this hub's share begins now; give each to `run_due`.

        Nothing before this hub has listened: it does not know yet which hubs share the work.
        """
        if not self.observing.has_begun:
            return []
        live = sorted({self.hub_id, *self.live_hubs()})
        return self.schedule.take(now, lambda plan: self._is_mine(plan, live))

    def _is_mine(self, plan: Plan, live: Iterable[str]) -> bool:
        if runner_of(plan.node, plan.check.name, live) == self.hub_id:
            return True
        if self.observing.state_of(plan.node, plan.check.name) != UNKNOWN:
            self._note(plan.node, plan.check.name, UNKNOWN, "another hub runs this check now")
        return False

    async def run_due(self, due: Run) -> None:
        """Run it, take in what it says, and give its place back."""
        timed_out = False
        try:
            result = await self._run(due.plan.node, due.plan.check)
            timed_out = result.outcome.timed_out
            if not due.plan.is_gone:
                self._take(result)
        finally:
            now = asyncio.get_running_loop().time()
            self.schedule.ended(due, timed_out=timed_out, now=now)
            self._bell.ring()

    async def _run(self, node: str, check: Check) -> Result:
        at_ms = self.runtime.wall_ms()
        try:
            host = host_of(check, self.address_of(node))
        except BadInput as error:
            return Result(node, check, "", Outcome(False, str(error)), at_ms)
        return Result(node, check, host, await self.checker.run(check, host), at_ms)

    def _take(self, result: Result) -> None:
        node, name, outcome = result.node, result.check.name, result.outcome
        if not result.host:
            self._note(node, name, UNKNOWN, outcome.message)
            return
        if not outcome.ok and not self.may_judge():
            self._note(node, name, UNKNOWN, "this hub reaches nobody, so it does not judge")
            return
        self._keep_time(result)
        before, state = self.observing.state_of(node, name), OK if outcome.ok else FAILED
        self._note(node, name, state, outcome.message)
        if state != before and (state == FAILED or before == FAILED):
            facts = {
                "node_id": node,
                "check": name,
                "target": result.check.target.shown(result.host),
            }
            told = "node.check.failed" if state == FAILED else "node.check.passed"
            self.tell(told, {**facts, "message": outcome.message})

    def _note(self, node: str, name: str, state: str, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        self.observing.note(node, name, state, reason, now, self.runtime.wall_ms())

    def _keep_time(self, result: Result) -> None:
        outcome = result.outcome
        took = outcome.took_seconds if outcome.ok else None
        took_us = None if took is None else round(took * 1e6)
        if len(self._runs) < RUNS_KEPT_MAX:
            self._runs.append((result.node, result.check.name, result.at_ms, took_us))
        else:
            self.shed_runs += 1

    def take_runs(self) -> list[RunTime]:
        """The runs since the last time, for `add_runs`; none beyond 10,000 while nobody asks."""
        runs, self._runs = self._runs, []
        return runs

    def put_back(self, runs: list[RunTime]) -> None:
        """Take back runs that the disk did not take; those beyond 10,000 are shed."""
        room = max(RUNS_KEPT_MAX - len(self._runs), 0)
        self.shed_runs += max(len(runs) - room, 0)
        self._runs[:0] = runs[:room]

    async def run_now(self, node: str, name: str | None = None) -> list[Result]:
        """Run the checks of a node here and now, or one of them.

        Raises BadInput when it has none of that name, Unavailable while too many are asked for. The
        history takes in only those that fall to this hub: another hub speaks for the others.
        """
        checks = [each for each in self.schedule.checks_of(node) if name in (None, each.name)]
        if not checks:
            raise BadInput(self._why_none(node, name))
        if self._on_demand + len(checks) > ON_DEMAND_MAX:
            raise Unavailable(f"{self._on_demand} checks run on demand already", 2.0)
        self._on_demand += len(checks)
        try:
            results = await asyncio.gather(*(self._run(node, check) for check in checks))
        finally:
            self._on_demand -= len(checks)
        live = sorted({self.hub_id, *self.live_hubs()}) if self.observing.has_begun else []
        for result in results:
            if runner_of(node, result.check.name, live) == self.hub_id:
                self._take(result)
        return results

    def _why_none(self, node: str, name: str | None) -> str:
        if node in self.unreadable:
            return f"{UNREADABLE}: {self.unreadable[node]}"
        return f"{node} has no check called {name}" if name else f"{node} has no checks"
