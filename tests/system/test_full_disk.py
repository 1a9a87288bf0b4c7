"""A disk without room: programs are asked to come again, and the edge goes on when there is room."""

import httpx

from shared.records import MIB
from tests.system.disks import SmallDisk, fill
from tests.system.oracle import Sender, assert_whole_chain, chunks_on_disk, has_all, log_request
from tests.system.processes import EdgeProcess, Fleet, each_shows, eventually

EDGE_DISK_BYTES = 96 * MIB  # Above the reserve of 64 MiB that an edge leaves alone.
HUB_DISK_BYTES = 24 * MIB


def answer_to(edge: EdgeProcess) -> httpx.Response:
    return edge.client.post(f"{edge.otlp_url}/v1/logs", json=log_request(["one more"]))


def assert_asked_to_come_again(edge: EdgeProcess) -> None:
    answer = eventually(
        lambda: (answer := answer_to(edge)).status_code == 503 and answer, "the edge refuses"
    )
    assert isinstance(answer, httpx.Response)
    assert int(answer.headers["retry-after"]) >= 1
    assert b"disk" in answer.content


def test_a_disk_that_is_almost_full_is_refused_before_it_is_full(
    small_disk: SmallDisk, fleet: Fleet
) -> None:
    disk = small_disk("edge-1/edge", EDGE_DISK_BYTES)
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub])
    assert answer_to(edge).status_code == 200
    ballast = fill(disk, 32 * MIB)
    assert_asked_to_come_again(edge)
    assert edge.is_ready()
    ballast.unlink()
    eventually(lambda: answer_to(edge).status_code == 200, "the edge takes data again")


def test_an_edge_survives_a_disk_without_a_single_byte(small_disk: SmallDisk, fleet: Fleet) -> None:
    """Others may take even the reserve. Nothing acknowledged is lost, and no process ends."""
    disk = small_disk("edge-1/edge", EDGE_DISK_BYTES)
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub])
    fleet.settled([hub], edge)
    hub.kill()
    with Sender(edge.otlp_url, records_each=500) as sender:
        sender.until_acked(3000)
        ballast = fill(disk, 0)
        assert_asked_to_come_again(edge)
        # Chunks reach the hub and could be forgotten, for which there is no room either.
        hub.start()
        eventually(lambda: has_all(hub, sender), "the hub has what was acknowledged")
        assert edge.is_ready()
        ballast.unlink()
        sender.until_acked(500)
    eventually(lambda: has_all(hub, sender), "the hub has everything")
    assert_whole_chain(chunks_on_disk(hub.database, "edge-1"))
    each_shows([hub], lambda hub: hub.holds_in_buffer("edge-1"), 0)


def test_a_buffer_at_its_quota_refuses_and_goes_on_when_a_hub_has_taken_it(fleet: Fleet) -> None:
    """Needs no root: the quota is far below the size of any disk."""
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub], "BUFFER_BYTES_MAX=100KiB")
    hub.kill()
    with Sender(edge.otlp_url, records_each=300) as sender:
        eventually(lambda: sender.unanswered, "the quota is reached")
    answer = edge.client.post(
        f"{edge.otlp_url}/v1/logs", json=log_request(f"filler {n}" for n in range(2000))
    )
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert b"limit" in answer.content
    hub.start()
    eventually(lambda: answer_to(edge).status_code == 200, "the edge takes data again")
    eventually(lambda: has_all(hub, sender), "the hub has everything")


def test_a_hub_survives_a_full_disk_and_the_edge_keeps_the_data_meanwhile(
    small_disk: SmallDisk, fleet: Fleet
) -> None:
    disk = small_disk("hub-1/hub", HUB_DISK_BYTES)
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub])
    fleet.settled([hub], edge)
    with Sender(edge.otlp_url, records_each=200) as sender:
        sender.until_acked(1000)
        ballast = fill(disk, 0)
        sender.until_acked(20_000)
        eventually(
            lambda: hub.ask("hub.status").get("counters", {}).get("answers_503", 0) > 0,
            "the hub asks the edge to come again",
        )
        assert hub.is_ready()
        assert hub.node_ids() == ["edge-1"]
    assert sender.unanswered == []
    ballast.unlink()
    assert hub.call("edge.drain", node="edge-1", deadline_s=60)["safe_to_power_off"] is True
    assert has_all(hub, sender)
    assert_whole_chain(chunks_on_disk(hub.database, "edge-1"))
