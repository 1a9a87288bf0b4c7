"""How a fleet at rest must look from inside: links up, everybody seen, nothing stale on show."""

import asyncio
from collections.abc import Iterator, Mapping

from shared.merge import NodeRecord
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
        if (state := hub.registry.state(edge, now)) != "online":
            yield f"{name} calls {edge} {state}"
    peers = {peer.key: peer.state(now) for peer in hub.peers.by_url.values()}
    if peers != dict.fromkeys(hubs.keys() - {name}, "alive"):
        yield f"{name} sees its peers as {peers}"


def stale(hubs: Hubs, edges: Edges) -> Iterator[str]:
    """Each node of which a hub shows anything but the newest that any hub has heard."""
    for machine in hubs.values():
        records = machine.hub.registry.records if machine.hub else {}
        if records.keys() != edges.keys():
            yield f"{machine.name} knows {sorted(records)}"
        for node_id, record in sorted(records.items()):
            for sentence in _stale_record(record, edges[node_id], hubs):
                yield f"{machine.name} on {node_id}: {sentence}"


def _stale_record(record: NodeRecord, edge: EdgeMachine, hubs: Hubs) -> Iterator[str]:
    if record.heard.keys() != hubs.keys():
        yield f"it was heard by {sorted(record.heard)} only"
    newest = max(((each.incarnation, each.beat) for each in record.heard.values()), default=None)
    seen = record.observation
    if seen is None or (seen.incarnation, seen.beat) != newest:
        yield f"the newest beat is {newest}, shown is {seen}"
    if seen is None or seen.incarnation != edge.lives:
        yield f"it is in its life number {edge.lives}, shown is {seen}"
