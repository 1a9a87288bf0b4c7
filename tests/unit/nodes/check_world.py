"""Hubs that run checks of nodes, with checkers that answer what the test says."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hub.nodes.check_rules import Check, Outcome
from hub.nodes.check_schedule import CheckBudget, Schedule
from hub.nodes.checks import Checks
from hub.nodes.history_write import Observing
from shared.runtime import Runtime

WALL_MS = 1_790_000_000_000


def no_network(*_: Any) -> Any:
    raise AssertionError("these tests need no network")


@dataclass(slots=True)
class Script:
    """A checker: what each run says, and which ones ran."""

    answer: Callable[[Check, str], Outcome] = lambda check, host: Outcome(True, "connected", 0.002)
    ran: list[tuple[str, str]] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def run(self, check: Check, host: str) -> Outcome:
        self.ran.append((check.name, host))
        if self.gate is not None:
            await self.gate.wait()
        return self.answer(check, host)


@dataclass(slots=True)
class World:
    """One hub that runs checks."""

    script: Script
    checks: Checks
    told: list[tuple[str, dict[str, Any]]]
    live: set[str]
    judges: list[bool]
    began_at: float

    def at(self, seconds: float) -> float:
        """A time after the test began, on the clock of its event loop."""
        return self.began_at + seconds

    def states(self) -> list[tuple[str, str, str]]:
        """The lines that were written since the last time."""
        lines = self.checks.observing.take_pending()
        return [(line.node, line.subject, line.state) for line in lines if line.node]


def world(hub_id: str = "hub-1", live: frozenset[str] = frozenset(), seed: int = 1) -> World:
    """A hub that has begun to observe."""
    runtime = Runtime(lambda: WALL_MS * 1_000_000, Random(seed), no_network, no_network)
    script, told, alive, judges = Script(), list[Any](), set(live), [True]
    observing, began_at = Observing(0, 0, 0), asyncio.get_running_loop().time()
    observing.begin(began_at, WALL_MS)
    checks = Checks(
        hub_id,
        runtime,
        script,
        Schedule(Random(seed), CheckBudget(per_second_max=10_000)),
        observing,
        lambda: alive,
        lambda node: "10.0.0.7" if node != "edge-lost" else None,
        lambda name, facts: told.append((name, dict(facts))),
        lambda: judges[0],
    )
    return World(script, checks, told, alive, judges, began_at)


def tcp(*names: str) -> list[dict[str, Any]]:
    """Checks as they are stored."""
    return [{"name": n, "kind": "tcp", "target": ":22", "interval_s": 5} for n in names]
