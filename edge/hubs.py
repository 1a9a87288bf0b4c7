"""What the edge knows of its hubs, and which one it pushes to. Pure: time comes in as an argument."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from shared.ranges import NOTHING, Ranges

AVOID_SECONDS = 5.0  # A hub that did not answer is asked again by heartbeats; pushes go elsewhere.


@dataclass(slots=True)
class HubView:
    """One hub as this edge sees it. `have` and `safe` speak of this edge's current epoch."""

    url: str
    hub_id: str = ""
    have: Ranges = NOTHING
    safe: Ranges = NOTHING
    avoid_until: float = 0.0
    last_answer_at: float | None = None
    last_error: str = ""
    linked: bool = False


@dataclass(slots=True)
class Hubs:
    """All hubs this edge may talk to: those it was told of and those that hubs told it of."""

    node_id: str
    views: dict[str, HubView] = field(default_factory=dict)

    def learn(self, urls: Iterable[str]) -> list[HubView]:
        """Add hubs that are not known yet; returns the new ones."""
        fresh = [HubView(url) for url in dict.fromkeys(urls) if url and url not in self.views]
        self.views.update((view.url, view) for view in fresh)
        return fresh

    def named(self, hub_id: str) -> bool:
        """Whether a hub with this id has answered under one of the known addresses."""
        return any(view.hub_id == hub_id for view in self.views.values())

    def order(self, now: float) -> list[HubView]:
        """The hubs to try, best first: those not avoided, then in this node's own fixed order.

        The order is rendezvous hashing (Thaler and Ravishankar, 1998): each edge prefers one hub, and
        the edges of a hub that dies spread evenly over the others.
        """
        return sorted(
            self.views.values(), key=lambda view: (now < view.avoid_until, -self._weight(view.url))
        )

    def _weight(self, url: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.node_id}|{url}".encode()).digest()[:8])

    def safe(self) -> Ranges:
        """What some hub has told us is on enough disks."""
        safe = Ranges()
        for view in self.views.values():
            safe = safe | view.safe
        return safe

    def accepted(self) -> Ranges:
        """What at least one hub has on its disk."""
        have = Ranges()
        for view in self.views.values():
            have = have | view.have
        return have


def answered(view: HubView, now: float, have: Ranges, safe: Ranges) -> None:
    """Note a good answer."""
    view.have, view.safe = have, safe
    view.last_answer_at, view.last_error, view.avoid_until = now, "", 0.0


def failed(view: HubView, now: float, reason: str, seconds: float = AVOID_SECONDS) -> None:
    """Note that a hub did not answer, or sent us away for `seconds`."""
    view.last_error, view.avoid_until = reason, now + seconds
