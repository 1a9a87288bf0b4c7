"""A full buffer whose owner prefers fresh data: what is given up is declared, and every hub knows it."""

from functools import partial
from typing import Any

from tests.system.oracle import Sender, chunks_on_disk, counted
from tests.system.processes import EdgeProcess, Fleet, HubProcess, each_shows, eventually

NODE = "edge-1"


def shed_on(hub: HubProcess) -> int:
    """How many records of the edge a hub calls shed."""
    shown = hub.call("ledger.show", node=NODE)
    gaps = [gap for epoch in shown["epochs"] for gap in epoch["gaps"]]
    return sum(gap["records"] for gap in gaps if gap["reason"] == "shed")


def told_by(hub: HubProcess) -> dict[str, Any]:
    told: dict[str, Any] = hub.call("ledger.show", node=NODE)["edge"]["by_signal"]["logs"]
    return told


def shed_by(edge: EdgeProcess) -> int:
    """What the edge itself says at its own /metrics."""
    text = edge.client.get(f"{edge.otlp_url}/metrics").text
    name = 'headwater_edge_ledger_records{fate="shed",signal="logs"}'
    values = [line.split()[1] for line in text.splitlines() if line.startswith(name)]
    return int(float(values[0])) if values else 0


def test_every_shed_record_is_declared_on_both_hubs_and_the_rest_is_there(fleet: Fleet) -> None:
    first, second = fleet.two_hubs()
    edge = fleet.edge(NODE, [first, second], "BUFFER_POLICY=shed", "BUFFER_BYTES_MAX=100KiB")
    fleet.settled([first, second], edge)
    first.kill()
    second.kill()
    with Sender(edge.otlp_url, records_each=300) as sender:
        eventually(lambda: shed_by(edge) > 1000, "the edge gives up the oldest")
    assert sender.unanswered == []
    first.start()
    second.start()
    each_shows([first], partial(HubProcess.holds_in_buffer, node=NODE), 0)
    for hub in (first, second):
        eventually(partial(agrees, hub, edge, sender), f"{hub.name} knows what was lost")
        assert hub.call("ledger.verify", node=NODE)["verdict"] == "verified"
        there = counted(chunks_on_disk(hub.database, NODE))
        assert set(there) <= set(sender.acked)
        assert set(there.values()) == {1}
        assert len(sender.acked) - len(there) == shed_on(hub)
        assert shed_on(hub) == shed_by(edge) == told_by(hub)["shed"]
        assert told_by(hub)["balance"] == 0


def agrees(hub: HubProcess, edge: EdgeProcess, sender: Sender) -> bool:
    held = len(counted(chunks_on_disk(hub.database, NODE)))
    return held + shed_on(hub) == len(sender.acked) and told_by(hub)["shed"] == shed_by(edge)
