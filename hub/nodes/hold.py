"""Planned absence: a hub that is about to stop says for how long, so that nobody takes over from it.

A hold ends when the hub is back, or when its time is over; it can be made longer, but not for ever.
Rules only: time comes in. Remaining seconds travel, and no clocks.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.errors import BadInput

Tell = Callable[[str, Mapping[str, Any]], None]

HOLD_SECONDS = 60.0
HOLD_SECONDS_MAX = 600.0
"""A hub that is away for longer is away."""

HUBS_MAX = 64


class LeavingSection(msgspec.Struct, frozen=True):
    """A hub stops on purpose and means to be back within so many seconds."""

    hold_seconds: Annotated[float, Meta(ge=0, le=HOLD_SECONDS_MAX)]
    reason: Annotated[str, Meta(max_length=200)] = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """The word of a hub that left: since when, until when at most (monotonic), and why."""

    began_at: float
    ends_at: float
    reason: str


@dataclass(slots=True)
class Holds:
    """The holds of other hubs, and this hub's own."""

    tell: Tell
    held: dict[str, Hold] = field(default_factory=dict)
    own: Hold | None = None

    def leave(self, seconds: float, reason: str, now: float) -> None:
        """Say from now on that this hub leaves for so long; raises BadInput."""
        if not 0 < seconds <= HOLD_SECONDS_MAX:
            raise BadInput(f"a hold is between 0 and {HOLD_SECONDS_MAX:.0f} seconds")
        self.own = Hold(now, now + seconds, reason)

    def stay(self) -> None:
        """Take it back."""
        self.own = None

    def of_mine(self, now: float) -> LeavingSection | None:
        """What to tell peers; None while this hub means to stay."""
        if self.own is None:
            return None
        return LeavingSection(max(self.own.ends_at - now, 0.0), self.own.reason)

    def take(self, section: LeavingSection | None, from_hub: str, now: float) -> None:
        """Take in what a peer says of its plans in each message; none at all means: I am here."""
        if section is not None:
            self._hold(section, from_hub, now)
        elif from_hub in self.held:
            away = now - self.held.pop(from_hub).began_at
            self.tell("hub.hold.end", {"hub": from_hub, "why": "it is back", "seconds": _s(away)})

    def _hold(self, section: LeavingSection, from_hub: str, now: float) -> None:
        known = self.held.get(from_hub)
        if known is not None:
            latest = known.began_at + HOLD_SECONDS_MAX
            ends_at = min(max(known.ends_at, now + section.hold_seconds), latest)
            self.held[from_hub] = replace(known, ends_at=ends_at)
            return
        if not section.hold_seconds or len(self.held) >= HUBS_MAX:
            return
        self.held[from_hub] = Hold(now, now + section.hold_seconds, section.reason)
        facts = {"hub": from_hub, "seconds": _s(section.hold_seconds), "reason": section.reason}
        self.tell("hub.hold.begin", facts)

    def tick(self, now: float) -> None:
        """End the holds whose time is over: from now on the hub counts as what it is."""
        for hub_id in [name for name, hold in self.held.items() if now >= hold.ends_at]:
            hold = self.held.pop(hub_id)
            seconds = _s(now - hold.began_at)
            self.tell(
                "hub.hold.end", {"hub": hub_id, "why": "it did not return", "seconds": seconds}
            )

    def drop(self, hub_id: str) -> None:
        """Wait no more for a hub that was removed for good, which people were told."""
        self.held.pop(hub_id, None)

    def of(self, hub_id: str) -> Hold | None:
        """What a hub that is away said when it left; None for one that means to be here."""
        return self.held.get(hub_id)

    def is_held(self, hub_id: str) -> bool:
        """Whether the hub's absence is planned, so that nobody adopts from it or raises an alarm."""
        return hub_id in self.held

    def missing(self, dead: Iterable[str]) -> set[str]:
        """Those of the dead hubs whose absence nobody planned."""
        return {hub_id for hub_id in dead if hub_id not in self.held}


def _s(seconds: float) -> float:
    return round(seconds, 1)
