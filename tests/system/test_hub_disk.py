"""A hub whose disk is nearly full takes nothing in, answers all the same, and goes on by itself."""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from shared.records import MIB
from tests.system.disks import SmallDisk, fill
from tests.system.oracle import Sender, assert_whole_chain, chunks_on_disk, has_all
from tests.system.processes import Fleet, HubProcess, each_shows, eventually

DISK_BYTES = 64 * MIB
RESERVED = "DISK_RESERVE_BYTES=16MiB"
LEFT_BYTES = 12 * MIB


def accepts(hub: HubProcess) -> bool:
    """What the hub says of its own disk."""
    disk: dict[str, Any] = hub.ask("hub.status").get("disk", {})
    return bool(disk.get("accepting"))


def counted(hub: HubProcess) -> Counter[str]:
    return Counter(hub.ask("hub.status").get("counters", {}))


def until_refused(hub: HubProcess) -> None:
    """Wait until the hub has refused something: what was under way before is through."""
    eventually(lambda: counted(hub)["disk_refusals"], f"{hub.name} refuses to take anything in")


def chunks_of_edge(hub: HubProcess) -> int:
    return len(chunks_on_disk(hub.database, "edge-1"))


def free_bytes(disk: Path) -> int:
    return shutil.disk_usage(disk).free


def test_a_hub_refuses_before_its_disk_is_full_and_loses_nothing(
    small_disk: SmallDisk, fleet: Fleet
) -> None:
    """Edges keep their data and beat on, questions are answered, and room is all it takes to go on."""
    disk = small_disk("hub-1/hub", DISK_BYTES)
    hub = fleet.hub("hub-1", RESERVED)
    edge = fleet.edge("edge-1", [hub])
    fleet.settled([hub], edge)
    with Sender(edge.otlp_url, records_each=200) as sender:
        sender.until_acked(1000)
        eventually(lambda: chunks_of_edge(hub) > 0, "the hub has some of it")
        ballast = fill(disk, LEFT_BYTES)
        eventually(lambda: not accepts(hub), "the hub takes nothing in any more")
        until_refused(hub)
        before = chunks_of_edge(hub)
        sender.until_acked(5000)
        eventually(lambda: hub.holds_in_buffer("edge-1") >= 5000, "the edge keeps it all")
        assert chunks_of_edge(hub) == before
        assert free_bytes(disk) > LEFT_BYTES // 2
        assert hub.is_ready()
        assert hub.node_ids() == ["edge-1"]
        assert hub.call("log.query", limit=5)["items"]
        ballast.unlink()
        eventually(lambda: accepts(hub), "the hub takes data in again")
    assert sender.unanswered == []
    eventually(lambda: has_all(hub, sender), "the hub has everything", 40)
    assert_whole_chain(chunks_on_disk(hub.database, "edge-1"))
    each_shows([hub], lambda hub: hub.holds_in_buffer("edge-1"), 0)
    shut = [counted(hub)[f"disk_guard_{what}"] for what in ("closed", "opened")]
    assert shut == [1, 1]


def test_a_hub_without_room_pulls_nothing_from_its_peer_and_catches_up_later(
    small_disk: SmallDisk, fleet: Fleet
) -> None:
    """The other hub takes the data in; gossip between the two goes on."""
    disk = small_disk("hub-2/hub", DISK_BYTES)
    first, second = fleet.two_hubs(RESERVED)
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    with Sender(edge.otlp_url, records_each=200) as sender:
        sender.until_acked(1000)
        eventually(lambda: has_some(first) and has_some(second), "both hubs have some of it")
        ballast = fill(disk, LEFT_BYTES)
        eventually(lambda: not accepts(second), "the second hub takes nothing in any more")
        until_refused(second)
        before = chunks_of_edge(second)
        sender.until_acked(5000)
        eventually(lambda: chunks_of_edge(first) > before, "the first hub takes data in")
        assert chunks_of_edge(second) == before
        assert sees_alive(second, "hub-1")
        assert sees_alive(first, "hub-2")
        assert free_bytes(disk) > LEFT_BYTES // 2
        ballast.unlink()
    for hub in (first, second):
        eventually(partial(has_all, hub, sender), f"{hub.name} has everything", 40)
    assert_whole_chain(chunks_on_disk(second.database, "edge-1"))


def has_some(hub: HubProcess) -> bool:
    return chunks_of_edge(hub) > 0


def sees_alive(hub: HubProcess, other: str) -> bool:
    """Whether a hub hears of another one."""
    return any(
        each["hub_id"] == other and each["state"] == "alive"
        for each in hub.call("hub.list")["items"]
    )


def test_a_hub_that_starts_on_a_full_disk_refuses_from_the_first_batch_on(
    small_disk: SmallDisk, fleet: Fleet
) -> None:
    disk = small_disk("hub-1/hub", DISK_BYTES)
    ballast = fill(disk, LEFT_BYTES)
    hub = fleet.hub("hub-1", RESERVED)
    assert not accepts(hub)
    edge = fleet.edge("edge-1", [hub])
    with Sender(edge.otlp_url, records_each=50) as sender:
        sender.until_acked(200)
        until_refused(hub)
        assert chunks_of_edge(hub) == 0
    ballast.unlink()
    eventually(lambda: has_all(hub, sender), "the hub has everything", 40)
