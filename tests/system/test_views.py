"""A real split: three hubs on machines of their own, of which one is cut off while both sides are written.

Afterwards all of them tell the same incident: in the answers, on the command line and on the page.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.system.meeting import knows_all
from tests.system.namespaces import Network, network
from tests.system.oracle import Sender
from tests.system.processes import Fleet, HubProcess, each_shows, eventually
from tests.system.scattered import scatter
from tests.system.starting import ROOT
from tests.system.test_partitions import labels

HUBS = ("hub-1", "hub-2", "hub-3")
LONE, MOST = ("hub-1",), ("hub-2", "hub-3")
EDGES = ("edge-1", "edge-2")
"""One on each side of the split."""

LATE, EARLY = {"rack": "many"}, {"rack": "one"}
"""What the larger side is told last, and the other one first."""


@pytest.fixture
def machines() -> Iterator[Network]:
    """Three machines for hubs, and one for an edge on each side."""
    with network(*HUBS, *EDGES) as made:
        yield made


def token(hub: HubProcess) -> str:
    return (hub.folder / "hub" / "admin.token").read_text().strip()


def headwater(hub: HubProcess, *words: str) -> str:
    """What the command says that asks this hub."""
    command = [sys.executable, "-m", "shared.main", *words, "--hub", hub.url, "--token", token(hub)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def page(hub: HubProcess, path: str) -> str:
    """A page of this hub, as a browser that has logged in gets it."""
    answer = hub.client.get(f"{hub.url}{path}", headers={"authorization": f"Bearer {token(hub)}"})
    assert answer.status_code == 200, path
    return answer.text


def standing(hub: HubProcess) -> list[tuple[str, int]]:
    """The incidents that a hub knows: their state, and how many hubs tell of each."""
    items = hub.call("hub.incidents")["items"]
    return [(item["state"], len(item["observers"])) for item in items]


def island(hub: HubProcess) -> list[str]:
    """The hubs that this one says it is together with while it is apart from some."""
    split = hub.call("hub.status").get("split") or {}
    return list(split.get("island", []))


def is_whole(hub: HubProcess) -> bool:
    """Whether it has known for some rounds that all reach each other, and knows all nodes."""
    return knows_all(hub, HUBS) and hub.node_ids() == [*EDGES]


def records(incident: dict[str, Any]) -> dict[tuple[str, ...], int]:
    """How many records of telemetry each side took in."""
    return {tuple(side["island"]): side["writes"]["records"] for side in incident["sides"]}


def test_a_split_is_one_incident_that_all_hubs_tell_alike(machines: Network, fleet: Fleet) -> None:
    """Islands over time, writes on each side, and the conflict with its winner, its loser and the rule."""
    hubs, edges = scatter(fleet, machines, ["HEARTBEAT_SECONDS_MIN=2"])
    lone, *most = hubs
    with ExitStack() as sending:
        senders = [sending.enter_context(Sender(edge.otlp_url, name=edge.name)) for edge in edges]
        for hub in hubs:
            eventually(lambda hub=hub: is_whole(hub), f"{hub.name} finds all well")  # type: ignore[misc]
        assert [standing(hub) for hub in hubs] == [[], [], []]
        machines.part([*LONE, EDGES[0]], [*MOST, EDGES[1]])
        each_shows([lone], island, [*LONE])
        each_shows(most, island, [*MOST])
        each_shows(hubs, lambda hub: [state for state, _ in standing(hub)], ["open"])
        lone.call("node.label", node="edge-1", labels=EARLY)
        most[0].call("node.label", node="edge-1", labels=LATE)
        most[1].call("node.drain", node="edge-2")
        for sender in senders:
            sender.until_acked(100)
        assert labels(lone)["edge-1"] == EARLY
        machines.heal()
        each_shows(hubs, standing, [("closed", 3)])
        each_shows(hubs, lambda hub: labels(hub)["edge-1"], LATE)
    assert_told_alike(hubs)


def assert_told_alike(hubs: list[HubProcess]) -> None:
    """By every hub, in the same words, wherever people look."""
    lists = [hub.call("hub.incidents") for hub in hubs]
    assert lists[0] == lists[1] == lists[2]
    (item,) = lists[0]["items"]
    assert (item["kind"], item["hubs"], item["observers"]) == ("split", [*HUBS], [*HUBS])
    stories = [hub.call("hub.incident", incident=item["id"]) for hub in hubs]
    assert stories[0] == stories[1] == stories[2]
    assert_true(stories[0])
    for hub in hubs:
        told = headwater(hub, "peers", "incidents", item["id"], "-o", "json")
        assert json.loads(told) == stories[0]
        assert json.loads(page(hub, f"/hubs/incidents/{item['id']}.json")) == stories[0]
        assert item["id"] in headwater(hub, "peers", "incidents")
        assert item["id"] in page(hub, "/hubs/incidents")
        for words in (
            headwater(hub, "peers", "incidents", item["id"]),
            page(hub, f"/hubs/incidents/{item['id']}"),
        ):
            assert "hub-1 | hub-2, hub-3" in words
            assert "later stamp" in words
        assert "hub-3" in headwater(hub, "peers", "views")
        assert "hub-3" in page(hub, "/hubs/views")


def assert_true(story: dict[str, Any]) -> None:
    """It tells what has happened."""
    parted = {(row["observer"], *map(tuple, row["islands"])) for row in story["islands"]}
    assert {(name, LONE, MOST) for name in HUBS} <= parted, "each hub has seen it"
    moments = [row["at"] for row in story["islands"]]
    assert moments == sorted(moments)
    orders = {tuple(side["island"]): side["writes"]["intents"] for side in story["sides"]}
    assert orders == {LONE: 1, MOST: 2}
    assert min(records(story)[LONE], records(story)[MOST]) > 0
    (conflict,) = story["conflicts"]
    assert (conflict["node"], conflict["field"], conflict["rule"]) == (
        "edge-1",
        "labels",
        "later stamp",
    )
    winner, loser = conflict["winner"], conflict["loser"]
    assert (winner["hub"], json.loads(winner["value"])) == ("hub-2", LATE)
    assert (loser["hub"], json.loads(loser["value"])) == ("hub-1", EARLY)
    assert loser["at"] < winner["at"]
    assert {seen["observer"] for seen in story["seen_by"] if seen["equal"]} == {*HUBS}
