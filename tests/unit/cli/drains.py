"""What hubs answer about drains, for tests of the command line."""

import threading
from typing import Any

from tests.unit.cli.conftest import Counterpart

RUNNING = {
    "goal": {"chunks": 8, "records": 8000, "bytes": 8 * 1024},
    "safe": {"chunks": 5, "records": 5000, "bytes": 5 * 1024},
    "records_per_s": 1000.0,
    "bytes_per_s": 1024.0,
    "eta_seconds": 3.0,
    "reason": "chunks have not reached any hub: it is still being pushed",
}
STATUS = {"running": [RUNNING]}
DRAINED = {
    "verdict": "drained",
    "safe_to_power_off": True,
    "goal": {"chunks": 8, "records": 8000, "bytes": 8 * 1024},
    "left": {"chunks": 0, "records": 0, "bytes": 0},
    "causes": [],
    "seconds": 8.0,
}
LEFT: dict[str, Any] = {
    "verdict": "incomplete",
    "safe_to_power_off": False,
    "goal": {"chunks": 8, "records": 8000, "bytes": 8 * 1024},
    "left": {"chunks": 7, "records": 700, "bytes": 2048},
    "causes": [
        {"cause": "not_on_any_hub", "chunks": 5, "records": 500, "bytes": 1024, "why": "no hub"},
        {"cause": "on_one_hub", "chunks": 2, "records": 200, "bytes": 1024, "why": "one is down"},
        {"cause": "dead_letters", "chunks": 1, "records": 9, "bytes": 90, "why": "they stay"},
    ],
    "reason": "all of it in one sentence",
    "seconds": 60.0,
}
SECONDS_MAX = 30.0


class Script(dict[str, Any]):
    """Answers of a hub at which a drain ends only with so many calls of another method."""

    def __init__(self, answers: dict[str, Any], ends_with: str, calls: int = 1) -> None:
        super().__init__(answers)
        self._ends_with, self._calls = ends_with, calls
        self._may_end = threading.Event()
        self.was_looked_at = threading.Event()

    def __getitem__(self, method: str) -> Any:
        if method == "edge.drain":
            assert self._may_end.wait(SECONDS_MAX)
        if method == "edge.drain.status":
            self.was_looked_at.set()
        if method == self._ends_with:
            self._calls -= 1
            if self._calls <= 0:
                self._may_end.set()
        return super().__getitem__(method)


def asked_for(hub: Counterpart, method: str) -> list[dict[str, Any]]:
    """The parameters of all calls of a method."""
    return [params for name, params in hub.asked if name == method]


def until_seen(hub: Counterpart, verdict: dict[str, Any]) -> Script:
    """The drain ends when somebody looks at it again, who has shown the first look by then."""
    answers = {"edge.drain": verdict, "edge.drain.status": STATUS}
    hub.answers = script = Script(answers, ends_with="edge.drain.status", calls=2)
    return script
