"""The peers of a hub: who they are, where they are, and how they have answered. Rules, no network."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hub.gossip import Exchange, HubRecord


@dataclass(slots=True)
class Peer:
    """One address of a peer hub, and what is known of the hub behind it."""

    url: str
    configured: bool
    hub_id: str = ""
    record: HubRecord | None = None
    exchange: Exchange = field(default_factory=Exchange)
    answered_at: float | None = None
    rtt_ms: float | None = None
    clock_offset_ms: float | None = None
    error: str = ""
    verdict: str = "unknown"
    """What hub.peering.watch says of it: alive, avoid, dead, or unknown until it has answered once."""
    store_epoch: str = ""
    pulled_arrival: int = 0
    head_arrival: int = 0
    chunks_gone: int = 0

    @property
    def key(self) -> str:
        """The peer's id, or its address until it has told its id."""
        return self.hub_id or self.url

    def state(self, now: float) -> str:
        """The verdict at `now`, which is the last one: it is looked at again four times a second."""
        return self.verdict

    @property
    def lag_chunks(self) -> int:
        """How many of the peer's chunks we have not looked at yet."""
        return max(self.head_arrival - self.pulled_arrival, 0)


@dataclass(slots=True)
class Peers:
    """All peers by address."""

    own_id: str
    own_url: str
    by_url: dict[str, Peer] = field(default_factory=dict)
    is_isolated: bool = False
    """Whether this hub reaches none of them; what it says of them then counts for nothing."""

    def learn(self, urls: Iterable[str], *, configured: bool = False) -> list[Peer]:
        """Add addresses; returns the peers that are new."""
        fresh: list[Peer] = []
        for url in urls:
            if url and url != self.own_url and url not in self.by_url:
                self.by_url[url] = Peer(url, configured)
                fresh.append(self.by_url[url])
        return fresh

    def learn_named(self, named: dict[str, str]) -> list[Peer]:
        """Add hubs that a peer knows, but not under a second address."""
        known = {peer.hub_id for peer in self.by_url.values()} | {self.own_id}
        return self.learn(url for hub_id, url in named.items() if hub_id not in known)

    def forget(self, peer: Peer) -> None:
        """Drop an address: it is ours, or a second one of a hub we know."""
        self.by_url.pop(peer.url, None)

    def other_with_id(self, peer: Peer) -> Peer | None:
        """Another address under which the same hub has answered."""
        for other in self.by_url.values():
            if other is not peer and other.hub_id == peer.hub_id:
                return other
        return None

    def named(self) -> dict[str, str]:
        """Id and address of every hub that has told its id, ourselves included."""
        known = {peer.hub_id: peer.url for peer in self.by_url.values() if peer.hub_id}
        return {self.own_id: self.own_url, **known}

    def by_id(self, hub_id: str) -> Peer | None:
        """The peer with this id."""
        return next((peer for peer in self.by_url.values() if peer.hub_id == hub_id), None)

    def best_first(self, now: float) -> list[Peer]:
        """Peers in the order in which a call should try them."""
        rank = {"alive": 0, "avoid": 1, "unknown": 2, "dead": 3}
        return sorted(
            self.by_url.values(), key=lambda peer: (rank[peer.state(now)], peer.rtt_ms or 0.0)
        )
