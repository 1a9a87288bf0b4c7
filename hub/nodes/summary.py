"""A fleet in a few numbers, whatever its size. Rules only."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LABEL_KEYS_MAX = 8
LABEL_VALUES_MAX = 20
NAMED_MAX = 20
OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class NodeGist:
    """What of a node counts in a summary."""

    node_id: str
    state: str
    is_draining: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    checks: int = 0
    failing: tuple[str, ...] = ()
    """The names of its checks that fail."""
    is_disputed: bool = False
    """Whether hubs that are alive say different things of it."""


@dataclass(slots=True)
class _Named:
    """How many there are, and the first few of them by name."""

    count: int = 0
    names: list[Any] = field(default_factory=list)

    def add(self, name: Any) -> None:
        self.count += 1
        if len(self.names) < NAMED_MAX:
            self.names.append(name)

    def to_wire(self) -> dict[str, Any]:
        return {"count": self.count, "nodes": self.names}


@dataclass(slots=True)
class Sums:
    """A fleet as its nodes are added, by name: those that come first are named."""

    states: Counter[str] = field(default_factory=Counter)
    by_label: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    keys: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    draining: _Named = field(default_factory=_Named)
    failing: _Named = field(default_factory=_Named)
    disputed: _Named = field(default_factory=_Named)

    def add(self, node: NodeGist) -> None:
        """Count a node."""
        self.states[node.state] += 1
        self.checks["all"] += node.checks
        self.checks["failing"] += len(node.failing)
        for key, value in node.labels.items():
            self._label(key, value, node.state)
        if node.is_draining:
            self.draining.add(node.node_id)
        if node.failing:
            self.failing.add({"node": node.node_id, "checks": list(node.failing)})
        if node.is_disputed:
            self.disputed.add(node.node_id)

    def _label(self, key: str, value: str, state: str) -> None:
        self.by_label.setdefault(key, {}).setdefault(value, Counter())[state] += 1
        self.keys[key] += 1

    def to_wire(self, wanted_keys: Iterable[str] = ()) -> dict[str, Any]:
        """By label: the wanted keys, or those that most nodes have."""
        keys = list(wanted_keys) or sorted(self.keys, key=lambda key: (-self.keys[key], key))
        return {
            "nodes": self.states.total(),
            "states": dict(sorted(self.states.items())),
            "labels": {key: _values(self.by_label.get(key, {})) for key in keys[:LABEL_KEYS_MAX]},
            "label_keys": len(self.keys),
            "checks": {"all": self.checks["all"], "failing": self.checks["failing"]},
            "draining": self.draining.to_wire(),
            "failing": self.failing.to_wire(),
            "disputed": self.disputed.to_wire(),
        }


def summarize(nodes: Iterable[NodeGist], wanted_keys: Iterable[str] = ()) -> dict[str, Any]:
    """Count nodes by state and by label; name those that drain, fail checks or are disputed.

    By label: the wanted keys, or those that most nodes have; of each the most frequent values, the
    rest in one row. No list is longer than its bound, whatever the nodes say.
    """
    sums = Sums()
    for node in sorted(nodes, key=lambda each: each.node_id):
        sums.add(node)
    return sums.to_wire(wanted_keys)


def _values(counted: Mapping[str, Counter[str]]) -> list[dict[str, Any]]:
    ordered = sorted(counted, key=lambda value: (-counted[value].total(), value))
    rows = [_value(value, counted[value], 1) for value in ordered[:LABEL_VALUES_MAX]]
    rest = ordered[LABEL_VALUES_MAX:]
    if rest:
        together: Counter[str] = Counter()
        for value in rest:
            together.update(counted[value])
        rows.append(_value(OTHERS, together, len(rest)))
    return rows


def _value(value: str, states: Counter[str], values: int) -> dict[str, Any]:
    counted = {"nodes": states.total(), "states": dict(sorted(states.items()))}
    return {"value": value, "values": values, **counted}
