"""Tells by which ways a hub would reach a node, and what came of each the last time."""

from dataclasses import dataclass
from typing import Any

from hub import params
from hub.describe import time_of_ms
from hub.machines.params import RouteToMachine
from hub.machines.router import Router
from hub.peers import Peer
from shared.errors import RpcError

Answer = dict[str, Any]


@dataclass(slots=True)
class Route:
    """Answers `hub.route`. Raises RpcError."""

    router: Router

    async def answer(self, raw: Answer) -> Answer:
        """The paths that this hub would try to a VM or node, in order, and the last result of each:
        vm, node. No node is asked."""
        wanted: RouteToMachine = params.read(RouteToMachine, raw)
        router = self.router
        if wanted.node is not None:
            node = router.known_node(wanted.node)
        elif wanted.vm is not None:
            node, _ = await router.place(wanted.vm)
        else:
            raise RpcError("invalid_params", "hub.route needs the parameter vm or node")
        ways = router.calls.paths(node, ())
        paths = [self._path(node, number, peer) for number, peer in enumerate(ways, 1)]
        return {"node_id": node, "hub_id": router.hub_id, "paths": paths}

    def _path(self, node: str, number: int, peer: Peer | None) -> Answer:
        """One way; without a peer it is this hub's own link."""
        hub = peer.key if peer else self.router.hub_id
        last = self.router.last.get(node, {}).get(hub)
        return {
            "order": number,
            "hub": hub,
            "via": "peer" if peer else "own link",
            "url": peer.url if peer else None,
            "last": last
            and {"at": time_of_ms(last["at_ms"]), "ms": last["ms"], "error": last["error"]},
        }
