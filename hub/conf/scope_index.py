"""Finds the scopes that fit an edge without trying them all: there may be thousands, and edges too."""

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from shared.conf_scope import Scope

Held = TypeVar("Held")
Signature = tuple[str | None, ...]


class ScopeIndex(Generic[Held]):
    """Scopes with what they hold, by one of their labels."""

    def __init__(self, rules: Iterable[tuple[Scope, Held]]) -> None:
        # The greatest rank last, so that later ones go over earlier ones.
        ranked = sorted(rules, key=lambda rule: rule[0].rank)
        self._for_all: list[tuple[int, Scope, Held]] = []
        self._by_label: dict[tuple[str, str], list[tuple[int, Scope, Held]]] = {}
        values: dict[str, set[str]] = {}
        for number, (scope, held) in enumerate(ranked):
            place = self._by_label.setdefault(scope.labels[0], []) if scope.labels else None
            (self._for_all if place is None else place).append((number, scope, held))
            for name, value in scope.labels:
                values.setdefault(name, set()).add(value)
        self._values = tuple((name, frozenset(known)) for name, known in sorted(values.items()))
        self.known = dict(self._values)
        """For each label that any scope has, the values that any has."""

    def signature(self, labels: Mapping[str, str]) -> Signature:
        """What of the labels matters to any scope: edges with one signature fit the same scopes."""
        get = labels.get
        return tuple(
            [value if (value := get(name)) in known else None for name, known in self._values]
        )

    def labels_of(self, signature: Signature) -> dict[str, str]:
        """The labels that a signature stands for."""
        pairs = zip(self._values, signature, strict=True)
        return {name: value for (name, _), value in pairs if value is not None}

    def fitting(self, labels: Mapping[str, str]) -> list[Held]:
        """What the scopes hold that fit, the strongest last."""
        found = list(self._for_all)
        for pair in labels.items():
            found += [rule for rule in self._by_label.get(pair, ()) if rule[1].fits(labels)]
        return [held for _, _, held in sorted(found, key=lambda rule: rule[0])]
