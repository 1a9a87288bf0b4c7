"""Edges that may not push: the hubs fetch everything over the links, and nothing is lost or doubled."""

import json
import re
from functools import partial

from tests.system.oracle import (
    Sender,
    assert_nothing_lost_or_double,
    assert_whole_chain,
    chunks_on_disk,
    counted,
    has_all,
)
from tests.system.processes import Fleet, HubProcess, each_shows, eventually
from tests.system.starting import once


def done_by(hub: HubProcess, event: str) -> int:
    """How often a hub says that something happened since it started."""
    token = (hub.folder / "hub" / "admin.token").read_text().strip()
    answer = hub.client.get(f"{hub.url}/metrics", headers={"authorization": f"Bearer {token}"})
    found = re.search(
        rf'^headwater_hub_events_total{{event="{event}"}} (\S+)$', answer.text, re.MULTILINE
    )
    return int(float(found[1])) if found else 0


def is_empty(hub: HubProcess) -> int:
    """What the edge still keeps."""
    return hub.holds_in_buffer("edge-1")


def test_an_edge_that_may_not_push_is_fetched_by_its_hubs(fleet: Fleet) -> None:
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second], "PUSH=0")
    fleet.settled([first, second], edge)
    with Sender(edge.otlp_url) as sender:
        sender.until_acked(2000)
    for hub in (first, second):
        eventually(partial(has_all, hub, sender), f"{hub.name} has everything")
    each_shows([first, second], is_empty, 0)
    for hub in (first, second):
        held = chunks_on_disk(hub.database, "edge-1")
        assert_whole_chain(held)
        assert_nothing_lost_or_double(counted(held), sender)
        assert done_by(hub, "batches") == done_by(hub, "batches_pulled")
    assert done_by(first, "batches_pulled") + done_by(second, "batches_pulled") > 0


def test_whoever_is_killed_meanwhile_no_record_is_lost_or_doubled(fleet: Fleet) -> None:
    """Each hub in turn, and the edge, while data comes in all the time."""
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second], "PUSH=0")
    fleet.settled([first, second], edge)
    with Sender(edge.otlp_url, pause_seconds=0) as sender:
        for role in (first, second, edge):
            sender.until_acked(300)
            role.kill()
            if role is not edge:
                sender.until_acked(300)
            role.start()
        sender.until_acked(300)
    for hub in (first, second):
        eventually(partial(has_all, hub, sender), f"{hub.name} has everything", 60.0)
        assert_nothing_lost_or_double(counted(chunks_on_disk(hub.database, "edge-1")), sender)


def test_a_drain_brings_the_hubs_to_fetch_everything_now(fleet: Fleet) -> None:
    first, second = fleet.two_hubs()
    edge = fleet.edge("edge-1", [first, second], "PUSH=0")
    fleet.settled([first, second], edge)
    with Sender(edge.otlp_url, records_each=200) as sender:
        sender.until_acked(4000)
    done = once(fleet.venv, "drain", "edge-1", "-o", "json", DATA=str(first.folder))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["safe_to_power_off"]) == ("drained", True)
    edge.kill()  # As a power cut would, right after the verdict.
    for hub in (first, second):
        assert counted(chunks_on_disk(hub.database, "edge-1")).keys() >= set(sender.acked)
