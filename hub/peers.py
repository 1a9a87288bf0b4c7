"""The peers of a hub: who they are, where they are, and how they have answered. Rules, no network."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hub.gossip import HUBS_MAX, HubRecord
from hub.nodes.hold import Hold

SPOKE_SECONDS = 10.0
"""Who reaches us speaks each second."""


@dataclass(slots=True)
class Peer:
    """One address of a peer hub, and what is known of the hub behind it."""

    url: str
    configured: bool
    hub_id: str = ""
    said_id: str = ""
    """Who is there by the word of others; that hub may have moved since."""
    record: HubRecord | None = None
    answered_at: float | None = None
    rtt_ms: float | None = None
    clock_offset_ms: float | None = None
    error: str = ""
    refusal: str = ""
    """What this hub refuses of the peer, or the peer of this hub; empty while all is taken."""
    verdict: str = "unknown"
    """What hub.peering.watch says of it: alive, avoid, dead, or unknown until it has answered once."""
    hangs: bool = False
    """Whether it answers probes and nothing else."""
    store_epoch: str = ""
    pulled_arrival: int = 0
    head_arrival: int = 0
    chunks_gone: int = 0

    spoke_at: float | None = None
    """When a message of its own came here last."""

    def only_speaks(self, now: float) -> bool:
        """Whether it reaches us, and has never answered us: nobody listens where it says that it is."""
        spoke_lately = self.spoke_at is not None and now - self.spoke_at < SPOKE_SECONDS
        return not self.hub_id and bool(self.said_id) and spoke_lately

    @property
    def key(self) -> str:
        """The peer's id, or its address until it has told its id."""
        return self.hub_id or self.url

    @property
    def is_alive(self) -> bool:
        """Whether it answers at this address, by the last verdict."""
        return self.verdict == "alive"

    def state(self, now: float) -> str:
        """The verdict at `now`, which is the last one: it is looked at again four times a second."""
        return self.verdict

    @property
    def lag_chunks(self) -> int:
        """How many of the peer's chunks we have not looked at yet."""
        return max(self.head_arrival - self.pulled_arrival, 0)


def _no_hold(hub_id: str) -> Hold | None:
    """Nobody is away by plan."""
    return None


@dataclass(slots=True)
class Peers:
    """All peers by address."""

    own_id: str
    own_url: str
    by_url: dict[str, Peer] = field(default_factory=dict)
    is_isolated: bool = False
    """Whether this hub reaches none of them; what it says of them then counts for nothing."""
    hold_of: Callable[[str], Hold | None] = _no_hold
    """What a hub that is away by plan said when it left; None for one that means to be here."""

    def learn(self, urls: Iterable[str], *, configured: bool = False) -> list[Peer]:
        """Add addresses; returns the peers that are new."""
        fresh: list[Peer] = []
        for url in urls:
            if url and url != self.own_url and url not in self.by_url:
                self.by_url[url] = Peer(url, configured)
                fresh.append(self.by_url[url])
        return fresh

    def learn_named(self, named: dict[str, str]) -> list[Peer]:
        """Add hubs that a peer knows; under a second address only while the first does not answer,
        for such a hub may have moved."""
        alive = {peer.hub_id for peer in self.by_url.values() if peer.is_alive}
        known = alive | {self.own_id}
        room = max(HUBS_MAX - len(self.by_url), 0)
        said = {url: hub_id for hub_id, url in named.items() if hub_id not in known}
        fresh = self.learn([*said][:room])
        for peer in fresh:
            peer.said_id = said[peer.url]
        return fresh

    def forget(self, peer: Peer) -> None:
        """Drop an address: it is ours, or a second one of a hub we know."""
        self.by_url.pop(peer.url, None)

    def other_with_id(self, peer: Peer) -> Peer | None:
        """Another address under which the same hub has answered."""
        for other in self.by_url.values():
            if other is not peer and other.hub_id == peer.hub_id:
                return other
        return None

    def left_behind(self, peer: Peer) -> list[Peer]:
        """Where this peer was said to be and nobody has answered: it has told where it is."""
        return [
            other
            for other in self.by_url.values()
            if other is not peer
            and not other.configured
            and not other.hub_id
            and other.said_id == peer.hub_id
        ]

    def of(self, hub_id: str, url: str) -> list[Peer]:
        """All that is held of a hub: under its id, and at its address while nobody has answered there."""
        peers = self.by_url.values()
        return [
            peer
            for peer in peers
            if peer.hub_id == hub_id
            or (not peer.hub_id and (peer.url == url or peer.said_id == hub_id))
        ]

    def nameless_at(self, urls: Iterable[str]) -> list[Peer]:
        """The peers at these addresses where nobody has answered yet."""
        peers = (self.by_url.get(url) for url in urls)
        return [peer for peer in peers if peer is not None and not peer.hub_id]

    def count(self) -> int:
        """How many peers there are, for people: an address at which nobody ever answered is none, unless
        nobody answered anywhere yet."""
        return len({peer.hub_id for peer in self.by_url.values()} - {""}) or len(self.by_url)

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
