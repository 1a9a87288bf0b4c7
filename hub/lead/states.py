"""What the lowest id is looked for among: which hubs are up, as this hub hears them. Pure."""

from hub.lead.static import HubState
from hub.peers import Peers

ALIVE = "alive"


def states_of(peers: Peers, now: float) -> dict[str, HubState]:
    """The state of this hub and of every peer that has told its id.

    This hub is isolated when it has peers and hears none of them, or when the detector says so, whose
    word on others then counts for nothing.
    """
    heard = {peer.key: peer.state(now) == ALIVE for peer in peers.by_url.values()}
    states = {
        peer.hub_id: HubState(heard[peer.key]) for peer in peers.by_url.values() if peer.hub_id
    }
    hears_nobody = bool(heard) and not any(heard.values())
    own = HubState(alive=True, isolated=hears_nobody or peers.is_isolated)
    return {**states, peers.own_id: own}
