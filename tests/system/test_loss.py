"""Processes that die without a word while data flows: nothing acknowledged is lost, nothing is double."""

from functools import partial

from tests.system.oracle import (
    SERVICE,
    Sender,
    assert_nothing_lost_or_double,
    assert_whole_chain,
    chunks_on_disk,
    counted,
    has_all,
)
from tests.system.processes import Fleet, HubProcess, eventually


def busier(*hubs: HubProcess) -> HubProcess:
    """The hub that the edge pushes to."""
    return max(hubs, key=lambda hub: hub.call("hub.status")["counters"].get("batches", 0))


def test_a_hub_dies_while_data_flows_and_catches_up_when_it_is_back(fleet: Fleet) -> None:
    """The other hub serves all of it meanwhile; in the end both have every record once."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    # The edge prefers one of the two: losing that one costs most.
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(300)
        busiest = busier(first, second)
        survivor = second if busiest is first else first
        busiest.kill()
        sender.until_acked(1000)
    assert sender.unanswered == []
    eventually(lambda: has_all(survivor, sender), "the hub that lives has everything")
    served = [record["body"] for record in survivor.records(service=SERVICE)]
    assert sorted(served) == sorted(sender.acked)

    busiest.start()
    eventually(lambda: has_all(busiest, sender), "the hub that died has caught up")
    for hub in (busiest, survivor):
        chunks = chunks_on_disk(hub.database, "edge-1")
        assert_whole_chain(chunks)
        assert_nothing_lost_or_double(counted(chunks), sender)
        assert len(hub.records(service=SERVICE)) == len(sender.acked)


def test_an_edge_dies_while_data_flows_and_goes_on_where_it_was(fleet: Fleet) -> None:
    """What it had acknowledged is on its disk: the log has no hole and its hashes still chain."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    with Sender(edge.otlp_url, pause_seconds=0) as sender:
        for _ in range(3):
            sender.until_acked(400)
            edge.kill()
            edge.start()
        sender.until_acked(400)
    for hub in (first, second):
        eventually(partial(has_all, hub, sender), f"{hub.name} has everything")
        chunks = chunks_on_disk(hub.database, "edge-1")
        assert_whole_chain(chunks)
        assert_nothing_lost_or_double(counted(chunks), sender)


def test_both_hubs_die_and_the_edge_keeps_everything_until_they_are_back(fleet: Fleet) -> None:
    """With nobody to send to, the edge still acknowledges, since it has it on disk."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(200)
        first.kill()
        second.kill()
        sender.until_acked(500)
    edge.kill()  # And even that must not matter.
    for role in (first, second, edge):
        role.start()
    for hub in (first, second):
        eventually(partial(has_all, hub, sender), f"{hub.name} has everything", 30)
        chunks = chunks_on_disk(hub.database, "edge-1")
        assert_whole_chain(chunks)
        assert_nothing_lost_or_double(counted(chunks), sender)
