"""The wall clock of one process is set while it runs: nothing else is misled, and nothing waits for it."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from shared.merge import LABELS, Intent, from_bytes
from tests.system.oracle import Sender
from tests.system.processes import (
    EdgeProcess,
    Fleet,
    HubProcess,
    each_shows,
    eventually,
    start_together,
)
from tests.system.shifted_clock import ShiftedClock, own_clock
from tests.system.test_hub_death import assert_has_all, events, states
from tests.system.test_leadership import HUBS, agreed

HOURS = 3600.0
NODES = ["edge-1", "edge-2", "edge-3"]
TRUE_WITHIN_MS = 60_000
SENT_EACH_SECONDS = 0.2
"""Data flows all the time; how much of it is nothing to a clock."""

SKEW_SHOWN_SECONDS_MAX = (
    40.0  # The best of eight beats is believed, and one may come each two seconds.
)


@dataclass
class Mesh:
    """Three hubs and three edges, each with a clock of its own."""

    hubs: list[HubProcess]
    edges: list[EdgeProcess]
    clocks: dict[str, ShiftedClock]
    senders: list[Sender]
    """To the first two edges."""

    def assert_all_live(self) -> None:
        """No hub and no node was missed for a moment: no time-out reads a wall clock."""
        for hub in self.hubs:
            assert set(states(hub).values()) == {"alive"}
            assert hub.node_ids() == NODES
            for kind in ("peer.dead", "hub.isolated", "node.offline"):
                assert events(hub, kind) == []


@pytest.fixture(scope="module")
def lasting_mesh(lasting_fleet: Fleet) -> Mesh:
    """All run, have met, and have chosen a leader."""
    fleet = lasting_fleet
    hubs = fleet.hubs(3, "LEADER=quorum", HUBS, "HEARTBEAT_SECONDS_MIN=2", start=False)
    edges = [fleet.edge(name, hubs, start=False) for name in NODES]
    clocks = {role.name: own_clock(role) for role in (*hubs, *edges)}
    start_together([*hubs, *edges])
    fleet.settled(hubs, *edges)
    agreed(hubs)
    senders = [
        Sender(edge.otlp_url, name=edge.name, pause_seconds=SENT_EACH_SECONDS) for edge in edges[:2]
    ]
    return Mesh(hubs, edges, clocks, senders)


@pytest.fixture
def mesh(lasting_mesh: Mesh) -> Iterator[Mesh]:
    """The same; every clock is right at the beginning of each test."""
    yield lasting_mesh
    for clock in lasting_mesh.clocks.values():
        clock.set(0)


def verdicts(hub: HubProcess) -> dict[str, str]:
    """What a hub says of all clocks of hubs, its own included."""
    told = hub.call("clock.list")
    return {each["hub_id"]: each["verdict"] for each in (told["own"], *told["hubs"])}


def all_find(mesh: Mesh, hub: HubProcess, verdict: str) -> None:
    """Wait until every hub says this of one clock, and of all others that they are sound."""

    def found(asked: HubProcess) -> bool:
        told = verdicts(asked)
        return told.pop(hub.name) == verdict and set(told.values()) == {"sound"}

    each_shows(mesh.hubs, found, True)


def has_measured(hub: HubProcess, other: HubProcess, ahead_seconds: float) -> bool:
    """Whether a hub finds the clock of another so far ahead."""
    (found,) = (h for h in hub.call("clock.list")["hubs"] if h["hub_id"] == other.name)
    offset_ms = found["offset_ms"]
    return offset_ms is not None and abs(offset_ms / 1000 - ahead_seconds) < 1


def labels(hub: HubProcess) -> dict[str, Any]:
    """The labels of all nodes, as a hub knows them."""
    return {node["node_id"]: node["labels"] for node in hub.call("node.list")["items"]}


def labelled(hub: HubProcess, node: str, by: str) -> None:
    """Give an order through a hub."""
    hub.call("node.label", node=node, labels={"by": by})


def waiting(hub: HubProcess) -> set[str]:
    """The hubs whose orders wait at this one."""
    return set(hub.call("clock.list")["withheld"]["by_hub"])


def order_on_disk(hub: HubProcess, node: str) -> Intent:
    """The labels of a node as they are stored, with their stamp."""
    with closing(sqlite3.connect(f"file:{hub.database}?mode=ro", uri=True)) as connection:
        query = "SELECT record FROM node WHERE node_id = ?"
        ((record,),) = connection.execute(query, (node,))
    return from_bytes(record).intent[LABELS]


def has_true_stamp(hub: HubProcess, node: str) -> bool:
    """Whether the order that a hub holds was stamped by a clock that is right."""
    return abs(order_on_disk(hub, node).stamp.wall_ms - time.time() * 1000) < TRUE_WITHIN_MS


def test_a_hub_whose_clock_is_set_is_quarantined_misleads_nobody_and_is_sound_again(
    mesh: Mesh,
) -> None:
    """Two hours behind, six seconds ahead, two hours ahead, and right. It is the leader, and under load.

    What was ordered at it while it was two hours ahead waits, holds in the end, and is no hindrance:
    the next order of a person holds instead, and no other clock is carried away.
    """
    term = agreed(mesh.hubs)["term"]
    (wrong,) = (hub for hub in mesh.hubs if hub.name == agreed(mesh.hubs)["hub"])
    right = [hub for hub in mesh.hubs if hub is not wrong]
    with mesh.senders[0] as sender:
        for ahead_seconds in (-2 * HOURS, 6.0, 2 * HOURS):
            mesh.clocks[wrong.name].set(ahead_seconds)
            for hub in right:
                is_measured = partial(has_measured, hub, wrong, ahead_seconds)
                eventually(is_measured, f"{hub.name} has measured the step to {ahead_seconds} s")
            all_find(mesh, wrong, "quarantined")
            sender.until_acked(100)
            agreed(mesh.hubs, after_term=term - 1)
            mesh.assert_all_live()
        labelled(wrong, "edge-2", "a wrong clock")
        labelled(right[0], "edge-3", "a right clock")
        each_shows(mesh.hubs, lambda hub: labels(hub)["edge-3"], {"by": "a right clock"})
        each_shows(right, waiting, {wrong.name})
        assert [labels(hub)["edge-2"] for hub in right] == [{}, {}]
        mesh.clocks[wrong.name].set(0)
        all_find(mesh, wrong, "sound")
        each_shows(mesh.hubs, lambda hub: labels(hub)["edge-2"], {"by": "a wrong clock"})
        labelled(right[0], "edge-2", "a right clock")
        each_shows(mesh.hubs, lambda hub: labels(hub)["edge-2"], {"by": "a right clock"})
        labelled(right[1], "edge-3", "another right clock")
        each_shows(mesh.hubs, lambda hub: labels(hub)["edge-3"], {"by": "another right clock"})
        sender.until_acked(100)
    for hub in right:
        told = [event["attributes"] for event in events(hub, "clock.quarantined")]
        assert {each["hub"] for each in told} == {wrong.name}
        for node in ("edge-2", "edge-3"):
            eventually(partial(has_true_stamp, hub, node), f"{hub.name} has a true stamp of {node}")
    mesh.assert_all_live()
    for hub in mesh.hubs:
        assert_has_all(hub, "edge-1", sender)


def shows_skews(hub: HubProcess, ahead_seconds: Mapping[str, float]) -> bool:
    """Whether a hub finds the clocks of these nodes so far ahead, and lists just those that are off."""
    told = {node["node_id"]: node["clock_skew_ms"] for node in hub.call("node.list")["items"]}
    off = {each["node_id"] for each in hub.call("clock.list")["edges"]["items"]}
    return off == {node for node, seconds in ahead_seconds.items() if seconds} and all(
        told[node] is not None and abs(told[node] / 1000 - seconds) < 1
        for node, seconds in ahead_seconds.items()
    )


def test_what_edges_send_after_their_clocks_were_set_is_kept_and_how_far_they_are_off_is_shown(
    mesh: Mesh,
) -> None:
    """No hub takes its own clock for wrong, and nobody is late meanwhile; that all clocks are right
    again shows, too."""
    set_by = {"edge-1": 2 * HOURS, "edge-2": -2 * HOURS, "edge-3": 6.0}
    quarantined = [events(hub, "clock.quarantined") for hub in mesh.hubs]
    with mesh.senders[0] as first, mesh.senders[1] as second:
        for ahead_seconds in (set_by, dict.fromkeys(NODES, 0.0)):
            for node, seconds in ahead_seconds.items():
                mesh.clocks[node].set(seconds)
            first.until_acked(100)
            second.until_acked(100)
            for hub in mesh.hubs:
                is_shown = partial(shows_skews, hub, ahead_seconds)
                eventually(is_shown, f"{hub.name} shows {ahead_seconds}", SKEW_SHOWN_SECONDS_MAX)
            mesh.assert_all_live()
    for hub in mesh.hubs:
        assert_has_all(hub, "edge-1", first)
        assert_has_all(hub, "edge-2", second)
        assert set(verdicts(hub).values()) == {"sound"}
    assert [events(hub, "clock.quarantined") for hub in mesh.hubs] == quarantined
