"""PEER_MASTERS makes peers, one side of it is enough, and a hub without peers works the same."""

from functools import partial

from tests.hub_files import remove_store
from tests.system.oracle import (
    SERVICE,
    Sender,
    assert_nothing_lost_or_double,
    assert_whole_chain,
    chunks_on_disk,
    counted,
    has_all,
)
from tests.system.processes import Fleet, HubProcess, each_shows, eventually


def peers_of(hub: HubProcess) -> dict[str, str]:
    hubs = hub.call("hub.list")["items"]
    return {each["hub_id"]: each["state"] for each in hubs if each["state"] != "self"}


def test_hubs_in_a_row_become_a_mesh_of_which_an_edge_need_know_only_one(fleet: Fleet) -> None:
    """Each names only the one before it; the first, which was told nothing, learns of its peers, and so
    does an edge. Gossip does the rest."""
    first = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [first])
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(100)
        second = fleet.hub("hub-2", f"PEER_MASTERS={first.url.removeprefix('http://')}")
        each_shows([first], peers_of, {"hub-2": "alive"})
        each_shows([second], peers_of, {"hub-1": "alive"})
        fleet.settled([first, second], edge)
        sender.until_acked(100)
    third = fleet.hub("hub-3", f"PEER_MASTERS={second.url.removeprefix('http://')}")
    hubs = (first, second, third)
    for hub in hubs:
        each_shows([hub], peers_of, {other.name: "alive" for other in hubs if other is not hub})
    fleet.settled(hubs, edge)
    for hub in hubs:  # Also what was sent before this hub was there.
        eventually(partial(has_all, hub, sender), f"{hub.name} has everything")
        assert_nothing_lost_or_double(counted(chunks_on_disk(hub.database, "edge-1")), sender)


def test_a_single_hub_without_peers_works_the_same(fleet: Fleet) -> None:
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub])
    fleet.settled([hub], edge)
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(300)
        hub.kill()
        sender.until_acked(300)
        hub.start()
        sender.until_acked(300)
    eventually(partial(has_all, hub, sender), "the hub has everything")
    chunks = chunks_on_disk(hub.database, "edge-1")
    assert_whole_chain(chunks)
    assert_nothing_lost_or_double(counted(chunks), sender)
    assert len(hub.records(service=SERVICE)) == len(sender.acked)
    assert peers_of(hub) == {}
    # Alone, its own copy is all there can be: the edge may forget.
    each_shows([hub], lambda hub: hub.holds_in_buffer("edge-1"), 0)


def test_an_edge_keeps_what_only_one_of_two_hubs_has_and_a_replaced_disk_is_filled_again(
    fleet: Fleet,
) -> None:
    """A hub that dies with its disk takes nothing along: the edge still had it. What the edge has
    forgotten since, the peer brings back."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    second.kill()
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(200)
    eventually(partial(has_all, first, sender), "the hub that lives has everything")
    held = first.call("edge.buffer", node="edge-1")
    assert held["records"] >= len(sender.acked)
    assert held["ledger"]["safe"] == 0
    second.start()
    each_shows([first], lambda hub: hub.holds_in_buffer("edge-1"), 0)
    second.stop()
    remove_store(second.database.parent)
    second.start()
    eventually(partial(has_all, second, sender), "the empty hub has everything again")
    assert_whole_chain(chunks_on_disk(second.database, "edge-1"))
    assert "edge-1" in eventually(second.node_ids, "it knows the nodes again")


def test_one_copy_is_enough_where_that_was_asked_for(fleet: Fleet) -> None:
    first, second = fleet.two_hubs("COPIES=1")
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    second.kill()
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(200)
    each_shows([first], lambda hub: hub.holds_in_buffer("edge-1"), 0)
    assert has_all(first, sender)
