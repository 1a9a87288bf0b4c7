"""What other hubs say of nodes and checks now, as far as their logs of observations are here. Rules.

Of each log only the last word on a node or a check counts, and only while the hub that wrote it lives:
what a hub that is gone said last is history.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hub.nodes.history import FAILED, FLAPPING, LIVENESS, Change

OFFLINE = "offline"
HEARD = frozenset({"online", "late", "suspect", FLAPPING})
BAD = frozenset({FAILED, FLAPPING})
FAILING_MAX = 100_000
"""Failing checks of one log that are held; those beyond are in its history only."""


@dataclass(slots=True)
class Told:
    """The last words of one log."""

    heard: set[str] = field(default_factory=set)
    """Nodes that some hub hears, as this one says."""
    offline: set[str] = field(default_factory=set)
    failing: dict[str, set[str]] = field(default_factory=dict)
    """The checks that fail, by node."""
    _failing: int = 0

    def take(self, node: str, subject: str, state: str) -> None:
        """Take in a word that is newer than all before."""
        if subject != LIVENESS:
            self._judge(node, subject, is_bad=state in BAD)
            return
        self.heard.discard(node)
        self.offline.discard(node)
        if state in HEARD:
            self.heard.add(node)
        elif state == OFFLINE:
            self.offline.add(node)

    def fails(self, node: str, check: str) -> bool:
        """Whether a check fails."""
        return check in self.failing.get(node, ())

    def _judge(self, node: str, check: str, *, is_bad: bool) -> None:
        if is_bad == self.fails(node, check):
            return
        if not is_bad:
            self._pass(node, check)
        elif self._failing < FAILING_MAX:
            self.failing.setdefault(node, set()).add(check)
            self._failing += 1

    def _pass(self, node: str, check: str) -> None:
        checks = self.failing[node]
        checks.discard(check)
        self._failing -= 1
        if not checks:
            del self.failing[node]

    def forget(self, node: str) -> None:
        """Drop a node that is gone."""
        self.heard.discard(node)
        self.offline.discard(node)
        self._failing -= len(self.failing.pop(node, ()))


@dataclass(slots=True)
class OthersTold:
    """The last words of all logs but this hub's own, by log."""

    logs: dict[str, Told] = field(default_factory=dict)

    def load(self, log: str, states: Iterable[tuple[str, str, str]]) -> None:
        """Take in what a log on disk last said: node, subject, state."""
        for state in states:
            self.logs.setdefault(log, Told()).take(*state)

    def take(self, log: str, lines: Iterable[Change]) -> None:
        """Take in new lines of a log, in their order."""
        for line in lines:
            if line.node:
                self.logs.setdefault(log, Told()).take(line.node, line.subject, line.state)

    def fails(self, node: str, check: str, speaking: Iterable[str]) -> bool:
        """Whether one of these logs says that a check fails."""
        return any(self.logs[log].fails(node, check) for log in speaking if log in self.logs)

    def is_disputed(self, node: str, state: str, speaking: Iterable[str]) -> bool:
        """Whether this hub calls a node offline that another one hears, or the other way round."""
        told = [self.logs[log] for log in speaking if log in self.logs]
        if state == OFFLINE:
            return any(node in each.heard for each in told)
        return state in HEARD and any(node in each.offline for each in told)

    def forget(self, node: str) -> None:
        """Drop a node that is gone."""
        for told in self.logs.values():
            told.forget(node)

    def drop(self, log: str) -> None:
        """Drop the words of a log that nobody keeps any more."""
        self.logs.pop(log, None)
