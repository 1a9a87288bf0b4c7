"""Which of the beats that a hub hears it tells the others about. Pure.

Every hub hears most nodes by itself, so what one hub saw is news for the others only now and then:
when the node began a new life, when a peer does not hear it, or when nobody has told of it for a
minute. Hubs wait a little longer than the minute, each by a share that the names of node and hub
decide: the first one tells, and its telling makes the others wait again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

SPREAD = 2**32


@dataclass(frozen=True, slots=True)
class ToldObservation:
    """The observation in the record that hubs share: of which life, and when it was last renewed here
    (monotonic seconds)."""

    incarnation: int
    at: float


@dataclass(frozen=True, slots=True)
class ObservationPace:
    """The judge of one hub. `is_missed` says whether some peer does not hear a node."""

    hub_id: str
    is_missed: Callable[[str], bool]
    seconds: float = 60.0
    spread_seconds: float = (
        30.0  # Wide, so that two hubs seldom tell of one node in the same second.
    )

    def is_due(self, node: str, incarnation: int, told: ToldObservation | None, now: float) -> bool:
        """Whether a beat that came now is to be told to the other hubs."""
        if told is None or incarnation > told.incarnation:
            return True
        since = now - told.at
        is_time = since >= self.seconds and since >= self._wait_seconds(node)
        return is_time or self.is_missed(node)

    def _wait_seconds(self, node: str) -> float:
        named = hashlib.blake2b(f"{self.hub_id} {node}".encode(), digest_size=4).digest()
        share = int.from_bytes(named, "big") / SPREAD
        return self.seconds + self.spread_seconds * share
