"""Settings for edges with a label: written through any hub, applied, told, and kept without hubs."""

import os
import subprocess
from pathlib import Path
from typing import Any

import orjson

from edge.conf.last_good import FILE
from tests.system.processes import EdgeProcess, Fleet, HubProcess, each_shows, eventually

ROOM_BYTES = 64 * 1024 * 1024
WEB = {"role": "web"}


def states(hub: HubProcess) -> dict[str, int]:
    """How many edges stand how, by what this hub has heard."""
    totals = hub.call("config.drift")["totals"]
    return {state: count for state, count in totals.items() if count and state != "nodes"}


def on_disk(edge: EdgeProcess) -> dict[str, Any]:
    """What an edge would start with, of what hubs want."""
    settings: dict[str, Any] = orjson.loads((edge.folder / "edge" / FILE).read_bytes())["settings"]
    return settings


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


def test_edges_with_a_label_follow_what_is_set_and_start_with_it_without_hubs(fleet: Fleet) -> None:
    hubs = first, second = fleet.two_hubs()
    web, other = fleet.edge("web-1", hubs), fleet.edge("db-1", hubs)
    fleet.settled(hubs, web, other)
    each_shows(hubs, states, {"current": 2})
    first.call("node.label", node="web-1", labels=WEB)
    headwater(first, "config", "set", "log_level", "error", "--for", "edges", "--label", "role=web")
    eventually(lambda: (web.folder / "edge" / FILE).exists(), "web-1 keeps what hubs want")
    each_shows(hubs, states, {"current": 2})
    assert on_disk(web) == {"log_level": "error"}
    assert not (other.folder / "edge" / FILE).exists()

    # What only a start can change waits for it, and shows.
    second.call("config.set", settings={"buffer_bytes_max": ROOM_BYTES}, labels=WEB)
    each_shows(hubs, states, {"current": 1, "waiting": 1})
    (waiting,) = first.call("config.drift")["items"]
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
    each_shows(hubs, states, {"current": 2})


def test_what_an_edge_cannot_apply_shows_and_leaves_its_last_good_settings(fleet: Fleet) -> None:
    """A hub lets it through: only the machine knows which patterns of files it can follow."""
    hubs = first, second = fleet.two_hubs()
    edge = fleet.edge("web-1", hubs)
    fleet.settled(hubs, edge)
    first.call("config.set", settings={"log_level": "error"}, labels={"node": "web-1"})
    eventually(lambda: (edge.folder / "edge" / FILE).exists(), "web-1 keeps what hubs want")
    first.call(
        "config.set", settings={"tail": "/**/**/**", "log_level": "debug"}, **{"for": "edges"}
    )
    each_shows(hubs, states, {"refused": 1})
    (refused,) = second.call("config.drift")["items"]
    assert refused["error"].startswith("tail must be")
    assert on_disk(edge) == {"log_level": "error"}

    def told(name: str) -> list[Any]:
        found: list[Any] = first.call("event.list", type=name)["items"]
        return [each["attributes"]["hash"] for each in found]

    eventually(lambda: told("conf.refused_by_edge") == [refused["wanted"]], "one hub tells of it")
    assert "web-1" in headwater(second, "config", "drift")
    second.call("config.unset", keys=["tail", "log_level"], **{"for": "edges"})
    each_shows(hubs, states, {"current": 1})
    eventually(lambda: told("conf.refusal_over") == [refused["wanted"]], "it tells of its end")


def test_an_edge_whose_owner_wants_so_takes_no_settings(fleet: Fleet) -> None:
    hub = fleet.hub("hub-1")
    edges = [fleet.edge("edge-1", [hub], "CLUSTER_SETTINGS=0"), fleet.edge("edge-2", [hub])]
    fleet.settled([hub], *edges)
    hub.call("config.set", settings={"log_level": "error"}, **{"for": "edges"})
    each_shows([hub], states, {"unmanaged": 1, "current": 1})
    eventually(lambda: (edges[1].folder / "edge" / FILE).exists(), "edge-2 has applied them")
    assert not (edges[0].folder / "edge" / FILE).exists()


def test_a_spoilt_file_stops_no_start_and_is_made_good(fleet: Fleet) -> None:
    spoilt = b'{"settings": {"log_level": "loud"}}'
    hub = fleet.hub("hub-1")
    edge = fleet.edge("edge-1", [hub])
    hub.call("config.set", settings={"log_level": "error"}, **{"for": "edges"})
    eventually(lambda: (edge.folder / "edge" / FILE).exists(), "the edge has applied them")
    edge.stop()
    (edge.folder / "edge" / FILE).write_bytes(spoilt)
    edge.start()
    eventually(
        lambda: (edge.folder / "edge" / FILE).read_bytes() != spoilt, "the hub is asked again"
    )
    assert on_disk(edge) == {"log_level": "error"}
    each_shows([hub], states, {"current": 1})
