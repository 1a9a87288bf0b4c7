"""Applies to this hub what is set for all hubs: what changed, and its own setting where nothing is set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import HeadwaterError

Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True)
class HubApplier:
    """`own` are this hub's settings by key, and `setters` change them while it runs.

    A setting that cannot be applied leaves the old one, and is told once as conf.not_applied.
    """

    own: Mapping[str, Any]
    setters: Mapping[str, Callable[[Any], None]]
    tell: Tell
    applied: dict[str, Any] = field(default_factory=dict)
    _failed: dict[str, Any] = field(default_factory=dict)

    def refresh(self, wanted: Mapping[str, Any]) -> list[str]:
        """Make the hub as `wanted` says; returns the keys that changed."""
        asked = {key: wanted.get(key, self.own.get(key)) for key in self.setters}
        self._failed = {key: bad for key, bad in self._failed.items() if asked[key] == bad}
        return [
            key
            for key, value in asked.items()
            if key not in self._failed and value != self.value_of(key) and self._apply(key, value)
        ]

    def value_of(self, key: str) -> Any:
        """What is in force here."""
        return self.applied.get(key, self.own.get(key))

    def _apply(self, key: str, value: Any) -> bool:
        try:
            self.setters[key](value)
        except (HeadwaterError, ValueError) as error:
            self._failed[key] = value
            self.tell("conf.not_applied", {"key": key, "value": value, "reason": str(error)})
            return False
        self.applied[key] = value
        return True

    @property
    def failed(self) -> list[str]:
        """The keys whose wanted value could not be applied."""
        return sorted(self._failed)
