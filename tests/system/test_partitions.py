"""Real hubs and edges on machines of their own, while the network between them is cut, slow or lossy."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.system.meeting import state_age_seconds
from tests.system.namespaces import PORT, Network, network
from tests.system.oracle import Sender, chunks_on_disk
from tests.system.processes import EdgeProcess, Fleet, HubProcess, each_shows, eventually
from tests.system.scattered import scatter
from tests.system.test_hub_death import (
    assert_has_all,
    assert_one_leader_each_term,
    events,
    states,
    watched,
)
from tests.system.test_leadership import HUBS as LEAD_HUBS
from tests.system.test_leadership import agreed, standing
from tests.system.wire import CUT, Weather

HUBS = ("hub-1", "hub-2", "hub-3")
EDGES = ("edge-1", "edge-2")
BEAT_SECONDS = 2
OFFLINE_SECONDS = 3.3 * BEAT_SECONDS
DEAD_SECONDS = 8.0
"""A peer that nobody hears is dead by then."""

SENT_EACH_SECONDS = 0.2
SLOW_SECONDS = 12.0
SLOW = Weather(delay_seconds=0.2, jitter_seconds=0.05, loss_ratio=0.05)
NO_REQUESTS = Weather(loss_ratio=1.0, spares_answers_from=PORT)


@dataclass
class Mesh:
    """Three hubs, two edges, and what can happen to the network between them."""

    network: Network
    hubs: list[HubProcess]
    edges: list[EdgeProcess]
    sender: Sender
    """Sends to the first edge."""

    def is_whole(self) -> bool:
        """Whether every hub finds nothing wrong, and every node online."""
        return all(
            set(states(hub).values()) == {"alive"}
            and not findings(hub)
            and hub.node_ids() == [*EDGES]
            for hub in self.hubs
        )

    def heal(self) -> None:
        """Repair the network, and wait until all is as it was."""
        self.network.heal()
        eventually(self.is_whole, "one mesh", last=[*map(findings, self.hubs)])


def findings(hub: HubProcess) -> list[tuple[str, list[str]]]:
    """What the matrix of a hub names as wrong. That a row is old says only that somebody was slow."""
    found = hub.ask("hub.matrix").get("findings", [])
    return [(each["kind"], each["hubs"]) for each in found if each["severity"] != "info"]


def node_states(hub: HubProcess) -> dict[str, str]:
    """What a hub says of the nodes."""
    return {node["node_id"]: node["state"] for node in hub.call("node.list")["items"]}


def labels(hub: HubProcess) -> dict[str, Any]:
    """The labels of all nodes, as a hub knows them."""
    return {node["node_id"]: node["labels"] for node in hub.call("node.list")["items"]}


def records_on_disk(hub: HubProcess) -> dict[str, bytes]:
    """The records of all nodes, byte for byte."""
    with closing(sqlite3.connect(f"file:{hub.database}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT node_id, record FROM node"))


def beat_seconds(hub: HubProcess) -> float:
    """How often a hub wants nodes to beat."""
    return float(hub.call("hub.status")["liveness"]["heartbeat_interval_s"])


def told(mesh: Mesh, kind: str) -> Counter[str]:
    """How often all hubs together have told this since they started, by whom it is about."""
    found = [event["attributes"] for hub in mesh.hubs for event in events(hub, kind)]
    return Counter(each.get("peer") or each.get("node_id") or "itself" for each in found)


def assert_nothing_is_lost(mesh: Mesh) -> None:
    """Every hub has the same chunks, and in them all that was acknowledged, once."""
    for hub in mesh.hubs:
        assert_has_all(hub, "edge-1", mesh.sender)

    def chains() -> set[tuple[bytes, ...]]:
        held = [chunks_on_disk(hub.database, "edge-1") for hub in mesh.hubs]
        return {tuple(chunk.hash for chunk in chunks) for chunks in held}

    eventually(lambda: len(chains()) == 1, "the same chunks everywhere")


@pytest.fixture(scope="module")
def machines() -> Iterator[Network]:
    """Five machines; they outlast all that runs on them."""
    with network(*HUBS, *EDGES) as made:
        yield made


@pytest.fixture(scope="module")
def lasting_mesh(machines: Network, lasting_fleet: Fleet) -> Mesh:
    """Three hubs and two edges."""
    words = [f"HEARTBEAT_SECONDS_MIN={BEAT_SECONDS}", "LEADER=quorum", LEAD_HUBS]
    hubs, edges = scatter(lasting_fleet, machines, words)
    each_shows(hubs, beat_seconds, float(BEAT_SECONDS))  # Longer at first.
    return Mesh(machines, hubs, edges, Sender(edges[0].otlp_url, pause_seconds=SENT_EACH_SECONDS))


@pytest.fixture
def mesh(lasting_mesh: Mesh) -> Iterator[Mesh]:
    """The same, whole at the beginning of each test."""
    lasting_mesh.heal()
    yield lasting_mesh
    lasting_mesh.network.heal()


def test_a_hub_that_is_cut_off_buries_nobody_and_is_one_with_the_others_again(mesh: Mesh) -> None:
    """It says that it is isolated, leads no longer, and calls no node offline; the others call it dead,
    and one of them leads. What both sides were told meanwhile holds on all hubs afterwards, in the same
    bytes, and nothing is lost."""
    first_led = agreed(mesh.hubs)
    (lone,) = (hub for hub in mesh.hubs if hub.name == first_led["hub"])
    others = [hub for hub in mesh.hubs if hub is not lone]
    deaths, offline = told(mesh, "peer.dead"), told(mesh, "node.offline")
    with watched([lone], others[0]) as first, watched([lone], others[1]) as second, mesh.sender:
        mesh.sender.until_acked(100)
        mesh.network.part([lone.name], [*(hub.name for hub in others), *EDGES])
        for hub in others:
            each_shows([hub], lambda hub: states(hub)[lone.name], "dead")
        each_shows([lone], lambda hub: hub.call("hub.status")["isolated"], True)
        assert not standing(lone)["leading"]
        agreed(others, after_term=first_led["term"])
        each_shows([lone], node_states, dict.fromkeys(EDGES, "unknown"))
        for hub in others:
            assert hub.node_ids() == [*EDGES]
        others[0].call("node.label", node="edge-1", labels={"by": "many"})
        lone.call("node.label", node="edge-2", labels={"by": "one"})
        mesh.sender.until_acked(100)
        mesh.heal()
        mesh.sender.until_acked(100)
    assert not {"dead"} & {*first[0].first, *second[0].first}
    each_shows(mesh.hubs, labels, {"edge-1": {"by": "many"}, "edge-2": {"by": "one"}})
    eventually(
        lambda: len({tuple(records_on_disk(hub).items()) for hub in mesh.hubs}) == 1,
        "the same records, byte for byte",
    )
    assert_nothing_is_lost(mesh)
    agreed(mesh.hubs, after_term=first_led["term"])
    assert_one_leader_each_term(mesh.hubs)
    assert told(mesh, "peer.dead") - deaths == {lone.name: 2}
    assert told(mesh, "node.offline") == offline


def is_heard_by_one_alone(hub: HubProcess, node: str, hearer: HubProcess) -> bool:
    """Whether, as a hub knows, only this one has heard a node for long."""
    heard = hub.call("node.get", node=node)["hubs"]
    ages = {name: age_seconds(hub, at) for name, at in heard.items()}
    long_ago = [age for name, age in ages.items() if name != hearer.name]
    return min(long_ago) > OFFLINE_SECONDS + 1


def age_seconds(hub: HubProcess, at: str) -> float:
    """How long ago that was by the clock of a hub."""
    now = datetime.fromisoformat(hub.call("clock.list")["own"]["time"])
    return (now - datetime.fromisoformat(at)).total_seconds()


def test_links_that_are_broken_one_way_are_named_and_kill_nobody(mesh: Mesh) -> None:
    """The second hub hears the first, which gets no answer; no packet of the second reaches the third,
    which breaks requests in both directions. An edge that only the third hears is online on all hubs
    that it can tell, and offline on none."""
    one, two, third = mesh.hubs
    deaths, offline = told(mesh, "peer.dead"), told(mesh, "node.offline")
    mesh.network.weather(one.name, two.name, NO_REQUESTS)
    mesh.network.weather(two.name, third.name, CUT)
    mesh.network.part(["edge-1"], [one.name, two.name])
    named = [("dead_link", [two.name, third.name]), ("one_way_link", [one.name, two.name])]
    with watched([one], two) as forth, watched([two], one) as back, mesh.sender:
        each_shows(mesh.hubs, lambda hub: sorted(findings(hub)), named)
        for hub, peer in ((one, two), (two, third), (third, two)):
            eventually(
                lambda hub=hub, peer=peer: state_age_seconds(hub, peer.name) > DEAD_SECONDS,  # type: ignore[misc]
                f"{hub.name} has said the same of {peer.name} for long",
            )
            assert states(hub)[peer.name] == "avoid"
        eventually(lambda: is_heard_by_one_alone(two, "edge-1", third), "only one hears edge-1")
        assert node_states(one) == node_states(third) == dict.fromkeys(EDGES, "online")
        assert node_states(two)["edge-1"] in ("online", "unknown")
        mesh.sender.until_acked(100)
        mesh.heal()
    assert not {"dead"} & {*forth[0].first, *back[0].first}
    assert_nothing_is_lost(mesh)
    assert (told(mesh, "peer.dead"), told(mesh, "node.offline")) == (deaths, offline)


def test_a_slow_and_lossy_network_kills_nobody_and_loses_nothing(mesh: Mesh) -> None:
    """Each packet takes 200 ms, more or less, and one in twenty is lost, for a while."""
    kinds = ("peer.dead", "hub.isolated", "node.offline")
    before = [told(mesh, kind) for kind in kinds]
    mesh.network.weather_everywhere(SLOW)
    with mesh.sender:
        until = time.monotonic() + SLOW_SECONDS
        while time.monotonic() < until:
            mesh.sender.until_acked(10)
            assert "dead" not in {state for hub in mesh.hubs for state in states(hub).values()}
            assert "offline" not in {s for hub in mesh.hubs for s in node_states(hub).values()}
    assert min(mesh.network.wire.dropped.values()) > 0
    mesh.heal()
    assert_nothing_is_lost(mesh)
    assert [told(mesh, kind) for kind in kinds] == before
