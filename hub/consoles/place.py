"""Finds the node on which a console is opened."""

from dataclasses import dataclass

from hub.consoles.tickets import OpenConsole
from hub.machines.listing import VmList
from hub.registry import Registry
from shared.errors import RpcError


@dataclass(frozen=True, slots=True)
class Place:
    """Where machines are, by what nodes told."""

    registry: Registry
    vms: VmList

    async def node_of(self, wish: OpenConsole) -> str:
        """The node that is named, or that has told of the machine; raises RpcError not_found, conflict."""
        if wish.node:
            if wish.node not in self.registry.roster:
                raise RpcError("not_found", f"no node is called {wish.node}", {"node": wish.node})
            return wish.node
        found = await self.vms.find(wish.vm)
        if found is None:
            text = f"no node has told of a VM called {wish.vm}; name its node"
            raise RpcError("not_found", text, {"vm": wish.vm})
        return str(found["node_id"])
