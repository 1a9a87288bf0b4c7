"""Which hub an edge pushes to: its own fixed order, the hub it stays with, and when it moves. Pure.

Each edge prefers one hub (rendezvous hashing, Thaler and Ravishankar, 1998). When the hub that it is
with lapses, it walks to the next of its order and stays there: a hub that comes back would be run
over by all edges at once. It moves back on a hub's hint, and hubs give those at a pace.

A hub that knows nothing of hints says nothing in `prefer`; an edge that stays with such a hub goes
back by itself after a while, as edge.hubs tells by `is_back`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from shared.rendezvous import weight

START_SECONDS = 10.0
"""An edge has met the hubs that it was told of by then."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One hub as it stands: `name` is its id, or its address as long as that is not known.

    `is_ready` says whether it may be pushed to now, `is_back` whether it has not lapsed, or lapsed
    and answered again for a while, and `gives_hints` whether its last answer had a word on that.
    """

    name: str
    is_ready: bool
    is_back: bool
    is_answering: bool
    gives_hints: bool


_weight = lru_cache(maxsize=256)(weight)


@dataclass(slots=True)
class Preference:
    """The order of one edge. `chosen` is the hub that it is with; empty before the first choice."""

    node_id: str
    began_at: float | None = None
    chosen: str = ""
    moves: int = 0

    def order(self, hubs: Sequence[Candidate]) -> list[Candidate]:
        """The hubs to try, best first. When the chosen one has lapsed, the first of them is chosen."""
        ranked = sorted(hubs, key=lambda hub: (*self._rank(hub), -_weight(self.node_id, hub.name)))
        first = ranked[0] if ranked else None
        if first and first.is_ready and first.name != self.chosen and not self._is_kept(hubs):
            self.moves += bool(self.chosen)
            self.chosen = first.name
        return ranked

    def _is_kept(self, hubs: Sequence[Candidate]) -> bool:
        """A hub that is only busy for a moment is passed over, and not left."""
        return any(
            hub.name == self.chosen and hub.gives_hints and (hub.is_back or hub.is_answering)
            for hub in hubs
        )

    def _rank(self, hub: Candidate) -> tuple[bool, bool, bool]:
        stays = hub.name == self.chosen and hub.gives_hints
        is_well = hub.is_back or (stays and hub.is_answering)
        return not hub.is_ready, not is_well, not stays

    def named(self, address: str, hub_id: str, now: float) -> None:
        """A hub has told its id. Early on the choice is made anew, since ids weigh otherwise than
        addresses; later what was chosen by address stays chosen, so that no fleet leaps at a new hub.
        """
        if self.began_at is None:
            self.began_at = now
        if now < self.began_at + START_SECONDS:
            self.chosen = ""
        elif self.chosen == address:
            self.chosen = hub_id

    def hinted(self, hub_id: str, by: str, hubs: Sequence[Candidate]) -> bool:
        """Take a hub's hint; True if this edge moves.

        Only the hub that this edge is with can send it away, and only to one that answers.
        """
        if not hub_id or by != self.chosen or hub_id == self.chosen:
            return False
        if not any(hub.name == hub_id and hub.is_ready and hub.is_answering for hub in hubs):
            return False
        self.chosen = hub_id
        self.moves += 1
        return True
