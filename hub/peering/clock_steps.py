"""Clocks that were set: whose it was, and how often it is worth a word. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Event = tuple[str, Mapping[str, Any]]

STEP_AGAIN_SECONDS = 60.0  # A clock that jumps all the time is told of once a minute.


@dataclass(slots=True)
class Steps:
    """The steps of all clocks as hub `own_id` notices them."""

    own_id: str
    counted: int = 0
    _told_at: dict[str, float] = field(default_factory=dict)
    _jumped_ms: dict[str, float] = field(default_factory=dict)

    def of_ours(self, by_ms: float, now: float) -> list[Event]:
        """Our own clock was surely set; so what peers seemed to do meanwhile was this."""
        self._jumped_ms = {}
        return [self._event(self.own_id, by_ms)] if self._is_news(self.own_id, now) else []

    def of_peer(self, hub_id: str, by_ms: float, now: float) -> bool:
        """A peer's clock seems to have been set; returns whether to look at all clocks afresh.

        Whether it was not ours shows when the others have answered, too: `settled` tells then.
        """
        if not self._is_news(hub_id, now):
            return False
        self._jumped_ms[hub_id] = by_ms
        return True

    def _is_news(self, hub_id: str, now: float) -> bool:
        self.counted += 1
        if now - self._told_at.get(hub_id, float("-inf")) < STEP_AGAIN_SECONDS:
            return False
        self._told_at[hub_id] = now
        return True

    def settled(self, peers: int, apart_ms_max: float) -> list[Event]:
        """The steps to tell of, now that all have answered: ours, where most peers made the same.

        So it is when our whole machine stood still, both of our clocks with it.
        """
        jumped_ms, self._jumped_ms = self._jumped_ms, {}
        if len(jumped_ms) >= 2 and len(jumped_ms) > peers / 2:
            by_ms = sorted(jumped_ms.values())
            if by_ms[-1] - by_ms[0] <= apart_ms_max:
                return [self._event(self.own_id, -by_ms[len(by_ms) // 2])]
        return [self._event(hub_id, by_ms) for hub_id, by_ms in jumped_ms.items()]

    def _event(self, hub_id: str, by_ms: float) -> Event:
        facts = {"hub": hub_id, "is_own": hub_id == self.own_id, "by_ms": round(by_ms, 1)}
        return "clock.stepped", facts

    def forget(self, hub_id: str) -> None:
        """Drop a hub that will not come back."""
        self._told_at.pop(hub_id, None)
        self._jumped_ms.pop(hub_id, None)
