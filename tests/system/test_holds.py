"""A hub that is restarted in order is expected back: nobody calls it dead, or a node offline, and its
edges come home by hints."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from hub.nodes.adoption import duty_of
from tests.system.oracle import log_request
from tests.system.processes import EdgeProcess, Fleet, HubProcess, each_shows, eventually

HUBS = ("hub-1", "hub-2", "hub-3")
EDGES = 6
T = 3
"""Seconds between heartbeats: a machine with more to do must not lose three of them in a row."""

HOME_SECONDS_MAX = 90.0


def at_home(names: Sequence[str]) -> dict[str, int]:
    """How many of these edges each hub is the home of."""
    return {hub: Counter(duty_of(name, HUBS) for name in names)[hub] for hub in HUBS}


def names_with_an_even_spread() -> list[str]:
    """Edges of which every hub is the home of as many."""
    share = EDGES // len(HUBS)
    found: list[str] = []
    for number in range(1000):
        name = f"edge-{number}"
        if at_home(found)[duty_of(name, HUBS)] < share:
            found.append(name)
    return found


class Crowd:
    """Edges that have something to push whenever they are looked at."""

    def __init__(self, hubs: Sequence[HubProcess], edges: Sequence[EdgeProcess]) -> None:
        self.hubs, self.edges, self._sent = hubs, edges, 0
        self._client = httpx.Client(timeout=10, trust_env=False)

    def push(self) -> None:
        """Give each edge a record."""
        for edge in self.edges:
            self._sent += 1
            body = log_request([f"{edge.name}-{self._sent}"])
            assert self._client.post(f"{edge.otlp_url}/v1/logs", json=body).status_code == 200

    def spread(self, hubs: Sequence[HubProcess]) -> dict[str, int]:
        """How many edges are with each of these hubs, as they say."""
        self.push()
        return {hub.name: int(liveness(hub)["edges_here"]) for hub in hubs}

    def until_spread(
        self, hubs: Sequence[HubProcess], is_so: Callable[[dict[str, int]], bool]
    ) -> None:
        """Wait until the edges are spread so."""
        last: list[object] = []

        def look() -> bool:
            last[:] = [self.spread(hubs)]
            return is_so(self.spread(hubs))

        eventually(look, "the edges are where they belong", HOME_SECONDS_MAX, last=last)

    def close(self) -> None:
        self._client.close()


def liveness(hub: HubProcess) -> dict[str, Any]:
    """How a hub says that liveness stands."""
    told: dict[str, Any] = hub.call("hub.status")["liveness"]
    return told


def told(hub: HubProcess, kind: str) -> list[dict[str, Any]]:
    """The facts of the events of this type that a hub has told, the oldest first."""
    items = hub.call("event.list", type=kind, nodes=[hub.name])["items"]
    return [each["attributes"] for each in reversed(items)]


def states(hub: HubProcess) -> dict[str, str]:
    """What a hub says of its peers."""
    hubs = hub.call("hub.list")["items"]
    return {each["hub_id"]: each["state"] for each in hubs if each["state"] != "self"}


@pytest.fixture
def crowd(fleet: Fleet) -> Any:
    """Three hubs, and edges of which each is with its home."""
    hubs = fleet.hubs(3, f"HEARTBEAT_SECONDS_MIN={T}")
    edges = [fleet.edge(name, hubs) for name in names_with_an_even_spread()]
    fleet.settled(hubs, *edges)
    crowd = Crowd(hubs, edges)
    home = at_home([edge.name for edge in edges])
    crowd.until_spread(hubs, lambda spread: spread == home)
    yield crowd
    crowd.close()


def test_a_hub_that_is_restarted_in_order_is_waited_for_and_gets_its_edges_back(
    crowd: Crowd,
) -> None:
    *others, restarted = crowd.hubs
    home = at_home([edge.name for edge in crowd.edges])
    assert restarted.stop() == 0
    for hub in others:
        each_shows([hub], lambda hub: [each["hub"] for each in liveness(hub)["holds"]], ["hub-3"])
        (listed,) = [h for h in hub.call("hub.list")["items"] if h["hub_id"] == "hub-3"]
        assert listed["away"]["reason"] == "it was stopped in order"
    crowd.until_spread(others, lambda spread: sum(spread.values()) == EDGES)
    restarted.start()
    for hub in others:
        each_shows([hub], lambda hub: states(hub)["hub-3"], "alive")
        each_shows([hub], lambda hub: liveness(hub)["holds"], [])
        each_shows(
            [hub], lambda hub: [each["why"] for each in told(hub, "hub.hold.end")], ["it is back"]
        )
    crowd.until_spread(crowd.hubs, lambda spread: spread == home)
    given = sum(hub.call("hub.status")["counters"].get("hints", 0) for hub in others)
    assert given >= home["hub-3"]
    for hub in crowd.hubs:
        assert hub.node_ids() == sorted(edge.name for edge in crowd.edges)
        for kind in ("peer.dead", "node.offline", "adoption.begin", "fleet.brake.begin"):
            assert told(hub, kind) == [], (hub.name, kind)
