"""Who backs a leader, and until when it may therefore act. One value for each time it leads."""

from collections.abc import Collection
from dataclasses import dataclass, field

NEVER = float("-inf")


@dataclass(slots=True)
class Backing:
    """The followers of a leader that won at `won_at`, and its lease, in monotonic seconds.

    A follower that answers a beat keeps to this leader for longer than the lease, counted from when
    it got the beat; the leader counts from when it sent it, which was earlier.
    """

    won_at: float
    lease_seconds: float
    until: float = NEVER
    answered: dict[str, float] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def hear(self, hub_id: str, sent_at: float, *, has_members: bool) -> None:
        """A follower has answered the beat of `sent_at`, and has the present members on disk or not."""
        self.answered[hub_id] = max(self.answered.get(hub_id, NEVER), sent_at)
        if has_members:
            self.settled.add(hub_id)

    def renew(self, voices: Collection[str], majority: int) -> None:
        """Lengthen the lease to what the majority of `voices` that answered last is good for."""
        heard = sorted((self.answered.get(hub, NEVER) for hub in voices), reverse=True)
        if len(heard) >= majority:
            self.until = max(self.until, heard[majority - 1] + self.lease_seconds)

    @property
    def lapses_at(self) -> float:
        """When a leader has waited long enough: also one that nobody has answered yet."""
        return max(self.until, self.won_at + self.lease_seconds)

    def followers(self, since: float, hubs: Collection[str]) -> set[str]:
        """Those of `hubs` that have answered a beat sent at `since` or later."""
        return {hub for hub in hubs if self.answered.get(hub, NEVER) >= since}
