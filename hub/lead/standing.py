"""Where a hub stands in an election by majority, for people and programs."""

from dataclasses import dataclass
from typing import Any

from hub.lead.mode import Mode
from hub.lead.model import Ballot, Role


@dataclass(frozen=True, slots=True)
class Standing:
    """`lease_left_seconds` is None for a hub that may not act, `followers` is what its leader knows."""

    hub_id: str
    role: Role
    ballot: Ballot
    leader: str
    lease_left_seconds: float | None
    followers: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        left, members = self.lease_left_seconds, self.ballot.members
        return {
            "mode": str(Mode.QUORUM),
            "hub": self.hub_id,
            "state": self.role.state,
            "term": self.ballot.term,
            "leader": self.leader or None,
            "leading": left is not None,
            "exclusive": True,
            "lease_left_s": None if left is None else round(left, 3),
            "members": list(members.hubs),
            "members_version": f"{members.term}.{members.number}",
            "majority": members.majority,
            "followers": list(self.followers),
        }
