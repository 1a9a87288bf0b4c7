"""What the edge knows of its hubs, and which one it pushes to. Pure: time comes in as an argument."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from edge.circuit import Circuit
from edge.lanes import Credit
from edge.lineage import Belief, Claim
from edge.pace import Pace
from shared.backoff import Backoff
from shared.ranges import NOTHING, Ranges

RETURN_SECONDS_MIN = 5.0
RETURN_SECONDS_MAX = 30.0
"""An edge comes back to the hub it prefers so long after that answers again: a fleet in a trickle."""


def _nobody() -> None:
    """Nobody listens yet."""


@dataclass(slots=True)
class HubView:
    """One hub as this edge sees it. `have` and `safe` speak of this edge's current epoch."""

    url: str
    hub_id: str = ""
    belief: Belief = field(default_factory=Belief)
    claim: Claim | None = None
    """What it has said and nobody has weighed yet."""
    refused: Ranges = NOTHING
    """Chunks that it does not take."""
    circuit: Circuit = field(default_factory=Circuit)
    pace: Pace = field(default_factory=Pace)
    credit: Credit = field(default_factory=Credit)
    last_answer_at: float | None = None
    last_error: str = ""
    linked: bool = False
    is_answering: bool = False
    """Whether the last exchange with it, push or heartbeat, ended with an answer of its own."""
    has_lapsed: bool = False
    returns_at: float | None = None
    """From when on a hub that had lapsed is preferred again; None until it answers."""

    @property
    def have(self) -> Ranges:
        """What it holds on its disk, as far as this edge believes it."""
        return self.belief.have

    @property
    def safe(self) -> Ranges:
        """What is on enough disks, as far as this edge believes it."""
        return self.belief.safe

    def answered(self, now: float, rng: Random) -> None:
        """Note that it lives: it answered a push or a heartbeat."""
        self.last_answer_at, self.is_answering = now, True
        if self.has_lapsed and self.returns_at is None:
            self.returns_at = now + rng.uniform(RETURN_SECONDS_MIN, RETURN_SECONDS_MAX)

    def lapsed(self, reason: str) -> None:
        """Note that it did not answer, or is unwell: others are preferred for a while."""
        self.last_error, self.is_answering = reason, False
        self.has_lapsed, self.returns_at = True, None

    def is_back(self, now: float) -> bool:
        """Whether it may have its old place in the order."""
        return not self.has_lapsed or (self.returns_at is not None and now >= self.returns_at)

    def forget_log(self) -> None:
        """The log has begun a new life: what was said of the old one says nothing of the new."""
        self.belief, self.claim, self.refused = Belief(), None, NOTHING


@dataclass(slots=True)
class Hubs:
    """All hubs this edge may talk to: those it was told of and those that hubs told it of.

    `on_news` is called when there is a claim to weigh, or a hub has become reachable.
    """

    node_id: str
    views: dict[str, HubView] = field(default_factory=dict)
    on_news: Callable[[], None] = _nobody

    def learn(self, urls: Iterable[str]) -> list[HubView]:
        """Add hubs that are not known yet; returns the new ones."""
        fresh = [HubView(url) for url in dict.fromkeys(urls) if url and url not in self.views]
        self.views.update((view.url, view) for view in fresh)
        if fresh:
            self.on_news()
        return fresh

    def named(self, hub_id: str) -> bool:
        """Whether a hub with this id has answered under one of the known addresses."""
        return any(view.hub_id == hub_id for view in self.views.values())

    def order(self, now: float) -> list[HubView]:
        """The hubs to try, best first: those that may be pushed to, then in this node's fixed order.

        The order is rendezvous hashing (Thaler and Ravishankar, 1998): each edge prefers one hub, and
        the edges of a hub that dies spread evenly over the others.
        """
        return sorted(self.views.values(), key=lambda view: self._rank(view, now))

    def _rank(self, view: HubView, now: float) -> tuple[bool, bool, int]:
        return now < view.circuit.ready_at, not view.is_back(now), -self._weight(view.url)

    def _weight(self, url: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.node_id}|{url}".encode()).digest()[:8])

    def beat_answered(
        self, view: HubView, now: float, claim: Claim, credit: float | None, rng: Random
    ) -> None:
        """Note the answer to a heartbeat: the hub lives, and its claim waits to be weighed."""
        view.answered(now, rng)
        view.last_error = ""
        view.circuit.hear(now)
        view.credit.grant(now, credit)
        view.claim = claim
        self.on_news()

    def beat_failed(
        self, view: HubView, now: float, reason: str, limits: Backoff, rng: Random
    ) -> None:
        """Note that a heartbeat found no hub: pushes go elsewhere, if there is one."""
        view.lapsed(reason)
        view.circuit.fail(now, limits, rng)

    def forget_log(self) -> None:
        """The log has begun a new life."""
        for view in self.views.values():
            view.forget_log()

    def safe(self) -> Ranges:
        """What some hub has told us is on enough disks."""
        safe = NOTHING
        for view in self.views.values():
            safe = safe | view.safe
        return safe

    def accepted(self) -> Ranges:
        """What at least one hub has on its disk."""
        have = NOTHING
        for view in self.views.values():
            have = have | view.have
        return have
