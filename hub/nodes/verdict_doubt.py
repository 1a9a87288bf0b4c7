"""When a hub's own silence proves nothing: it has just begun, is alone, or waits for a peer's word.

Rules only: time comes in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hub.nodes.verdict import Doubt, offline_seconds

PEER_REPORT_SECONDS = 3.0
"""Peers report each second; one that misses three may hear what it cannot tell."""

PEER_WAIT_SECONDS_MAX = 30.0
"""A peer that answers but reports nothing for so long is waited for no more. One that does not answer
here, and lives by the word of others, is waited for until it does or is dead: it may hear every node."""


@dataclass(frozen=True, slots=True)
class PeerStanding:
    """What the detector says of a peer."""

    is_alive: bool
    is_isolated: bool = False
    answers: bool = True
    """Whether it answers this hub, and does not only live by the word of others."""

    @property
    def counts(self) -> bool:
        """Whether its silence about a node says anything."""
        return self.is_alive and not self.is_isolated


@dataclass(slots=True)
class OwnDoubts:
    """What keeps one hub from calling nodes offline. `listens_from` is monotonic."""

    listens_from: float
    listens_for: float
    is_isolated: bool = False
    _why: str = "this hub has just started to listen"
    _waited_since: dict[str, float] = field(default_factory=dict)

    def isolated(self, is_isolated: bool, listen_seconds: float, now: float) -> None:
        """Note whether this hub reaches any other; after it was alone it must listen anew."""
        if self.is_isolated and not is_isolated:
            self.listens_from, self.listens_for = now, listen_seconds
            self._why = "this hub was cut off and has just begun to listen again"
        self.is_isolated = is_isolated

    def doubt(
        self,
        peers: Mapping[str, PeerStanding],
        reported_at: Mapping[str, float],
        interval_seconds: float,
        now: float,
    ) -> Doubt | None:
        """Why no node may be called offline now, if so; the latest end counts."""
        if self.is_isolated:
            return Doubt("this hub reaches no other hub", now + offline_seconds(interval_seconds))
        if now < self.listens_from + self.listens_for:
            return Doubt(self._why, self.listens_from + self.listens_for)
        return self._waiting(peers, reported_at, now)

    def _waiting(
        self, peers: Mapping[str, PeerStanding], reported_at: Mapping[str, float], now: float
    ) -> Doubt | None:
        quiet = list(self._quiet(peers, reported_at, now))
        for hub_id in set(self._waited_since) - set(quiet):
            del self._waited_since[hub_id]
        for hub_id in quiet:
            since = self._waited_since.setdefault(hub_id, now)
            if not peers[hub_id].answers:
                self._waited_since[hub_id] = now  # Once it answers, it has yet to report.
                reason = f"{hub_id} does not answer this hub, and may hear it"
                return Doubt(reason, now + PEER_WAIT_SECONDS_MAX)
            if now < since + PEER_WAIT_SECONDS_MAX:
                return Doubt(f"{hub_id} has not reported lately", since + PEER_WAIT_SECONDS_MAX)
        return None

    def _quiet(
        self, peers: Mapping[str, PeerStanding], reported_at: Mapping[str, float], now: float
    ) -> Iterable[str]:
        for hub_id in sorted(peers):
            at = reported_at.get(hub_id, float("-inf"))
            if peers[hub_id].counts and now - at > PEER_REPORT_SECONDS:
                yield hub_id
