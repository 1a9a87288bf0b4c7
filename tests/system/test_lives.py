"""Lost disks, restored folders and copied machines: every acknowledged record is on the hubs, once."""

import shutil
from functools import partial

from tests.hub_files import remove_store
from tests.system.oracle import (
    Sender,
    assert_nothing_lost_or_double,
    chunks_on_disk,
    counted,
    has_all,
)
from tests.system.processes import Fleet, HubProcess, each_shows, eventually


def epochs_on(hub: HubProcess) -> set[str]:
    return {chunk.header.epoch for chunk in chunks_on_disk(hub.database, "edge-1")}


def predecessors_on(hub: HubProcess) -> list[str]:
    chunks = chunks_on_disk(hub.database, "edge-1")
    return [each.header.predecessor[0] for each in chunks if each.header.predecessor]


def is_empty(hub: HubProcess) -> int:
    """What no hub, or only one, has; the edge's own statements included."""
    return hub.holds_in_buffer("edge-1")


def test_a_hub_that_loses_its_disk_right_after_its_answer_takes_nothing_along(
    fleet: Fleet,
) -> None:
    """What one hub alone had taken in is still on the edge."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    fleet.settled([first, second], edge)
    second.kill()
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(300)
    eventually(partial(has_all, first, sender), "the hub that lives has everything")
    first.kill()
    remove_store(first.database.parent)
    first.start()
    second.start()
    for hub in (first, second):
        eventually(partial(has_all, hub, sender), f"{hub.name} has everything")
        assert_nothing_lost_or_double(counted(chunks_on_disk(hub.database, "edge-1")), sender)


def test_a_buffer_that_was_restored_from_a_copy_begins_a_new_life_and_loses_nothing(
    fleet: Fleet,
) -> None:
    """Also what was in the buffer when it was copied, and has reached the hubs since, is there once."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    folder = edge.folder / "edge" / "buffer"
    fleet.settled([first, second], edge)
    first.kill()
    second.kill()
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(200)
    edge.stop()
    shutil.copytree(folder, edge.folder / "copy")
    for process in (first, second, edge):
        process.start()
    with Sender(edge.otlp_url, name="later") as later:
        later.until_acked(200)
    for acked in (sender, later):
        eventually(partial(has_all, first, acked), f"the hub has all of {acked.name}")
    edge.stop()
    shutil.rmtree(folder)
    shutil.copytree(edge.folder / "copy", folder)
    edge.start()
    with Sender(edge.otlp_url, name="last") as last:
        last.until_acked(200)
    for hub in (first, second):
        for acked in (sender, later, last):
            eventually(partial(has_all, hub, acked), f"{hub.name} has all of {acked.name}")
    each_shows([first], is_empty, 0)
    assert len(epochs_on(first)) == 2
    assert len(predecessors_on(first)) == 1
    _assert_each_once([first, second], sender, later, last)


def test_a_copied_machine_is_noticed_and_both_keep_all_their_records(fleet: Fleet) -> None:
    """Of two machines that run under one name hubs take in one; the other keeps its records until it
    runs alone, and ends up with another life of the log."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second])
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(200)
    edge.stop()
    shutil.copytree(edge.folder / "edge", fleet.folder / "clone" / "edge")
    edge.start()
    fleet.settled([first, second], edge)
    clone = fleet.edge("edge-1", [first, second], folder="clone")
    with Sender(edge.otlp_url, name="one") as one, Sender(clone.otlp_url, name="two") as two:
        one.until_acked(300)
        two.until_acked(300)
    for hub in (first, second):
        for acked in (sender, one):
            eventually(partial(has_all, hub, acked), f"{hub.name} has all of {acked.name}")
    eventually(partial(_tells_of_copies, [first, second]), "a hub tells of the copy")
    assert not has_all(first, two)
    edge.stop()
    clone.stop()
    clone.start()
    for hub in (first, second):
        eventually(partial(has_all, hub, two), f"{hub.name} has all of {two.name}")
    _assert_each_once([first, second], sender, one, two)
    assert len(epochs_on(first)) >= 2


def _tells_of_copies(hubs: list[HubProcess]) -> bool:
    return any(hub.call("event.list", type="node.cloned")["items"] for hub in hubs)


def _assert_each_once(hubs: list[HubProcess], *senders: Sender) -> None:
    for hub in hubs:
        held = counted(chunks_on_disk(hub.database, "edge-1"))
        for sender in senders:
            mine = {each: times for each, times in held.items() if each in set(sender.acked)}
            assert mine == dict.fromkeys(sender.acked, 1)
