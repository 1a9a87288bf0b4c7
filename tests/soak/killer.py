"""Disturbs a fleet of real processes, one blow after the other, and starts again whatever it ended."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.soak.admin import ask_edge
from tests.soak.rotation import Act, Blow
from tests.system.processes import EdgeProcess, HubProcess, Role, eventually

DRAIN_SECONDS = 30.0


@dataclass(slots=True)
class Tally:
    """What was done so far, and how long each restart took, until the process was ready again."""

    blows: Counter[Blow] = field(default_factory=Counter)
    restart_seconds: dict[str, list[float]] = field(default_factory=lambda: {"hub": [], "edge": []})
    broken: list[str] = field(default_factory=list)
    """Laws that were broken while the blows fell."""


@dataclass(slots=True)
class Killer:
    """Performs acts; `before_death` is called with each hub that is about to be killed."""

    hubs: Sequence[HubProcess]
    edges: Sequence[EdgeProcess]
    before_death: Callable[[HubProcess], None]
    tally: Tally = field(default_factory=Tally)
    doing: str = "starting"

    def perform(self, act: Act) -> None:
        """Wait, strike, wait, and start again; nobody is down or paused when this returns."""
        self.doing = "quiet"
        time.sleep(act.quiet_seconds)
        self.check_alive()
        self.doing = f"{act.blow} ({' and '.join(act.targets)})"
        match act.blow:
            case Blow.KILL_EDGE_IN_DRAIN:
                self._cut_drain(self._edge(act.targets[0]), act.down_seconds)
            case Blow.PAUSE_HUB:
                self._pause(self._hub(act.targets[0]), act.down_seconds)
            case Blow.KILL_EDGE:
                self._down([self._edge(name) for name in act.targets], act.down_seconds)
            case Blow.KILL_HUB | Blow.KILL_TWO_HUBS | Blow.KILL_ALL_HUBS:
                self._down([self._hub(name) for name in act.targets], act.down_seconds)
        self.tally.blows[act.blow] += 1

    def check_alive(self) -> None:
        """Whoever ended without a blow has broken a law, and is started again."""
        for role in (*self.hubs, *self.edges):
            assert role.process is not None
            code = role.process.poll()
            if code is not None:
                self.tally.broken.append(f"{role.name} ended by itself with exit code {code}")
                self._start([role])

    def _hub(self, name: str) -> HubProcess:
        return next(hub for hub in self.hubs if hub.name == name)

    def _edge(self, name: str) -> EdgeProcess:
        return next(edge for edge in self.edges if edge.name == name)

    def _kill(self, roles: Sequence[Role]) -> None:
        for role in roles:
            if isinstance(role, HubProcess):
                self.before_death(role)
        for role in roles:
            role.kill()

    def _start(self, roles: Sequence[Role]) -> None:
        began = time.monotonic()
        for role in roles:
            role.start(wait=False)
        for role in roles:
            eventually(role.is_ready, f"{role.name} is ready again")
            kind = "hub" if isinstance(role, HubProcess) else "edge"
            self.tally.restart_seconds[kind].append(time.monotonic() - began)

    def _down(self, roles: Sequence[Role], seconds: float) -> None:
        self._kill(roles)
        time.sleep(seconds)
        self._start(roles)

    def _pause(self, hub: HubProcess, seconds: float) -> None:
        assert hub.process is not None
        hub.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            hub.process.send_signal(signal.SIGCONT)

    def _cut_drain(self, edge: EdgeProcess, seconds: float) -> None:
        """With one hub left no drain can end well; the edge dies while it still tries."""
        absent = self.hubs[1:]
        self._kill(absent)
        head = ask_edge(edge, "edge.buffer")["head_seq"]
        eventually(  # What is newer than the death of the others cannot be on two.
            lambda: ask_edge(edge, "edge.buffer")["head_seq"] > head, f"{edge.name} takes data in"
        )
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(drain, edge, DRAIN_SECONDS)
            time.sleep(seconds)
            edge.kill()
            verdict = answer.result()
        if verdict is not None:
            self.tally.broken.append(
                f"a drain of {edge.name} ended while there was one hub: {verdict}"
            )
        self._start([edge])
        self._start(absent)


def drain(edge: EdgeProcess, deadline_seconds: float) -> dict[str, Any] | None:
    """The verdict of a drain; None when the edge died before it had one."""
    patience_seconds = deadline_seconds + 10
    try:
        return ask_edge(
            edge, "edge.drain", patience_seconds=patience_seconds, deadline_s=deadline_seconds
        )
    except httpx.TransportError:
        return None
