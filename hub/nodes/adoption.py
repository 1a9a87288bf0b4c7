"""Which hub cares for which node: duties of a dead hub move to those that live, and go back later.

A duty is a pure function of a name and the hubs that stand (rendezvous hashing, Thaler and
Ravishankar, 1998): all hubs agree without asking, and the duties of a hub that dies spread evenly.
What moves is only who looks after a node; nothing is stopped or started at the node by this. Moves
are paced, so that neither a death nor a return is a stampede. Rules only: time comes in.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.nodes.brake import ChangeBudget
from shared.errors import BadInput
from shared.rendezvous import weight

Tell = Callable[[str, Mapping[str, Any]], None]

SCAN_MAX = 5_000
"""Names that are weighed in one step: about 20 ms with three hubs."""


def duty_of(name: str, hubs: Collection[str]) -> str:
    """The one of `hubs` that cares for a node, a check target or a lease; raises BadInput for none."""
    if not hubs:
        raise BadInput("there is no hub that could care for anything")
    return max(hubs, key=lambda hub: (weight(name, hub), hub))


@dataclass(slots=True)
class Adoption:
    """Who cares for each name now, as one hub holds it, following the hubs that stand.

    `stand` says which do; `step` moves what has to move, as much as the budget allows.
    """

    hub_id: str
    tell: Tell
    budget: ChangeBudget = field(default_factory=ChangeBudget)
    standing: frozenset[str] = frozenset()
    _holder: dict[str, str] = field(default_factory=dict)
    _todo: list[str] = field(default_factory=list)
    _moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    _began_at: float = 0.0
    _untold: dict[str, Any] | None = None
    """The beginning that is told with the first duty that moves: often none does in a small fleet."""

    def holder(self, name: str) -> str:
        """The hub that cares for a name now; raises BadInput before any hub stands."""
        held = self._holder.get(name)
        return held if held is not None else self.add(name)

    def is_mine(self, name: str) -> bool:
        """Whether this hub cares for a name now."""
        return self.holder(name) == self.hub_id

    def add(self, name: str) -> str:
        """Take in a new name: it moves from nobody, so that it costs no budget."""
        held = self._holder[name] = duty_of(name, self.standing)
        return held

    def drop(self, name: str) -> None:
        """Forget a name that is removed."""
        self._holder.pop(name, None)

    def stand(self, hubs: Iterable[str], now: float) -> None:
        """Note which hubs can care for anything: all that are not dead, and those on hold.

        A hub that is isolated or brakes does not call this: it adopts nothing.
        """
        standing = frozenset(hubs)
        if standing == self.standing or not standing:
            return
        lost, back = sorted(self.standing - standing), sorted(standing - self.standing)
        was_begun, self.standing = bool(self.standing), standing
        if not was_begun:
            return
        self._close(now)
        self._todo, self._began_at = list(self._holder), now
        names = len(self._todo)
        self._untold = {"lost": ", ".join(lost), "back": ", ".join(back), "names": names}

    @property
    def is_settled(self) -> bool:
        """Whether everything is where it belongs."""
        return not self._todo

    def step(self, now: float) -> list[tuple[str, str, str]]:
        """Move what may move now: (name, from, to). Call once a second or so while unsettled."""
        allowed = self.budget.allowed(len(self._holder), now)
        moves: list[tuple[str, str, str]] = []
        for _ in range(min(SCAN_MAX, len(self._todo))):
            if len(moves) >= allowed:
                break
            name = self._todo.pop()
            old = self._holder.get(name)
            if old is not None and (new := duty_of(name, self.standing)) != old:
                self._holder[name] = new
                moves.append((name, old, new))
        if moves and self._untold is not None:
            self.tell("adoption.begin", self._untold)
            self._untold = None
        self.budget.spend(len(moves), now)
        self._moved.update((old, new) for _, old, new in moves)
        if self._moved and not self._todo:
            self._close(now)
        return moves

    def _close(self, now: float) -> None:
        """Tell what moved from where to where, once for each pair of hubs."""
        seconds, moved = round(now - self._began_at, 1), self._moved
        self._moved = Counter()
        for (old, new), names in sorted(moved.items()):
            facts = {"from": old, "to": new, "names": names, "seconds": seconds}
            self.tell("adoption.end", facts)
