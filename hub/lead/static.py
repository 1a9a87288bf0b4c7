"""Leadership by lowest id: of the hubs that are up and stable, on each island for itself. Pure.

It promises one leader among hubs that hear each other and no more. With two islands there are two.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hub.lead.mode import Mode
from hub.lead.model import LEADER_ELECTED, LEADER_LOST, STATE_CHANGED, Role, Tell

STABLE_SECONDS = 3.0  # A hub that comes and goes must not take the lead each time it comes.

HONESTY = "not exclusive: one per island"


@dataclass(frozen=True, slots=True)
class HubState:
    """What the detector says of a hub: whether it is up, and whether it hears nobody."""

    alive: bool
    isolated: bool = False


class StaticLeadership:
    """Follows what the detector says; ids are compared as text, so hub-10 comes before hub-2.

    An isolated hub does not lead, unless it is alone by configuration: it cannot know who else does.
    Without `hubs` the configuration does not say who there is, and so nobody is alone by it.
    """

    def __init__(
        self, hub_id: str, hubs: Collection[str], fence: int = 0, *, mode: Mode = Mode.STATIC
    ) -> None:
        self.hub_id = hub_id
        self.leader = ""
        self.term = fence  # Never changes: a lowest id is no proof that would fence anybody off.
        self.mode = mode
        self._is_alone = set(hubs) == {hub_id}
        self._alive_since: dict[str, float] = {}
        self._reason = "no hub is up and stable yet"

    def look(self, now: float, states: Mapping[str, HubState]) -> list[Tell]:
        """Take in the state of all hubs, the own among them; tells what has changed."""
        if self.mode is Mode.NONE:
            return []
        for hub in set(self._alive_since) - set(states):
            del self._alive_since[hub]
        for hub, state in states.items():
            self._note(hub, state, now)
        return self._set_leader(*self._choose(now, states))

    def _note(self, hub: str, state: HubState, now: float) -> None:
        if self._may_lead(hub, state):
            self._alive_since.setdefault(hub, now)
        else:
            self._alive_since.pop(hub, None)

    def _may_lead(self, hub: str, state: HubState) -> bool:
        return state.alive and (not state.isolated or (hub == self.hub_id and self._is_alone))

    def _choose(self, now: float, states: Mapping[str, HubState]) -> tuple[str, str]:
        own = states.get(self.hub_id, HubState(alive=True))
        if own.isolated and not self._is_alone:
            return "", "this hub hears no other, and cannot know who leads"
        stable = [hub for hub, at in self._alive_since.items() if now - at >= STABLE_SECONDS]
        if not stable:
            return "", "no hub is up and stable"
        return min(stable), "lowest id of the hubs that are up and stable"

    def _set_leader(self, leader: str, reason: str) -> list[Tell]:
        before, self.leader, self._reason = self.leader, leader, reason
        if before == leader:
            return []
        told = [self._tell(LEADER_LOST, reason)] if before else []
        if self.hub_id in (before, leader):
            told.append(self._tell(STATE_CHANGED, reason))
        return told + ([self._tell(LEADER_ELECTED, reason)] if leader else [])

    def _tell(self, name: str, reason: str) -> Tell:
        facts = {
            "hub": self.hub_id,
            "term": self.term,
            "mode": str(self.mode),
            "state": self._state,
            "leader": self.leader,
            "reason": reason,
        }
        return Tell(name, facts)

    @property
    def _state(self) -> str:
        return str(Role.LEADER if self.leader == self.hub_id else Role.FOLLOWER)

    def is_leading(self, now: float) -> bool:
        """Whether this hub has the lowest id here; another island may have a leader of its own."""
        return self.leader == self.hub_id

    def describe(self, now: float) -> dict[str, Any]:
        """The standing for people, as JSON values."""
        is_static = self.mode is Mode.STATIC
        return {
            "mode": str(self.mode),
            "hub": self.hub_id,
            "state": self._state,
            "term": self.term,
            "leader": self.leader or None,
            "leading": self.is_leading(now),
            "exclusive": False,
            "note": HONESTY if is_static else "every duty is shared, and nobody leads",
            "reason": self._reason if is_static else "leader = none",
        }
