"""Settings for edges with a label: written through any hub, applied, told, and kept without hubs."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from edge.conf.last_good import FILE
from tests.system.processes import EdgeProcess, Fleet, HubProcess, each_shows, eventually

ROOM_BYTES = 64 * 1024 * 1024
WEB = {"role": "web"}
ALL: dict[str, Any] = {"for": "edges"}
AT_REST = {"current": 2, "unmanaged": 1}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two hubs and three edges; each test takes back what it sets."""

    hubs: tuple[HubProcess, HubProcess]
    web: EdgeProcess
    other: EdgeProcess
    closed: EdgeProcess
    """Its owner wants that it takes no settings."""


@pytest.fixture(scope="module")
def lasting_cluster(lasting_fleet: Fleet) -> Cluster:
    """All run, and have met."""
    hubs = lasting_fleet.two_hubs("HEARTBEAT_SECONDS_MIN=1")
    web, other = (lasting_fleet.edge(name, hubs) for name in ("web-1", "db-1"))
    closed = lasting_fleet.edge("closed-1", hubs, "CLUSTER_SETTINGS=0")
    lasting_fleet.settled(hubs, web, other, closed)
    return Cluster(hubs, web, other, closed)


@pytest.fixture
def cluster(lasting_cluster: Cluster) -> Cluster:
    """The same, with nothing set."""
    each_shows(lasting_cluster.hubs, states, AT_REST)
    assert [on_disk(each) for each in (lasting_cluster.web, lasting_cluster.other)] == [{}, {}]
    return lasting_cluster


def states(hub: HubProcess) -> dict[str, int]:
    """How many edges stand how, by what this hub has heard."""
    totals = hub.call("config.drift")["totals"]
    return {state: count for state, count in totals.items() if count and state != "nodes"}


def on_disk(edge: EdgeProcess) -> dict[str, Any]:
    """What an edge would start with, of what hubs want."""
    file = edge.folder / "edge" / FILE
    settings: dict[str, Any] = orjson.loads(file.read_bytes())["settings"] if file.exists() else {}
    return settings


def keeps(edge: EdgeProcess, **settings: Any) -> None:
    """Wait until this is what an edge would start with."""
    eventually(lambda: on_disk(edge) == settings, f"{edge.name} keeps {settings}")


def room_bytes(edge: EdgeProcess) -> float:
    """How much the buffer of a running edge may hold, as it says itself."""
    text = edge.client.get(f"{edge.otlp_url}/metrics").text
    (line,) = (
        line for line in text.splitlines() if line.startswith("headwater_edge_buffer_bytes_max ")
    )
    return float(line.partition(" ")[2])


def headwater(hub: HubProcess, *words: str) -> str:
    """What the command says to a person on the machine of this hub."""
    token = (hub.folder / "hub" / "admin.token").read_text().strip()
    environ = {
        "PATH": os.environ["PATH"],
        "USER": "ann",
        "HEADWATER_HUB": hub.url.removeprefix("http://"),
        "HEADWATER_TOKEN": token,
    }
    command = [str(Path(hub.venv) / "bin" / "headwater"), *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_edges_with_a_label_follow_what_is_set_and_start_with_it_without_hubs(
    cluster: Cluster,
) -> None:
    hubs = first, second = cluster.hubs
    web, other = cluster.web, cluster.other
    first.call("node.label", node="web-1", labels=WEB)
    headwater(first, "config", "set", "log_level", "error", "--for", "edges", "--label", "role=web")
    keeps(web, log_level="error")
    each_shows(hubs, states, AT_REST)
    assert on_disk(other) == {}

    # What only a start can change waits for it, and shows.
    second.call("config.set", settings={"buffer_bytes_max": ROOM_BYTES}, labels=WEB)
    each_shows(hubs, states, {"current": 1, "waiting": 1, "unmanaged": 1})
    (waiting,) = drifting(first, "waiting")
    assert (waiting["node_id"], waiting["waiting"]) == ("web-1", ["buffer_bytes_max"])
    usual = room_bytes(web)
    assert usual == room_bytes(other) != ROOM_BYTES

    for hub in hubs:
        hub.stop()
    web.stop()
    web.start()
    assert room_bytes(web) == ROOM_BYTES
    for hub in hubs:
        hub.start()
    each_shows(hubs, states, AT_REST)
    first.call("config.unset", keys=["log_level", "buffer_bytes_max"], labels=WEB)
    keeps(web)
    web.stop()
    web.start()
    assert room_bytes(web) == usual


def drifting(hub: HubProcess, state: str) -> list[dict[str, Any]]:
    """The edges that stand so, by what this hub has heard."""
    items: list[dict[str, Any]] = hub.call("config.drift")["items"]
    return [each for each in items if each["state"] == state]


def test_what_an_edge_cannot_apply_shows_and_leaves_its_last_good_settings(
    cluster: Cluster,
) -> None:
    """A hub lets it through: only the machine knows which patterns of files it can follow."""
    hubs = first, second = cluster.hubs
    mine = {"node": "web-1"}
    first.call("config.set", settings={"log_level": "error"}, labels=mine)
    keeps(cluster.web, log_level="error")
    first.call("config.set", settings={"tail": "/**/**/**", "log_level": "debug"}, **ALL)
    each_shows(hubs, states, {"refused": 2, "unmanaged": 1})
    refused = drifting(second, "refused")
    assert all(each["error"].startswith("tail must be") for each in refused)
    assert (on_disk(cluster.web), on_disk(cluster.other)) == ({"log_level": "error"}, {})
    wanted = sorted(each["wanted"] for each in refused)

    def told(name: str) -> list[Any]:
        found: list[Any] = first.call("event.list", type=name)["items"]
        return sorted(each["attributes"]["hash"] for each in found)

    eventually(lambda: told("conf.refused_by_edge") == wanted, "one hub tells of each")
    assert "web-1" in headwater(second, "config", "drift")
    second.call("config.unset", keys=["tail", "log_level"], **ALL)
    each_shows(hubs, states, AT_REST)
    eventually(lambda: told("conf.refusal_over") == wanted, "it tells of their end")
    first.call("config.unset", keys=["log_level"], labels=mine)
    keeps(cluster.web)


def test_an_edge_whose_owner_wants_so_takes_no_settings(cluster: Cluster) -> None:
    hub, _ = cluster.hubs
    hub.call("config.set", settings={"log_level": "error"}, **ALL)
    keeps(cluster.web, log_level="error")
    keeps(cluster.other, log_level="error")
    each_shows(cluster.hubs, states, AT_REST)
    assert not (cluster.closed.folder / "edge" / FILE).exists()
    hub.call("config.unset", keys=["log_level"], **ALL)
    keeps(cluster.web)
    keeps(cluster.other)


def test_a_spoilt_file_stops_no_start_and_is_made_good(cluster: Cluster) -> None:
    spoilt = b'{"settings": {"log_level": "loud"}}'
    hub, _ = cluster.hubs
    edge = cluster.other
    hub.call("config.set", settings={"log_level": "error"}, **ALL)
    keeps(edge, log_level="error")
    keeps(cluster.web, log_level="error")
    edge.stop()
    (edge.folder / "edge" / FILE).write_bytes(spoilt)
    edge.start()
    eventually(lambda: (edge.folder / "edge" / FILE).read_bytes() != spoilt, "a hub is asked again")
    assert on_disk(edge) == {"log_level": "error"}
    each_shows(cluster.hubs, states, AT_REST)
    hub.call("config.unset", keys=["log_level"], **ALL)
    keeps(edge)
    keeps(cluster.web)
