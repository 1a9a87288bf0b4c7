"""How a fleet at rest must look from inside: links up, everybody seen, nothing stale on show."""

import asyncio
from collections.abc import Iterator, Mapping

from hub.registry import Registry
from tests.sim.machines import EdgeMachine, HubMachine

Hubs = Mapping[str, HubMachine]
Edges = Mapping[str, EdgeMachine]


def unwell(hubs: Hubs, edges: Edges) -> list[str]:
    """Every link that is down, and every node and hub that is not seen as it should be."""
    found = [sentence for name in hubs for sentence in _unwell_hub(name, hubs, edges)]
    for edge in edges.values():
        views = list(edge.agent.hubs.views.values()) if edge.agent else []
        linked = [view.hub_id for view in views if view.linked]
        if sorted(linked) != sorted(hubs) or len(views) != len(hubs):
            found.append(f"{edge.name} is linked to {linked} of {[view.url for view in views]}")
    return found


def _unwell_hub(name: str, hubs: Hubs, edges: Edges) -> Iterator[str]:
    now, hub = asyncio.get_running_loop().time(), hubs[name].hub
    if hub is None:
        yield f"{name} is down"
        return
    for edge in edges:
        if edge not in hub.links.sessions:
            yield f"{name} has no link to {edge}"
        if (state := hub.registry.state(edge)) != "online":
            yield f"{name} calls {edge} {state}"
    peers = {peer.key: peer.state(now) for peer in hub.peers.by_url.values()}
    if peers != dict.fromkeys(hubs.keys() - {name}, "alive"):
        yield f"{name} sees its peers as {peers}"


def stale(hubs: Hubs, edges: Edges) -> Iterator[str]:
    """Each node of which a hub shows an earlier life, or anything older than what it has heard itself,
    and each hub that has repaired what should never be wrong."""
    for machine in hubs.values():
        registry = machine.hub.registry if machine.hub else None
        if registry is None or registry.records.keys() != edges.keys():
            yield f"{machine.name} knows {sorted(registry.records) if registry else None}"
            continue
        for node_id, edge in sorted(edges.items()):
            for sentence in _stale_node(registry, node_id, edge):
                yield f"{machine.name} on {node_id}: {sentence}"
        if registry.replica.repaired or registry.replica.parked.total:
            yield f"{machine.name} had to repair {registry.replica.repaired} or set something aside"


def _stale_node(registry: Registry, node_id: str, edge: EdgeMachine) -> Iterator[str]:
    shown, heard = registry.newest(node_id), registry.fresh.get(node_id)
    if heard is not None and (shown is None or shown.beat < heard.beat):
        yield f"the newest beat is {heard}, shown is {shown}"
    told = registry.records[node_id].observation
    for seen in (shown, told):
        if seen is None or seen.incarnation != edge.lives:
            yield f"it is in its life number {edge.lives}, shown or shared is {seen}"
